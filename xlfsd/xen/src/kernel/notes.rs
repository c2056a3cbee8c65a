//! The Xen notes of a kernel: public/elfnote.h.
//!
//! A note is three 4-byte words (size of the name, size of the content, type),
//! then the name and the content, each padded to 4 bytes. The walk always
//! moves on by at least twelve bytes, and both the bytes and the notes it may
//! look at are capped over the whole image.

use super::error::{Error, Part};
use super::features::{self, FeatureSet};
use super::image::{Fields, ReadAt, read_vec};
use super::limits::Limits;
use super::plan::PaeMode;
use super::text::clean;

/// What the notes, or their predecessor `__xen_guest`, say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct XenNotes {
    pub(super) entry: Option<u64>,
    pub(super) hypercall_page: Option<u64>,
    pub(super) virt_base: Option<u64>,
    pub(super) paddr_offset: Option<u64>,
    pub(super) init_p2m: Option<u64>,
    pub(super) hv_start_low: Option<u64>,
    pub(super) phys32_entry: bool,
    pub(super) mod_start_pfn: bool,
    pub(super) suspend_cancel: bool,
    pub(super) bsd_symtab: bool,
    pub(super) pae_mode: PaeMode,
    pub(super) features_supported: FeatureSet,
    pub(super) features_required: FeatureSet,
    pub(super) guest_os: String,
    pub(super) guest_version: String,
    pub(super) xen_version: String,
    pub(super) loader: String,
    /// Whether they came as a `__xen_guest` string: PADDR_OFFSET then defaults
    /// to VIRT_BASE, not 0.
    pub(super) legacy: bool,
}

/// How much of the caps in [`Limits`] is left.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: u64,
    notes: u32,
}

impl Budget {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { bytes: limits.note_bytes, notes: limits.notes }
    }
}

impl XenNotes {
    /// Reads the notes in one segment or section, and returns how many of them
    /// are Xen's.
    pub(super) fn read(
        &mut self,
        file: &(impl ReadAt + ?Sized),
        (offset, size): (u64, u64),
        limits: &Limits,
        budget: &mut Budget,
    ) -> Result<u32, Error> {
        let what = Part::Notes;
        budget.bytes = budget
            .bytes
            .checked_sub(size)
            .ok_or(Error::TooMany { what, limit: limits.note_bytes })?;
        // The budget has bounded it by note_bytes.
        let bytes = read_vec(file, what, offset, usize::try_from(size).unwrap_or(usize::MAX))?;
        let mut rest = Fields(&bytes);
        let mut found = 0;
        while rest.0.len() >= 12 {
            budget.notes = budget
                .notes
                .checked_sub(1)
                .ok_or(Error::TooMany { what, limit: limits.notes.into() })?;
            let at = offset + size - rest.0.len() as u64;
            let have = rest.0.len() as u64;
            let Some((name, kind, content)) = next(&mut rest) else {
                return Err(Error::Truncated { what, at, need: have + 1, have });
            };
            if name == b"Xen\0" {
                self.take(kind, content)?;
                found += 1;
            }
        }
        Ok(found)
    }

    /// Takes in one note. Types that do not matter to a PV builder are skipped,
    /// as are those that are newer than this code.
    fn take(&mut self, kind: u32, content: &[u8]) -> Result<(), Error> {
        match kind {
            1 => self.entry = Some(number("ENTRY", content)?),
            2 => self.hypercall_page = Some(number("HYPERCALL_PAGE", content)?),
            3 => self.virt_base = Some(number("VIRT_BASE", content)?),
            4 => self.paddr_offset = Some(number("PADDR_OFFSET", content)?),
            5 => self.xen_version = clean(content),
            6 => self.guest_os = clean(content),
            7 => self.guest_version = clean(content),
            8 => self.loader = clean(content),
            9 => self.pae_mode = PaeMode::from_note(string(content)),
            10 => {
                let (supported, required) = features::parse(string(content))?;
                self.features_supported.extend(supported);
                self.features_required.extend(required);
            }
            11 => self.bsd_symtab = string(content) == b"yes",
            12 => self.hv_start_low = Some(number("HV_START_LOW", content)?),
            14 => self.suspend_cancel = number("SUSPEND_CANCEL", content)? != 0,
            15 => self.init_p2m = Some(number("INIT_P2M", content)?),
            16 => self.mod_start_pfn = number("MOD_START_PFN", content)? != 0,
            17 => {
                // An array of 32-bit submaps, of which there is one today.
                let submap = Fields(content).u32().ok_or_else(|| Error::BadNote {
                    name: "SUPPORTED_FEATURES".into(),
                    reason: format!("{} bytes, fewer than 4", content.len()),
                })?;
                self.features_supported.extend(FeatureSet::from_bits(submap));
            }
            18 => self.phys32_entry = true,
            _ => {}
        }
        Ok(())
    }
}

/// Takes the next note off `rest`: name, type, content.
fn next<'a>(rest: &mut Fields<'a>) -> Option<(&'a [u8], u32, &'a [u8])> {
    let (name_size, content_size, kind) = (rest.u32()?, rest.u32()?, rest.u32()?);
    let name = padded(rest, name_size)?;
    let content = padded(rest, content_size)?;
    Some((name, kind, content))
}

/// Takes `size` bytes and the padding after them. Only the last note of a
/// segment may lack its padding.
fn padded<'a>(rest: &mut Fields<'a>, size: u32) -> Option<&'a [u8]> {
    let size = usize::try_from(size).ok()?;
    let bytes = rest.take(size)?;
    let padding = size.next_multiple_of(4) - size;
    rest.take(padding.min(rest.0.len()))?;
    Some(bytes)
}

/// A number of 1, 2, 4 or 8 bytes, as Xen takes them.
fn number(name: &str, content: &[u8]) -> Result<u64, Error> {
    if !matches!(content.len(), 1 | 2 | 4 | 8) {
        let reason = format!("a number of {} bytes, not 1, 2, 4 or 8", content.len());
        return Err(Error::BadNote { name: name.into(), reason });
    }
    Ok(content.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

/// The bytes before the first NUL, of at most 4096.
fn string(content: &[u8]) -> &[u8] {
    content.split(|b| *b == 0).next().map_or(&[], |text| text.get(..4096).unwrap_or(text))
}
