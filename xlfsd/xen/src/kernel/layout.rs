//! From ELF headers and Xen notes to addresses: what libelf's rules make of
//! them.
//!
//! A kernel states physical addresses (`p_paddr`), from which PADDR_OFFSET is
//! subtracted because old kernels wrote virtual ones there; VIRT_BASE is where
//! physical address 0 appears. Without notes of their own, VIRT_BASE is 0, and
//! PADDR_OFFSET is 0 with notes, VIRT_BASE with a `__xen_guest` string. The
//! entry point defaults to the ELF header's.

use super::compression::Compression;
use super::elf::{FileHeader, PT_LOAD, PT_NOTE, ProgramHeader, SHT_NOTE};
use super::error::{Error, Part};
use super::guest_info;
use super::image::{ReadAt, read_vec};
use super::limits::Limits;
use super::notes::{Budget, XenNotes};
use super::plan::{Format, KernelPlan, Segment};
use super::zeros;

/// Makes the plan of the ELF file `payload`.
pub(super) fn plan(
    payload: &(impl ReadAt + ?Sized),
    payload_size: u64,
    (format, compression): (Format, Option<Compression>),
    limits: &Limits,
) -> Result<KernelPlan, Error> {
    let header = FileHeader::read(payload)?;
    let programs = header.program_headers(payload, limits)?;
    let notes = find_notes(payload, &header, &programs, limits)?;
    if notes.entry.is_none() && notes.phys32_entry {
        return Err(Error::PvhOnly);
    }
    check_guest(&notes)?;

    if let (Some(paddr_offset), None) = (notes.paddr_offset, notes.virt_base) {
        return Err(Error::NoVirtBase { paddr_offset });
    }
    let virt_base = notes.virt_base.unwrap_or(0);
    let default_offset = if notes.legacy { virt_base } else { 0 };
    let paddr_offset = notes.paddr_offset.unwrap_or(default_offset);

    let mut segments = programs
        .iter()
        // As libelf: a segment without any permission is not loaded.
        .filter(|p| p.kind == PT_LOAD && p.flags & 7 != 0 && p.mem_size != 0)
        .map(|p| segment(p, virt_base, paddr_offset))
        .collect::<Result<Vec<_>, _>>()?;
    segments.sort_by_key(|s| s.vaddr);
    let virt_kstart = segments.first().ok_or(Error::NoSegments)?.vaddr;
    // No sum wraps: segment() has checked each.
    let virt_kend =
        segments.iter().map(|s| s.vaddr.saturating_add(s.mem_size)).max().unwrap_or(virt_kstart);

    let mut plan = KernelPlan {
        format,
        compression,
        payload_size,
        segments,
        virt_base,
        virt_entry: notes.entry.unwrap_or(header.entry),
        virt_kstart,
        virt_kend,
        hypercall_page: notes.hypercall_page,
        init_p2m: notes.init_p2m,
        mod_start_pfn: notes.mod_start_pfn,
        features_supported: notes.features_supported,
        features_required: notes.features_required,
        guest_os: notes.guest_os,
        guest_version: notes.guest_version,
        loader: notes.loader,
        xen_version: notes.xen_version,
        pae_mode: notes.pae_mode,
        bsd_symtab: notes.bsd_symtab,
        suspend_cancel: notes.suspend_cancel,
        hv_start_low: notes.hv_start_low,
        phys32_entry: notes.phys32_entry,
    };
    plan.validate(payload_size, limits)?;
    plan.segments = zeros::leave_out(&plan.segments, payload, limits.program_headers.into())?;
    plan.validate(payload_size, limits)?;
    Ok(plan)
}

/// The notes of PT_NOTE segments; else of note sections; else the string in
/// the section `__xen_guest`.
fn find_notes(
    payload: &(impl ReadAt + ?Sized),
    header: &FileHeader,
    programs: &[ProgramHeader],
    limits: &Limits,
) -> Result<XenNotes, Error> {
    let mut budget = Budget::new(limits);
    let mut notes = XenNotes::default();
    let mut found = 0;
    // Some versions of binutils left the offset of a note segment 0.
    for p in programs.iter().filter(|p| p.kind == PT_NOTE && p.offset != 0) {
        found += notes.read(payload, (p.offset, p.file_size), limits, &mut budget)?;
    }
    if found > 0 {
        return Ok(notes);
    }
    let sections = header.section_headers(payload, limits)?;
    for s in sections.iter().filter(|s| s.kind == SHT_NOTE) {
        found += notes.read(payload, (s.offset, s.size), limits, &mut budget)?;
    }
    if found > 0 {
        return Ok(notes);
    }
    match header.section_by_name(payload, &sections, b"__xen_guest")? {
        Some(section) => {
            let len = section.size.min(guest_info::GUEST_INFO_BYTES);
            let len = usize::try_from(len).unwrap_or(0);
            guest_info::parse(&read_vec(payload, Part::GuestInfo, section.offset, len)?)
        }
        None => Err(Error::NoXenNotes),
    }
}

/// The two conditions that Xen itself puts on a kernel's notes.
fn check_guest(notes: &XenNotes) -> Result<(), Error> {
    if !notes.loader.starts_with("generic") && !notes.guest_os.starts_with("linux") {
        return Err(Error::UnsupportedLoader {
            loader: notes.loader.clone(),
            guest_os: notes.guest_os.clone(),
        });
    }
    if !notes.xen_version.starts_with("xen-3.0") {
        return Err(Error::UnsupportedXenVersion { xen_version: notes.xen_version.clone() });
    }
    Ok(())
}

fn segment(p: &ProgramHeader, virt_base: u64, paddr_offset: u64) -> Result<Segment, Error> {
    let vaddr = p
        .paddr
        .checked_sub(paddr_offset)
        .and_then(|physical| physical.checked_add(virt_base))
        .filter(|vaddr| vaddr.checked_add(p.mem_size).is_some());
    let wraps = Error::AddressWraps { address: p.paddr, size: p.mem_size, virt_base, paddr_offset };
    Ok(Segment {
        vaddr: vaddr.ok_or(wraps)?,
        file_offset: p.offset,
        file_size: p.file_size,
        mem_size: p.mem_size,
    })
}
