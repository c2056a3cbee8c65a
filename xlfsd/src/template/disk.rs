//! The disks that a template gives its guests: `[disks.NAME]` and `[swap]`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::manifest::is_template_name;
use crate::size::ByteSize;

/// Most of a guest's memory that swap can be.
const MAX_TIMES: f64 = 16.0;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DiskManifest {
    image: Option<String>,
    size: Option<ByteSize>,
    size_min: Option<ByteSize>,
    pool: Option<String>,
    device: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SwapManifest {
    times: f64,
    pool: Option<String>,
    device: Option<String>,
}

/// A volume of its own for each guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The alias of the image that it is made from; None: it is empty.
    pub image: Option<String>,
    /// What a guest gets unless its user says otherwise; None: the image's own size.
    pub size_mib: Option<u64>,
    /// Less is refused; None: less than the image's own size is.
    pub size_min_mib: Option<u64>,
    /// None: the host's default pool.
    pub pool: Option<String>,
    /// Its name in the guest, such as xvda.
    pub device: String,
}

impl Disk {
    /// The name of the disk that holds the root file system.
    pub const ROOT: &'static str = "root";
}

/// A swap volume, as large as a part or a multiple of the guest's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    /// Hundredths of the memory: 150 is one and a half.
    pub percent: u32,
    /// None: the host's default pool.
    pub pool: Option<String>,
    /// Its name in the guest, such as xvdb.
    pub device: String,
}

impl Swap {
    /// The volume's size for a guest with so much memory, whole MiB, at least one.
    pub fn size_mib(&self, memory_mib: u64) -> u64 {
        memory_mib.saturating_mul(self.percent.into()).div_ceil(100).max(1)
    }
}

/// An error is a sentence that begins with the disk's name.
pub(super) fn check_disks(
    declared: BTreeMap<String, DiskManifest>,
) -> Result<BTreeMap<String, Disk>, String> {
    let mut disks: BTreeMap<String, Disk> = BTreeMap::new();
    for (name, disk) in declared {
        let disk = disk.check(&name, &disks).map_err(|error| format!("{name}: {error}"))?;
        disks.insert(name, disk);
    }
    Ok(disks)
}

impl DiskManifest {
    fn check(self, name: &str, others: &BTreeMap<String, Disk>) -> Result<Disk, String> {
        if !is_template_name(name) {
            return Err("its name must have lower-case letters, digits and inner dashes".into());
        }
        let root = name == Disk::ROOT;
        if root && self.image.is_none() {
            return Err("it needs an image, which the root file system comes from".into());
        }
        if self.image.is_none() && self.size.is_none() {
            return Err("it needs a size, or an image".into());
        }
        let size_mib = self.size.map(|size| whole_mib("size", size)).transpose()?;
        let size_min_mib = self.size_min.map(|size| whole_mib("size_min", size)).transpose()?;
        if size_mib.zip(size_min_mib).is_some_and(|(size, min)| size < min) {
            return Err("its size is less than its size_min".into());
        }
        let default = root.then(|| "xvda".to_owned());
        let device = self.device.or(default).ok_or("it needs a device, such as \"xvdc\"")?;
        check_device(&device, others)?;
        check_pool(self.pool.as_deref())?;
        Ok(Disk { image: self.image, size_mib, size_min_mib, pool: self.pool, device })
    }
}

impl SwapManifest {
    pub(super) fn check(self, disks: &BTreeMap<String, Disk>) -> Result<Swap, String> {
        // NaN is not in the range either.
        if !(0.01..=MAX_TIMES).contains(&self.times) {
            return Err(format!("times must be 0.01 to {MAX_TIMES}, of the guest's memory"));
        }
        let device = self.device.unwrap_or_else(|| "xvdb".to_owned());
        check_device(&device, disks)?;
        check_pool(self.pool.as_deref())?;
        Ok(Swap { percent: (self.times * 100.0).round() as u32, pool: self.pool, device })
    }
}

fn whole_mib(key: &str, size: ByteSize) -> Result<u64, String> {
    if size.as_mib() == 0 || !size.0.is_multiple_of(ByteSize::mib(1).0) {
        return Err(format!("its {key} must be a number of whole MiB, such as \"2G\""));
    }
    Ok(size.as_mib())
}

/// xvda to xvdp, with or without the number of a partition: what blkfront's
/// numbers have room for in all guests.
fn check_device(device: &str, others: &BTreeMap<String, Disk>) -> Result<(), String> {
    let fits = device.strip_prefix("xvd").is_some_and(|rest| {
        let (letter, partition) = rest.split_at_checked(1).unwrap_or_default();
        let numbered = !partition.starts_with(['0', '+'])
            && partition.parse::<u8>().is_ok_and(|number| (1..=15).contains(&number));
        matches!(letter.as_bytes(), [b'a'..=b'p']) && (partition.is_empty() || numbered)
    });
    if !fits {
        return Err(format!(
            "its device {device:?} must be xvda to xvdp, or such with a partition's number, as xvda1"
        ));
    }
    if let Some((other, _)) = others.iter().find(|(_, disk)| disk.device == device) {
        return Err(format!("its device {device} is that of the disk {other}"));
    }
    Ok(())
}

fn check_pool(pool: Option<&str>) -> Result<(), String> {
    pool.is_none_or(is_template_name).then_some(()).ok_or_else(|| {
        "its pool must be a pool's name: lower-case letters, digits and inner dashes".to_owned()
    })
}
