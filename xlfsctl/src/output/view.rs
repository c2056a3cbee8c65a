//! The documents that programs read: serde structs of a stable schema, apart
//! from the messages of the wire. docs/cli.md lists every field, and a test
//! compares the two.
//!
//! Rules: every document is an object; all fields are always there; what does
//! not exist is null; names are snake_case; states are lower-case words; times
//! are RFC 3339 in UTC; the unit of a number is in its name.

pub(crate) mod build;
pub(crate) mod domain;
pub(crate) mod event;
pub(crate) mod health;
pub(crate) mod host;
pub(crate) mod image;
pub(crate) mod imported;
pub(crate) mod network;
pub(crate) mod outcome;
pub(crate) mod recipe;
pub(crate) mod result;
#[cfg(test)]
mod schema;
pub(crate) mod slot;
pub(crate) mod source;
pub(crate) mod task;
pub(crate) mod template;
pub(crate) mod volume;

use prost_types::Timestamp;

use super::time;

/// A point in time, or null.
pub(crate) fn moment(time: &Option<Timestamp>) -> Option<String> {
    time.as_ref().and_then(time::rfc3339)
}

/// A span in seconds, or null.
pub(crate) fn span(span: &Option<prost_types::Duration>) -> Option<f64> {
    span.as_ref().map(time::seconds)
}
