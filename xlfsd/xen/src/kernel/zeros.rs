//! Where a kernel's content is nothing but zeros.
//!
//! Linux's ELF file carries its `.bss` and the room for early page tables as
//! content: half of a distribution's kernel is zeros. Here they are taken out
//! of the plan, once for each image. A segment is split so that its zeros come
//! after its content, where every plan has them anyway; the domain builder has
//! the hypervisor clear such memory and neither maps nor copies it.

use super::error::{Error, Part};
use super::image::{ReadAt, read_exact};
use super::plan::Segment;

/// The piece that is looked at, in bytes. A run shorter than this stays.
const PIECE: u64 = 64 * 1024;
/// A piece that has content mostly shows it in its first bytes.
const GLANCE: usize = 512;

/// Splits `segments`, whose content lies inside the payload, at their zeros,
/// into at most `most` segments.
pub(super) fn leave_out(
    segments: &[Segment],
    payload: &(impl ReadAt + ?Sized),
    most: usize,
) -> Result<Vec<Segment>, Error> {
    let mut out: Vec<Segment> = Vec::with_capacity(most);
    let mut buffer = vec![0; PIECE as usize];
    for (index, segment) in segments.iter().enumerate() {
        let mut left = *segment;
        // Room that the segments behind this one need.
        let reserved = segments.len() - index - 1;
        while let Some((content, zeros)) = first_zeros(&left, payload, &mut buffer)? {
            if out.len() + reserved + 2 > most {
                break;
            }
            let taken = content + zeros;
            // The last piece keeps what is behind the content too.
            let whole = taken == left.file_size;
            let mem_size = if whole { left.mem_size } else { taken };
            out.push(Segment { file_size: content, mem_size, ..left });
            left.vaddr = left.vaddr.saturating_add(taken);
            left.file_offset = left.file_offset.saturating_add(taken);
            left.file_size -= taken;
            left.mem_size -= mem_size;
        }
        if left.mem_size > 0 {
            out.push(left);
        }
    }
    Ok(out)
}

/// The first run of zero pieces of a segment: bytes before it, and its own.
fn first_zeros(
    segment: &Segment,
    payload: &(impl ReadAt + ?Sized),
    buffer: &mut [u8],
) -> Result<Option<(u64, u64)>, Error> {
    let mut start = None;
    let mut at = 0;
    while at < segment.file_size {
        let len = PIECE.min(segment.file_size - at);
        let offset = segment.file_offset.saturating_add(at);
        let zero = len == PIECE && is_zero(payload, offset, buffer)?;
        match (start, zero) {
            (None, true) => start = Some(at),
            (Some(start), false) => return Ok(Some((start, at - start))),
            _ => {}
        }
        at += len;
    }
    Ok(start.map(|start| (start, segment.file_size - start)))
}

fn is_zero(
    payload: &(impl ReadAt + ?Sized),
    offset: u64,
    buffer: &mut [u8],
) -> Result<bool, Error> {
    let (head, _) = buffer.split_at_mut(GLANCE.min(buffer.len()));
    read_exact(payload, Part::Payload, offset, head)?;
    if head.iter().any(|byte| *byte != 0) {
        return Ok(false);
    }
    read_exact(payload, Part::Payload, offset, buffer)?;
    Ok(buffer.iter().all(|byte| *byte == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: usize = PIECE as usize;

    fn segment(file_offset: u64, file_size: u64, mem_size: u64) -> Segment {
        Segment { vaddr: 0x100_0000 + file_offset, file_offset, file_size, mem_size }
    }

    /// What a builder makes of segments: the memory from the first address on.
    fn memory(segments: &[Segment], payload: &[u8]) -> Vec<u8> {
        let base = segments[0].vaddr;
        let mut out = Vec::new();
        for s in segments {
            assert_eq!(base + out.len() as u64, s.vaddr, "no hole");
            let from = s.file_offset as usize;
            out.extend(&payload[from..from + s.file_size as usize]);
            out.resize((s.vaddr - base + s.mem_size) as usize, 0);
        }
        out
    }

    #[test]
    fn zeros_are_left_out_and_the_memory_is_the_same() {
        let mut payload = vec![7; 9 * P + 100];
        payload[2 * P..5 * P].fill(0);
        payload[6 * P + 1..9 * P].fill(0);
        let whole = [segment(0, payload.len() as u64, payload.len() as u64 + 5000)];
        let split = leave_out(&whole, payload.as_slice(), 64).unwrap();
        assert_eq!(memory(&split, &payload), memory(&whole, &payload));
        let content: u64 = split.iter().map(|s| s.file_size).sum();
        assert_eq!(content as usize, 4 * P + 100, "{split:?}");
    }

    #[test]
    fn a_segment_of_zeros_has_no_content() {
        let payload = vec![0; 3 * P];
        let whole = [segment(0, 3 * PIECE, 4 * PIECE)];
        let split = leave_out(&whole, payload.as_slice(), 64).unwrap();
        assert_eq!(split, [Segment { file_size: 0, ..whole[0] }]);
    }

    #[test]
    fn there_are_never_more_than_allowed() {
        let mut payload = vec![0; 40 * P];
        payload.chunks_mut(2 * P).for_each(|pair| pair[0] = 1);
        let whole = [segment(0, 38 * PIECE, 38 * PIECE), segment(38 * PIECE, 2 * PIECE, 2 * PIECE)];
        for most in 2..30 {
            let split = leave_out(&whole, payload.as_slice(), most).unwrap();
            assert!(split.len() <= most, "{} of {most}", split.len());
            assert_eq!(memory(&split, &payload), memory(&whole, &payload));
        }
    }

    #[test]
    fn a_payload_that_ends_too_early_is_refused() {
        let payload = vec![0; P];
        assert!(leave_out(&[segment(0, 2 * PIECE, 2 * PIECE)], payload.as_slice(), 64).is_err());
    }
}
