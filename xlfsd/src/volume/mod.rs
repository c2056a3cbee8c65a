//! What users ask of volumes. Each call checks, plans, and starts a task.
//!
//! `storage` has the book of volumes and undoes what fails or is killed; here
//! is who may ask for what: guests that have a volume are asked for their turn,
//! so that none of them is started while its disk grows or is copied.

mod task;
mod view;

use std::fs::File;
use std::sync::Arc;

use uuid::Uuid;
use xlfs_proto::v1 as pb;

use crate::api::blocking;
use crate::base::Base;
use crate::domain::{Accepted, AtRest, Guests, Readers};
use crate::image::{Digest, ImageHold, ImageKind};
use crate::problem::Problem;
use crate::storage::{NewVolume, VolumeRecord, Volumes};
use crate::task::PlannedStep;

/// The unit of sizes, in bytes.
const UNIT: u64 = 1 << 20;

/// A volume that is asked for.
#[derive(Debug, Clone, Default)]
pub struct VolumeRequest {
    pub name: String,
    /// Bytes.
    pub size: Option<u64>,
    /// Alias or digest.
    pub image: Option<String>,
    pub pool: Option<String>,
}

/// The operations on volumes. A clone is another handle to the same.
#[derive(Debug, Clone)]
pub struct VolumeOperations {
    base: Arc<Base>,
    volumes: Arc<Volumes>,
    guests: Guests,
}

impl VolumeOperations {
    pub fn new(base: Arc<Base>, volumes: Arc<Volumes>, guests: Guests) -> Self {
        Self { base, volumes, guests }
    }

    /// All volumes, by name.
    pub async fn list(&self) -> Result<Vec<pb::Volume>, Problem> {
        let volumes = self.volumes.clone();
        blocking(move || view::volumes(&volumes, volumes.list())).await
    }

    /// The volume of that name or UUID.
    pub async fn get(&self, reference: &str) -> Result<pb::Volume, Problem> {
        let record = self.volumes.resolve(reference)?;
        let volumes = self.volumes.clone();
        let found = blocking(move || view::volumes(&volumes, vec![record])).await?;
        found.into_iter().next().ok_or_else(|| Problem::internal("a volume was lost on the way"))
    }

    /// The pools, in the order of the configuration.
    pub async fn pools(&self) -> Result<Vec<pb::Pool>, Problem> {
        let volumes = self.volumes.clone();
        blocking(move || view::pools(&volumes)).await
    }

    /// Makes a volume that stays until it is deleted.
    pub async fn create(&self, asked: VolumeRequest, dry_run: bool) -> Result<Accepted, Problem> {
        self.volumes.check_new(&asked.name)?;
        let pool = match asked.pool {
            Some(pool) => pool,
            None => self.volumes.pools().default_name()?.to_owned(),
        };
        self.volumes.pools().get(&pool)?;
        let image = asked.image.map(|image| self.image(&image)).transpose()?;
        let size = size(asked.size, image.as_ref().map(|(_, size)| *size))?;
        let new = new(asked.name, pool, size);
        let title = title(&new.name);
        let step = PlannedStep::new("make-volume", format!("{title} in {}", new.pool));
        let summary = format!("make the {title}");
        if dry_run {
            return Ok(task::dry(step, &summary));
        }
        let content = image.map(|(hold, _)| self.content(hold)).transpose()?;
        Ok(self.begin("create", title, step, size, &summary, move |volumes, watch, _| {
            let source = content.as_ref().map(|(_, digest, file)| (*digest, file));
            volumes.create(new, source, watch).map(drop)
        }))
    }

    /// Makes a volume at least `size` bytes large.
    pub async fn grow(
        &self,
        reference: &str,
        size: u64,
        dry_run: bool,
    ) -> Result<Accepted, Problem> {
        let record = self.volumes.resolve(reference)?;
        let rest = self.at_rest(&record, "grow", Readers::Too).await?;
        let title = record.title();
        let wanted = size.checked_next_multiple_of(UNIT).unwrap_or(size);
        if wanted == record.size {
            return Ok(task::nothing(format!("the {title} is as large already")));
        }
        if wanted < record.size {
            let text = format!("{size} bytes are less than the {title} has, {}", record.size);
            return Err(Problem::invalid_field("VOLUME_SHRINKS", "size_bytes", &text)
                .object(title)
                .hint("Volumes only grow."));
        }
        let step = PlannedStep::new("grow-volume", format!("{title} to {} MiB", wanted >> 20));
        let summary = format!("grow the {title}");
        if dry_run {
            return Ok(task::dry(step, &summary));
        }
        Ok(self.begin("grow", title, step, wanted, &summary, move |volumes, watch, task| {
            rest.worked_on_by(task);
            let grown = volumes.grow(record.uuid, wanted, watch)?;
            rest.note_size(grown.size)
        }))
    }

    /// Makes a copy of a volume that nobody writes.
    pub async fn duplicate(
        &self,
        reference: &str,
        name: &str,
        pool: Option<String>,
        dry_run: bool,
    ) -> Result<Accepted, Problem> {
        let record = self.volumes.resolve(reference)?;
        self.volumes.check_new(name)?;
        let rest = self.at_rest(&record, "copy", Readers::GoOn).await?;
        let pool = pool.unwrap_or_else(|| record.pool.clone());
        self.volumes.pools().get(&pool)?;
        let new = new(name.to_owned(), pool, record.size);
        let object = format!("{} as {name} in {}", record.title(), new.pool);
        let (title, step) = (title(name), PlannedStep::new("copy-volume", object));
        let summary = format!("copy the {}", record.title());
        if dry_run {
            return Ok(task::dry(step, &summary));
        }
        Ok(self.begin("clone", title, step, record.size, &summary, move |volumes, watch, task| {
            rest.worked_on_by(task);
            let copied = volumes.duplicate(record.uuid, new, watch).map(drop);
            drop(rest);
            copied
        }))
    }

    /// Removes a volume that no guest has.
    pub async fn delete(&self, reference: &str, dry_run: bool) -> Result<Accepted, Problem> {
        let record = self.volumes.resolve(reference)?;
        self.volumes.check_removable(record.uuid)?;
        let title = record.title();
        let step = PlannedStep::new("remove-volume", title.clone());
        let summary = format!("delete the {title}");
        if dry_run {
            return Ok(task::dry(step, &summary));
        }
        Ok(self.begin("delete", title, step, 0, &summary, move |volumes, _, _| {
            volumes.remove_unused(record.uuid)
        }))
    }

    /// The guests that have the volume as a disk, at rest. VOLUME_IN_USE where one
    /// runs, or is paused.
    async fn at_rest(
        &self,
        record: &VolumeRecord,
        verb: &str,
        readers: Readers,
    ) -> Result<AtRest, Problem> {
        let rest = self.guests.at_rest(record.uuid, readers).await?;
        let Some(guest) = rest.running() else { return Ok(rest) };
        let title = record.title();
        Err(Problem::failed_precondition(
            "VOLUME_IN_USE",
            format!("cannot {verb} the {title} while the guest {guest} has it attached"),
        )
        .object(title)
        .hint(format!("Shut the guest down first: xlfsctl shutdown {guest}")))
    }

    /// A disk image, and its size.
    fn image(&self, reference: &str) -> Result<(ImageHold, u64), Problem> {
        let hold = self.base.images.hold(reference)?;
        let record = self.base.images.resolve(&hold.digest().to_string())?;
        match record.kind {
            ImageKind::Disk => Ok((hold, record.size)),
            _ => Err(Problem::invalid_field("BAD_IMAGE_KIND", "image", "the image is no disk")
                .hint("Which are disks: xlfsctl image list")),
        }
    }

    /// The hold keeps the image in the store until the volume is made.
    fn content(&self, hold: ImageHold) -> Result<(ImageHold, Digest, File), Problem> {
        let digest = hold.digest();
        let file = self.base.images.open(&digest)?;
        Ok((hold, digest, file))
    }
}

fn new(name: String, pool: String, size: u64) -> NewVolume {
    NewVolume { uuid: Uuid::new_v4(), name, pool, size, owner: None, kept: true }
}

fn title(name: &str) -> String {
    format!("volume {name}")
}

/// In whole MiB, and never less than the image.
fn size(asked: Option<u64>, image: Option<u64>) -> Result<u64, Problem> {
    let wrong = |text: &str| {
        Problem::invalid_field("BAD_SIZE", "size_bytes", text)
            .hint("Give a size, such as 10G; with an image it may be left out.")
    };
    let size = match (asked, image) {
        (Some(size), Some(image)) if size < image => {
            return Err(wrong(&format!("{size} bytes are less than the image has, {image}")));
        }
        (Some(size), _) | (None, Some(size)) => size,
        (None, None) => return Err(wrong("a volume without an image needs a size")),
    };
    size.checked_next_multiple_of(UNIT).ok_or_else(|| wrong("this is beyond any disk"))
}
