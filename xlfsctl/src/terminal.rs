//! The terminal in raw mode, and back again: on return, on a signal and on a
//! panic. Only `console` needs it.

use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, Once, PoisonError};

use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

/// The terminal as it was found, while it is raw. It stands here and not in the
/// guard alone, so that the panic hook finds it.
static FOUND: Mutex<Option<(OwnedFd, Termios)>> = Mutex::new(None);

/// The terminal is raw as long as this lives.
#[derive(Debug)]
pub(crate) struct RawMode(());

impl RawMode {
    /// Makes the terminal raw: every byte that is typed arrives at once, and
    /// none is acted upon.
    pub(crate) fn enter(terminal: impl AsFd) -> io::Result<RawMode> {
        let terminal = terminal.as_fd().try_clone_to_owned()?;
        let found = tcgetattr(&terminal)?;
        let mut raw = found.clone();
        cfmakeraw(&mut raw);
        restore_on_panic();
        let mut slot = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
        tcsetattr(&terminal, SetArg::TCSANOW, &raw)?;
        *slot = Some((terminal, found));
        Ok(RawMode(()))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

/// Puts the terminal back as it was found; nothing when it is not raw.
fn restore() {
    let mut slot = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((terminal, found)) = slot.take() {
        // A terminal that is gone (SIGHUP) needs no restoring.
        let _ = tcsetattr(&terminal, SetArg::TCSANOW, &found);
    }
}

/// Lets a panic's message appear on a terminal that is in order again.
fn restore_on_panic() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            report(info);
        }));
    });
}

/// What a guest may have switched on the terminal, switched off: colours, a
/// hidden cursor, line drawing, application keys, bracketed paste, the mouse.
/// Only what the Linux console knows or ignores cleanly.
const RESET: &[u8] = b"\x1b[0m\x0f\x1b(B\x1b[?25h\x1b[?7h\x1b[?1l\x1b>\x1b[?2004l\
    \x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\r";

/// Undoes what the output of a guest did to the terminal; also leaves the
/// alternate screen when that is on.
pub(crate) fn reset_modes(alternate: bool) {
    let mut stdout = io::stdout().lock();
    let leave: &[u8] = if alternate { b"\x1b[?1049l" } else { b"" };
    let _ = stdout.write_all(leave).and_then(|()| stdout.write_all(RESET));
    let _ = stdout.flush();
}

#[cfg(test)]
mod tests {
    use nix::pty::openpty;
    use nix::sys::termios::LocalFlags;

    use super::*;

    /// One test, because the terminal in raw mode is one for the process.
    #[test]
    fn raw_mode_ends_with_its_guard_and_with_a_panic() {
        let pty = openpty(None, None).expect("pty");
        let cooked = || {
            let now = tcgetattr(&pty.slave).expect("termios");
            now.local_flags.contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG)
        };
        assert!(cooked());

        let guard = RawMode::enter(&pty.slave).expect("raw");
        assert!(!cooked());
        drop(guard);
        assert!(cooked());

        let slave = pty.slave.try_clone().expect("clone");
        std::thread::spawn(move || {
            let guard = RawMode::enter(&slave).expect("raw");
            // The guard outlives the panic: only the hook can have restored it.
            std::mem::forget(guard);
            panic!("on purpose");
        })
        .join()
        .expect_err("it panicked");
        assert!(cooked());
    }
}
