//! The first page of a swap volume, as mkswap(8) writes it: Dom0 knows the
//! volume's size, and a guest that finds it by its label has only to turn it on.
//!
//! Layout: `union swap_header` in Linux's include/linux/swap.h.

use uuid::Uuid;

/// By which a guest finds its swap volume.
pub const LABEL: &str = "XLFS-SWAP";
/// Bytes of a page of x86, and of the header.
pub const PAGE: usize = 4096;
/// Fewer pages than this Linux refuses (mkswap's MIN_GOODPAGES).
const MIN_PAGES: u64 = 10;

/// The first page of a swap volume of `size` bytes, None if that is too small.
/// What is over 16 TiB is left unused.
pub fn header(size: u64, uuid: Uuid) -> Option<[u8; PAGE]> {
    let pages = size / PAGE as u64;
    if pages < MIN_PAGES {
        return None;
    }
    let last_page = u32::try_from(pages - 1).unwrap_or(u32::MAX);
    let mut page = [0; PAGE];
    let mut put = |at: usize, bytes: &[u8]| {
        page.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
    };
    put(1024, &1_u32.to_le_bytes());
    put(1028, &last_page.to_le_bytes());
    put(1036, uuid.as_bytes());
    put(1052, LABEL.as_bytes());
    put(PAGE - 10, b"SWAPSPACE2");
    Some(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_mkswaps() {
        let uuid = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        let page = header(64 << 20, uuid).unwrap();
        assert_eq!(page[1024..1036], [1, 0, 0, 0, 0xff, 0x3f, 0, 0, 0, 0, 0, 0]);
        assert_eq!(page[1036..1052], *uuid.as_bytes());
        assert_eq!(page[1052..1068], *b"XLFS-SWAP\0\0\0\0\0\0\0");
        assert_eq!(page[4086..], *b"SWAPSPACE2");
        assert!(header(9 * 4096 + 4095, uuid).is_none());
        assert!(header(10 * 4096, uuid).is_some());
    }
}
