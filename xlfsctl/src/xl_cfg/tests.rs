//! Files as people write them, and files that nobody should: what becomes of
//! each.

use std::fmt::Write as _;

use super::convert::{Guest, convert};
use super::finding::Kind;
use super::parser::{MAX_BYTES, Mistake, parse};
use super::{request, shell};

mod examples;
mod garbage;

/// The guest of a file that is right.
fn guest(text: &str) -> Guest {
    match convert(text.as_bytes(), None) {
        Ok(guest) => guest,
        Err(mistakes) => panic!("{text}\n{mistakes:?}"),
    }
}

/// The mistakes of one that is not.
fn mistakes(text: &str) -> Vec<Mistake> {
    match convert(text.as_bytes(), None) {
        Ok(guest) => panic!("{text}\n{guest:?}"),
        Err(mistakes) => mistakes,
    }
}

/// A guest in a few lines: what to import, what to create, and the findings by
/// kind.
fn summary(guest: &mut Guest) -> String {
    guest.bind("T", None);
    let mut out = String::new();
    for step in &guest.images {
        if let Some(words) = &step.prepare {
            let _ = writeln!(out, "{}", shell::line(words));
        }
        let _ = writeln!(out, "{}", step.command().trim_start_matches("xlfsctl image "));
    }
    let words = request::words(&guest.definition);
    let _ = writeln!(out, "{}", shell::line(&words[1..]));
    for kind in [Kind::Unknown, Kind::Unsupported, Kind::Changed, Kind::Ignored] {
        let of_kind = guest.findings.iter().filter(|one| one.kind == kind);
        let keys: Vec<_> = of_kind.map(|one| format!("{}:{}", one.line, one.key)).collect();
        if !keys.is_empty() {
            let _ = writeln!(out, "{}: {}", kind.word(), keys.join(" "));
        }
    }
    out
}
