//! What an ELF file asks for at run time: its loader and its libraries. The files
//! are whatever a recipe built or somebody gave, so every read is bounded; what
//! cannot be read as a program is none.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endianness, ReadCache, ReadRef};

/// Program headers, bytes of the dynamic section, libraries, bytes of a name: more
/// has no program.
const MOST_HEADERS: u16 = 256;
const MOST_DYNAMIC: u64 = 1 << 20;
const MOST_NEEDED: usize = 1024;
const MOST_NAME: u64 = 4096;

/// What a program or a library asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// PT_INTERP: the program that starts it.
    pub loader: Option<String>,
    /// DT_NEEDED: names of libraries.
    pub libraries: Vec<String>,
    /// DT_RUNPATH or DT_RPATH: folders in which to look first.
    pub folders: Vec<String>,
}

/// What the file asks for; none if it is not ELF, or not well formed.
pub(super) fn needs(path: &Path) -> Option<Needs> {
    let mut file = File::open(path).ok()?;
    let mut ident = [0; 5];
    file.read_exact(&mut ident).ok()?;
    if !ident.starts_with(&elf::ELFMAG) {
        return None;
    }
    let data = ReadCache::new(file);
    match ident[4] {
        elf::ELFCLASS32 => read::<FileHeader32<Endianness>, _>(&data),
        elf::ELFCLASS64 => read::<FileHeader64<Endianness>, _>(&data),
        _ => None,
    }
}

fn read<'data, H, R>(data: R) -> Option<Needs>
where
    H: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let header = H::parse(data).ok()?;
    let endian = header.endian().ok()?;
    if header.e_phnum(endian) > MOST_HEADERS {
        return None;
    }
    let segments = header.program_headers(endian, data).ok()?;
    let mut needs = Needs::default();
    for segment in segments {
        let size: u64 = segment.p_filesz(endian).into();
        match segment.p_type(endian) {
            elf::PT_INTERP if size <= MOST_NAME => {
                let name = segment.interpreter(endian, data).ok()?;
                needs.loader = name.and_then(text);
            }
            elf::PT_DYNAMIC if size <= MOST_DYNAMIC => {
                let entries = segment.dynamic(endian, data).ok()??;
                dynamic::<H, R>(entries, segments, endian, data, &mut needs)?;
            }
            elf::PT_INTERP | elf::PT_DYNAMIC => return None,
            _ => {}
        }
    }
    Some(needs)
}

fn dynamic<'data, H, R>(
    entries: &[H::Dyn],
    segments: &[H::ProgramHeader],
    endian: Endianness,
    data: R,
    needs: &mut Needs,
) -> Option<()>
where
    H: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let value = |entry: &H::Dyn| -> u64 { entry.d_val(endian).into() };
    let of = |tag: u32| entries.iter().filter(move |entry| entry.tag32(endian) == Some(tag));
    let Some(table) = of(elf::DT_STRTAB).next().map(value) else { return Some(()) };
    // An address; where it is in the file, the segments say.
    let table = segments.iter().find_map(|segment| {
        let start: u64 = segment.p_vaddr(endian).into();
        let (at, size) = segment.file_range(endian);
        let inside = table.checked_sub(start).filter(|inside| *inside < size)?;
        (segment.p_type(endian) == elf::PT_LOAD).then(|| at.checked_add(inside)).flatten()
    })?;
    let string = |entry| {
        let at = table.checked_add(value(entry))?;
        text(
            data.read_bytes_at_until(at..at.checked_add(MOST_NAME)?.min(data.len().ok()?), 0)
                .ok()?,
        )
    };
    for entry in of(elf::DT_NEEDED) {
        if needs.libraries.len() == MOST_NEEDED {
            return None;
        }
        needs.libraries.push(string(entry)?);
    }
    // The newer one wins.
    let folders = of(elf::DT_RUNPATH).next().or_else(|| of(elf::DT_RPATH).next());
    if let Some(list) = folders.and_then(string) {
        needs.folders = list.split(':').map(str::to_owned).collect();
    }
    Some(())
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().filter(|it| !it.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A 64-bit program with a loader, two libraries and a path to them.
    fn program() -> Vec<u8> {
        let mut file = vec![0; 0x200];
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &[0x7f, b'E', b'L', b'F', 2, 1, 1]);
        put(16, &[3, 0, 62, 0, 1]);
        // Program headers: at 64, each of 56 bytes, three.
        put(32, &[64]);
        put(52, &[64, 0, 56, 0, 3, 0]);
        let mut header = |number: usize, kind: u8, at: u16, size: u16| {
            let from = 64 + 56 * number;
            put(from, &[kind]);
            // Addresses are 0x1000 after offsets.
            put(from + 8, &at.to_le_bytes());
            put(from + 16, &(at + 0x1000).to_le_bytes());
            put(from + 32, &size.to_le_bytes());
        };
        header(0, 1, 0, 0x200);
        header(1, 3, 0x100, 8);
        header(2, 2, 0x120, 16 * 5);
        put(0x100, b"/lib/ld\0");
        for (number, (tag, value)) in
            [(5, 0x1180), (1, 1), (1, 8), (29, 15), (0, 0)].into_iter().enumerate()
        {
            put(0x120 + 16 * number, &u64::to_le_bytes(tag));
            put(0x128 + 16 * number, &u64::to_le_bytes(value));
        }
        put(0x180, b"\0liba.s\0libb.s\0/x:$ORIGIN\0");
        file
    }

    fn of(bytes: &[u8]) -> Option<Needs> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        needs(file.path())
    }

    #[test]
    fn a_program_says_what_it_needs() {
        let list = |all: &[&str]| all.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let expected = Needs {
            loader: Some("/lib/ld".to_owned()),
            libraries: list(&["liba.s", "libb.s"]),
            folders: list(&["/x", "$ORIGIN"]),
        };
        assert_eq!(of(&program()), Some(expected));
        assert_eq!(of(b"#!/bin/sh\n"), None);
        assert_eq!(of(b""), None);
    }

    #[test]
    fn a_broken_program_does_no_harm() {
        let whole = program();
        for end in 0..whole.len() {
            let _ = of(&whole[..end]);
        }
        // Every byte of headers and dynamic section with values that mislead.
        for at in 4..0x170 {
            for wrong in [0x00, 0x7f, 0xff] {
                let mut file = whole.clone();
                file[at] = wrong;
                let _ = of(&file);
            }
        }
        let mut many = whole;
        many[56..58].fill(0xff);
        assert_eq!(of(&many), None);
    }
}
