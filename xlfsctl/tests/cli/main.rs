//! xlfsctl as a user runs it, against a daemon that is played by
//! [`fake`]: what it prints, how it exits, what it does to the terminal. What
//! the real xlfsd does on real Xen is tested elsewhere.

// clippy.toml frees functions marked as tests; here all of it is test.
#![allow(clippy::expect_used, clippy::panic)]

mod builds;
mod changes;
mod completion;
mod console;
mod errors;
mod fake;
mod images;
mod import;
mod lists;
mod run;
mod slots;
mod volumes;
mod watching;
