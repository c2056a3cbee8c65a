//! The driver's list of calls: those waiting to be sent, in order, and those being answered.
//!
//! No I/O here. A call whose caller gave up is never sent, not even its unsent half. A call of
//! which nothing was sent survives the loss of the connection; of any other, the requests
//! without an answer fail.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::call::{Answer, Call, Submission};
use super::error::ErrorKind;

#[derive(Debug)]
struct Active {
    submission: Submission,
    answers: Vec<Option<Answer>>,
    /// How many of `answers` are missing.
    missing: usize,
    /// The first request that has not been sent.
    next: usize,
}

impl Active {
    fn is_abandoned(&self) -> bool {
        self.submission.done.as_ref().is_some_and(|done| done.is_closed())
    }

    /// Gives the answers to whoever waits. False when whoever did has given up.
    fn finish(self) -> bool {
        let answers =
            self.answers.into_iter().map(|answer| answer.unwrap_or(Err(ErrorKind::Closed)));
        match self.submission.done {
            Some(done) => done.send(answers.collect()).is_ok(),
            None => true,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Calls {
    last_id: u64,
    active: HashMap<u64, Active>,
    /// Calls with unsent requests, first come, first sent.
    unsent: VecDeque<u64>,
}

impl Calls {
    pub(super) fn admit(&mut self, submission: Submission) {
        let missing = submission.call.requests.len();
        let active = Active { submission, answers: vec![None; missing], missing, next: 0 };
        if missing == 0 {
            active.finish();
            return;
        }
        self.last_id += 1;
        self.active.insert(self.last_id, active);
        self.unsent.push_back(self.last_id);
    }

    /// The next request to send on this connection: its call's number, the call, its index.
    pub(super) fn next(&mut self, generation: u64) -> Option<(u64, Arc<Call>, usize)> {
        loop {
            let id = *self.unsent.front()?;
            let Some(active) = self.active.get_mut(&id) else {
                self.unsent.pop_front();
                continue;
            };
            let wanted = active.submission.generation;
            if active.is_abandoned() {
                self.active.remove(&id);
                continue;
            }
            if wanted.is_some_and(|wanted| wanted != generation) {
                self.fail(id, "the transaction ended with its connection");
                continue;
            }
            let index = active.next;
            active.next += 1;
            if active.next >= active.answers.len() {
                self.unsent.pop_front();
            }
            return Some((id, Arc::clone(&active.submission.call), index));
        }
    }

    /// Enters an answer. False when whoever asked has given up.
    pub(super) fn answer(&mut self, id: u64, index: usize, answer: Answer) -> bool {
        let Some(active) = self.active.get_mut(&id) else { return false };
        if let Some(slot) = active.answers.get_mut(index)
            && slot.is_none()
        {
            *slot = Some(answer);
            active.missing -= 1;
            active.submission.call.note_answered();
        }
        if active.missing > 0 {
            return true;
        }
        self.active.remove(&id).is_some_and(Active::finish)
    }

    /// Forgets the calls whose callers gave up.
    pub(super) fn forget_abandoned(&mut self) {
        self.active.retain(|_, active| !active.is_abandoned());
        self.unsent.retain(|id| self.active.contains_key(id));
    }

    /// The watch that the request `index` of a call is about to set up.
    pub(super) fn token(&self, id: u64, index: usize) -> Option<u64> {
        self.active.get(&id)?.submission.call.requests.get(index)?.token
    }

    pub(super) fn contains(&self, id: u64) -> bool {
        self.active.contains_key(&id)
    }

    /// A request that was on its way did not leave after all, and so none behind it did.
    pub(super) fn take_back(&mut self, id: u64, index: usize) {
        if let Some(active) = self.active.get_mut(&id) {
            active.next = active.next.min(index);
            active.submission.call.note_taken_back(active.next);
        }
    }

    /// The connection is lost: fails every call of which something was sent, and keeps the
    /// others for the next one.
    pub(super) fn lose_connection(&mut self, why: &str) {
        let begun: Vec<u64> =
            self.active.iter().filter(|(_, a)| a.next > 0).map(|(id, _)| *id).collect();
        for id in begun {
            self.fail(id, why);
        }
        self.forget_abandoned();
        let mut kept: Vec<u64> = self.active.keys().copied().collect();
        kept.sort_unstable();
        self.unsent = kept.into();
    }

    fn fail(&mut self, id: u64, why: &str) {
        let Some(mut active) = self.active.remove(&id) else { return };
        let next = active.next;
        for (index, answer) in active.answers.iter_mut().enumerate() {
            if answer.is_none() {
                let sent = index < next;
                *answer = Some(Err(ErrorKind::Disconnected { sent, why: why.to_owned() }));
            }
        }
        active.finish();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::sync::oneshot;

    use super::super::call::Request;
    use super::super::error::Op;
    use super::super::wire::Kind;
    use super::*;

    type Answers = oneshot::Receiver<Vec<Answer>>;

    fn submit(calls: &mut Calls, count: usize, generation: Option<u64>) -> Answers {
        let requests =
            (0..count).map(|_| Request::new(Op::Read, Kind::Read, "/a", ["/a"])).collect();
        let (done, answers) = oneshot::channel();
        calls.admit(Submission { call: Call::new(requests), generation, done: Some(done) });
        answers
    }

    fn ok() -> Answer {
        Ok(Bytes::from_static(b"OK\0"))
    }

    #[test]
    fn calls_are_sent_in_order_and_answered_whole() {
        let mut calls = Calls::default();
        let mut first = submit(&mut calls, 2, None);
        let mut second = submit(&mut calls, 1, None);
        let sent: Vec<_> = std::iter::from_fn(|| calls.next(1)).map(|(id, _, i)| (id, i)).collect();
        assert_eq!(sent, [(1, 0), (1, 1), (2, 0)]);
        assert!(calls.answer(2, 0, ok()));
        assert_eq!(second.try_recv().unwrap(), [ok()]);
        assert!(calls.answer(1, 1, ok()));
        assert!(first.try_recv().is_err(), "one answer is missing");
        assert!(calls.answer(1, 0, Err(ErrorKind::NotText)));
        assert_eq!(first.try_recv().unwrap(), [Err(ErrorKind::NotText), ok()]);
        assert!(!calls.answer(1, 0, ok()), "nobody waits any more");
    }

    #[test]
    fn the_unsent_half_of_an_abandoned_call_is_never_sent() {
        let mut calls = Calls::default();
        let answers = submit(&mut calls, 3, None);
        let _other = submit(&mut calls, 1, None);
        assert_eq!(calls.next(1).map(|(id, _, i)| (id, i)), Some((1, 0)));
        drop(answers);
        assert_eq!(calls.next(1).map(|(id, _, i)| (id, i)), Some((2, 0)));
        assert!(!calls.answer(1, 0, ok()));
    }

    #[test]
    fn only_untouched_calls_survive_a_lost_connection() {
        let mut calls = Calls::default();
        let mut begun = submit(&mut calls, 3, None);
        let mut untouched = submit(&mut calls, 1, None);
        let mut bound = submit(&mut calls, 1, Some(1));
        calls.next(1);
        calls.next(1);
        calls.answer(1, 0, ok());
        calls.lose_connection("gone");
        let lost = |sent| Err(ErrorKind::Disconnected { sent, why: "gone".into() });
        assert_eq!(begun.try_recv().unwrap(), [ok(), lost(true), lost(false)]);
        assert!(untouched.try_recv().is_err());
        assert_eq!(calls.next(2).map(|(id, _, _)| id), Some(2));
        assert!(calls.next(2).is_none());
        assert!(untouched.try_recv().is_err());
        let answers = bound.try_recv().unwrap();
        assert!(matches!(answers[..], [Err(ErrorKind::Disconnected { sent: false, .. })]));
    }

    #[test]
    fn a_call_that_did_not_leave_is_sent_again_in_its_turn() {
        let mut calls = Calls::default();
        let _first = submit(&mut calls, 2, None);
        let _second = submit(&mut calls, 1, None);
        while calls.next(1).is_some() {}
        calls.take_back(2, 0);
        calls.take_back(1, 1);
        calls.take_back(1, 0);
        calls.lose_connection("gone");
        let sent: Vec<_> = std::iter::from_fn(|| calls.next(2)).map(|(id, _, i)| (id, i)).collect();
        assert_eq!(sent, [(1, 0), (1, 1), (2, 0)]);
    }
}
