//! The `__xen_guest` section, which kernels had before the ELF notes.
//!
//! Its content is one string, `NAME=value,NAME,NAME=value`. Names and their
//! meaning: the LEGACY lines in public/elfnote.h. Linux 2.6.18 for Xen, NetBSD
//! and unikernels of that age carry it.

use super::error::Error;
use super::features;
use super::notes::XenNotes;
use super::plan::PaeMode;
use super::text::clean;

/// Longest string that is read, in bytes.
pub(super) const GUEST_INFO_BYTES: u64 = 4096;

/// Reads the string into the same form as the notes.
pub(super) fn parse(content: &[u8]) -> Result<XenNotes, Error> {
    let mut notes = XenNotes { legacy: true, ..XenNotes::default() };
    let text = content.split(|b| *b == 0).next().unwrap_or(&[]);
    let mut hypercall_pfn = None;
    for item in text.split(|b| *b == b',') {
        let mut halves = item.splitn(2, |b| *b == b'=');
        let name = halves.next().unwrap_or(&[]);
        let value = halves.next().unwrap_or(&[]);
        match name {
            b"LOADER" => notes.loader = clean(value),
            b"GUEST_OS" => notes.guest_os = clean(value),
            b"GUEST_VER" => notes.guest_version = clean(value),
            b"XEN_VER" => notes.xen_version = clean(value),
            b"PAE" => notes.pae_mode = PaeMode::from_guest_info(value),
            b"BSD_SYMTAB" => notes.bsd_symtab = true,
            b"VIRT_BASE" => notes.virt_base = Some(number("VIRT_BASE", value)?),
            b"VIRT_ENTRY" => notes.entry = Some(number("VIRT_ENTRY", value)?),
            b"ELF_PADDR_OFFSET" => {
                notes.paddr_offset = Some(number("ELF_PADDR_OFFSET", value)?);
            }
            b"HYPERCALL_PAGE" => hypercall_pfn = Some(number("HYPERCALL_PAGE", value)?),
            b"FEATURES" => {
                let (supported, required) = features::parse(value)?;
                notes.features_supported.extend(supported);
                notes.features_required.extend(required);
            }
            _ => {}
        }
    }
    // Here the page is a frame number relative to VIRT_BASE.
    if let Some(pfn) = hypercall_pfn {
        let base = notes.virt_base.unwrap_or(0);
        let address = pfn.checked_mul(4096).and_then(|offset| offset.checked_add(base));
        notes.hypercall_page = Some(address.ok_or_else(|| Error::BadNote {
            name: "HYPERCALL_PAGE".into(),
            reason: format!("frame {pfn:#x} is beyond the address space"),
        })?);
    }
    Ok(notes)
}

/// A number in C's notation: `0x` hexadecimal, leading 0 octal, else decimal.
fn number(name: &str, value: &[u8]) -> Result<u64, Error> {
    let text = std::str::from_utf8(value).unwrap_or("");
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16),
        None if text.starts_with('0') => u64::from_str_radix(text, 8),
        None => text.parse(),
    };
    parsed.map_err(|_| Error::BadNote {
        name: name.into(),
        reason: format!("{:?} is not a number", clean(value)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_of_its_time() {
        let notes = parse(
            b"GUEST_OS=linux,GUEST_VER=2.6,XEN_VER=xen-3.0,VIRT_BASE=0xffffffff80000000,\
              HYPERCALL_PAGE=0x212,FEATURES=writable_page_tables|!pae_pgdir_above_4gb,PAE=yes,\
              LOADER=generic,BSD_SYMTAB,UNHEARD=1\0junk=",
        )
        .unwrap();
        assert_eq!(notes.virt_base, Some(0xffff_ffff_8000_0000));
        assert_eq!(notes.hypercall_page, Some(0xffff_ffff_8021_2000));
        assert_eq!(notes.entry, None);
        assert_eq!((notes.features_supported.bits(), notes.features_required.bits()), (17, 16));
        assert_eq!(notes.pae_mode, PaeMode::Yes);
        assert!(notes.bsd_symtab && notes.legacy);
        assert_eq!((&*notes.guest_os, &*notes.xen_version), ("linux", "xen-3.0"));
    }

    #[test]
    fn numbers_in_three_bases_and_none() {
        assert_eq!(number("N", b"0x1F"), Ok(31));
        assert_eq!(number("N", b"017"), Ok(15));
        assert_eq!(number("N", b"17"), Ok(17));
        assert_eq!(number("N", b"0"), Ok(0));
        for bad in [&b""[..], b"0x", b"-1", b"0x10000000000000000", b"\xff"] {
            assert!(number("N", bad).is_err(), "{bad:?}");
        }
        assert!(parse(b"HYPERCALL_PAGE=0xffffffffffffffff").is_err());
    }
}
