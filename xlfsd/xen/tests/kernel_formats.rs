//! A right kernel is understood in every format it can come in.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop")]

mod kernel_images;

use kernel_images::pack::{ALL, bzimage, bzimage_of, compress};
use kernel_images::{
    DATA, Elf, PHYS, Phdr, Shdr, TEXT, VIRT_BASE, kernel, kernel_with, linux_notes, note, number,
    plain_notes, segments, text,
};
use xlfs_xen::kernel::{Compression, Format, KernelPlan, Limits, PaeMode, Segment, inspect};

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

fn section(name: &str, kind: u32, content: Vec<u8>) -> Shdr {
    Shdr { name: name.into(), kind, offset: None, size: None, content }
}

#[test]
fn a_kernel_of_today_has_no_hypercall_page() {
    let (plan, _) = plan_of(&kernel_with(plain_notes()).bytes());
    assert_eq!((plan.hypercall_page, plan.init_p2m, plan.hv_start_low), (None, None, None));
    assert!(!plan.mod_start_pfn && !plan.suspend_cancel && !plan.phys32_entry);
    assert!(plan.features_supported.is_empty() && plan.features_required.is_empty());
}

#[test]
fn notes_may_stand_in_sections() {
    let (with_segment, _) = plan_of(&kernel().bytes());
    let mut elf = Elf::with(segments());
    elf.shdrs.push(section(".text", 1, Vec::new()));
    let notes = linux_notes();
    elf.shdrs.push(section(".notes.a", 7, notes[..4].concat()));
    elf.shdrs.push(section(".notes.b", 7, notes[4..].concat()));
    let (plan, _) = plan_of(&elf.bytes());
    let same_place = |p: &KernelPlan| p.segments.iter().map(|s| s.vaddr).collect::<Vec<_>>();
    assert_eq!(same_place(&plan), same_place(&with_segment));
    let (segments, payload_size) = (plan.segments.clone(), plan.payload_size);
    assert_eq!(plan, KernelPlan { segments, payload_size, ..with_segment });
}

#[test]
fn segments_win_over_sections() {
    let mut elf = kernel();
    elf.shdrs.push(section(".notes", 7, number(1, 0)));
    elf.shdrs.push(section("__xen_guest", 1, b"VIRT_BASE=0x1000".to_vec()));
    let (plan, _) = plan_of(&elf.bytes());
    assert_eq!((plan.virt_base, plan.virt_entry), (VIRT_BASE, VIRT_BASE + PHYS + 0x40));
    // A note segment whose offset an old linker left 0 is passed over.
    let mut elf = Elf::with(segments());
    let mut lost = Phdr::notes(linux_notes().concat());
    lost.offset = Some(0);
    elf.phdrs.push(lost);
    elf.shdrs.push(section(".notes", 7, plain_notes().concat()));
    assert_eq!(plan_of(&elf.bytes()).0.init_p2m, None);
}

#[test]
fn a_kernel_of_2006_has_a_string() {
    // Its physical addresses are virtual ones: ELF_PADDR_OFFSET is VIRT_BASE
    // unless it is given.
    let string = "GUEST_OS=linux,GUEST_VER=2.6,XEN_VER=xen-3.0,VIRT_BASE=0xffffffff80000000,\
                  HYPERCALL_PAGE=0x101,PAE=yes[extended-cr3],BSD_SYMTAB=yes,\
                  FEATURES=writable_page_tables|!auto_translated_physmap,LOADER=generic";
    let mut elf = Elf::with(segments());
    for p in &mut elf.phdrs {
        p.paddr += VIRT_BASE;
    }
    elf.entry = VIRT_BASE + PHYS + 4;
    elf.shdrs.push(section("__xen_guest", 1, string.as_bytes().to_vec()));
    let (plan, _) = plan_of(&elf.bytes());
    assert_eq!(plan.virt_kstart, VIRT_BASE + PHYS);
    assert_eq!(plan.virt_entry, VIRT_BASE + PHYS + 4, "from the ELF header");
    assert_eq!(plan.hypercall_page, Some(VIRT_BASE + 0x10_1000));
    assert_eq!(plan.pae_mode, PaeMode::ExtendedCr3);
    assert!(plan.bsd_symtab);
    assert_eq!((plan.features_supported.bits(), plan.features_required.bits()), (5, 4));

    let mut explicit = Elf::with(segments());
    explicit.entry = elf.entry;
    let string = format!("{string},ELF_PADDR_OFFSET=0x0");
    explicit.shdrs.push(section("__xen_guest", 1, string.into_bytes()));
    let (second, _) = plan_of(&explicit.bytes());
    assert_eq!(second.virt_kstart, plan.virt_kstart);
}

#[test]
fn addresses_follow_libelf() {
    // PADDR_OFFSET is taken off, VIRT_BASE is put on.
    let mut notes = plain_notes();
    notes.push(number(4, 0x10_0000_0000));
    let mut elf = kernel_with(notes);
    for p in &mut elf.phdrs {
        p.paddr += 0x10_0000_0000;
    }
    assert_eq!(plan_of(&elf.bytes()).0.virt_kstart, VIRT_BASE + PHYS);

    // Without VIRT_BASE it is 0; a unikernel is linked like that. Its entry
    // may be the ELF header's.
    let notes =
        vec![text(6, "Mini-OS"), text(8, "generic"), text(5, "xen-3.0"), number(15, 1 << 40)];
    let (plan, _) = plan_of(&kernel_with(notes).bytes());
    assert_eq!((plan.virt_base, plan.virt_entry), (0, PHYS));
    assert_eq!(&*plan.guest_os, "Mini-OS");
}

#[test]
fn segments_are_sorted_and_empty_ones_dropped() {
    let mut elf = kernel();
    elf.phdrs.swap(0, 1);
    elf.phdrs.push(Phdr::load(0xdead_0000, Vec::new(), 0));
    let mut unreadable = Phdr::load(PHYS, vec![1; 16], 0x1000);
    unreadable.flags = 0;
    elf.phdrs.push(unreadable);
    let (plan, _) = plan_of(&elf.bytes());
    let places: Vec<_> = plan.segments.iter().map(|s| (s.vaddr, s.mem_size)).collect();
    let base = VIRT_BASE + PHYS;
    assert_eq!(places, [(base, TEXT), (base + TEXT, DATA)]);
}

#[test]
fn what_follows_and_what_lies_about_the_size_is_ignored() {
    let elf = kernel().bytes();
    let mut longer = elf.clone();
    longer.extend([0xaa; 5000]);
    let (plan, _) = plan_of(&longer);
    assert_eq!(plan.payload_size, longer.len() as u64);
    for format in ALL {
        // The size that Linux's build appends, and what a linker may add.
        let mut payload = compress(format, &elf);
        let gzip = format == Compression::Gzip;
        payload.extend(if gzip { &[][..] } else { &[0xff; 4][..] });
        assert!(plan_of(&bzimage_of(&payload, 0x20f)).1 == elf, "{format}");
        if format != Compression::Lz4 {
            let mut file = compress(format, &elf);
            file.extend([0x77; 100]);
            assert!(plan_of(&file).1 == elf, "{format} with a tail");
        }
    }
}

#[test]
fn strings_and_numbers_of_odd_shapes() {
    let mut notes = linux_notes();
    notes.extend([
        text(6, "linux\x1b[31m\n"),
        note(b"Xen\0", 7, &[b'9'; 5000]),
        note(b"Xen\0", 16, &[0]),
        note(b"Xen\0", 14, &[0, 0]),
        note(b"Xen\0", 0x7fff_ffff, &[0; 9]),
        text(9, "yes,bimodal"),
        text(11, "yes"),
        // Only the last note may lack its padding.
        b"\x04\0\0\0\x05\0\0\0\x0a\0\0\0Xen\0dom0\0".to_vec(),
    ]);
    let (plan, _) = plan_of(&kernel_with(notes).bytes());
    assert_eq!(&*plan.guest_os, "linux?[31m?");
    assert_eq!(plan.guest_version.len(), 128);
    assert!(!plan.mod_start_pfn && !plan.suspend_cancel && plan.bsd_symtab);
    assert_eq!(plan.pae_mode, PaeMode::Bimodal);
    assert_eq!(plan.features_supported.bits(), 0x8811);
}
