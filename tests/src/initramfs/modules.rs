//! Kernel modules by name, with what they depend on.
//!
//! Debian's kernel packages come without modules.dep (depmod writes it at
//! installation), so the dependencies are read from where depmod reads them:
//! the `depends=` entry of each module's `.modinfo` section.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use object::read::elf::ElfFile64;
use object::{Endianness, Object, ObjectSection};
use thiserror::Error;

/// Why modules cannot be had.
#[derive(Debug, Error)]
pub enum ModulesError {
    /// A module's file or folder cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The kernel has no such module, neither as a file nor built in.
    #[error("the kernel of {folder} has no module {name}")]
    Missing {
        /// The module.
        name: String,
        /// The kernel's folder of modules.
        folder: PathBuf,
    },
    /// The file is no kernel module.
    #[error("{path} has no .modinfo")]
    NoModule {
        /// The file.
        path: PathBuf,
    },
    /// Compressed in a way that we do not read.
    #[error("cannot decompress {path}")]
    Compressed {
        /// The file.
        path: PathBuf,
        /// What the decompressor says.
        #[source]
        source: io::Error,
    },
}

/// What ext4 and btrfs ask the kernel for by another name, so that no header
/// tells of it. Kernels from 6.14 on have it built in.
pub const CHECKSUMS: &[&str] = &["crc32c_generic", "libcrc32c"];

/// The modules of one kernel.
#[derive(Debug)]
pub struct Modules {
    folder: PathBuf,
    files: BTreeMap<String, PathBuf>,
    builtin: Vec<String>,
}

/// A module, uncompressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Its name, with underscores.
    pub name: String,
    /// Names of those it needs directly.
    pub depends: Vec<String>,
    /// Patterns that the kernel asks for it by, such as `fs-ext4`.
    pub aliases: Vec<String>,
    /// The `.ko` file's contents.
    pub image: Vec<u8>,
}

impl Modules {
    /// Lists what stands in a `lib/modules/RELEASE` folder.
    pub fn list(folder: &Path) -> Result<Self, ModulesError> {
        let mut files = BTreeMap::new();
        let mut queue = vec![folder.to_owned()];
        while let Some(next) = queue.pop() {
            let read = |source| ModulesError::Read { path: next.clone(), source };
            for entry in fs::read_dir(&next).map_err(read)? {
                let entry = entry.map_err(read)?;
                let path = entry.path();
                // A link (`build`, `source`) leads out of the package.
                if entry.file_type().map_err(read)?.is_dir() {
                    queue.push(path);
                } else if let Some(name) = module_name(&path) {
                    files.insert(name, path);
                }
            }
        }
        let builtin = fs::read_to_string(folder.join("modules.builtin")).unwrap_or_default();
        let builtin = builtin.lines().filter_map(|line| module_name(Path::new(line))).collect();
        Ok(Self { folder: folder.to_owned(), files, builtin })
    }

    /// The kernel's release, as `uname -r` says it.
    pub fn release(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The named modules and all they need, each after those that it needs.
    /// Built-in ones need no file; an unknown one is an error.
    pub fn closure(&self, names: &[&str]) -> Result<Vec<Module>, ModulesError> {
        let mut order = Vec::new();
        for name in names {
            self.visit(&canonical(name), &mut Vec::new(), &mut order)?;
        }
        Ok(order)
    }

    /// Those of the names that this kernel has (as files or built in).
    pub fn present<'a>(&self, names: &[&'a str]) -> Vec<&'a str> {
        let known = |name: &&&str| {
            let name = canonical(name);
            self.files.contains_key(&name) || self.builtin.contains(&name)
        };
        names.iter().filter(known).copied().collect()
    }

    fn visit(
        &self,
        name: &str,
        above: &mut Vec<String>,
        order: &mut Vec<Module>,
    ) -> Result<(), ModulesError> {
        let seen = order.iter().any(|module| module.name == name);
        // The kernel's build refuses cycles; a damaged file must not hang us.
        if seen || above.iter().any(|one| one == name) {
            return Ok(());
        }
        let Some(path) = self.files.get(name) else {
            if self.builtin.iter().any(|one| one == name) {
                return Ok(());
            }
            return Err(ModulesError::Missing {
                name: name.to_owned(),
                folder: self.folder.clone(),
            });
        };
        let image = read_image(path)?;
        let info =
            module_info(&image).ok_or_else(|| ModulesError::NoModule { path: path.clone() })?;
        let depends: Vec<_> = values(&info, "depends")
            .flat_map(|list| list.split(','))
            .filter(|name| !name.is_empty())
            .map(canonical)
            .collect();
        let aliases = values(&info, "alias").map(str::to_owned).collect();
        above.push(name.to_owned());
        for dependency in &depends {
            self.visit(dependency, above, order)?;
        }
        above.pop();
        order.push(Module { name: name.to_owned(), depends, aliases, image });
        Ok(())
    }
}

/// `modules.dep` for busybox's modprobe, all modules in one folder.
pub fn modules_dep(modules: &[Module]) -> String {
    let mut text = String::new();
    for module in modules {
        // Nearest first, as depmod writes it: modprobe loads from the right.
        let mut all: Vec<&str> = Vec::new();
        let mut queue: Vec<&str> = module.depends.iter().map(String::as_str).collect();
        while !queue.is_empty() {
            let next = queue.remove(0);
            all.retain(|one| *one != next);
            all.push(next);
            let found = modules.iter().find(|one| one.name == next);
            queue.extend(found.into_iter().flat_map(|one| &one.depends).map(String::as_str));
        }
        let files: String = all
            .into_iter()
            .filter(|name| modules.iter().any(|one| one.name == *name))
            .map(|name| format!(" {name}.ko"))
            .collect();
        text.push_str(&format!("{}.ko:{files}\n", module.name));
    }
    text
}

/// `modules.alias`, so that a mount or an ioctl finds its module by itself.
pub fn modules_alias(modules: &[Module]) -> String {
    let lines = modules.iter().flat_map(|module| {
        module.aliases.iter().map(|alias| format!("alias {alias} {}\n", module.name))
    });
    lines.collect()
}

fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

fn module_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let stem = name.strip_suffix(".xz").or(name.strip_suffix(".zst")).unwrap_or(name);
    let stem = stem.strip_suffix(".gz").unwrap_or(stem);
    Some(canonical(stem.strip_suffix(".ko")?))
}

fn read_image(path: &Path) -> Result<Vec<u8>, ModulesError> {
    let bytes =
        fs::read(path).map_err(|source| ModulesError::Read { path: path.to_owned(), source })?;
    let packed = |source| ModulesError::Compressed { path: path.to_owned(), source };
    let mut image = Vec::new();
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("gz") => {
            flate2::read::GzDecoder::new(bytes.as_slice())
                .read_to_end(&mut image)
                .map_err(packed)?;
        }
        Some("xz") => {
            liblzma::read::XzDecoder::new(bytes.as_slice())
                .read_to_end(&mut image)
                .map_err(packed)?;
        }
        Some("zst") => image = zstd::decode_all(bytes.as_slice()).map_err(packed)?,
        _ => image = bytes,
    }
    Ok(image)
}

fn values<'a>(info: &'a [(String, String)], key: &'a str) -> impl Iterator<Item = &'a str> {
    info.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
}

/// The `key=value` entries of a module's `.modinfo`.
fn module_info(image: &[u8]) -> Option<Vec<(String, String)>> {
    let file = ElfFile64::<Endianness>::parse(image).ok()?;
    let entries = file.section_by_name(".modinfo")?.data().ok()?.split(|byte| *byte == 0);
    let entries = entries.filter_map(|entry| {
        let entry = String::from_utf8_lossy(entry);
        entry.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()))
    });
    Some(entries.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(name: &str, depends: &[&str]) -> Module {
        let depends = depends.iter().map(|name| (*name).to_owned()).collect();
        Module { name: name.to_owned(), depends, aliases: Vec::new(), image: Vec::new() }
    }

    /// An ELF object with nothing but the section.
    fn object(modinfo: &[u8]) -> Vec<u8> {
        use object::write::Object;
        use object::{Architecture, BinaryFormat, SectionKind};
        let little = Endianness::Little;
        let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, little);
        let id = object.add_section(Vec::new(), b".modinfo".to_vec(), SectionKind::Data);
        object.append_section_data(id, modinfo, 1);
        object.write().unwrap()
    }

    fn kernel() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let drivers = folder.path().join("kernel/drivers");
        fs::create_dir_all(&drivers).unwrap();
        let put = |name: &str, modinfo: &[u8]| {
            fs::write(drivers.join(name), object(modinfo)).unwrap();
        };
        put("net-front.ko", b"alias=net:*\0license=GPL\0depends=failover,bus\0");
        put("failover.ko", b"depends=\0");
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 6);
        io::Write::write_all(&mut xz, &object(b"depends=failover\0")).unwrap();
        fs::write(drivers.join("bus.ko.xz"), xz.finish().unwrap()).unwrap();
        fs::write(folder.path().join("modules.builtin"), "kernel/drivers/core-bus.ko\n").unwrap();
        folder
    }

    #[test]
    fn modules_come_after_what_they_need() {
        let folder = kernel();
        let modules = Modules::list(folder.path()).unwrap();
        let closure = modules.closure(&["net-front", "core-bus", "failover"]).unwrap();
        let names: Vec<_> = closure.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(names, ["failover", "bus", "net_front"]);
        assert!(closure[1].image.starts_with(b"\x7fELF"), "decompressed");
        assert_eq!(modules_alias(&closure), "alias net:* net_front\n");
    }

    #[test]
    fn an_unknown_module_is_named() {
        let folder = kernel();
        let modules = Modules::list(folder.path()).unwrap();
        let error = modules.closure(&["warp-drive"]).unwrap_err();
        assert!(error.to_string().contains("warp_drive"), "{error}");
        assert_eq!(modules.present(&["warp-drive", "core_bus", "bus"]), ["core_bus", "bus"]);
    }

    #[test]
    fn modules_dep_lists_the_whole_chain() {
        let all = [module("c", &[]), module("b", &["c"]), module("a", &["b", "c"])];
        assert_eq!(modules_dep(&all), "c.ko:\nb.ko: c.ko\na.ko: b.ko c.ko\n");
    }
}
