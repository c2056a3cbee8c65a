//! A raw disk: a protective MBR with a boot loader's code, a GPT, and in its
//! partitions other artifacts of the image. What the partitions are for is the
//! recipe's; nothing here knows of slots or hosts.
//!
//! Partitions begin at whole MiB, one after the other. GUIDs follow from the image's
//! key, so copies of one disk have the same: find partitions by their names.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use flate2::{Compression, GzBuilder};
use gpt::mbr::ProtectiveMBR;
use gpt::{GptConfig, partition_types};

use super::{ImageError, grub, sparse, uuid};
use crate::digest::Digest;
use crate::recipe::artifact::{Artifact, ArtifactKind, Boot, PartitionKind};
use crate::recipe::check::parse_size;
use crate::store::Store;
use crate::tree::{Node, Tree};

const MIB: u64 = 1 << 20;
const SECTOR: u64 = grub::SECTOR as u64;

/// Where a partition lies, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    at: u64,
    size: u64,
}

pub(super) fn write(
    store: &Store,
    tree: &Tree,
    artifact: &Artifact,
    made: &BTreeMap<String, Digest>,
    key: &Digest,
    path: &Path,
) -> Result<(), ImageError> {
    let wrap = |source| ImageError::Write { file: artifact.file.clone(), source };
    let places = places(artifact, made)?;
    // The backup of the table is in the last MiB.
    let size = places.last().map_or(MIB, |last| last.at + last.size) + MIB;
    let raw = match artifact.kind {
        ArtifactKind::DiskGz => tempfile::tempfile_in(path.parent().unwrap_or(path)),
        _ => File::options().read(true).write(true).create_new(true).open(path),
    };
    let raw = raw.map_err(wrap)?;
    raw.set_len(size).map_err(wrap)?;
    for (part, place) in artifact.partition.iter().zip(&places) {
        let Some(digest) = part.from.as_ref().and_then(|from| made.get(from)) else { continue };
        let blob = store.blob(digest, false)?;
        let content = File::open(blob).map_err(wrap)?;
        sparse::copy(&content, &raw, place.at).map_err(wrap)?;
    }
    let code = match &artifact.boot {
        Some(boot) => boot_loader(store, tree, artifact, boot, &places, &raw)?,
        None => [0; grub::CODE],
    };
    table(&raw, artifact, &places, code, key)?;
    if artifact.kind == ArtifactKind::DiskGz {
        compress(raw, path).map_err(wrap)?;
    }
    Ok(())
}

fn places(artifact: &Artifact, made: &BTreeMap<String, Digest>) -> Result<Vec<Place>, ImageError> {
    let mut at = MIB;
    let mut places = Vec::new();
    for part in &artifact.partition {
        let content = part.from.as_ref().and_then(|from| made.get(from)).map_or(0, |it| it.size);
        let size = part.size.as_deref().and_then(parse_size).unwrap_or(content);
        if content > size {
            return Err(ImageError::Partition {
                file: artifact.file.clone(),
                partition: part.name.clone(),
                content,
                size,
            });
        }
        // Far from an overflow: sizes of sparse files end long before it.
        let size = size.div_ceil(MIB).saturating_mul(MIB);
        places.push(Place { at, size });
        at = at.saturating_add(size);
    }
    Ok(places)
}

/// Puts the core into its partition; returns the code of the first sector.
fn boot_loader(
    store: &Store,
    tree: &Tree,
    artifact: &Artifact,
    boot: &Boot,
    places: &[Place],
    raw: &File,
) -> Result<[u8; grub::CODE], ImageError> {
    let file = || artifact.file.clone();
    let read = |path: &str| match tree.get(path) {
        Some(Node::File { digest, .. }) => Ok(store.read_blob(digest)?),
        _ => Err(ImageError::NothingToCopy { file: file(), path: path.to_owned() }),
    };
    let wrong =
        |error: grub::GrubError| ImageError::Boot { file: file(), reason: error.to_string() };
    let own = |(part, place): (&crate::recipe::artifact::Partition, &Place)| {
        (part.kind == PartitionKind::BiosBoot).then_some(*place)
    };
    let place = artifact.partition.iter().zip(places).find_map(own);
    let place = place.unwrap_or(Place { at: MIB, size: 0 });
    let core = grub::core(&read(&boot.core)?, place.at / SECTOR).map_err(wrong)?;
    if core.len() as u64 > place.size {
        return Err(ImageError::Partition {
            file: file(),
            partition: "bios-boot".to_owned(),
            content: core.len() as u64,
            size: place.size,
        });
    }
    raw.write_all_at(&core, place.at)
        .map_err(|source| ImageError::Write { file: file(), source })?;
    grub::boot_code(&read(&boot.sector)?, place.at / SECTOR).map_err(wrong)
}

fn table(
    mut raw: &File,
    artifact: &Artifact,
    places: &[Place],
    code: [u8; grub::CODE],
    key: &Digest,
) -> Result<(), ImageError> {
    let wrap = |source| ImageError::Write { file: artifact.file.clone(), source };
    let other = |error: &dyn std::error::Error| wrap(io::Error::other(error.to_string()));
    let guid = |of: &str| uuid(key, &format!("{} {of}", artifact.file));
    let sectors = raw.metadata().map_err(wrap)?.len() / SECTOR;
    let mut mbr = ProtectiveMBR::with_lb_size(u32::try_from(sectors - 1).unwrap_or(u32::MAX));
    mbr.set_bootcode(code);
    let mut device = raw;
    mbr.overwrite_lba0(&mut device).map_err(|error| other(&error))?;
    let mut list = BTreeMap::new();
    for ((number, part), place) in (1..).zip(&artifact.partition).zip(places) {
        let part_type_guid = match part.kind {
            PartitionKind::BiosBoot => partition_types::BIOS,
            PartitionKind::Efi => partition_types::EFI,
            PartitionKind::Linux => partition_types::LINUX_FS,
        };
        let entry = gpt::partition::Partition {
            part_type_guid,
            part_guid: guid(&format!("partition {number}")),
            first_lba: place.at / SECTOR,
            last_lba: (place.at + place.size) / SECTOR - 1,
            flags: 0,
            name: part.name.clone(),
        };
        list.insert(number, entry);
    }
    raw.rewind().map_err(wrap)?;
    let config = GptConfig::new().writable(true);
    let mut disk =
        config.create_from_device(raw, Some(guid("disk"))).map_err(|error| other(&error))?;
    disk.update_partitions(list).map_err(|error| other(&error))?;
    disk.write().map(drop).map_err(|error| other(&error))
}

fn compress(mut raw: File, path: &Path) -> io::Result<()> {
    raw.rewind()?;
    let out = BufWriter::new(File::create(path)?);
    let mut out = GzBuilder::new().mtime(0).write(out, Compression::default());
    io::copy(&mut BufReader::with_capacity(1 << 20, raw), &mut out)?;
    out.finish()?.flush()
}
