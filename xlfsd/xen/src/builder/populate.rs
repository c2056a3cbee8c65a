//! A domain's memory: 2 MiB extents first, 4 KiB where the host is fragmented.

use super::BuildError;
use crate::abi::numbers::SUPERPAGE_ORDER;
use crate::hypercall::{DomainId, Extents, Xen};

/// Pages of a 2 MiB extent.
const SUPERPAGE: u64 = 1 << SUPERPAGE_ORDER;
/// Extents in one hypercall: enough to make the calls' cost vanish, few enough
/// that cancelling is prompt.
const BATCH: u64 = 256;

/// The machine frame of each of the guest's frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct P2m(Vec<u64>);

impl P2m {
    /// Machine frames, by guest frame number.
    #[must_use]
    pub fn frames(&self) -> &[u64] {
        &self.0
    }

    /// The machine frame of a guest frame inside the domain's memory.
    #[must_use]
    pub fn mfn(&self, pfn: u64) -> u64 {
        self.0.get(pfn as usize).copied().unwrap_or(u64::MAX)
    }

    /// For tests: the identity, shifted.
    #[cfg(test)]
    pub(super) fn shifted(pages: u64, by: u64) -> Self {
        Self((by..by + pages).collect())
    }
}

pub(super) fn populate(
    xen: &Xen,
    domid: DomainId,
    pages: u64,
    cancelled: &dyn Fn() -> bool,
) -> Result<P2m, BuildError> {
    let mut frames: Vec<u64> = Vec::with_capacity(pages as usize);
    fill(&mut frames, pages, cancelled, |pfns, order| {
        xen.populate(domid, Extents { pfns, order }).map_err(BuildError::from)
    })?;
    Ok(P2m(frames))
}

/// The strategy, apart from the hypercall: `give` answers with the first
/// machine frame of each extent that it populated, perhaps of fewer than asked.
fn fill(
    frames: &mut Vec<u64>,
    pages: u64,
    cancelled: &dyn Fn() -> bool,
    mut give: impl FnMut(&[u64], u32) -> Result<Vec<u64>, BuildError>,
) -> Result<(), BuildError> {
    // Where large extents ran out, they are not tried again before this frame.
    let mut small_until = 0;
    while (frames.len() as u64) < pages {
        if cancelled() {
            return Err(BuildError::Cancelled);
        }
        let next = frames.len() as u64;
        let left = pages - next;
        let large = next >= small_until && left >= SUPERPAGE && next.is_multiple_of(SUPERPAGE);
        let (order, step) = if large { (SUPERPAGE_ORDER, SUPERPAGE) } else { (0, 1) };
        // Small extents go up to the next place where a large one may be tried.
        let end = if large { pages } else { pages.min((next + 1).next_multiple_of(SUPERPAGE)) };
        let count = ((end - next) / step).min(if large { BATCH } else { SUPERPAGE });
        let pfns: Vec<u64> = (0..count).map(|i| next + i * step).collect();
        let given = give(&pfns, order)?;
        for mfn in given.iter().take(pfns.len()) {
            frames.extend(*mfn..mfn + step);
        }
        if given.len() >= pfns.len() {
            continue;
        }
        if order == 0 {
            return Err(BuildError::OutOfMemory { wanted: pages, got: frames.len() as u64 });
        }
        small_until = frames.len() as u64 + 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host with some large extents, then only small ones, up to a limit.
    struct Host {
        large: usize,
        pages: u64,
        given: Vec<(u64, u32)>,
    }

    impl Host {
        fn give(&mut self, pfns: &[u64], order: u32) -> Vec<u64> {
            let mut out = Vec::new();
            for pfn in pfns {
                if order > 0 && self.large == 0 || self.pages < 1 << order {
                    break;
                }
                self.large -= usize::from(order > 0);
                self.pages -= 1 << order;
                self.given.push((*pfn, order));
                out.push(0x10_0000 + pfn);
            }
            out
        }
    }

    fn run(large: usize, host: u64, pages: u64) -> (Result<Vec<u64>, BuildError>, Host) {
        let mut host = Host { large, pages: host, given: Vec::new() };
        let mut frames = Vec::new();
        let result = fill(&mut frames, pages, &|| false, |p, o| Ok(host.give(p, o)));
        (result.map(|()| frames), host)
    }

    fn expect_whole(frames: &[u64], pages: u64) {
        assert_eq!(frames, (0x10_0000..0x10_0000 + pages).collect::<Vec<_>>());
    }

    #[test]
    fn all_large_but_the_tail() {
        let (frames, host) = run(usize::MAX, u64::MAX, 3 * 512 + 7);
        expect_whole(&frames.unwrap(), 3 * 512 + 7);
        assert_eq!(host.given.iter().filter(|g| g.1 > 0).count(), 3);
        assert_eq!(host.given.len(), 3 + 7);
    }

    #[test]
    fn a_fragmented_host_is_filled_with_small_extents() {
        for large in 0..4 {
            let (frames, host) = run(large, u64::MAX, 8192 + 1);
            expect_whole(&frames.unwrap(), 8192 + 1);
            assert_eq!(host.given.iter().filter(|g| g.1 > 0).count(), large);
        }
    }

    #[test]
    fn a_full_host_is_an_error_that_counts() {
        let (frames, _) = run(usize::MAX, 1000, 2048);
        let Err(BuildError::OutOfMemory { wanted, got }) = frames else { panic!("{frames:?}") };
        assert_eq!((wanted, got), (2048, 1000));
    }

    #[test]
    fn cancelling_stops_it() {
        let mut frames = Vec::new();
        let result = fill(&mut frames, 10, &|| true, |_, _| Ok(Vec::new()));
        assert!(matches!(result, Err(BuildError::Cancelled)));
    }
}
