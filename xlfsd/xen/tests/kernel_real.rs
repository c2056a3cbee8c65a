//! A distribution's kernel, as it is shipped. Run with
//! `XLFS_GUEST_KERNEL=/path/to/vmlinuz cargo test -p xlfs-xen --features real-kernels --test kernel_real`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop")]

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use xlfs_xen::kernel::{Feature, Format, KernelPlan, Limits, inspect};

fn kernel() -> Vec<u8> {
    let path = std::env::var_os("XLFS_GUEST_KERNEL").map(PathBuf::from).expect(
        "XLFS_GUEST_KERNEL must name a distribution's kernel, for instance the \
         boot/vmlinuz-* out of `apt-get download linux-image-VERSION-amd64; dpkg-deb -x`",
    );
    fs::read(&path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()))
}

#[test]
fn a_bzimage_and_the_elf_in_it_give_the_same_plan() {
    let image = kernel();
    let limits = Limits::default();
    let mut elf = Vec::new();
    let begun = Instant::now();
    let packed = inspect(&image, &limits, &mut elf).unwrap();
    let unpacked_in = begun.elapsed();
    assert_eq!(packed.format, Format::BzImage);
    let compression = packed.compression.expect("a bzImage is compressed");
    println!("{packed:#x?}");
    println!(
        "{} bytes of {compression} to {} of ELF ({} below the default limit) in {unpacked_in:?}",
        image.len(),
        elf.len(),
        limits.payload_bytes - elf.len() as u64,
    );

    let mut nothing = Vec::new();
    let bare = inspect(&elf, &limits, &mut nothing).unwrap();
    assert!(nothing.is_empty());
    assert_eq!(bare, KernelPlan { format: Format::Elf, compression: None, ..packed.clone() });

    assert_eq!(packed.guest_os, "linux");
    assert!(packed.features_required.contains(Feature::WritablePageTables));
    assert!(packed.mod_start_pfn);
    assert_eq!(packed.fits(256 << 20), Ok(()));
    assert!(packed.fits(16 << 20).is_err());
}
