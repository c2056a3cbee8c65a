//! Every struct that this crate encodes or decodes, member by member.
//!
//! A member that some releases lack is an `Option`; one that changed its name
//! is looked up under each. A struct that some releases lack is an `Option` in
//! [`Layouts`]. Sources: xen/include/public/{domctl,sysctl,memory,xen,
//! grant_table,event_channel}.h and arch-x86/xen{,-x86_64}.h of each release.

mod domctl;
mod guest;
mod member;
mod sysctl;

use super::data::AbiData;
use super::field::LayoutError;

pub use domctl::*;
pub use guest::*;
pub use sysctl::*;

macro_rules! all {
    ($(req $field:ident: $name:ident,)* ; $(opt $ofield:ident: $oname:ident,)*) => {
        /// The layouts of one release.
        #[derive(Debug, Clone)]
        #[allow(missing_docs, reason = "each type is documented above")]
        pub struct Layouts {
            $(pub $field: $name,)*
            $(pub $ofield: Option<$oname>,)*
        }

        impl Layouts {
            pub(super) fn resolve(data: &AbiData) -> Result<Self, LayoutError> {
                Ok(Self {
                    $($field: $name::resolve(data)?,)*
                    $($ofield: $oname::resolve_optional(data)?,)*
                })
            }

            #[cfg(test)]
            fn each(&self, mut check: impl FnMut(
                &'static str, Option<(usize, Vec<(&'static [&'static str], Option<(usize, usize)>)>)>
            )) {
                $(check($name::C_NAME, Some((self.$field.size, self.$field.members())));)*
                $(check($oname::C_NAME, self.$ofield.as_ref().map(|l| (l.size, l.members())));)*
            }
        }
    };
}

all! {
    req domctl: Domctl,
    req create_domain: CreateDomain,
    req domain_info: DomainInfo,
    req max_mem: MaxMem,
    req max_vcpus: MaxVcpus,
    req vcpu_context: VcpuContext,
    req vcpu_info: VcpuInfo,
    req vcpu_affinity: VcpuAffinity,
    req scheduler_op: SchedulerOp,
    req sched_credit: SchedCredit,
    req sched_credit2: SchedCredit2,
    req hypercall_init: HypercallInit,
    req sysctl: Sysctl,
    req phys_info: PhysInfo,
    req read_console: ReadConsole,
    req domain_info_list: DomainInfoList,
    req numa_info: NumaInfo,
    req sched_id: SchedId,
    req memory_reservation: MemoryReservation,
    req guest_context: GuestContext,
    req user_regs: UserRegs,
    req start_info: StartInfo,
    req console_ring: ConsoleRing,
    req setup_table: SetupTable,
    req grant_entry: GrantEntry,
    req mmuext_op: MmuextOp,
    req alloc_unbound: AllocUnbound,
    req shared_info: SharedInfo,
    req shared_vcpu_info: SharedVcpuInfo,
    ;
    opt bitmap: Bitmap,
    opt cpu_map: CpuMap,
    opt cpuid: Cpuid,
    opt gnttab_limits: GnttabLimits,
    opt topology_info: TopologyInfo,
    opt cpu_topo_info: CpuTopoInfo,
    opt cpu_topology: CpuTopology,
    opt mem_info: MemInfo,
}

#[cfg(test)]
mod tests {
    use crate::abi::{Abi, all_releases};

    /// Every struct, on every release, member by member: at the data's offset,
    /// of the data's size, inside the struct, and a missing one truly absent.
    #[test]
    fn every_struct_is_where_the_data_says() {
        let mut checked = 0;
        for data in all_releases() {
            let abi = Abi::from_data(&data).unwrap();
            abi.layouts.each(|name, layout| {
                let at = format!("Xen {}, struct {name}", data.version);
                let raw = data.layout(name);
                let Some((size, members)) = layout else {
                    assert!(raw.is_none(), "{at}: in the data, not in the layouts");
                    return;
                };
                let raw = raw.unwrap_or_else(|| panic!("{at}: not in the data"));
                assert_eq!(size, raw.size, "{at}");
                for (names, place) in members {
                    let found = names.iter().find_map(|n| raw.members.get(*n));
                    assert_eq!(place, found.map(|m| (m.0, m.1)), "{at}, member {names:?}");
                    if let Some((offset, bytes)) = place {
                        assert!(offset + bytes <= size, "{at}, member {names:?}");
                        checked += 1;
                    }
                }
            });
        }
        assert!(checked > 21 * 120, "only {checked} members checked");
    }

    /// A value put into a member is found at the data's offset, and nowhere else.
    #[test]
    fn a_member_is_written_where_the_data_says() {
        for data in all_releases() {
            let abi = Abi::from_data(&data).unwrap();
            let layout = &abi.layouts.domain_info;
            let mut bytes = layout.zeroed();
            layout.tot_pages.put(&mut bytes, 0x0102_0304_0506_0708);
            let raw = &data.layout("xen_domctl_getdomaininfo").unwrap().members["tot_pages"];
            for (i, byte) in bytes.iter().enumerate() {
                let expected =
                    if (raw.0..raw.0 + 8).contains(&i) { 8 - (i - raw.0) as u8 } else { 0 };
                assert_eq!(*byte, expected, "Xen {}, byte {i}", data.version);
            }
            assert_eq!(layout.tot_pages.get(&bytes), 0x0102_0304_0506_0708);
        }
    }
}
