//! From the disks that a user asks for to the records of a guest's disks.

use uuid::Uuid;

use super::{DiskName, DiskRecord, VolumeRecipe};
use crate::domain::request::DiskRequest;
use crate::host::Disks;
use crate::image::{ImageHold, ImageKind, ImageStore};
use crate::problem::{FieldProblem, Problem};
use crate::storage::{VolumeOrigin, VolumeRecord};

const CONFIGURATION: DiskName = DiskName::CONFIGURATION;
/// Disks that a guest can have.
const MOST: usize = 64;
/// Smallest volume, and the unit of all, in bytes.
const UNIT: u64 = 1 << 20;

/// The records for `wanted`, beside those that the guest `has`, with the images
/// held that they are made from. Fields that are wrong are added to `wrong`; a
/// missing image is an error.
pub(in crate::domain) fn disks(
    guest: &str,
    (wanted, has): (&[DiskRequest], &[DiskRecord]),
    images: &ImageStore,
    pools: &dyn Disks,
    wrong: &mut Vec<FieldProblem>,
) -> Result<(Vec<DiskRecord>, Vec<ImageHold>), Problem> {
    let mut records: Vec<DiskRecord> = Vec::new();
    let mut holds = Vec::new();
    if wanted.len() + has.len() > MOST {
        wrong.push(FieldProblem::new("disks", format!("at most {MOST} disks")));
        return Ok((records, holds));
    }
    let named = |name: DiskName| {
        let asked = wanted.iter().filter_map(|disk| disk.name);
        let taken = asked.chain(has.iter().map(|disk| disk.name)).chain([CONFIGURATION]);
        taken.into_iter().any(|other| other.clashes(name))
    };
    let mut free = (0..).map(DiskName::whole).filter(|name| !named(*name));
    for disk in wanted {
        let Some(name) = disk.name.or_else(|| free.next()) else { continue };
        let mut refuse = |what: String| {
            wrong.push(FieldProblem::new("disks", format!("{name}: {what}")));
        };
        if let Some(other) = has.iter().chain(&records).find(|other| other.name.clashes(name)) {
            refuse(format!("the guest has {} already", other.name));
            continue;
        }
        if name.clashes(CONFIGURATION) {
            refuse("this is the configuration disk's place".into());
            continue;
        }
        if let Some(reference) = &disk.volume {
            if disk.size.is_some() || disk.image.is_some() || disk.pool.is_some() {
                refuse("a volume that is there has its size, image and pool already".into());
                continue;
            }
            let volume = pools.volume(reference)?;
            if has.iter().chain(&records).any(|other| other.volume.uuid == volume.uuid) {
                refuse(format!("the guest has the volume {} already", volume.name));
                continue;
            }
            records.push(adopted(name, volume, disk.read_only));
            continue;
        }
        let pool = disk.pool.clone().map_or_else(|| pools.default_pool(), Ok)?;
        pools.check(&pool).map_err(|problem| problem.object(format!("guest {guest}")))?;
        let hold = disk.image.as_deref().map(|image| images.hold(image)).transpose();
        let hold = hold.map_err(|problem| missing(guest, disk, name, problem))?;
        let record = hold.as_ref().and_then(|hold| images.resolve(&hold.digest().to_string()).ok());
        if record.as_ref().is_some_and(|image| image.kind != ImageKind::Disk) {
            refuse("its image is no disk".into());
        }
        let copied = disk.copy_of.as_ref();
        let least = record.as_ref().map_or(0, |image| image.size);
        let size = match disk.size {
            Some(size) if size < least => {
                refuse(format!("{size} bytes are less than its image has, {least}"));
                continue;
            }
            Some(size) => size,
            None if least > 0 => least,
            None => {
                refuse("a disk without an image needs a size".into());
                continue;
            }
        };
        records.push(DiskRecord {
            name,
            volume: VolumeRecipe {
                uuid: Uuid::new_v4(),
                name: volume_name(guest, name, pools),
                pool,
                size: size.next_multiple_of(UNIT),
                image: copied.map_or(hold.as_ref().map(ImageHold::digest), |from| from.image),
                swap: disk.swap,
                copy_of: copied.map(|from| from.uuid),
            },
            read_only: disk.read_only,
            keep: disk.keep,
            adopted: false,
        });
        holds.extend(hold);
    }
    Ok((records, holds))
}

/// `web-xvda`; with a number where a volume that was kept has that name.
fn volume_name(guest: &str, disk: DiskName, pools: &dyn Disks) -> String {
    let first = format!("{guest}-{disk}");
    let more = (2..).map(|number| format!("{first}-{number}"));
    let free = |name: &String| pools.volume(name).is_err();
    std::iter::once(first.clone()).chain(more).find(free).unwrap_or(first)
}

/// A disk of a volume that is there.
fn adopted(name: DiskName, volume: VolumeRecord, read_only: bool) -> DiskRecord {
    let image = match volume.origin {
        VolumeOrigin::Image { digest } => Some(digest),
        VolumeOrigin::Empty | VolumeOrigin::Volume { .. } => None,
    };
    let VolumeRecord { uuid, name: of, pool, size, .. } = volume;
    let volume = VolumeRecipe { uuid, name: of, pool, size, image, swap: false, copy_of: None };
    DiskRecord { name, volume, read_only, keep: true, adopted: true }
}

fn missing(guest: &str, disk: &DiskRequest, name: DiskName, problem: Problem) -> Problem {
    let alias = disk.image.as_deref().unwrap_or("NAME");
    let message = format!("the disk {name} needs the disk image {alias}");
    Problem::failed_precondition("IMAGE_MISSING", message)
        .cause(&problem)
        .object(format!("guest {guest}"))
        .hint(format!("Import it: xlfsctl image import FILE --kind disk --alias {alias}"))
}
