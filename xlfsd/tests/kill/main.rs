//! The real daemon as a process: killed with SIGKILL at any moment and started
//! again, what it said was done is there, and nothing half done is; told to
//! stop, it does.

// All of this is test code; clippy sees that only within #[test] functions.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod builds;
mod console;
mod images;
mod process;
mod stop;
mod volumes;
