//! What a template may say about the guest that is made from it:
//! `${guest.name}` and `${guest.uuid}`.

use uuid::Uuid;

/// The facts of one guest.
#[derive(Debug, Clone, Copy)]
pub struct GuestFacts<'a> {
    /// 1 to 63 characters, as a host name.
    pub name: &'a str,
    pub uuid: Uuid,
}

/// A fact by its name in templates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GuestFact {
    Name,
    Uuid,
}

impl GuestFact {
    /// All, for suggestions.
    pub(super) const NAMES: [&'static str; 2] = ["guest.name", "guest.uuid"];

    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "guest.name" => Some(Self::Name),
            "guest.uuid" => Some(Self::Uuid),
            _ => None,
        }
    }

    pub(super) fn of(self, guest: &GuestFacts<'_>) -> String {
        match self {
            Self::Name => guest.name.to_owned(),
            Self::Uuid => guest.uuid.to_string(),
        }
    }
}
