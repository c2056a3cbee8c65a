//! Everything that can be wrong with a kernel image, one file each, and the
//! error that must come of it (by its tag in JSON).

use std::sync::OnceLock;

use xlfs_xen::kernel::Compression;

use super::pack::{ALL, bzimage, bzimage_of, compress};
use super::{
    DATA, Elf, PHYS, Phdr, Shdr, TEXT, VIRT_BASE, kernel, kernel_with, note, number, plain_notes,
    segments, text,
};

/// A bad image.
pub struct Malformed {
    pub name: String,
    /// The tag of the expected error.
    pub error: &'static str,
    pub image: Vec<u8>,
}

/// All of them, the bombs last.
pub fn all() -> Vec<Malformed> {
    let mut list = Vec::new();
    let mut add = |name: &str, error: &'static str, image: Vec<u8>| {
        list.push(Malformed { name: name.into(), error, image });
    };
    headers(&mut add);
    program_headers(&mut add);
    broken_notes(&mut add);
    refused_notes(&mut add);
    addresses(&mut add);
    containers(&mut add);
    for format in ALL {
        let elf = kernel().bytes();
        let packed = bzimage(format, &elf);
        let payload = compress(format, &elf);
        let cut = bzimage_of(&payload[..payload.len() / 2], 0x20f);
        add(&format!("{format}-cut"), "decompress", cut);
        add(&format!("{format}-not-elf"), "payload_not_elf", bzimage(format, &packed));
        add(&format!("{format}-empty"), "truncated", bzimage(format, b""));
        add(&format!("{format}-bomb"), "payload_too_large", bomb(format));
    }
    list
}

type Add<'a> = &'a mut dyn FnMut(&str, &'static str, Vec<u8>);

fn headers(add: Add<'_>) {
    let good = kernel();
    let elf = |change: fn(&mut Elf)| {
        let mut elf = kernel();
        change(&mut elf);
        elf.bytes()
    };
    add("empty", "empty", Vec::new());
    add("text", "not_a_kernel", b"#!/bin/sh\necho no kernel\n".to_vec());
    add("zeros", "not_a_kernel", vec![0; 8192]);
    add("magic-only", "truncated", b"\x7fELF".to_vec());
    add("header-cut", "truncated", good.bytes()[..63].to_vec());
    add("program-headers-cut", "truncated", good.bytes()[..100].to_vec());
    add("class-32", "is32_bit", elf(|e| e.class = 1));
    add("big-endian", "not_little_endian", elf(|e| e.encoding = 2));
    add("aarch64", "not_x86_64", elf(|e| e.machine = 183));
    add("i386", "not_x86_64", elf(|e| e.machine = 3));
    add("object-file", "not_executable", elf(|e| e.kind = 1));
    add("core-dump", "not_executable", elf(|e| e.kind = 4));
    add("phentsize-odd", "bad_entry_size", elf(|e| e.phentsize = 55));
    add("phentsize-zero", "bad_entry_size", elf(|e| e.phentsize = 0));
    add(
        "shentsize-odd",
        "bad_entry_size",
        elf(|e| {
            e.shnum = Some(1);
            e.shentsize = 63;
        }),
    );
    add("phnum-huge", "too_many", elf(|e| e.phnum = Some(u16::MAX)));
    add("phoff-outside", "truncated", elf(|e| e.phoff = Some(1 << 30)));
    add("phoff-wraps", "truncated", elf(|e| e.phoff = Some(u64::MAX - 8)));
    // Sections are looked at only when there is no PT_NOTE.
    let bare = |change: fn(&mut Elf)| {
        let mut elf = Elf::with(segments());
        change(&mut elf);
        elf.bytes()
    };
    add("shnum-huge", "too_many", bare(|e| e.shnum = Some(u16::MAX)));
    add(
        "shoff-outside",
        "truncated",
        bare(|e| {
            e.shnum = Some(4);
            e.shoff = Some(1 << 30);
        }),
    );
    add(
        "shoff-wraps",
        "truncated",
        bare(|e| {
            e.shnum = Some(4);
            e.shoff = Some(u64::MAX);
        }),
    );
    add("no-headers-at-all", "no_xen_notes", Elf::with(Vec::new()).bytes());
}

fn program_headers(add: Add<'_>) {
    let elf = |change: fn(&mut Vec<Phdr>)| {
        let mut elf = kernel();
        change(&mut elf.phdrs);
        elf.bytes()
    };
    add(
        "nothing-to-load",
        "no_segments",
        elf(|p| {
            p.drain(..2);
        }),
    );
    add(
        "no-permissions",
        "no_segments",
        elf(|p| {
            p[0].flags = 0;
            p[1].flags = 0;
        }),
    );
    add("segment-outside-file", "segment_outside", elf(|p| p[1].offset = Some(1 << 40)));
    add("segment-offset-wraps", "segment_outside", elf(|p| p[1].offset = Some(u64::MAX - 16)));
    add(
        "segment-ends-outside-file",
        "segment_outside",
        elf(|p| {
            p[1].file_size = Some(1 << 20);
            p[1].mem_size = 1 << 20;
        }),
    );
    add("filesz-above-memsz", "segment_overfull", elf(|p| p[1].mem_size = 16));
    add("segments-overlap", "segments_overlap", elf(|p| p[1].paddr -= 1));
    add("segments-equal", "segments_overlap", elf(|p| p[1].paddr = PHYS));
    add(
        "segment-inside-another",
        "segments_overlap",
        elf(|p| {
            p[1].paddr = PHYS + 0x1000;
            p[1].mem_size = 0x800;
            p[1].content.truncate(0x100);
        }),
    );
    add("paddr-wraps", "address_wraps", elf(|p| p[1].paddr = u64::MAX - 0xfff));
    add("paddr-above-the-top", "address_wraps", elf(|p| p[1].paddr = 1 << 31));
    add("memsz-wraps", "address_wraps", elf(|p| p[1].mem_size = u64::MAX - 0x100));
    add("memsz-terabyte", "kernel_too_large", {
        let mut notes = plain_notes();
        notes[4] = number(3, 0);
        notes[5] = number(1, PHYS);
        let mut elf = kernel_with(notes);
        elf.phdrs[1].mem_size = 1 << 40;
        elf.bytes()
    });
    add(
        "too-many-segments",
        "too_many",
        elf(|p| {
            let one = p[1].clone();
            p.extend((0..64).map(|i| Phdr { paddr: 0x100_0000 + i * 0x1_0000, ..one.clone() }));
        }),
    );
}

fn broken_notes(add: Add<'_>) {
    let with = |extra: Vec<u8>| {
        let mut notes = plain_notes();
        notes.push(extra);
        kernel_with(notes).bytes()
    };
    let raw = |name_size: u32, content_size: u32| {
        [name_size, content_size, 1].iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>()
    };
    let placed = |offset: Option<u64>, size: Option<u64>| {
        let mut elf = kernel();
        elf.phdrs[2].offset = offset;
        elf.phdrs[2].file_size = size;
        elf.bytes()
    };
    add("no-notes", "no_xen_notes", Elf::with(segments()).bytes());
    add("others-notes", "no_xen_notes", kernel_with(vec![note(b"GNU\0", 3, &[1; 20])]).bytes());
    add(
        "note-name-without-nul",
        "no_xen_notes",
        kernel_with(vec![note(b"Xen", 1, &[0; 8])]).bytes(),
    );
    add("note-name-huge", "truncated", with(raw(u32::MAX, 8)));
    add("note-content-huge", "truncated", with(raw(4, u32::MAX - 3)));
    add("note-both-huge", "truncated", with(raw(u32::MAX, u32::MAX)));
    add("notes-outside-file", "truncated", placed(Some(1 << 30), None));
    add("notes-offset-wraps", "truncated", placed(Some(u64::MAX - 3), None));
    add("notes-huge", "too_many", placed(None, Some(1 << 40)));
    add("notes-size-max", "too_many", placed(None, Some(u64::MAX)));
    add("notes-endless", "too_many", with(vec![0; 12 * 20_000]));
    add("note-number-odd", "bad_note", with(note(b"Xen\0", 1, &[0; 3])));
    add("note-number-empty", "bad_note", with(note(b"Xen\0", 3, b"")));
    add("note-number-long", "bad_note", with(note(b"Xen\0", 15, &[0; 16])));
    add("note-features-short", "bad_note", with(note(b"Xen\0", 17, &[0; 2])));
    let section = |offset, size, content: &[u8]| {
        let mut elf = Elf::with(segments());
        let (name, content) = ("__xen_guest".into(), content.to_vec());
        elf.shdrs.push(Shdr { name, kind: 1, offset, size, content });
        elf.bytes()
    };
    add("guest-info-outside-file", "truncated", section(Some(1 << 40), Some(64), b""));
    add("guest-info-empty", "unsupported_loader", section(None, None, b""));
    add("guest-info-number", "bad_note", section(None, None, b"VIRT_BASE=0xzz\0"));
    add("guest-info-wraps", "bad_note", section(None, None, b"HYPERCALL_PAGE=0xffffffffffffff"));
}

fn refused_notes(add: Add<'_>) {
    let with = |index: usize, note: Vec<u8>| {
        let mut notes = plain_notes();
        notes[index] = note;
        kernel_with(notes).bytes()
    };
    let plus = |note: Vec<u8>| {
        let mut notes = plain_notes();
        notes.push(note);
        kernel_with(notes).bytes()
    };
    add("pvh-only", "pvh_only", with(5, number(18, PHYS)));
    let mut others = plain_notes();
    others[0] = text(6, "plan9");
    others[3] = text(8, "special\x1b[2J");
    add("loader-unknown", "unsupported_loader", kernel_with(others).bytes());
    add("xen-2.0", "unsupported_xen_version", with(2, text(5, "xen-2.0")));
    add("xen-version-missing", "unsupported_xen_version", with(2, Vec::new()));
    add("feature-unknown", "unknown_feature", plus(text(10, "!antigravity")));
    add("dom0-only", "dom0_only", plus(text(10, "!dom0")));
    add("paddr-offset-alone", "no_virt_base", with(4, number(4, 0)));
}

fn addresses(add: Add<'_>) {
    let base = |address: u64| {
        let mut notes = plain_notes();
        notes[4] = number(3, address);
        notes[5] = number(1, address.wrapping_add(PHYS));
        kernel_with(notes).bytes()
    };
    let plus = |note: Vec<u8>| {
        let mut notes = plain_notes();
        notes.push(note);
        kernel_with(notes).bytes()
    };
    let entry = |address: u64| {
        let mut notes = plain_notes();
        notes[5] = number(1, address);
        kernel_with(notes).bytes()
    };
    let end = VIRT_BASE + PHYS + TEXT + DATA;
    add("virt-base-unaligned", "not_page_aligned", base(VIRT_BASE + 8));
    add("virt-base-wraps", "address_wraps", base(u64::MAX - 0xfff));
    add("virt-base-not-canonical", "forbidden_address", base(0x0001_0000_0000_0000));
    add("virt-base-crosses-the-hole", "forbidden_address", base(0x0000_7fff_fff0_0000));
    add("virt-base-in-xen", "forbidden_address", base(0xffff_8300_0000_0000));
    add("paddr-offset-above-paddr", "address_wraps", plus(number(4, PHYS + 1)));
    add("entry-zero", "address_outside", entry(0));
    add("entry-max", "address_outside", entry(u64::MAX));
    add("entry-before", "address_outside", entry(VIRT_BASE + PHYS - 1));
    add("entry-at-the-end", "address_outside", entry(end));
    add("hypercall-unaligned", "not_page_aligned", plus(number(2, VIRT_BASE + PHYS + 8)));
    add("hypercall-before", "address_outside", plus(number(2, VIRT_BASE)));
    add("hypercall-after", "address_outside", plus(number(2, end)));
    add("hypercall-at-the-top", "address_outside", plus(number(2, u64::MAX - 0xfff)));
    add("p2m-unaligned", "not_page_aligned", plus(number(15, 0x80_0000_0001)));
    add("p2m-not-canonical", "forbidden_address", plus(number(15, 0x8000_0000_0000)));
    add("p2m-in-xen", "forbidden_address", plus(number(15, 0xffff_8000_0000_0000)));
    add("p2m-in-the-kernel", "init_p2m_overlaps", plus(number(15, VIRT_BASE + PHYS)));
    add("p2m-at-virt-base", "init_p2m_overlaps", plus(number(15, VIRT_BASE)));
}

fn containers(add: Add<'_>) {
    let elf = kernel().bytes();
    let good = bzimage(Compression::Gzip, &elf);
    let patched = |at: usize, bytes: &[u8]| {
        let mut image = good.clone();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        image
    };
    add("bzimage-protocol-2.07", "boot_protocol_too_old", patched(0x206, &[7, 2]));
    add("bzimage-cut-in-the-header", "truncated", good[..0x24e].to_vec());
    add("bzimage-cut-in-the-payload", "payload_outside", good[..good.len() - 400].to_vec());
    add("bzimage-payload-empty", "payload_outside", patched(0x24c, &[0; 4]));
    add("bzimage-payload-huge", "payload_outside", patched(0x24c, &[0xff; 4]));
    add("bzimage-payload-far", "payload_outside", patched(0x248, &[0xff; 4]));
    add("bzimage-setup-sectors", "payload_outside", patched(0x1f1, &[0xff]));
    add("compression-unknown", "unknown_compression", bzimage_of(&[0x42; 64], 0x20f));
    add("compression-lzo", "unknown_compression", bzimage_of(b"\x89LZO\0\r\n\x1a\n", 0x20f));
    add("payload-one-byte", "unknown_compression", bzimage_of(b"\x1f", 0x20f));
    let mut lies = compress(Compression::Gzip, &elf);
    let at = lies.len() - 4;
    lies[at..].copy_from_slice(&[0xff; 4]);
    add("gzip-size-lies", "decompress", lies);
    add("gzip-twice", "payload_not_elf", {
        compress(Compression::Gzip, &compress(Compression::Gzip, &elf))
    });
    add("lzma-dictionary", "decoder_memory", {
        let mut packed = compress(Compression::Lzma, &elf);
        packed[1..5].copy_from_slice(&0xf000_0000u32.to_le_bytes());
        packed
    });
    add("xz-dictionary", "decoder_memory", xz_with_dictionary(&elf, 37));
    // 1 GiB by the window, then 2^60 by the content size that replaces it.
    add("zstd-window", "decoder_memory", b"\x28\xb5\x2f\xfd\x00\xa0\x01\x00\x00".to_vec());
    let single = b"\x28\xb5\x2f\xfd\xe0\0\0\0\0\0\0\0\x10\x01\x00\x00";
    add("zstd-single-segment", "decoder_memory", single.to_vec());
    add("lz4-block-huge", "decompress", b"\x02\x21\x4c\x18\xff\xff\xff\x7f".to_vec());
}

/// xz data whose block claims the dictionary size number `code` (37: 1.5 GiB).
fn xz_with_dictionary(elf: &[u8], code: u8) -> Vec<u8> {
    let mut packed = compress(Compression::Xz, elf);
    // The block header follows the 12 bytes of the stream header; its first
    // byte is its size in words, less one; its last four are its CRC-32.
    let header = 12..12 + (usize::from(packed[12]) + 1) * 4;
    let body = header.start..header.end - 4;
    let lzma2 = packed[body.clone()].windows(2).position(|w| w == [0x21, 1]).unwrap();
    packed[header.start + lzma2 + 2] = code;
    let mut crc = flate2::Crc::new();
    crc.update(&packed[body.clone()]);
    packed[body.end..header.end].copy_from_slice(&crc.sum().to_le_bytes());
    packed
}

/// A small image that unpacks to 96 MiB. Made once for each format: packing so
/// much takes a second.
pub fn bomb(format: Compression) -> Vec<u8> {
    static BOMBS: [OnceLock<Vec<u8>>; ALL.len()] = [const { OnceLock::new() }; ALL.len()];
    let index = ALL.iter().position(|f| *f == format).unwrap();
    BOMBS[index].get_or_init(|| make_bomb(format)).clone()
}

fn make_bomb(format: Compression) -> Vec<u8> {
    const SIZE: usize = 160 << 20;
    match format {
        Compression::Lz4 => {
            let block = compress(format, &vec![0; 8 << 20]);
            let (magic, block) = block.split_at(4);
            [magic, &block.repeat(SIZE >> 23)].concat()
        }
        Compression::Zstd => {
            // Blocks of 128 KiB of one byte, the last one marked: RFC 8878.
            let header = |last: u32| ((128u32 << 10) << 3 | 1 << 1 | last).to_le_bytes();
            let mut image = b"\x28\xb5\x2f\xfd\x00\x50".to_vec();
            for left in (0..SIZE >> 17).rev() {
                image.extend(&header(u32::from(left == 0))[..3]);
                image.push(0);
            }
            image
        }
        _ => compress(format, &vec![0; SIZE]),
    }
}
