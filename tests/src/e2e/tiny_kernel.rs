//! Kernels of a few instructions, and everything that can be wrong with one:
//! the same that the parser's own tests are made of.

#[path = "../../../xlfsd/xen/tests/kernel_images/mod.rs"]
mod kernel_images;

use std::collections::HashSet;

use kernel_images::malformed;
pub(super) use kernel_images::malformed::Malformed;

/// Where its first instruction is in its code segment.
const ENTRY: usize = 0x40;
/// `ud2`, for which it has set up no handler.
const UD2: [u8; 2] = [0x0f, 0x0b];

/// A kernel whose domain crashes at its first instruction.
pub(super) fn crashing() -> Vec<u8> {
    let mut kernel = kernel_images::kernel_with(kernel_images::plain_notes());
    for (byte, new) in kernel.phdrs[0].content.iter_mut().skip(ENTRY).zip(UD2) {
        *byte = new;
    }
    kernel.bytes()
}

/// A malformed image for each error that the parser knows.
pub(super) fn malformed() -> Vec<Malformed> {
    let mut seen = HashSet::new();
    malformed::all().into_iter().filter(|one| seen.insert(one.error)).collect()
}
