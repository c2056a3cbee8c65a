//! GRUB's environment block: variables in a file of 1024 bytes that GRUB itself
//! reads and overwrites at boot, without knowing file systems well. So the file must
//! stay where it lies on the disk: it is written in place, whole, and flushed.
//!
//! It is the one file whose damage costs a boot. All that counts stands in its
//! first 512 bytes, one sector of a disk, which is written whole or not at all; what
//! would not fit there is refused.
//!
//! Format: docs of GRUB, "Environment block"; `grub-core/lib/envblk.c`.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes of the file.
pub(super) const SIZE: usize = 1024;
const SIGNATURE: &str = "# GRUB Environment Block\n";
/// What a disk writes at once.
const SECTOR: usize = 512;

/// The block cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum EnvironmentError {
    #[error("cannot {action} {}", path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is no environment block of GRUB: {why}", path.display())]
    Format { path: PathBuf, why: &'static str },
    #[error("GRUB's variables would take {bytes} bytes, and only {SECTOR} are written at once")]
    Full { bytes: usize },
}

/// The variables, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Environment {
    variables: Vec<(String, String)>,
}

impl Environment {
    /// None where the variable is missing or empty, which are the same to GRUB's scripts.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.variables.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        match self.variables.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.variables.push((name.to_owned(), value.to_owned())),
        }
    }

    /// What the bytes of a block say, or why they are none.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() != SIZE {
            return Err("it has not 1024 bytes");
        }
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
        let mut rest = text.strip_prefix(SIGNATURE).ok_or("it does not begin as one")?;
        let mut environment = Self::default();
        while !rest.is_empty() {
            // What is over is filled with these, without a line's end.
            if rest.starts_with('#') {
                let Some((_, next)) = rest.split_once('\n') else { break };
                rest = next;
                continue;
            }
            let (line, next) = line(rest).ok_or("a line has no end")?;
            let (name, value) = line.split_once('=').ok_or("a line has no `=`")?;
            environment.set(name, value);
            rest = next;
        }
        Ok(environment)
    }

    /// The bytes of the block.
    pub(super) fn encode(&self) -> Result<[u8; SIZE], EnvironmentError> {
        let mut text = SIGNATURE.to_owned();
        for (name, value) in &self.variables {
            text.push_str(name);
            text.push('=');
            for character in value.chars() {
                if matches!(character, '\\' | '\n') {
                    text.push('\\');
                }
                text.push(character);
            }
            text.push('\n');
        }
        if text.len() > SECTOR {
            return Err(EnvironmentError::Full { bytes: text.len() });
        }
        let mut block = [b'#'; SIZE];
        block[..text.len()].copy_from_slice(text.as_bytes());
        Ok(block)
    }

    pub(super) fn read(path: &Path) -> Result<Self, EnvironmentError> {
        let bytes = std::fs::read(path).map_err(file("read", path))?;
        Self::decode(&bytes).map_err(|why| EnvironmentError::Format { path: path.to_owned(), why })
    }

    /// Puts these variables in the place of those in the file, which must be a
    /// block already: a file that grew or moved is one that GRUB does not find.
    pub(super) fn write(&self, path: &Path) -> Result<(), EnvironmentError> {
        let block = self.encode()?;
        Self::read(path)?;
        let open = OpenOptions::new().write(true).open(path);
        let block_file = open.map_err(file("open", path))?;
        block_file.write_all_at(&block, 0).map_err(file("write", path))?;
        block_file.sync_all().map_err(file("flush", path))
    }
}

fn file<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> EnvironmentError + 'a {
    move |source| EnvironmentError::File { action, path: path.to_owned(), source }
}

/// The first line, unescaped, and what follows it.
fn line(text: &str) -> Option<(String, &str)> {
    let mut line = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => line.push(characters.next()?.1),
            '\n' => return Some((line, &text[at + 1..])),
            other => line.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        let mut environment = Environment::default();
        for (name, value) in pairs {
            environment.set(name, value);
        }
        environment
    }

    #[test]
    fn what_is_written_is_read() {
        let before = environment(&[("good", "a"), ("try", ""), ("x", "a\\b\nc = d#e")]);
        let block = before.encode().unwrap();
        assert_eq!(Environment::decode(&block).unwrap(), before);
        assert_eq!(before.get("good"), Some("a"));
        assert_eq!((before.get("try"), before.get("tried")), (None, None));
    }

    #[test]
    fn a_block_is_what_grub_makes() {
        // By grub-editenv: `create`, then `set good=a try=`.
        let mut grub = b"# GRUB Environment Block\ngood=a\ntry=\n".to_vec();
        grub.resize(SIZE, b'#');
        let block = environment(&[("good", "a"), ("try", "")]).encode().unwrap();
        assert_eq!(&block[..], &grub[..]);
        // Newer ones add a comment after the first line.
        let mut newer = b"# GRUB Environment Block\n# WARNING: Do not edit\ngood=b\n".to_vec();
        newer.resize(SIZE, b'#');
        assert_eq!(Environment::decode(&newer).unwrap().get("good"), Some("b"));
    }

    #[test]
    fn what_is_no_block_is_refused() {
        let good = environment(&[("good", "a")]).encode().unwrap();
        let mut headless = good;
        headless[2] = b'X';
        let mut odd = good;
        odd[SIGNATURE.len()..SIGNATURE.len() + 6].copy_from_slice(b"nothin");
        let mut endless = good;
        endless[SIGNATURE.len()..].fill(b'a');
        for bad in [&good[..SIZE - 1], &headless, &odd, &endless, &[0; SIZE], b""] {
            assert!(Environment::decode(bad).is_err());
        }
    }

    #[test]
    fn more_than_a_sector_is_refused() {
        let long = "x".repeat(SECTOR);
        let error = environment(&[("xen_options", &long)]).encode().unwrap_err();
        assert!(matches!(error, EnvironmentError::Full { .. }));
    }

    #[test]
    fn the_file_is_written_where_it_lies() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("grubenv");
        environment(&[("good", "a")]).write(&path).unwrap_err();
        assert!(!path.exists(), "a file that GRUB does not know of helps nobody");
        std::fs::write(&path, environment(&[("good", "a")]).encode().unwrap()).unwrap();
        let before = std::fs::metadata(&path).unwrap().ino();
        environment(&[("good", "b")]).write(&path).unwrap();
        let after = std::fs::metadata(&path).unwrap();
        assert_eq!((after.ino(), after.len()), (before, SIZE as u64));
        assert_eq!(Environment::read(&path).unwrap().get("good"), Some("b"));
        std::fs::write(&path, "damaged").unwrap();
        environment(&[("good", "b")]).write(&path).unwrap_err();
    }
}
