//! Bridges, vifs and firewall rules in the real kernel, each test in a network
//! namespace of its own. One end of a veth pair stands for a vif, the other for
//! what the guest sends and receives.
//!
//! They need root, a kernel with bridges, veth and nf_tables, and `nft`; without
//! one of these they fail and say so.

// All of this is test code; clippy sees that only within #[test] functions.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod bridges;
mod frames;
mod space;
mod spoofing;
mod vifs;
mod wire;
