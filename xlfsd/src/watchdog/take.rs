//! Taking over the timers that are armed already, and giving them back. Nothing is
//! noted anywhere: the hypervisor is asked which timers are in use.

use std::fmt::Debug;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use xlfs_xen::hypercall::{HypercallError, TIMERS, WatchdogId};

use super::Timers;

/// Who else may have armed a timer of this domain: the kernel, by its driver.
pub trait Keeper: Debug {
    /// Has it give back what it armed. Having nothing is fine.
    fn give_back(&self) -> io::Result<()>;
}

/// The kernel's driver xen_wdt: a `V` before the close gives its timer back
/// (Documentation/watchdog/watchdog-api.rst). Where it has none armed, opening it arms
/// one first, which fails while both are in use.
impl Keeper for Path {
    fn give_back(&self) -> io::Result<()> {
        match OpenOptions::new().write(true).open(self) {
            Ok(mut device) => device.write_all(b"V"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            // EEXIST and EIO, by release: there was none, and no free one either.
            Err(_) => Ok(()),
        }
    }
}

/// Answers the one timer that is armed after it, newly set. At no moment in between
/// is there none.
pub fn take<K: Keeper + ?Sized>(
    timers: &dyn Timers,
    kernel: &K,
) -> Result<WatchdogId, HypercallError> {
    // None: both are in use, by the kernel or by a daemon that was killed.
    timers.arm()?;
    if let Err(error) = kernel.give_back() {
        tracing::warn!(%error, "the kernel's watchdog cannot be given back: it resets the host");
    }
    // What is in use now was armed by us, or by one of us that is gone.
    let mut ours = None;
    for id in (1..=TIMERS).map(WatchdogId) {
        match ours {
            None if timers.pet(id)? => ours = Some(id),
            None => {}
            Some(_) => {
                timers.disarm(id)?;
            }
        }
    }
    match ours {
        Some(id) => Ok(id),
        // Both had been the kernel's and another's that is gone by now.
        None => Ok(timers.arm()?.unwrap_or(WatchdogId(1))),
    }
}

/// Nothing is armed after it.
pub fn give_back_all<K: Keeper + ?Sized>(timers: &dyn Timers, kernel: &K) {
    if let Err(error) = kernel.give_back() {
        tracing::warn!(%error, "the kernel's watchdog cannot be given back");
    }
    for id in (1..=TIMERS).map(WatchdogId) {
        if let Err(error) = timers.disarm(id) {
            tracing::warn!("a watchdog cannot be given back: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    /// A hypervisor's timers, as Xen's common/schedule.c keeps them, and whether there
    /// was a moment without any.
    #[derive(Debug, Default, Clone)]
    struct Model(Arc<Mutex<([bool; 2], bool)>>);

    impl Model {
        fn with(first: bool, second: bool) -> Self {
            Self(Arc::new(Mutex::new(([first, second], false))))
        }

        fn change(&self, id: WatchdogId, to: bool) -> bool {
            let mut state = self.0.lock();
            let at = id.0 as usize - 1;
            let was = state.0[at];
            if was {
                state.0[at] = to;
            }
            state.1 |= state.0 == [false, false];
            was
        }

        fn armed(&self) -> usize {
            self.0.lock().0.iter().filter(|armed| **armed).count()
        }
    }

    impl Timers for Model {
        fn arm(&self) -> Result<Option<WatchdogId>, HypercallError> {
            let mut state = self.0.lock();
            let free = state.0.iter().position(|armed| !armed);
            if let Some(at) = free {
                state.0[at] = true;
            }
            Ok(free.map(|at| WatchdogId(at as u32 + 1)))
        }

        fn pet(&self, id: WatchdogId) -> Result<bool, HypercallError> {
            Ok(self.change(id, true))
        }

        fn disarm(&self, id: WatchdogId) -> Result<bool, HypercallError> {
            Ok(self.change(id, false))
        }
    }

    /// The kernel's driver, with the timer that it armed, if any.
    #[derive(Debug)]
    struct Kernel(Model, Option<WatchdogId>);

    impl Keeper for Kernel {
        fn give_back(&self) -> io::Result<()> {
            let armed = match self.1 {
                Some(id) => Some(id),
                None => self.0.arm().unwrap(),
            };
            if let Some(id) = armed {
                self.0.disarm(id).unwrap();
            }
            Ok(())
        }
    }

    #[test]
    fn one_timer_is_armed_after_it_and_never_none() {
        // Nothing armed; init's; a killed daemon's; both; two killed daemons'.
        let worlds = [
            (false, false, None),
            (true, false, Some(1)),
            (true, false, None),
            (false, true, None),
            (true, true, Some(1)),
            (true, true, Some(2)),
            (true, true, None),
        ];
        for (first, second, kernels) in worlds {
            let model = Model::with(first, second);
            let kernel = Kernel(model.clone(), kernels.map(WatchdogId));
            let id = take(&model, &kernel).unwrap();
            assert_eq!(model.armed(), 1, "{first} {second} {kernels:?}");
            assert!(model.pet(id).unwrap(), "{first} {second} {kernels:?}");
            assert!(!model.0.lock().1, "a moment without: {first} {second} {kernels:?}");
        }
    }

    #[test]
    fn all_is_given_back() {
        let model = Model::with(true, true);
        give_back_all(&model, &Kernel(model.clone(), Some(WatchdogId(2))));
        assert_eq!(model.armed(), 0);
    }

    #[test]
    fn a_kernel_without_a_driver_is_fine() {
        Path::new("/nonexistent/watchdog").give_back().unwrap();
    }
}
