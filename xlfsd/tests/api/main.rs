//! The real server on a real socket, asked by real clients: what a program
//! that talks to xlfsd gets to see.

// All of this is test code; clippy sees that only within #[test] functions.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::unimplemented)]

mod build_shell;
mod builds;
mod built_images;
mod clones;
mod console;
mod daemon;
mod devices;
mod events;
mod images;
mod machine;
mod meta;
mod recipes;
mod slots;
mod snapshots;
mod sources;
mod tasks;
mod templates;
mod tiny;
mod volumes;
