//! The requests that xenstored has and has not answered yet, by their req_id.
//!
//! A req_id stays here until its reply comes, even when nobody waits for it any more: a late
//! reply is then known as such and never taken for another request's. The *window* limits the
//! requests and bytes that are outstanding, so that xenstored's replies find room and one long
//! batch does not pile up in its memory. On the socket, a request whose caller gave up leaves
//! the window, but only so many of those are allowed before the connection counts as dead. On
//! the kernel's device there is room for one request, and only its reply makes room for another
//! (see `device.rs`).

use std::collections::{HashMap, VecDeque};

use super::wire::Kind;

/// Most requests outstanding at once. xenstored writes header and payload separately; on a Unix
/// socket 128 replies of that kind just fit into the default send buffer (212,992 bytes, about
/// 768 for each write), so it does not block on us.
const REQUESTS_MAX: usize = 128;
/// Most bytes of requests outstanding at once.
const BYTES_MAX: usize = 64 * 1024;
/// Most unanswered requests whose callers gave up.
const ABANDONED_MAX: usize = 4096;

/// How many requests may be outstanding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Window {
    /// Many, and those nobody waits for do not count.
    Wide,
    /// One.
    One,
}

/// Who made a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The request number `index` of a call.
    Call { id: u64, index: usize },
    /// The driver, to set up a watch again on a new connection.
    Rewatch { token: u64 },
}

/// A request without a reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) owner: Owner,
    pub(super) kind: Kind,
    bytes: usize,
    /// Where its last byte stands in the stream of all requests of this connection.
    end: u64,
    abandoned: bool,
}

#[derive(Debug)]
pub(super) struct InFlight {
    window: Window,
    last_req_id: u32,
    waiting: HashMap<u32, Waiting>,
    /// The WATCH and UNWATCH requests among them, oldest first.
    watch_order: VecDeque<u32>,
    requests: usize,
    bytes: usize,
    /// The length of the stream of all requests so far.
    stream: u64,
}

impl InFlight {
    pub(super) fn new(window: Window) -> InFlight {
        InFlight {
            window,
            last_req_id: 0,
            waiting: HashMap::new(),
            watch_order: VecDeque::new(),
            requests: 0,
            bytes: 0,
            stream: 0,
        }
    }

    /// Whether the window lets another request out. One that is larger than the window goes
    /// alone.
    pub(super) fn has_room(&self) -> bool {
        match self.window {
            Window::Wide => self.requests < REQUESTS_MAX && self.bytes < BYTES_MAX,
            Window::One => self.waiting.is_empty(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Enters a request and gives it its req_id: never 0, never one that is outstanding.
    pub(super) fn enter(&mut self, owner: Owner, kind: Kind, bytes: usize) -> u32 {
        let mut req_id = self.last_req_id;
        loop {
            req_id = req_id.wrapping_add(1);
            if req_id != 0 && !self.waiting.contains_key(&req_id) {
                break;
            }
        }
        self.last_req_id = req_id;
        self.requests += 1;
        self.bytes += bytes;
        if matches!(kind, Kind::Watch | Kind::Unwatch) {
            self.watch_order.push_back(req_id);
        }
        self.stream += bytes as u64;
        let end = self.stream;
        self.waiting.insert(req_id, Waiting { owner, kind, bytes, end, abandoned: false });
        req_id
    }

    /// Takes out the request a reply belongs to.
    pub(super) fn leave(&mut self, req_id: u32) -> Option<Waiting> {
        let waiting = self.waiting.remove(&req_id)?;
        if matches!(waiting.kind, Kind::Watch | Kind::Unwatch) {
            self.watch_order.retain(|other| *other != req_id);
        }
        if !waiting.abandoned {
            self.requests -= 1;
            self.bytes -= waiting.bytes;
        }
        Some(waiting)
    }

    /// Takes out the oldest request of this kind, for replies that come without a req_id.
    pub(super) fn leave_oldest_watch(&mut self, kind: Kind) -> Option<Waiting> {
        let oldest = *self
            .watch_order
            .iter()
            .find(|req_id| self.waiting.get(req_id).is_some_and(|w| w.kind == kind))?;
        self.leave(oldest)
    }

    /// The requests that did not leave whole when only `written` bytes of the stream did.
    pub(super) fn behind(&self, written: u64) -> impl Iterator<Item = Owner> {
        self.waiting.values().filter(move |waiting| waiting.end > written).map(|w| w.owner)
    }

    /// Lets the requests that nobody waits for leave the window. Says whether there are too
    /// many of them.
    #[must_use]
    pub(super) fn abandon(&mut self, is_gone: impl Fn(u64) -> bool) -> bool {
        let mut abandoned = 0;
        for waiting in self.waiting.values_mut() {
            if let Owner::Call { id, .. } = waiting.owner
                && !waiting.abandoned
                && is_gone(id)
            {
                waiting.abandoned = true;
                self.requests -= 1;
                self.bytes -= waiting.bytes;
            }
            abandoned += usize::from(waiting.abandoned);
        }
        abandoned > ABANDONED_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(id: u64) -> Owner {
        Owner::Call { id, index: 0 }
    }

    #[test]
    fn the_window_closes_and_opens() {
        let mut flight = InFlight::new(Window::Wide);
        let first = flight.enter(owner(0), Kind::Read, 20);
        for id in 1..128 {
            assert!(flight.has_room());
            flight.enter(owner(id), Kind::Read, 20);
        }
        assert!(!flight.has_room(), "128 requests");
        assert_eq!(flight.leave(first).unwrap().owner, owner(0));
        assert!(flight.has_room());
        let mut flight = InFlight::new(Window::Wide);
        for id in 0..16 {
            flight.enter(owner(id), Kind::Write, 4096);
        }
        assert!(!flight.has_room(), "64 KiB");
    }

    #[test]
    fn an_abandoned_request_leaves_the_window_but_keeps_its_id() {
        let mut flight = InFlight::new(Window::Wide);
        let ids: Vec<u32> = (0..128).map(|id| flight.enter(owner(id), Kind::Read, 20)).collect();
        assert!(!flight.abandon(|id| id < 100));
        assert!(flight.has_room());
        flight.last_req_id = ids[0] - 1;
        assert!(!ids.contains(&flight.enter(owner(999), Kind::Read, 20)));
        assert_eq!(flight.leave(ids[0]).unwrap().owner, owner(0), "its late reply is known");
        assert_eq!(flight.leave(ids[0]), None, "but only once");
    }

    #[test]
    fn the_device_has_room_for_one_request_abandoned_or_not() {
        let mut flight = InFlight::new(Window::One);
        assert!(flight.has_room());
        let id = flight.enter(owner(0), Kind::Read, 20);
        assert!(!flight.has_room());
        assert!(!flight.abandon(|_| true));
        assert!(!flight.has_room());
        flight.leave(id).unwrap();
        assert!(flight.has_room());
    }

    #[test]
    fn too_many_abandoned_requests_are_noticed() {
        let mut flight = InFlight::new(Window::Wide);
        for id in 0..4096 {
            flight.enter(owner(id), Kind::Read, 20);
        }
        assert!(!flight.abandon(|_| true));
        flight.enter(owner(5000), Kind::Read, 20);
        assert!(flight.abandon(|_| true));
    }

    #[test]
    fn what_did_not_leave_whole_is_known() {
        let mut flight = InFlight::new(Window::Wide);
        for id in 0..4 {
            flight.enter(owner(id), Kind::Write, 10);
        }
        let behind = |written| {
            let mut owners: Vec<Owner> = flight.behind(written).collect();
            owners.sort_by_key(|owner| format!("{owner:?}"));
            owners
        };
        assert_eq!(behind(40), []);
        assert_eq!(behind(39), [owner(3)]);
        assert_eq!(behind(20), [owner(2), owner(3)]);
    }

    #[test]
    fn ids_wrap_without_ever_being_zero() {
        let mut flight = InFlight { last_req_id: u32::MAX - 1, ..InFlight::new(Window::Wide) };
        assert_eq!(flight.enter(owner(0), Kind::Read, 1), u32::MAX);
        assert_eq!(flight.enter(owner(1), Kind::Read, 1), 1);
    }

    #[test]
    fn the_kernels_replies_match_by_order_and_kind() {
        let mut flight = InFlight::new(Window::Wide);
        flight.enter(owner(0), Kind::Unwatch, 1);
        flight.enter(owner(1), Kind::Watch, 1);
        flight.enter(owner(2), Kind::Watch, 1);
        assert_eq!(flight.leave_oldest_watch(Kind::Watch).unwrap().owner, owner(1));
        assert_eq!(flight.leave_oldest_watch(Kind::Watch).unwrap().owner, owner(2));
        assert_eq!(flight.leave_oldest_watch(Kind::Watch), None);
        assert_eq!(flight.leave_oldest_watch(Kind::Unwatch).unwrap().owner, owner(0));
        assert!(flight.is_empty());
    }
}
