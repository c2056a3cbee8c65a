//! Storage: the disks of guests.
//!
//! ```text
//! volumes ── what there is: records, names, owners, and who has it attached
//!    │
//! pools ──── the pools of the configuration, by name; a broken one hurts no other
//!    │
//! pool ───── what every pool can do (the trait), for volumes named by UUID
//!    ├── folder   sparse raw files; copies share blocks where the file system can
//!    └── lvm      logical volumes, thick or thin
//! ```
//!
//! A pool knows no names, guests or records, and what it holds stays whole
//! whenever the daemon is killed: a volume appears under its name when it is
//! finished, and what was not is cleared when the pool is opened. Nothing here
//! looks into a volume: its content belongs to the guest.
//!
//! A further kind of pool, such as ZFS (a zvol each, `zfs clone` of a snapshot
//! for a copy), is a module with a type that implements [`Pool`], a variant of
//! [`PoolKind`] and of [`PoolPlace`] with what its section of the configuration
//! says, and a line in `pools`. Nothing else depends on the kind.
//!
//! All of it waits for the disk: call it where waiting is allowed
//! (`spawn_blocking`).

mod claims;
mod config;
mod copy;
mod folder;
mod lvm;
mod pool;
mod pools;
mod record;
mod volumes;

pub use claims::{Claim, Holder};
pub use config::{PoolConfig, PoolKind, PoolPlace};
pub use folder::FolderPool;
pub use lvm::LvmPool;
pub use pool::{Copies, Pool, PoolAbout, PoolSpace, PoolVolume, VolumeDevice, Watch};
pub use pools::{PoolEntry, Pools};
pub use record::{SNAPSHOT_MARK, VolumeOrigin, VolumeRecord, VolumeWork};
pub use volumes::{NewVolume, VolumeUse, VolumeUsers, Volumes};
