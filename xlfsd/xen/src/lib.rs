//! Xen from user space, without libxc, libxenstore or xenconsoled.
//!
//! Three layers, each of which only looks down:
//!
//! 1. raw ABI: `abi` (numbers and layouts of 21 Xen releases);
//! 2. safe wrappers: `privcmd`, `hypercall`, `evtchn`, `gntdev`, `xenstore`;
//! 3. policy: `kernel` (what an image asks for), `builder` (a PV domain out
//!    of it) and `console` (the ring's protocol).
//!
//! Unsafe code stands only in the modules of the second layer that do ioctl and mmap.

pub mod abi;
pub mod builder;
pub mod console;
pub mod evtchn;
pub mod gntdev;
pub mod hypercall;
pub mod kernel;
pub mod privcmd;
pub mod xenstore;
