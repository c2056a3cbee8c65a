//! The engine on tiny recipes, with a shell copied from this machine as the
//! toolchain: caching, early cut-off, isolation, failures, kills, images.
//! Needs bubblewrap, dpkg and e2fsprogs.

mod caching;
mod failures;
mod images;
mod isolation;
mod kill;
mod lab;
mod pool;
mod sources;
