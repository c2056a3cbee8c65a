//! A distribution's kernel through the worker and the cache. Built with the
//! feature `real-kernels`; XLFS_GUEST_KERNEL names a bzImage,
//! or an ELF file, bare or packed.

use std::path::PathBuf;
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use xlfs_xen::kernel::cache::PlanCache;
use xlfs_xen::kernel::{Digest, Limits, inspect};

use crate::lies::scratch;
use crate::work::{DEADLINE, block_on, own_exe};

pub(crate) fn a_distributions_kernel() {
    let path = std::env::var_os("XLFS_GUEST_KERNEL").map(PathBuf::from);
    let path = path.expect("XLFS_GUEST_KERNEL must name a distribution's kernel");
    let image = std::fs::File::open(&path).unwrap();
    let scratch = scratch();
    let limits = Limits::default();
    let cache = PlanCache::open(scratch.path(), &own_exe(), limits, DEADLINE).unwrap();

    let begun = Instant::now();
    Digest::of(&image).unwrap();
    let hashed = begun.elapsed();
    let first = block_on(cache.kernel(&path)).unwrap();
    let parsed = begun.elapsed() - hashed;
    let peak_kib = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss();
    let begun = Instant::now();
    let second = block_on(cache.kernel_of(image.try_clone().unwrap(), first.digest.clone()));
    let loaded = begun.elapsed();
    println!(
        "hash {hashed:?}, first use {parsed:?} (child's peak {peak_kib} KiB), \
         later use with a known digest {loaded:?}"
    );

    assert_eq!(second.unwrap().plan, first.plan);
    let mut elf = Vec::new();
    assert_eq!(inspect(&image, &limits, &mut elf).unwrap(), first.plan);
    let payload = Digest::of(&first.payload).unwrap();
    if first.plan.payload_is_image() {
        assert_eq!((payload, elf.len()), (first.digest, 0));
    } else {
        assert_eq!(payload, Digest::of_bytes(&elf));
    }
}
