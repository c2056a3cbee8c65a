//! The engine on tiny recipes, with a shell copied from this machine as the
//! toolchain: caching, early cut-off, isolation, failures, kills, images.
//! Needs bubblewrap, dpkg and e2fsprogs.

// A test may stop at the first surprise.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod caching;
mod casd;
mod disk;
mod failures;
mod images;
mod inputs;
mod isolation;
mod kernel;
mod kill;
mod lab;
mod pool;
mod remote;
mod shell;
mod sources;
mod toolchains;
