//! The start_info page and the other small things that a kernel finds at its
//! start. Source: public/xen.h.

use super::Built;
use super::layout::Layout;
use crate::abi::Layouts;
use crate::abi::numbers::{
    GNTTAB_RESERVED_CONSOLE, GNTTAB_RESERVED_XENSTORE, GTF_PERMIT_ACCESS, PAGE_SIZE,
    SIF_MOD_START_PFN,
};

/// What every 64-bit PV kernel expects in `magic`.
const MAGIC: &[u8] = b"xen-3.0-x86_64";

/// vCPUs whose state stands in the shared-info page.
const LEGACY_VCPUS: usize = 32;

/// Bytes of a start_info page.
pub(super) fn start_info(
    layouts: &Layouts,
    layout: &Layout,
    built: &Built,
    shared_info_frame: u64,
    ramdisk_len: u64,
    command_line: &str,
) -> Vec<u8> {
    let fields = &layouts.start_info;
    let mut page = vec![0; PAGE_SIZE];
    let mut magic = [0; 32];
    magic[..MAGIC.len()].copy_from_slice(MAGIC);
    fields.magic.put(&mut page, magic);
    fields.nr_pages.put(&mut page, layout.pages);
    fields.shared_info.put(&mut page, shared_info_frame * PAGE_SIZE as u64);
    fields.store_mfn.put(&mut page, built.store_mfn);
    fields.store_evtchn.put(&mut page, built.store_port);
    fields.console_mfn.put(&mut page, built.console_mfn);
    fields.console_evtchn.put(&mut page, built.console_port);
    fields.pt_base.put(&mut page, layout.virt(layout.page_tables.first));
    fields.nr_pt_frames.put(&mut page, layout.page_tables.pages);
    fields.mfn_list.put(&mut page, layout.p2m_virt());
    if let Some(high) = &layout.high_p2m {
        fields.first_p2m_pfn.put(&mut page, layout.p2m.first);
        fields.nr_p2m_frames.put(&mut page, layout.p2m.pages + high.tables.pages);
    }
    match layout.ramdisk {
        Some((region, true)) => {
            fields.mod_start.put(&mut page, layout.virt(region.first));
            fields.mod_len.put(&mut page, ramdisk_len);
        }
        Some((region, false)) => {
            fields.flags.put(&mut page, SIF_MOD_START_PFN);
            fields.mod_start.put(&mut page, region.first);
            fields.mod_len.put(&mut page, ramdisk_len);
        }
        None => {}
    }
    let text = fields.cmd_line.of_mut(&mut page);
    // The last byte stays NUL; longer lines were refused before.
    let room = text.len() - 1;
    let line = &command_line.as_bytes()[..command_line.len().min(room)];
    text[..line.len()].copy_from_slice(line);
    page
}

/// Sets up a zeroed shared-info page: every vCPU begins with events masked.
pub(super) fn shared_info(layouts: &Layouts, page: &mut [u8]) {
    let size = layouts.shared_vcpu_info.size;
    let vcpus = layouts.shared_info.vcpu_info.of_mut(page);
    for vcpu in vcpus.chunks_exact_mut(size).take(LEGACY_VCPUS) {
        layouts.shared_vcpu_info.evtchn_upcall_mask.put(vcpu, 1);
    }
}

/// Grants Dom0 the console ring and the xenstore ring, under the references
/// that are reserved for them.
pub(super) fn grants(layouts: &Layouts, page: &mut [u8], built: &Built) {
    let layout = &layouts.grant_entry;
    let grants =
        [(GNTTAB_RESERVED_CONSOLE, built.console_mfn), (GNTTAB_RESERVED_XENSTORE, built.store_mfn)];
    for (reference, mfn) in grants {
        let entry = &mut page[reference as usize * layout.size..][..layout.size];
        layout.domid.put(entry, 0);
        layout.frame.put(entry, mfn as u32);
        layout.flags.put(entry, GTF_PERMIT_ACCESS);
    }
}
