//! Which slot runs, as GRUB told the kernel (recipes/12/images/dom0/grub.cfg).

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One of the disk's two root file systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Slot {
    A,
    B,
}

impl Slot {
    pub const ALL: [Self; 2] = [Self::A, Self::B];

    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// As GRUB's variables have it.
    pub fn letter(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    /// The name of its partition (GPT).
    pub fn partition(self) -> &'static str {
        match self {
            Self::A => "xlfs-root-a",
            Self::B => "xlfs-root-b",
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.letter())
    }
}

impl FromStr for Slot {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|slot| slot.letter() == text).ok_or(())
    }
}

/// How this boot came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boot {
    pub slot: Slot,
    /// GRUB starts the slot this once; nobody knows yet whether it works.
    pub trial: bool,
}

impl Boot {
    /// None: this host does not start from slots.
    pub fn parse(command_line: &str) -> Option<Self> {
        let mut slot = None;
        let mut trial = false;
        for word in command_line.split_ascii_whitespace() {
            match word.split_once('=') {
                Some(("xlfs.slot", letter)) => slot = letter.parse().ok(),
                Some(("xlfs.try", value)) => trial = value == "1",
                _ => {}
            }
        }
        slot.map(|slot| Self { slot, trial })
    }

    /// Of the kernel that runs: proc(5), /proc/cmdline.
    pub fn read() -> Option<Self> {
        Self::read_from(Path::new("/proc/cmdline"))
    }

    pub fn read_from(path: &Path) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(path).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_says_which_slot_runs() {
        let line = "root=PARTLABEL=xlfs-root-b ro xlfs.slot=b xlfs.try=1 panic=10\n";
        assert_eq!(Boot::parse(line), Some(Boot { slot: Slot::B, trial: true }));
        assert_eq!(Boot::parse("ro xlfs.slot=a"), Some(Boot { slot: Slot::A, trial: false }));
        for none in ["", "root=/dev/sda1", "xlfs.try=1", "xlfs.slot=c", "xlfs.slot"] {
            assert_eq!(Boot::parse(none), None, "{none}");
        }
    }
}
