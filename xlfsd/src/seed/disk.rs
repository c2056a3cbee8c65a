//! The disk's file system: FAT, which every kernel and cloud-init read, made
//! by the crate fatfs in memory, with fixed times and a volume id that the
//! guest's uuid gives.
//!
//! All files are in its root: fatfs 0.3.6 gives the entries "." and ".." of a
//! folder long names, which fsck.vfat takes for damage.

use std::io::{Cursor, Write};

use fatfs::{Date, DateTime, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider};
use uuid::Uuid;

use super::SeedError;

/// The volume's label, by which a guest finds it.
pub const LABEL: &str = "CIDATA";
/// Bytes of all files together; more is not configuration.
pub const MAX_CONTENT: usize = 4 << 20;
/// The label as FAT has it: eleven bytes, padded.
const FAT_LABEL: [u8; 11] = *b"CIDATA     ";
/// Bytes of the smallest disk.
const MIN_SIZE: usize = 1 << 20;
/// Bytes for the file system's own tables and folders.
const TABLES: usize = 192 << 10;
/// No smaller than the clusters of a volume of [`MAX_CONTENT`].
const CLUSTER: usize = 4096;

/// A disk with `files` (name and text) in this order.
pub(super) fn image(instance: Uuid, files: &[(String, String)]) -> Result<Vec<u8>, SeedError> {
    let bytes = files.iter().map(|(_, text)| text.len()).sum();
    if bytes > MAX_CONTENT {
        return Err(SeedError::TooLarge { bytes });
    }
    let needed: usize =
        files.iter().map(|(_, text)| text.len().next_multiple_of(CLUSTER)).sum::<usize>() + TABLES;
    let mut image = vec![0; needed.next_multiple_of(MIN_SIZE)];
    let at = |name: &str| {
        let name = name.to_owned();
        move |source| SeedError::Disk { name, source }
    };
    let options = FormatVolumeOptions::new().volume_label(FAT_LABEL).volume_id(volume_id(instance));
    fatfs::format_volume(Cursor::new(image.as_mut_slice()), options).map_err(at(LABEL))?;
    let options = FsOptions::new().time_provider(&Epoch);
    let volume = FileSystem::new(Cursor::new(image.as_mut_slice()), options).map_err(at(LABEL))?;
    for (name, text) in files {
        let mut file = volume.root_dir().create_file(name).map_err(at(name))?;
        file.write_all(text.as_bytes()).and_then(|()| file.flush()).map_err(at(name))?;
    }
    volume.unmount().map_err(at(LABEL))?;
    Ok(image)
}

/// The first moment that FAT knows, for all files.
#[derive(Debug)]
struct Epoch;

impl TimeProvider for Epoch {
    fn get_current_date(&self) -> Date {
        Date { year: 1980, month: 1, day: 1 }
    }

    fn get_current_date_time(&self) -> DateTime {
        DateTime {
            date: self.get_current_date(),
            time: Time { hour: 0, min: 0, sec: 0, millis: 0 },
        }
    }
}

/// All of the uuid has a part in it: neighbours differ in a few bits only.
fn volume_id(instance: Uuid) -> u32 {
    let words = instance.as_bytes().chunks_exact(4);
    words.fold(0, |id, word| id ^ word.iter().fold(0, |word, byte| word << 8 | u32::from(*byte)))
}
