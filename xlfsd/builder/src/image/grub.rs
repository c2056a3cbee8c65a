//! GRUB's parts for a PC with a BIOS, given their places on a disk: what
//! `grub-bios-setup` does when it embeds GRUB into a BIOS boot partition, without
//! the machine that it would look around on.
//!
//! The firmware loads `boot.img`, the disk's first sector, which loads the first
//! sector of `core.img` (GRUB's `diskboot.img`), which loads the rest of it. Each
//! knows the next by the number of its sector. Offsets and values are those of GRUB
//! 2.06's `include/grub/i386/pc/boot.h` and of `SETUP` in `util/setup.c`:
//!
//! ```text
//! boot.img   0x05c  8 bytes  sector of the core's first sector
//!            0x064  1 byte   the drive; 0xff: the one that the firmware booted from
//!            0x066  2 bytes  a jump past a check of the drive's number; two NOPs
//!                            turn the check on: some firmware tells hard disks wrong
//!            0x1b8           from here on the partition table's
//! core.img   0x1f4  8 bytes  sector at which the rest begins
//!            0x1fc  2 bytes  how many sectors the rest has
//!            0x1fe  2 bytes  segment at which it is loaded
//!            0x1e8 12 bytes  the next piece of the rest: none, so all zeros
//! ```
//!
//! No Reed-Solomon codes are added to the core: nothing but us writes into its
//! partition.

/// Bytes of a sector as the firmware counts them.
pub(super) const SECTOR: usize = 512;
/// The first sector's bytes that are code.
pub(super) const CODE: usize = 0x1b8;

const KERNEL_SECTOR: usize = 0x5c;
const BOOT_DRIVE: usize = 0x64;
const DRIVE_CHECK: usize = 0x66;
const REST: usize = 0x1f4;
const TERMINATOR: usize = 0x1e8;
/// GRUB's kernel is linked for segment 0x800; the first sector is not part of it.
const REST_SEGMENT: u16 = 0x800 + (SECTOR as u16 >> 4);
/// What is loaded must end below 0x78000, where the stack is.
const MOST_SECTORS: usize = (0x78000 - 0x8200) / SECTOR;

/// Why the files are no GRUB that we know.
#[derive(Debug, thiserror::Error)]
pub(super) enum GrubError {
    #[error("its boot sector has {found} bytes instead of 512, or does not end in 55 aa")]
    Sector { found: usize },
    #[error("its boot sector has no jump at 0x66: it is not GRUB 2's boot.img for hard disks")]
    NoJump,
    #[error("its core has {found} bytes: more than 512 and at most {most} can be loaded")]
    Size { found: usize, most: usize },
    #[error("the first sector of its core has no list of one piece at its end: it is no core.img")]
    NoList,
}

/// The code of a disk's first sector, for a core that begins at sector `core`.
pub(super) fn boot_code(image: &[u8], core: u64) -> Result<[u8; CODE], GrubError> {
    let wrong = || GrubError::Sector { found: image.len() };
    if image.len() != SECTOR || !image.ends_with(&[0x55, 0xaa]) {
        return Err(wrong());
    }
    let mut code: [u8; CODE] =
        image.get(..CODE).and_then(|it| it.try_into().ok()).ok_or_else(wrong)?;
    // A short jump (eb xx).
    if code[DRIVE_CHECK] != 0xeb {
        return Err(GrubError::NoJump);
    }
    code[KERNEL_SECTOR..KERNEL_SECTOR + 8].copy_from_slice(&core.to_le_bytes());
    code[BOOT_DRIVE] = 0xff;
    code[DRIVE_CHECK..DRIVE_CHECK + 2].copy_from_slice(&[0x90, 0x90]);
    Ok(code)
}

/// The core as it stands on the disk from sector `at` on, in whole sectors.
pub(super) fn core(image: &[u8], at: u64) -> Result<Vec<u8>, GrubError> {
    let sectors = image.len().div_ceil(SECTOR);
    let rest = sectors.saturating_sub(1);
    let wrong = || GrubError::Size { found: image.len(), most: MOST_SECTORS * SECTOR };
    let rest = u16::try_from(rest).ok().filter(|it| (1..MOST_SECTORS).contains(&usize::from(*it)));
    let rest = rest.ok_or_else(wrong)?;
    let mut core = image.to_vec();
    core.resize(sectors * SECTOR, 0);
    // grub-mkimage left one piece there, of the rest's length, and nothing before it.
    let list = core.get(TERMINATOR..SECTOR).unwrap_or_default();
    let length =
        |at: usize| list.get(at..at + 2).map_or(0, |it| u16::from_le_bytes([it[0], it[1]]));
    if length(8) != 0 || length(REST - TERMINATOR + 8) != rest {
        return Err(GrubError::NoList);
    }
    let mut piece = [0; SECTOR - REST];
    piece[..8].copy_from_slice(&(at + 1).to_le_bytes());
    piece[8..10].copy_from_slice(&rest.to_le_bytes());
    piece[10..].copy_from_slice(&REST_SEGMENT.to_le_bytes());
    core[REST..SECTOR].copy_from_slice(&piece);
    Ok(core)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sector() -> Vec<u8> {
        let mut image = vec![0x11; SECTOR];
        image[DRIVE_CHECK] = 0xeb;
        image[510..].copy_from_slice(&[0x55, 0xaa]);
        image
    }

    /// As grub-mkimage leaves it: code, terminator, the rest's length.
    fn core_image(rest: usize, last: usize) -> Vec<u8> {
        let mut image = vec![0x22; SECTOR * rest + last];
        image[TERMINATOR..SECTOR].fill(0);
        image[0x1fc..0x1fe].copy_from_slice(&(rest as u16).to_le_bytes());
        image
    }

    #[test]
    fn the_sector_finds_the_core() {
        let code = boot_code(&sector(), 0x0102_0304_0506).unwrap();
        assert_eq!(code[0x5b..0x69], [0x11, 6, 5, 4, 3, 2, 1, 0, 0, 0xff, 0x11, 0x90, 0x90, 0x11]);
        assert!(matches!(boot_code(&sector()[..511], 1), Err(GrubError::Sector { found: 511 })));
        let mut other = sector();
        other[DRIVE_CHECK] = 0x90;
        assert!(matches!(boot_code(&other, 1), Err(GrubError::NoJump)));
    }

    #[test]
    fn the_core_finds_its_rest() {
        let core = core(&core_image(3, 7), 2048).unwrap();
        assert_eq!(core.len(), 4 * SECTOR);
        assert_eq!(core[TERMINATOR..REST], [0; 12]);
        assert_eq!(core[REST..SECTOR], [1, 8, 0, 0, 0, 0, 0, 0, 3, 0, 0x20, 0x08]);
        assert_eq!(core[3 * SECTOR..3 * SECTOR + 8], [0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0]);
    }

    #[test]
    fn what_is_no_core_is_refused() {
        for wrong in [0, 1, SECTOR, SECTOR * (MOST_SECTORS + 1)] {
            assert!(matches!(core(&vec![0; wrong], 1), Err(GrubError::Size { .. })), "{wrong}");
        }
        assert!(core(&core_image(MOST_SECTORS - 1, SECTOR), 1).is_ok());
        assert!(matches!(core(&[0; 3 * SECTOR], 1), Err(GrubError::NoList)));
        let mut two = core_image(3, 7);
        two[TERMINATOR + 8] = 1;
        assert!(matches!(core(&two, 1), Err(GrubError::NoList)));
    }
}
