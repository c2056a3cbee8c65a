//! The lab: real Xen and a Dom0 under QEMU, without KVM, and the end-to-end
//! tests that run in it.
//!
//! [`pieces`] fetches what is booted, [`initramfs`] packs Dom0's and the guests'
//! file trees, [`qemu`] runs the machine, [`agent`] runs in Dom0 and speaks
//! [`wire`] with [`dom0`], which is what a test uses. [`lab`] puts it together.
//! [`images`] makes root images for guests that serve, [`built`] has the product's
//! builder make some. [`slots`] boots a host's own disk.

pub mod agent;
pub mod bench;
pub mod built;
pub mod demo;
pub mod dom0;
pub mod e2e;
pub mod ext4;
pub mod images;
pub mod initramfs;
pub mod kernels;
pub mod lab;
pub mod look;
pub mod pieces;
pub mod product;
pub mod qemu;
pub mod slots;
pub mod wire;
