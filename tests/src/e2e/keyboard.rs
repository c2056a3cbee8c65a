//! Somebody at a guest's console: `xlfsctl console`, with a pipe for a keyboard.

use std::time::Duration;

use super::host::{Host, PATIENCE};
use super::{Outcome, check};
use crate::dom0::{Dom0Error, Process};

/// SIGTERM, on which `xlfsctl console` leaves in order.
const SIGTERM: i32 = 15;
/// What the guest's shell says when it waits.
const PROMPT: &str = "# ";

/// An attached console.
#[derive(Debug)]
pub struct Keyboard {
    process: Process,
    name: String,
}

impl Host {
    /// Attaches to a guest's console, with more options of `xlfsctl console`.
    pub fn attach(&self, name: &str, more: &str) -> Outcome<Keyboard> {
        let words = ["xlfsctl", "console", name].into_iter().chain(more.split_whitespace());
        let process = self.dom0().command(words).open_stdin().spawn()?;
        Ok(Keyboard { process, name: name.to_owned() })
    }

    /// Attaches, and waits for the guest's shell.
    pub fn shell(&self, name: &str) -> Outcome<Keyboard> {
        let mut keyboard = self.attach(name, "")?;
        keyboard.hears(PROMPT)?;
        Ok(keyboard)
    }

    /// Types a line into a guest's shell and waits for a text that is not in
    /// the line itself (the terminal echoes).
    pub fn in_guest(&self, name: &str, line: &str, answer: &str) -> Outcome<String> {
        let mut keyboard = self.shell(name)?;
        keyboard.says(line)?;
        keyboard.hears(answer)?;
        keyboard.leaves()
    }
}

impl Keyboard {
    /// Types a line.
    pub fn says(&self, line: &str) -> Outcome {
        Ok(self.process.stdin().write(format!("{line}\n").as_bytes())?)
    }

    /// Waits until the guest has printed this.
    pub fn hears(&mut self, text: &str) -> Outcome {
        let heard = match self.process.wait_for(text, PATIENCE) {
            Ok(heard) => heard,
            Err(Dom0Error::Deadline { .. }) => false,
            Err(error) => return Err(error.into()),
        };
        let expected = format!("{text:?} at the console of {}", self.name);
        check(heard, expected, self.process.output())
    }

    /// What it has shown so far.
    pub fn shown(&mut self) -> Outcome<String> {
        self.process.running()?;
        Ok(self.process.output().stdout)
    }

    /// Waits until the console is closed, by the guest's end.
    pub fn closes(self) -> Outcome<String> {
        let output = self.process.wait(PATIENCE)?;
        check(output.success(), "the console to be closed in order", &output)?;
        Ok(output.stdout)
    }

    /// Lets go of it, and returns what it has shown.
    pub fn leaves(self) -> Outcome<String> {
        self.process.signal(SIGTERM)?;
        Ok(self.process.wait(Duration::from_secs(120))?.stdout)
    }
}
