//! Which shared libraries a program needs, and where they are.
//!
//! The rule of the dynamic linker, without the linker: follow the ELF NEEDED
//! entries, by name, through a list of folders. The programs of the lab come
//! from packages that are not installed, so `ldd` would look in the wrong place.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use object::Endianness;
use object::elf::{DT_NEEDED, FileHeader64, PT_INTERP};
use object::read::elf::{Dyn, ElfFile64, FileHeader, ProgramHeader};
use thiserror::Error;

/// Why a program's libraries are not known.
#[derive(Debug, Error)]
pub enum LibraryError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The program or library.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// It is no 64-bit ELF.
    #[error("{path} is no 64-bit ELF file")]
    Parse {
        /// The program or library.
        path: PathBuf,
        /// What the parser says.
        #[source]
        source: object::Error,
    },
    /// A library is in none of the folders.
    #[error("{needer} needs {name}, which is in none of: {}", list(.searched))]
    Missing {
        /// The library's name.
        name: String,
        /// Who needs it.
        needer: PathBuf,
        /// Where it was looked for.
        searched: Vec<PathBuf>,
    },
}

fn list(folders: &[PathBuf]) -> String {
    folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// A program's needs.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Needs {
    /// Path of the ELF interpreter, as the program names it; none when static.
    pub interpreter: Option<String>,
    /// File of each library, by its name.
    pub libraries: BTreeMap<String, PathBuf>,
}

/// Follows the needs of `program`. Its neighbouring lib folders come before
/// `folders`; the interpreter counts as a library too. `also` names libraries
/// that no header tells of, because they are loaded by dlopen.
pub fn follow(program: &Path, folders: &[PathBuf], also: &[&str]) -> Result<Needs, LibraryError> {
    let mut search = neighbours(program);
    search.extend(folders.iter().cloned());
    let mut needs = Needs::default();
    let mut queue = VecDeque::from([program.to_owned()]);
    while let Some(file) = queue.pop_front() {
        let found = read_needs(&file)?;
        let mut names = found.needed;
        if needs.libraries.is_empty() && !names.is_empty() {
            names.extend(also.iter().map(|name| (*name).to_owned()));
        }
        if needs.interpreter.is_none()
            && let Some(interpreter) = found.interpreter
        {
            names.extend(interpreter.rsplit('/').next().map(str::to_owned));
            needs.interpreter = Some(interpreter);
        }
        for name in names {
            if needs.libraries.contains_key(&name) {
                continue;
            }
            let path = search.iter().map(|folder| folder.join(&name)).find(|path| path.is_file());
            let Some(path) = path else {
                return Err(LibraryError::Missing { name, needer: file, searched: search });
            };
            queue.push_back(path.clone());
            needs.libraries.insert(name, path);
        }
    }
    Ok(needs)
}

/// Where libraries stand in a file tree; those of Xen before 4.5 in lib64.
pub fn library_folders(root: &Path) -> Vec<PathBuf> {
    ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib64", "lib64", "usr/lib", "lib"]
        .iter()
        .map(|folder| root.join(folder))
        .collect()
}

/// The lib folders beside each `bin` or `sbin` folder above the program.
fn neighbours(program: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for folder in program.ancestors().skip(1) {
        if folder.as_os_str().is_empty() || folder == Path::new("/") {
            break;
        }
        folders.extend(
            ["lib", "lib64", "lib/x86_64-linux-gnu"]
                .iter()
                .map(|name| folder.join(name))
                .filter(|folder| folder.is_dir()),
        );
    }
    folders
}

#[derive(Debug, Default)]
struct Found {
    interpreter: Option<String>,
    needed: Vec<String>,
}

fn read_needs(path: &Path) -> Result<Found, LibraryError> {
    let bytes =
        fs::read(path).map_err(|source| LibraryError::Read { path: path.to_owned(), source })?;
    parse_needs(&bytes).map_err(|source| LibraryError::Parse { path: path.to_owned(), source })
}

fn parse_needs(bytes: &[u8]) -> Result<Found, object::Error> {
    let file = ElfFile64::<Endianness>::parse(bytes)?;
    let endian = file.endian();
    let header: &FileHeader64<Endianness> = file.elf_header();
    let mut found = Found::default();
    for segment in header.program_headers(endian, bytes)? {
        if segment.p_type(endian) == PT_INTERP
            && let Ok(path) = segment.data(endian, bytes)
        {
            let path = path.strip_suffix(&[0]).unwrap_or(path);
            found.interpreter = Some(String::from_utf8_lossy(path).into_owned());
        }
    }
    let sections = header.sections(endian, bytes)?;
    if let Some((entries, strings)) = sections.dynamic(endian, bytes)? {
        let strings = sections.strings(endian, bytes, strings)?;
        for entry in entries.iter().filter(|entry| entry.tag32(endian) == Some(DT_NEEDED)) {
            let name = entry.string(endian, strings)?;
            found.needed.push(String::from_utf8_lossy(name).into_owned());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a copy of a program of this machine and, elsewhere, of its
    /// libraries: what an unpacked package looks like.
    #[test]
    fn a_dynamic_programs_libraries_are_found_beside_it_or_in_the_folders() {
        let system = library_folders(Path::new("/"));
        let shell = Path::new("/bin/sh").canonicalize().unwrap();
        let needs = follow(&shell, &system, &[]).unwrap();
        assert!(needs.libraries.contains_key("libc.so.6"), "{needs:?}");
        let interpreter = needs.interpreter.clone().unwrap();
        assert!(needs.libraries.contains_key(interpreter.rsplit('/').next().unwrap()));

        let package = tempfile::tempdir().unwrap();
        let program = package.path().join("usr/sbin/shell");
        let libraries = package.path().join("usr/lib");
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        fs::create_dir_all(&libraries).unwrap();
        fs::copy(&shell, &program).unwrap();
        let error = follow(&program, &[], &[]).unwrap_err();
        assert!(matches!(&error, LibraryError::Missing { needer, .. } if *needer == program));
        for (name, path) in &needs.libraries {
            fs::copy(path, libraries.join(name)).unwrap();
        }
        let beside = follow(&program, &system, &[]).unwrap();
        assert!(beside.libraries.values().all(|path| path.starts_with(&libraries)), "{beside:?}");
    }

    /// apt is there wherever the lab runs, and needs libraries that need libraries.
    #[test]
    fn libraries_of_libraries_are_followed() {
        let apt = Path::new("/usr/bin/apt-get");
        let needs = follow(apt, &library_folders(Path::new("/")), &[]).unwrap();
        let direct = read_needs(apt).unwrap().needed.len();
        assert!(needs.libraries.len() > direct + 1, "{needs:?}");
        for path in needs.libraries.values() {
            for name in read_needs(path).unwrap().needed {
                assert!(needs.libraries.contains_key(&name), "{name} of {}", path.display());
            }
        }
    }

    /// The lab's own programs are static.
    #[test]
    fn a_static_program_needs_nothing() {
        let this = std::env::current_exe().unwrap();
        assert_eq!(follow(&this, &[], &["libgcc_s.so.1"]).unwrap(), Needs::default());
    }
}
