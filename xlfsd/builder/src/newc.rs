//! Members of a cpio archive in the kernel's initramfs format ("newc").
//!
//! Format: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.

use std::io::{self, Write};

/// The kind of a member, in its mode.
pub const FOLDER: u32 = 0o040_000;
/// A regular file.
pub const FILE: u32 = 0o100_000;
/// A symbolic link, whose data is its target.
pub const LINK: u32 = 0o120_000;

/// What is said of a member beside its name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    /// A number for each file; equal ones are hard links.
    pub inode: u32,
    /// Kind and permissions.
    pub mode: u32,
    /// The owner.
    pub user: u32,
    /// The owner's group.
    pub group: u32,
    /// Names that the file has.
    pub links: u32,
    /// Seconds since 1970.
    pub time: u32,
}

/// Writes a member.
///
/// # Errors
/// What the writer says, and data or a name of 4 GiB and more, for which the
/// format has no room.
pub fn member(out: &mut impl Write, name: &str, head: Head, data: &[u8]) -> io::Result<()> {
    let size = |length: usize| u32::try_from(length).map_err(io::Error::other);
    let Head { inode, mode, user, group, links, time } = head;
    let name_size = size(name.len() + 1)?;
    let mut header = String::from("070701");
    // After the size: device numbers (four), the name's size, and an unused sum.
    let fields = [inode, mode, user, group, links, time, size(data.len())?];
    for field in fields.into_iter().chain([0, 0, 0, 0, name_size, 0]) {
        header.push_str(&format!("{field:08X}"));
    }
    out.write_all(header.as_bytes())?;
    out.write_all(name.as_bytes())?;
    // The name ends with one zero; name and data are padded to four bytes.
    out.write_all(&[0])?;
    pad(out, header.len() + name.len() + 1)?;
    out.write_all(data)?;
    pad(out, data.len())
}

/// Writes the member that ends an archive.
///
/// # Errors
/// What the writer says.
pub fn trailer(out: &mut impl Write) -> io::Result<()> {
    member(out, "TRAILER!!!", Head { links: 1, ..Head::default() }, &[])
}

fn pad(out: &mut impl Write, length: usize) -> io::Result<()> {
    let missing = length.next_multiple_of(4) - length;
    out.write_all([0; 3].get(..missing).unwrap_or_default())
}
