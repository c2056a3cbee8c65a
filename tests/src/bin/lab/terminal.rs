//! The user's terminal, while a shell in Dom0 has it.

use std::io::{self, IsTerminal};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

pub(crate) fn make_raw() {
    let Ok(before) = tcgetattr(io::stdin()) else { return };
    let mut raw = before.clone();
    cfmakeraw(&mut raw);
    if let Ok(mut kept) = BEFORE.lock() {
        *kept = Some(before);
    }
    // A terminal that refuses is still usable, if awkward.
    let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &raw);
}

pub(crate) fn restore() {
    if let Ok(mut kept) = BEFORE.lock()
        && let Some(before) = kept.take()
    {
        let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &before);
    }
}

/// Columns and rows. `stty` asks the kernel for us.
pub(crate) fn size() -> (u16, u16) {
    let asked = || {
        if !io::stdin().is_terminal() {
            return None;
        }
        let output = Command::new("stty").arg("size").stdin(Stdio::inherit()).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let mut numbers = text.split_whitespace().map(str::parse);
        let rows = numbers.next()?.ok()?;
        Some((numbers.next()?.ok()?, rows))
    };
    asked().unwrap_or((80, 25))
}
