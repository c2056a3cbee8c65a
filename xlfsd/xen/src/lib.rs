//! Xen from user space, without libxc, libxenstore or xenconsoled.
//!
//! Three layers, each of which only looks down:
//!
//! 1. raw ABI: `abi` (numbers and layouts of 21 Xen releases);
//! 2. safe wrappers: `privcmd`, `hypercall`, `evtchn`, `gntdev`, `xenstore`;
//! 3. policy: `kernel` (what an image asks for), `builder` (a PV domain out
//!    of it) and `console` (the ring's protocol).
//!
//! Beside them stands what guests' disks in Dom0 need of the kernel: `block`,
//! `loopdev` and `reflink`.
//!
//! Unsafe code stands only in the modules of the second layer that do ioctl and mmap.

pub mod abi;
pub mod block;
pub mod builder;
pub mod console;
pub mod evtchn;
pub mod gntdev;
pub mod hypercall;
pub mod kernel;
pub mod loopdev;
pub mod privcmd;
pub mod reflink;
pub mod xenstore;
