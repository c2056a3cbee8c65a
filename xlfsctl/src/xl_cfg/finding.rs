//! What a guest definition does not say of what the file says: a key with its
//! line, and why.

use std::fmt;

/// Why a line, or a part of it, is not in the definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// xl knows no such key.
    Unknown,
    /// xl knows it, and xlfs has no such thing.
    Unsupported,
    /// It is in the definition, but as something else.
    Changed,
    /// It says what is so anyway, or what makes no difference to a PV guest.
    Ignored,
}

impl Kind {
    /// The word for it in JSON and YAML.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Unknown => "unknown",
            Kind::Unsupported => "unsupported",
            Kind::Changed => "changed",
            Kind::Ignored => "ignored",
        }
    }
}

/// One thing that was not understood, or not taken as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) key: String,
    pub(crate) line: u32,
    pub(crate) kind: Kind,
    pub(crate) why: String,
    /// What to do; empty where there is nothing to do.
    pub(crate) instead: String,
}

impl Finding {
    pub(crate) fn new(key: &str, line: u32, kind: Kind, why: impl Into<String>) -> Finding {
        let key = key.to_owned();
        Finding { key, line, kind, why: why.into(), instead: String::new() }
    }

    pub(crate) fn instead(mut self, instead: impl Into<String>) -> Finding {
        self.instead = instead.into();
        self
    }
}

/// The reason and what to do, without the place.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Unknown => "",
            Kind::Unsupported => "not supported: ",
            Kind::Changed => "changed: ",
            Kind::Ignored => "ignored: ",
        };
        write!(f, "{kind}{}", self.why)?;
        match self.instead.as_str() {
            "" => Ok(()),
            instead => write!(f, "; {instead}"),
        }
    }
}
