//! Whether an image is the root of a Dom0. GRUB would find out too, and start the
//! good slot again; but a guest's image, taken for a host's, should cost no reboot.
//!
//! ext4-view reads it: without mounting, without unsafe code, and only by what the
//! operator gave.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use ext4_view::Ext4;
use sha2::{Digest as _, Sha256};

use crate::image::Digest;
use crate::problem::Problem;

/// What a host cannot start without.
const NEEDED: [&str; 4] = ["/boot/xen.gz", "/boot/vmlinuz", "/sbin/init", "/usr/sbin/xlfsd"];

/// Refuses what no host could start from. `name` is for the error.
pub(super) fn check(image: File, name: &str) -> Result<(), Problem> {
    let refuse = |why: String| {
        Problem::invalid(
            "NOT_A_HOST_IMAGE",
            format!("the image {name} is no Dom0's: {why}"),
            Vec::new(),
        )
        .hint("A host's image is the ext4 file system dom0.ext4 that the image `dom0` is built to.")
    };
    let system = Ext4::load(Box::new(image))
        .map_err(|error| refuse("it is no ext4 file system".into()).cause(&error))?;
    for path in NEEDED {
        // Links are followed within the image.
        match system.metadata(path) {
            Ok(found) if found.file_type().is_regular_file() && found.len() > 0 => {}
            Ok(_) => return Err(refuse(format!("its {path} is no file with content"))),
            Err(error) => return Err(refuse(format!("it has no {path}")).cause(&error)),
        }
    }
    Ok(())
}

/// Bytes of the ext2/3/4 file system that begins in `device`, by its superblock
/// (Documentation/filesystems/ext4/super.rst). None where there is none.
pub(super) fn file_system_size(device: &mut File) -> std::io::Result<Option<u64>> {
    let mut block = [0; 1024];
    device.seek(SeekFrom::Start(1024))?;
    device.read_exact(&mut block)?;
    let word =
        |at: usize| u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
    let (magic, incompat) = (word(0x38) & 0xffff, word(0x60));
    if magic != 0xef53 {
        return Ok(None);
    }
    let high = if incompat & 0x80 != 0 { u64::from(word(0x150)) } else { 0 };
    let blocks = high << 32 | u64::from(word(0x4));
    Ok(blocks.checked_mul(1024_u64.checked_shl(word(0x18)).unwrap_or(0)).filter(|size| *size > 0))
}

/// SHA-256 of the first `size` bytes. `step` is told how many were read, and says
/// whether to go on.
pub(super) fn hash(
    device: &mut File,
    size: u64,
    mut step: impl FnMut(u64) -> bool,
) -> std::io::Result<Option<Digest>> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut done = 0;
    device.seek(SeekFrom::Start(0))?;
    while done < size {
        let want = usize::try_from((size - done).min(buffer.len() as u64)).unwrap_or(buffer.len());
        device.read_exact(&mut buffer[..want])?;
        hash.update(&buffer[..want]);
        done += want as u64;
        if !step(done) {
            return Ok(None);
        }
    }
    Ok(Some(Digest::new(hash.finalize().into())))
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;

    /// An ext4 file system with these files, made as the builder makes them.
    pub(in crate::slots) fn ext4(path: &Path, files: &[&str]) {
        let tree = tempfile::tempdir().unwrap();
        for file in files {
            let place = tree.path().join(file.trim_start_matches('/'));
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::fs::write(place, "content").unwrap();
        }
        File::create(path).unwrap().set_len(8 << 20).unwrap();
        let mut make = Command::new("/usr/sbin/mke2fs");
        make.args(["-q", "-F", "-t", "ext4", "-O", "64bit", "-d"]).arg(tree.path()).arg(path);
        assert!(make.status().unwrap().success());
    }

    #[test]
    fn a_hosts_image_is_told_from_a_guests() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        ext4(&path, &NEEDED);
        check(File::open(&path).unwrap(), "dom0").unwrap();
        let size = file_system_size(&mut File::open(&path).unwrap()).unwrap();
        assert_eq!(size, Some(8 << 20));

        ext4(&path, &NEEDED[2..]);
        let problem = check(File::open(&path).unwrap(), "lapp-root").unwrap_err();
        assert_eq!(problem.reason, "NOT_A_HOST_IMAGE");
        assert!(problem.message.contains("lapp-root is no Dom0's: it has no /boot/xen.gz"));

        std::fs::write(&path, vec![7; 1 << 20]).unwrap();
        let problem = check(File::open(&path).unwrap(), "noise").unwrap_err();
        assert!(problem.message.contains("no ext4"), "{problem}");
        assert_eq!(file_system_size(&mut File::open(&path).unwrap()).unwrap(), None);
    }

    #[test]
    fn a_hash_can_be_given_up() {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, b"abcdef").unwrap();
        let digest = hash(&mut file, 3, |_| true).unwrap().unwrap();
        assert!(digest.to_string().contains("ba7816bf"), "SHA-256 of abc: {digest}");
        assert_eq!(hash(&mut file, 3, |_| false).unwrap(), None);
        hash(&mut file, 7, |_| true).unwrap_err();
    }
}
