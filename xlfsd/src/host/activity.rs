//! What a block device of Dom0 has been doing, as the kernel counts
//! (Documentation/block/stat.rst of Linux).

use std::io;
use std::path::Path;

use super::BlockNumber;

/// Where the kernel shows block devices by their numbers.
const DEVICES: &str = "/sys/dev/block";

/// A block device at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activity {
    /// Requests that are under way.
    pub in_flight: u64,
    /// Requests that changed something, since the device is there.
    pub writes: u64,
}

impl Activity {
    pub(super) fn of(block: BlockNumber) -> io::Result<Self> {
        let BlockNumber { major, minor } = block;
        let path = Path::new(DEVICES).join(format!("{major}:{minor}/stat"));
        let text = std::fs::read_to_string(path)?;
        Self::parse(&text).ok_or_else(|| io::Error::other("the kernel counts in another way"))
    }

    /// Reads come first, then writes and what is in flight; discards were added
    /// behind in Linux 4.18.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<u64> = text.split_whitespace().map_while(|n| n.parse().ok()).collect();
        let discards = fields.get(11).copied().unwrap_or_default();
        Some(Self { in_flight: *fields.get(8)?, writes: fields.get(4)?.wrapping_add(discards) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_kernels_old_and_new_write() {
        let new = "  36 1 2 3  12 4 5 6  2 7 8  5 0 40 1 9 1\n";
        assert_eq!(Activity::parse(new), Some(Activity { in_flight: 2, writes: 17 }));
        let old = "36 1 2 3 12 4 5 6 0 7 8\n";
        assert_eq!(Activity::parse(old), Some(Activity { in_flight: 0, writes: 12 }));
        for bad in ["", "1 2 3", "a b c d e f g h i j k"] {
            assert_eq!(Activity::parse(bad), None, "{bad}");
        }
    }
}
