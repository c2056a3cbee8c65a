//! What the user asked for: one file a guest, whole or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xlfs_xen::loopdev::Access;

use super::devices::{
    Device, DeviceChange, DeviceKey, DiskRecord, NicRecord, RestoredDisk, SnapshotRecord,
};
use crate::durable::{self, FileError, UNFINISHED};
use crate::event::EventBus;
use crate::host::{DiskSource, DiskUse};
use crate::image::Digest;
use crate::quarantine::quarantine;
use crate::storage::Holder;
use crate::template::{EndPolicy, HealthCheck};
use crate::toml_file::{self, TomlFileError};

/// An operation that a guest is in the middle of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    Create,
    Start,
    Shutdown,
    Reboot,
    Restart,
    Destroy,
    /// Giving a device to it; see `change`.
    Attach,
    /// Taking one from it.
    Detach,
    /// Keeping what its disks hold.
    Snapshot,
    /// Having its disks hold what they held.
    Restore,
    /// Removing a snapshot.
    Unsnapshot,
    /// Being copied; never on record, as the copy's own creation is.
    Clone,
    /// Removing the domain of a guest that ended by itself.
    Cleanup,
    Delete,
}

/// How a guest's last domain ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastEnd {
    /// Such as "poweroff" or "crash".
    pub cause: String,
    /// Milliseconds since 1970.
    pub at_ms: u64,
}

/// A guest as its user defined it, and the operation it is in the middle of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestRecord {
    /// Of this file; there is only 1 so far.
    pub format: u32,
    pub name: String,
    pub uuid: Uuid,
    pub template: String,
    pub template_version: String,
    pub memory_mib: u64,
    pub vcpus: u32,
    pub kernel: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramdisk: Option<Digest>,
    pub command_line: String,
    /// The user started it and did not stop it.
    pub wanted_running: bool,
    /// Times it was restarted by policy since the user last started it.
    pub restarts: u32,
    /// It ended too often; it is not restarted until the user starts it.
    pub held: bool,
    /// Milliseconds since 1970.
    pub created_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Work>,
    pub policy: EndPolicy,
    /// Without secrets.
    pub parameters: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_end: Option<LastEnd>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<DiskRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nics: Vec<NicRecord>,
    /// Its template's, with its parameters put in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub health: Vec<HealthCheck>,
    /// It has a configuration disk.
    #[serde(default)]
    pub seed: bool,
    /// The device that is being attached or detached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<DeviceChange>,
    /// Oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<SnapshotRecord>,
    /// The disks that a snapshot's content comes back to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restoring: Vec<RestoredDisk>,
}

impl GuestRecord {
    pub const FORMAT: u32 = 1;

    /// Pages of 4 KiB.
    pub fn pages(&self) -> u64 {
        self.memory_mib << 8
    }

    /// How it uses one of its disks.
    pub fn uses_disk(&self, disk: &DiskRecord) -> DiskUse {
        self.disk_use(DiskSource::Volume(disk.volume.uuid), access(disk))
    }

    /// How it uses its configuration disk.
    pub fn uses_seed(&self) -> DiskUse {
        self.disk_use(DiskSource::Seed, Access::ReadOnly)
    }

    fn disk_use(&self, source: DiskSource, access: Access) -> DiskUse {
        let guest = Holder { uuid: self.uuid, name: self.name.clone() };
        DiskUse { source, guest, access }
    }

    /// The restored disks have become the guest's.
    pub fn is_restored(&self) -> bool {
        let has = |volume| self.disks.iter().any(|disk| disk.volume.uuid == volume);
        self.restoring.iter().any(|restored| has(restored.volume.uuid))
    }

    /// Forgets what of a snapshot was undone.
    pub fn forget_unfinished(&mut self) {
        self.snapshots.retain(|snapshot| !snapshot.unfinished);
        if !self.is_restored() {
            self.restoring.clear();
        }
    }

    /// It has something in Dom0 beside its domain.
    pub fn has_devices(&self) -> bool {
        self.seed || self.all_disks().next().is_some() || self.all_nics().next().is_some()
    }

    /// Whether it would miss an image. A disk's is copied when the guest is made.
    pub fn uses(&self, image: &Digest) -> bool {
        let copying = self.work == Some(Work::Create);
        let coming = self.change.as_ref().is_some_and(|change| {
            matches!(&change.device, Device::Disk(disk) if disk.volume.image.as_ref() == Some(image))
        });
        self.kernel == *image
            || self.ramdisk.as_ref() == Some(image)
            || coming
            || copying && self.disks.iter().any(|disk| disk.volume.image.as_ref() == Some(image))
    }

    /// Something of it was cut off, or could not be finished, and is still to be
    /// taken away or done.
    pub fn is_unsettled(&self) -> bool {
        self.change.is_some() || self.is_untidy()
    }

    /// A snapshot is half made or removed, or a restore half done.
    pub fn is_untidy(&self) -> bool {
        !self.restoring.is_empty() || self.snapshots.iter().any(|snapshot| snapshot.unfinished)
    }

    /// Its disks, and one that is on its way.
    pub fn all_disks(&self) -> impl Iterator<Item = &DiskRecord> {
        let coming = self.change.iter().filter_map(|change| match &change.device {
            Device::Disk(disk) if !self.disks.iter().any(|other| other.name == disk.name) => {
                Some(disk)
            }
            _ => None,
        });
        self.disks.iter().chain(coming)
    }

    /// Its interfaces, and one that is on its way.
    pub fn all_nics(&self) -> impl Iterator<Item = &NicRecord> {
        let coming = self.change.iter().filter_map(|change| match &change.device {
            Device::Nic(nic) if !self.nics.iter().any(|other| other.index == nic.index) => {
                Some(nic)
            }
            _ => None,
        });
        self.nics.iter().chain(coming)
    }

    /// One of its devices.
    pub fn device(&self, key: DeviceKey) -> Option<Device> {
        match key {
            DeviceKey::Disk(name) => {
                self.disks.iter().find(|disk| disk.name == name).cloned().map(Device::Disk)
            }
            DeviceKey::Nic(index) => {
                self.nics.iter().find(|nic| nic.index == index).cloned().map(Device::Nic)
            }
        }
    }

    /// Gives it a device; having that already is fine.
    pub fn add_device(&mut self, device: Device) {
        if self.device(device.key()).is_some() {
            return;
        }
        match device {
            Device::Disk(disk) => {
                self.disks.push(disk);
                self.disks.sort_by_key(|disk| disk.name);
            }
            Device::Nic(nic) => {
                self.nics.push(nic);
                self.nics.sort_by_key(|nic| nic.index);
            }
        }
    }

    /// Takes a device from it, if it has it.
    pub fn remove_device(&mut self, key: DeviceKey) {
        match key {
            DeviceKey::Disk(name) => self.disks.retain(|disk| disk.name != name),
            DeviceKey::Nic(index) => self.nics.retain(|nic| nic.index != index),
        }
    }

    /// `guest web`, for errors and steps.
    pub fn title(&self) -> String {
        format!("guest {}", self.name)
    }

    fn read(path: &Path) -> Result<Self, TomlFileError> {
        let record: Self = toml_file::read(path)?;
        let wrong = |message: String| TomlFileError::Syntax { path: path.into(), line: 1, message };
        if record.format != Self::FORMAT {
            return Err(wrong(format!("format {} is not known to this xlfsd", record.format)));
        }
        if path.file_stem().is_none_or(|stem| stem != record.name.as_str()) {
            return Err(wrong(format!("the record is about another guest, {}", record.name)));
        }
        if let Err(problem) = super::name::check(&record.name) {
            return Err(wrong(problem.message.clone()));
        }
        Ok(record)
    }
}

/// How a guest uses a disk.
pub(super) fn access(disk: &DiskRecord) -> Access {
    if disk.read_only { Access::ReadOnly } else { Access::ReadWrite }
}

/// Milliseconds since 1970, for records.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The moment of a record's number.
pub(super) fn time_of(ms: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
}

/// The records' folder.
#[derive(Debug, Clone)]
pub struct Records {
    dir: PathBuf,
}

impl Records {
    /// Opens the folder and reads every record. One that cannot be read is put
    /// into quarantine and reported: it never keeps the daemon from starting.
    pub fn open(
        dir: PathBuf,
        quarantine_dir: &Path,
        events: &EventBus,
    ) -> Result<(Self, Vec<GuestRecord>), FileError> {
        durable::make_private_dir(&dir)?;
        let mut found = Vec::new();
        for entry in fs::read_dir(&dir).map_err(FileError::at("read the folder", &dir))? {
            let path = entry.map_err(FileError::at("read the folder", &dir))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with(UNFINISHED) {
                durable::remove(&path)?;
                continue;
            }
            if let Err(error) = GuestRecord::read(&path).map(|record| found.push(record)) {
                let text = match quarantine(&path, quarantine_dir) {
                    Ok(place) => format!("{error}; moved to {}", place.display()),
                    Err(left) => format!("{error}; it stays in its place, for {left}"),
                };
                events.warn(name, "BAD_GUEST_RECORD", text);
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok((Self { dir }, found))
    }

    pub fn save(&self, record: &GuestRecord) -> Result<(), FileError> {
        let path = self.path(&record.name);
        let text = toml::to_string(record)
            .map_err(|error| FileError::at("encode", &path)(std::io::Error::other(error)))?;
        durable::write_whole(&path, text.as_bytes())
    }

    pub fn remove(&self, name: &str) -> Result<(), FileError> {
        durable::remove(&self.path(name))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.toml"))
    }
}

#[cfg(test)]
pub(super) fn sample(name: &str) -> GuestRecord {
    GuestRecord {
        format: GuestRecord::FORMAT,
        name: name.into(),
        uuid: Uuid::new_v4(),
        template: "minimal".into(),
        template_version: "1".into(),
        memory_mib: 128,
        vcpus: 1,
        kernel: Digest::new([1; 32]),
        ramdisk: Some(Digest::new([2; 32])),
        command_line: "console=hvc0".into(),
        wanted_running: false,
        restarts: 0,
        held: false,
        created_ms: 1_700_000_000_000,
        work: None,
        policy: EndPolicy::default(),
        parameters: BTreeMap::from([("hostname".into(), name.into())]),
        disks: Vec::new(),
        nics: Vec::new(),
        health: Vec::new(),
        seed: false,
        change: None,
        snapshots: Vec::new(),
        restoring: Vec::new(),
        last_end: Some(LastEnd { cause: "poweroff".into(), at_ms: 5 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventLimits, Numbering};

    #[test]
    fn records_come_back_and_a_bad_one_is_put_away() {
        let dir = tempfile::tempdir().unwrap();
        let (guests, bad) = (dir.path().join("guests"), dir.path().join("quarantine"));
        let events = EventBus::new(Numbering::starting_at(0), EventLimits::default());
        let (records, found) = Records::open(guests.clone(), &bad, &events).unwrap();
        assert!(found.is_empty());
        let (web, db) = (sample("web"), sample("db"));
        records.save(&web).unwrap();
        records.save(&db).unwrap();
        fs::write(guests.join("broken.toml"), "name = ").unwrap();
        fs::write(guests.join("other.toml"), fs::read(guests.join("db.toml")).unwrap()).unwrap();
        fs::write(guests.join(format!("{UNFINISHED}x")), "").unwrap();

        let (records, found) = Records::open(guests.clone(), &bad, &events).unwrap();
        assert_eq!(found, [db, web]);
        assert_eq!(fs::read_dir(&bad).unwrap().count(), 2);
        assert_eq!(events.latest(), 2, "one warning each");
        records.remove("web").unwrap();
        assert_eq!(fs::read_dir(&guests).unwrap().count(), 1);
    }
}
