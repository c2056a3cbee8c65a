//! One connection, from its first byte to its last.
//!
//! The session sends what the window lets out, reads while it writes, hands each reply to the
//! call it belongs to and each event to its watch, and ends when the connection does or when
//! xenstored sends something that cannot be believed.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{self, Instant, MissedTickBehavior};

use super::call::{Call, Request, Submission};
use super::calls::Calls;
use super::device;
use super::driver::Core;
use super::error::{Code, ErrorKind, Op};
use super::in_flight::{InFlight, Owner, Waiting, Window};
use super::transport::{Step, Transport};
use super::wire::{Decoder, Frame, HEADER_LEN, Kind, join, strings};

/// How often requests whose callers gave up are looked for.
const SWEEP: Duration = Duration::from_millis(100);

/// Why a session ended.
#[derive(Debug)]
pub(super) enum End {
    /// Nobody holds the client any more.
    Unused,
    /// The connection broke, or xenstored did; the reason, for people.
    Lost(String),
}

#[derive(Debug)]
pub(super) struct Session<'a> {
    core: &'a Core,
    calls: &'a mut Calls,
    transport: Transport,
    generation: u64,
    decoder: Decoder,
    in_flight: InFlight,
    /// When the last reply came, or the first request since there was none outstanding left.
    last_sign: Instant,
    /// Watches of an earlier connection that are still to be set up on this one.
    rewatch: VecDeque<(u64, String)>,
    /// Whether xenstored has said anything yet.
    pub(super) heard: bool,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        core: &'a Core,
        calls: &'a mut Calls,
        transport: Transport,
        generation: u64,
    ) -> Session<'a> {
        Session {
            in_flight: InFlight::new(transport.window()),
            rewatch: core.watches.standing().into(),
            decoder: Decoder::default(),
            last_sign: Instant::now(),
            heard: false,
            core,
            calls,
            transport,
            generation,
        }
    }

    pub(super) async fn run(&mut self, incoming: &mut UnboundedReceiver<Submission>) -> End {
        match self.serve(incoming).await {
            Ok(end) => end,
            Err(error) => {
                self.take_back_unsent();
                End::Lost(error.to_string())
            }
        }
    }

    /// What did not leave whole cannot have been carried out, and may be sent again.
    fn take_back_unsent(&mut self) {
        let Some(written) = self.transport.written() else { return };
        for owner in self.in_flight.behind(written) {
            if let Owner::Call { id, index } = owner {
                self.calls.take_back(id, index);
            }
        }
    }

    async fn serve(&mut self, incoming: &mut UnboundedReceiver<Submission>) -> io::Result<End> {
        let mut sweep = time::interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            while let Ok(submission) = incoming.try_recv() {
                self.calls.admit(submission);
            }
            self.send_what_fits();
            tokio::select! {
                submission = incoming.recv() => match submission {
                    Some(submission) => self.calls.admit(submission),
                    None => return Ok(End::Unused),
                },
                step = self.transport.drive(self.decoder.buffer()) => match step? {
                    Step::Received => self.take_frames()?,
                    Step::Sent => {}
                    Step::Refused { req_id, code } => self.take_refusal(req_id, code),
                },
                _ = sweep.tick(), if !self.in_flight.is_empty() => self.sweep()?,
            }
        }
    }

    /// Sends what the window lets out. Watches of an earlier connection come before anything
    /// else: whoever reads after the resync then misses no change.
    fn send_what_fits(&mut self) {
        while self.in_flight.has_room() {
            if let Some((token, path)) = self.rewatch.pop_front() {
                let payload = join([path.as_str(), token.to_string().as_str()]);
                self.send(Owner::Rewatch { token }, Kind::Watch, 0, &payload);
                continue;
            }
            let Some((id, call, index)) = self.calls.next(self.generation) else { return };
            let Some(Request { kind, tx_id, payload, .. }) = call.requests.get(index) else {
                continue;
            };
            call.note_sent(self.generation);
            self.send(Owner::Call { id, index }, *kind, *tx_id, payload);
        }
    }

    fn send(&mut self, owner: Owner, kind: Kind, tx_id: u32, payload: &[u8]) {
        let bytes = HEADER_LEN + payload.len();
        if self.in_flight.is_empty() {
            self.last_sign = Instant::now();
        }
        let req_id = self.in_flight.enter(owner, kind, bytes);
        match self.transport.push(kind, req_id, tx_id, payload) {
            Some(_) => {
                self.core.counters.operations.add(1);
                self.core.counters.bytes_sent.add(bytes);
            }
            // Lengths are checked where requests are made; this is the belt to those braces.
            None => self.take_refusal(req_id, Code::TooBig),
        }
    }

    fn take_frames(&mut self) -> io::Result<()> {
        self.heard = true;
        while let Some(frame) = self.decoder.next_frame().map_err(io::Error::other)? {
            self.core.counters.bytes_received.add(HEADER_LEN + frame.payload.len());
            if frame.kind == Kind::WatchEvent {
                if !self.core.watches.deliver(&frame.payload, &self.core.counters) {
                    return Err(io::Error::other("it sent a watch event without path and token"));
                }
            } else {
                self.take_reply(frame)?;
            }
        }
        Ok(())
    }

    fn take_reply(&mut self, frame: Frame) -> io::Result<()> {
        let of_kernel = self.transport.kernel_answers_watches()
            && frame.req_id == 0
            && matches!(frame.kind, Kind::Watch | Kind::Unwatch);
        let waiting = if of_kernel {
            self.in_flight.leave_oldest_watch(frame.kind)
        } else {
            self.in_flight.leave(frame.req_id)
        };
        self.last_sign = Instant::now();
        let Some(waiting) = waiting else {
            self.core.counters.unknown_replies.add(1);
            return Ok(());
        };
        if frame.kind == Kind::Error {
            let refusal = ErrorKind::Refused(Code::parse(&frame.payload));
            self.settle(&waiting, Err(refusal));
        } else if frame.kind == waiting.kind {
            self.settle(&waiting, Ok(frame.payload));
        } else {
            let kind = waiting.kind;
            return Err(io::Error::other(format!(
                "it answered a {kind:?} request with a {:?} message",
                frame.kind
            )));
        }
        Ok(())
    }

    fn take_refusal(&mut self, req_id: u32, code: Code) {
        if let Some(waiting) = self.in_flight.leave(req_id) {
            self.settle(&waiting, Err(ErrorKind::Refused(code)));
        }
    }

    fn settle(&mut self, waiting: &Waiting, answer: Result<Bytes, ErrorKind>) {
        let watches = &self.core.watches;
        match (waiting.owner, answer) {
            (Owner::Rewatch { token }, Ok(_)) => watches.resync(token),
            (Owner::Rewatch { token }, Err(kind)) => {
                tracing::warn!(token, %kind, "a watch could not be set up again");
                watches.fail(token, kind);
            }
            (Owner::Call { id, index }, answer) => {
                if answer.is_ok()
                    && waiting.kind == Kind::Watch
                    && let Some(token) = self.calls.token(id, index)
                {
                    watches.stands(token);
                }
                let started = (waiting.kind == Kind::TransactionStart)
                    .then(|| answer.as_ref().ok().and_then(|id| transaction_id(id)))
                    .flatten();
                if !self.calls.answer(id, index, answer) {
                    self.core.counters.late_replies.add(1);
                    if let Some(tx_id) = started {
                        self.calls.admit(abort(tx_id, self.generation));
                    }
                }
            }
        }
    }

    fn sweep(&mut self) -> io::Result<()> {
        self.calls.forget_abandoned();
        let calls = &*self.calls;
        if self.in_flight.abandon(|id| !calls.contains(id)) {
            return Err(io::Error::other("it left thousands of requests without an answer"));
        }
        if self.transport.window() == Window::One && self.last_sign.elapsed() > device::PATIENCE {
            return Err(io::Error::other("the device did not answer a request for a minute"));
        }
        Ok(())
    }
}

/// Reads the reply to TRANSACTION_START. 0 would mean "no transaction" and is refused.
pub(super) fn transaction_id(payload: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(strings(payload).next()?).ok()?;
    text.parse().ok().filter(|id| *id != 0)
}

/// The call that ends a transaction without a trace, on the connection it belongs to. Nobody
/// waits for it.
pub(super) fn abort(tx_id: u32, generation: u64) -> Submission {
    let mut request = Request::new(Op::Transaction, Kind::TransactionEnd, "/", ["F"]);
    request.tx_id = tx_id;
    Submission { call: Call::new(vec![request]), generation: Some(generation), done: None }
}
