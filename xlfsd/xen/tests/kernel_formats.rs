//! A right kernel is understood in every format it can come in.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop")]

mod kernel_images;

use kernel_images::pack::{ALL, bzimage, compress};
use kernel_images::{DATA, PHYS, TEXT, VIRT_BASE, kernel};
use xlfs_xen::kernel::{Format, KernelPlan, Limits, PaeMode, Segment, inspect};

fn plan_of(image: &[u8]) -> (KernelPlan, Vec<u8>) {
    let mut payload = Vec::new();
    let plan = inspect(image, &Limits::default(), &mut payload).unwrap();
    (plan, payload)
}

#[test]
fn a_bare_elf_says_everything_a_builder_needs() {
    let elf = kernel().bytes();
    let (plan, payload) = plan_of(&elf);
    assert!(payload.is_empty() && plan.payload_is_image());
    let base = VIRT_BASE + PHYS;
    assert_eq!(plan.segments[0].vaddr, base);
    assert_eq!(
        plan.segments[1],
        Segment {
            vaddr: base + TEXT,
            file_offset: plan.segments[0].file_offset + TEXT,
            file_size: DATA / 2,
            mem_size: DATA,
        }
    );
    assert_eq!((plan.virt_base, plan.virt_entry), (VIRT_BASE, base + 0x40));
    assert_eq!((plan.virt_kstart, plan.virt_kend), (base, base + TEXT + DATA));
    assert_eq!(plan.hypercall_page, Some(base + 0x1000));
    assert_eq!(plan.init_p2m, Some(0x80_0000_0000));
    assert_eq!(plan.hv_start_low, Some(0xffff_8000_0000_0000));
    assert!(plan.mod_start_pfn && plan.suspend_cancel && plan.phys32_entry && !plan.bsd_symtab);
    assert_eq!(plan.features_supported.bits(), 0x8811);
    assert_eq!(plan.features_required.names().collect::<Vec<_>>(), ["writable_page_tables"]);
    assert_eq!(plan.pae_mode, PaeMode::ExtendedCr3);
    assert_eq!((&*plan.guest_os, &*plan.guest_version), ("linux", "2.6"));
    assert_eq!((&*plan.loader, &*plan.xen_version), ("generic", "xen-3.0"));
}

#[test]
fn every_packing_gives_the_same_plan_and_payload() {
    let elf = kernel().bytes();
    let (bare, _) = plan_of(&elf);
    for compression in ALL {
        for (format, image) in [
            (Format::BzImage, bzimage(compression, &elf)),
            (Format::Elf, compress(compression, &elf)),
        ] {
            let (plan, payload) = plan_of(&image);
            assert!(payload == elf, "{compression} {format:?}: another payload");
            let expected = KernelPlan { format, compression: Some(compression), ..bare.clone() };
            assert_eq!(plan, expected);
            assert!(!plan.payload_is_image());
        }
    }
}

#[test]
fn a_plan_survives_json() {
    let (plan, _) = plan_of(&kernel().bytes());
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<KernelPlan>(&json).unwrap(), plan);
}
