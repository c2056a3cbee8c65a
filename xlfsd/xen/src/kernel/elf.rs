//! The ELF-64 headers, read with bounds and nothing believed.
//!
//! Layouts: System V ABI, chapters 4 and 5; AMD64 supplement for the machine
//! number. Offsets and sizes stay as the file gives them; [`super::layout`]
//! decides what may be done with them.

use super::error::{Error, Part};
use super::image::{Fields, ReadAt, read_exact, read_vec};
use super::limits::Limits;

pub(super) const MAGIC: &[u8] = b"\x7fELF";
const HEADER_BYTES: usize = 64;
const PROGRAM_HEADER_BYTES: u16 = 56;
const SECTION_HEADER_BYTES: u16 = 64;

const CLASS_32: u8 = 1;
const DATA_LITTLE_ENDIAN: u8 = 1;
const TYPE_EXEC: u16 = 2;
const TYPE_DYN: u16 = 3;
const MACHINE_X86_64: u16 = 62;

pub(super) const PT_LOAD: u32 = 1;
pub(super) const PT_NOTE: u32 = 4;
pub(super) const SHT_NOTE: u32 = 7;

/// What the file header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileHeader {
    pub(super) entry: u64,
    program_headers: (u64, u16),
    section_headers: (u64, u16),
    section_names: u16,
}

/// A program header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProgramHeader {
    pub(super) kind: u32,
    pub(super) flags: u32,
    pub(super) offset: u64,
    pub(super) paddr: u64,
    pub(super) file_size: u64,
    pub(super) mem_size: u64,
}

/// A section header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SectionHeader {
    pub(super) name: u32,
    pub(super) kind: u32,
    pub(super) offset: u64,
    pub(super) size: u64,
}

impl FileHeader {
    /// Reads the header of a file that begins with [`MAGIC`].
    pub(super) fn read(file: &(impl ReadAt + ?Sized)) -> Result<Self, Error> {
        let mut bytes = [0; HEADER_BYTES];
        // A 32-bit header is shorter, so its class is looked at first.
        let mut ident = [0; 16];
        read_exact(file, Part::ElfHeader, 0, &mut ident)?;
        let [_, _, _, _, class, encoding, ..] = ident;
        if class == CLASS_32 {
            return Err(Error::Is32Bit);
        }
        if encoding != DATA_LITTLE_ENDIAN {
            return Err(Error::NotLittleEndian { encoding });
        }
        read_exact(file, Part::ElfHeader, 0, &mut bytes)?;
        let short = Error::Truncated { what: Part::ElfHeader, at: 0, need: 64, have: 64 };
        Self::parse(Fields(&bytes)).unwrap_or(Err(short))
    }

    fn parse(mut f: Fields<'_>) -> Option<Result<Self, Error>> {
        f.take(16)?;
        let (kind, machine, _version) = (f.u16()?, f.u16()?, f.u32()?);
        let (entry, phoff, shoff) = (f.u64()?, f.u64()?, f.u64()?);
        let (_flags, _ehsize) = (f.u32()?, f.u16()?);
        let (phentsize, phnum) = (f.u16()?, f.u16()?);
        let (shentsize, shnum, shstrndx) = (f.u16()?, f.u16()?, f.u16()?);
        if machine != MACHINE_X86_64 {
            return Some(Err(Error::NotX86_64 { machine }));
        }
        if kind != TYPE_EXEC && kind != TYPE_DYN {
            return Some(Err(Error::NotExecutable { kind }));
        }
        for (what, count, size, expected) in [
            (Part::ProgramHeader, phnum, phentsize, PROGRAM_HEADER_BYTES),
            (Part::SectionHeader, shnum, shentsize, SECTION_HEADER_BYTES),
        ] {
            if count != 0 && size != expected {
                return Some(Err(Error::BadEntrySize { what, size, expected }));
            }
        }
        Some(Ok(Self {
            entry,
            program_headers: (phoff, phnum),
            section_headers: (shoff, shnum),
            section_names: shstrndx,
        }))
    }

    /// All program headers.
    pub(super) fn program_headers(
        &self,
        file: &(impl ReadAt + ?Sized),
        limits: &Limits,
    ) -> Result<Vec<ProgramHeader>, Error> {
        let (offset, count) = self.program_headers;
        let (what, limit) = (Part::ProgramHeader, limits.program_headers);
        table(file, what, offset, count, limit, PROGRAM_HEADER_BYTES, |mut f| {
            let (kind, flags, offset) = (f.u32()?, f.u32()?, f.u64()?);
            let (_vaddr, paddr) = (f.u64()?, f.u64()?);
            let (file_size, mem_size) = (f.u64()?, f.u64()?);
            Some(ProgramHeader { kind, flags, offset, paddr, file_size, mem_size })
        })
    }

    /// All section headers.
    pub(super) fn section_headers(
        &self,
        file: &(impl ReadAt + ?Sized),
        limits: &Limits,
    ) -> Result<Vec<SectionHeader>, Error> {
        let (offset, count) = self.section_headers;
        let (what, limit) = (Part::SectionHeader, limits.section_headers);
        table(file, what, offset, count, limit, SECTION_HEADER_BYTES, |mut f| {
            let (name, kind, _flags, _addr) = (f.u32()?, f.u32()?, f.u64()?, f.u64()?);
            let (offset, size) = (f.u64()?, f.u64()?);
            Some(SectionHeader { name, kind, offset, size })
        })
    }

    /// The section of that name, if the file names its sections at all.
    pub(super) fn section_by_name(
        &self,
        file: &(impl ReadAt + ?Sized),
        sections: &[SectionHeader],
        name: &[u8],
    ) -> Result<Option<SectionHeader>, Error> {
        let Some(names) = sections.get(usize::from(self.section_names)) else { return Ok(None) };
        for section in sections.iter().skip(1) {
            // The name and the NUL after it, inside the table of names.
            let len = name.len() as u64 + 1;
            let at = u64::from(section.name);
            if at.checked_add(len).is_none_or(|end| end > names.size) {
                continue;
            }
            let what = Part::SectionNames;
            let Some(offset) = names.offset.checked_add(at) else { continue };
            let found = read_vec(file, what, offset, name.len() + 1)?;
            if found.strip_suffix(b"\0") == Some(name) {
                return Ok(Some(*section));
            }
        }
        Ok(None)
    }
}

/// Reads a table of `count` entries of `size` bytes each.
fn table<T>(
    file: &(impl ReadAt + ?Sized),
    what: Part,
    offset: u64,
    count: u16,
    limit: u16,
    size: u16,
    parse: impl Fn(Fields<'_>) -> Option<T>,
) -> Result<Vec<T>, Error> {
    if count > limit {
        return Err(Error::TooMany { what, limit: limit.into() });
    }
    let bytes = read_vec(file, what, offset, usize::from(count) * usize::from(size))?;
    Ok(bytes.chunks_exact(size.into()).filter_map(|entry| parse(Fields(entry))).collect())
}
