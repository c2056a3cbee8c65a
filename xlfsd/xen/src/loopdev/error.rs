//! Why something with a loop device failed.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

/// Why something with a loop device failed.
#[derive(Debug, thiserror::Error)]
pub enum LoopError {
    /// The driver is missing or refuses.
    #[error("cannot open {}: is the kernel's loop driver there?", super::CONTROL)]
    Control(#[source] io::Error),
    /// The driver makes no more devices.
    #[error("there is no free loop device")]
    NoneFree(#[source] Errno),
    /// Others took every device that was free.
    #[error("other programs took each of {tries} free loop devices: try again")]
    Contended {
        /// Devices that were tried.
        tries: u32,
    },
    /// The file cannot be opened; EROFS or EACCES where it may not be written.
    #[error("cannot open {} for a loop device", path.display())]
    Backing {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Only regular files are attached.
    #[error("{} is no regular file", path.display())]
    NotAFile {
        /// What it was asked for.
        path: PathBuf,
    },
    /// The tag is empty, too long or not plain.
    #[error("{tag:?} is no tag for a loop device: 1 to {} plain characters", super::MAX_TAG)]
    BadTag {
        /// The tag.
        tag: String,
    },
    /// A device's node is missing or cannot be opened.
    #[error("cannot open {}", node.display())]
    Node {
        /// Such as `/dev/loop3`.
        node: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel refuses the file.
    #[error("cannot attach {} to {}", path.display(), node.display())]
    Attach {
        /// The file.
        path: PathBuf,
        /// The device.
        node: PathBuf,
        /// Why.
        #[source]
        source: Errno,
    },
    /// After attaching, the device is not what was asked for. It was let go of.
    #[error("{} was attached to {} but {wrong}; it was detached again", path.display(), node.display())]
    Verify {
        /// The file.
        path: PathBuf,
        /// The device.
        node: PathBuf,
        /// What is wrong with it.
        wrong: &'static str,
    },
    /// A device does not say what it serves.
    #[error("cannot ask {} what it serves", node.display())]
    Status {
        /// The device.
        node: PathBuf,
        /// Why.
        #[source]
        source: Errno,
    },
    /// The list of devices cannot be read.
    #[error("cannot list the loop devices in {}", super::SYS_BLOCK)]
    List(#[source] io::Error),
    /// The kernel does not let go of the file.
    #[error("cannot detach {}", node.display())]
    Detach {
        /// The device.
        node: PathBuf,
        /// Why.
        #[source]
        source: Errno,
    },
}
