//! Whether the daemon's work goes on: who does it says so each time round.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A clone is the same pulse.
#[derive(Debug, Clone)]
pub struct Pulse {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    last: Instant,
    ended: Option<String>,
}

impl Default for Pulse {
    fn default() -> Self {
        Self { state: Arc::new(Mutex::new(State { last: Instant::now(), ended: None })) }
    }
}

impl Pulse {
    /// The work goes on.
    pub fn beat(&self) {
        self.state.lock().last = Instant::now();
    }

    /// From now on the host is to be reset, whatever beats.
    pub fn end(&self, why: &str) {
        self.state.lock().ended = Some(why.to_owned());
    }

    /// Why there is no pulse: it was ended, or there was no beat within `limit`.
    pub fn missing(&self, limit: Duration) -> Option<String> {
        let state = self.state.lock();
        let quiet = state.last.elapsed();
        let stalled = || {
            let seconds = quiet.as_secs();
            (quiet > limit).then(|| format!("the supervisor of guests is stuck for {seconds} s"))
        };
        state.ended.clone().or_else(stalled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pulse_is_missed() {
        let pulse = Pulse::default();
        assert_eq!(pulse.missing(Duration::from_secs(60)), None);
        std::thread::sleep(Duration::from_millis(5));
        assert!(pulse.missing(Duration::ZERO).unwrap().contains("stuck"));
        pulse.beat();
        assert_eq!(pulse.missing(Duration::from_secs(60)), None);
        pulse.clone().end("enough");
        pulse.beat();
        assert_eq!(pulse.missing(Duration::from_secs(60)).as_deref(), Some("enough"));
    }
}
