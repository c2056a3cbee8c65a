//! xlfsd, the daemon in Dom0: makes guests from templates and keeps them
//! running.
//!
//! The rooms, from the outside in:
//!
//! - `api`: the gRPC services, one file each, and the Unix socket they are on;
//! - `task` and `event`: long work with steps and progress, and the numbered
//!   stream of what happens;
//! - `template`, `image`: what guests are made from;
//! - `storage`: the disks of guests: pools, volumes and who has them; `volume`:
//!   what users ask of volumes;
//! - `template`, `image`: what guests are made from; `value`: what users say
//!   about one; `seed`: how that reaches the guest, on a small disk;
//! - `build`: packages and images made from source;
//! - `console`: what guests print and who types;
//! - `health`: whether the services of guests work;
//! - `network`: bridges, and the guests' interfaces on them;
//! - `slots`: the root file systems of a host that boots from its own disk, and
//!   how it is upgraded; `watchdog`: what resets a host that hangs;
//! - `problem`: the error type of all of these;
//! - `config`: what the operator sets; `base` opens all of it in order.
//!
//! None of these touches Xen: with no hypervisor underneath, they work all the same.

pub mod api;
pub mod base;
pub mod build;
pub mod config;
pub mod console;
pub mod domain;
pub mod durable;
pub mod event;
pub mod health;
pub mod host;
pub mod image;
pub mod network;
pub mod problem;
pub mod quarantine;
pub mod seed;
pub mod size;
pub mod slots;
pub mod storage;
pub mod task;
pub mod template;
pub mod toml_file;
pub mod value;
pub mod volume;
pub mod watchdog;
