//! Initial RAM file systems: Dom0's and the guests'.

pub mod cpio;
pub mod dom0;
pub mod guest;
pub mod modules;
