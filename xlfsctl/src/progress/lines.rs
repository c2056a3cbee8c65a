//! Lines at the bottom of the terminal that are drawn anew, with others told above
//! them; elsewhere only what is told.

use std::io::IsTerminal as _;

use crate::output::text::cut;
use crate::output::{Output, stderr_width, to_stderr};

/// Lines drawn at once; a console has 25, and some must stay for the rest.
pub(crate) const MOST_LINES: usize = 16;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Lines are drawn anew.
    Live,
    /// A line for each step, for logs.
    Plain,
    /// Nothing: quiet, or a program reads standard error.
    Silent,
}

/// The lines that stand there now.
#[derive(Debug)]
pub(crate) struct Lines {
    mode: Mode,
    /// Somebody reads standard error, even where no progress is shown.
    heard: bool,
    /// Lines that are drawn below the cursor's home now.
    drawn: usize,
}

impl Lines {
    pub(crate) fn new(output: &Output) -> Lines {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let terminal = std::io::stderr().is_terminal();
        let mode = match (output.quiet, terminal) {
            (true, _) => Mode::Silent,
            (false, true) if !dumb => Mode::Live,
            (false, true) => Mode::Plain,
            (false, false) if output.is_table() => Mode::Plain,
            (false, false) => Mode::Silent,
        };
        Lines { mode, heard: terminal || output.is_table(), drawn: 0 }
    }

    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// Prints a line that stays, above what is drawn. It is drawn again afterwards.
    pub(crate) fn tell(&mut self, line: &str) {
        match self.mode {
            Mode::Live => {
                self.clear();
                to_stderr(&format!("{}\n", cut(line, stderr_width().saturating_sub(1))));
            }
            Mode::Plain => to_stderr(&format!("{line}\n")),
            Mode::Silent => {}
        }
    }

    /// Says something of the program's own above what is drawn; not among documents.
    pub(crate) fn say(&mut self, text: &str) {
        if self.heard {
            self.clear();
            to_stderr(&format!("xlfsctl: {text}\n"));
        }
    }

    /// Puts these lines in the place of those that stand there.
    pub(crate) fn draw(&mut self, lines: &[String]) {
        if self.mode != Mode::Live {
            return;
        }
        let mut out = self.home();
        self.drawn = lines.len();
        for line in lines {
            out.push_str(line);
            out.push_str("\x1b[K\n");
        }
        // What is left of longer drawings goes.
        out.push_str("\x1b[J");
        to_stderr(&out);
    }

    /// Takes the drawing away.
    pub(crate) fn clear(&mut self) {
        if self.mode == Mode::Live {
            to_stderr(&format!("{}\x1b[J", self.home()));
            self.drawn = 0;
        }
    }

    /// Moves the cursor to the first line of the drawing.
    fn home(&self) -> String {
        match self.drawn {
            0 => "\r".to_owned(),
            lines => format!("\r\x1b[{lines}A"),
        }
    }
}
