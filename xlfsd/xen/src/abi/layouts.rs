//! Every struct that this crate encodes or decodes, member by member.
//!
//! A member that some releases lack is an `Option`; one that changed its name
//! is looked up under each. A struct that some releases lack is an `Option` in
//! [`Layouts`]. Sources: xen/include/public/{domctl,sysctl,memory,xen,
//! grant_table,event_channel}.h and arch-x86/xen{,-x86_64}.h of each release.

use super::data::AbiData;
use super::field::{Field, LayoutError, Nested, resolve};

macro_rules! field_type {
    (req $t:ty) => { Field<$t> };
    (opt $t:ty) => { Option<Field<$t>> };
}

macro_rules! field_value {
    (req $data:ident $c:literal $found:expr, $names:expr) => {
        $found.ok_or(LayoutError::NoMember { name: $c, member: $names[0] })?
    };
    (opt $data:ident $c:literal $found:expr, $names:expr) => {
        $found
    };
}

macro_rules! layout {
    ($(#[$doc:meta])* $name:ident = $c:literal {
        $($need:ident $field:ident: $t:ty = $($member:literal)|+,)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        #[allow(missing_docs, reason = "members are documented in Xen's headers under their names in C")]
        pub struct $name {
            /// Bytes of the whole struct.
            pub size: usize,
            $(pub $field: field_type!($need $t),)*
        }

        impl $name {
            /// The struct's name in C.
            pub const C_NAME: &'static str = $c;

            fn resolve(data: &AbiData) -> Result<Self, LayoutError> {
                let size = data.layout($c).ok_or(LayoutError::NoStruct { name: $c })?.size;
                Ok(Self {
                    size,
                    $($field: {
                        const NAMES: &[&str] = &[$($member),+];
                        let found = resolve::<$t>(data, $c, NAMES)?;
                        field_value!($need data $c found, NAMES)
                    },)*
                })
            }

            #[allow(dead_code, reason = "only for structs that some releases lack")]
            fn resolve_optional(data: &AbiData) -> Result<Option<Self>, LayoutError> {
                data.layout($c).map(|_| Self::resolve(data)).transpose()
            }

            /// A zeroed buffer for one of it.
            #[must_use]
            pub fn zeroed(&self) -> Vec<u8> {
                vec![0; self.size]
            }

            #[cfg(test)]
            fn members(&self) -> Vec<(&'static [&'static str], Option<(usize, usize)>)> {
                trait Place { fn place(&self) -> Option<(usize, usize)>; }
                impl<T> Place for Field<T> {
                    fn place(&self) -> Option<(usize, usize)> { Some((self.offset, self.size)) }
                }
                impl<T> Place for Option<Field<T>> {
                    fn place(&self) -> Option<(usize, usize)> {
                        self.as_ref().map(|f| (f.offset, f.size))
                    }
                }
                vec![$((&[$($member),+] as &[&str], self.$field.place())),*]
            }
        }
    };
}

layout! {
    /// The envelope of every domctl.
    Domctl = "xen_domctl" {
        req cmd: u32 = "cmd",
        req interface_version: u32 = "interface_version",
        req domain: u16 = "domain",
        req u: Nested = "u",
    }
}

layout! {
    /// `XEN_DOMCTL_createdomain`; what a PV domain's limits are since 4.12.
    CreateDomain = "xen_domctl_createdomain" {
        req handle: [u8; 16] = "handle",
        req flags: u32 = "flags",
        opt max_vcpus: u32 = "max_vcpus",
        opt max_evtchn_port: u32 = "max_evtchn_port",
        opt max_grant_frames: u32 = "max_grant_frames",
        opt max_maptrack_frames: u32 = "max_maptrack_frames",
        opt grant_opts: u32 = "grant_opts",
        opt cpupool_id: u32 = "cpupool_id",
    }
}

layout! {
    /// `XEN_DOMCTL_getdomaininfo`, and the entries of the sysctl that lists domains.
    DomainInfo = "xen_domctl_getdomaininfo" {
        req domain: u16 = "domain",
        req flags: u32 = "flags",
        req tot_pages: u64 = "tot_pages",
        req max_pages: u64 = "max_pages",
        req shared_info_frame: u64 = "shared_info_frame",
        req cpu_time: u64 = "cpu_time",
        req nr_online_vcpus: u32 = "nr_online_vcpus",
        req max_vcpu_id: u32 = "max_vcpu_id",
        req handle: [u8; 16] = "handle",
        req cpupool: u32 = "cpupool",
    }
}

layout! {
    /// `XEN_DOMCTL_max_mem`.
    MaxMem = "xen_domctl_max_mem" { req max_memkb: u64 = "max_memkb", }
}

layout! {
    /// `XEN_DOMCTL_max_vcpus`.
    MaxVcpus = "xen_domctl_max_vcpus" { req max: u32 = "max", }
}

layout! {
    /// `XEN_DOMCTL_setvcpucontext`.
    VcpuContext = "xen_domctl_vcpucontext" {
        req vcpu: u32 = "vcpu",
        req ctxt: u64 = "ctxt",
    }
}

layout! {
    /// `XEN_DOMCTL_getvcpuinfo`.
    VcpuInfo = "xen_domctl_getvcpuinfo" {
        req vcpu: u32 = "vcpu",
        req online: u8 = "online",
        req blocked: u8 = "blocked",
        req running: u8 = "running",
        req cpu_time: u64 = "cpu_time",
        req cpu: u32 = "cpu",
    }
}

layout! {
    /// `XEN_DOMCTL_setvcpuaffinity`: one map until 4.4, a hard and a soft one since 4.5.
    VcpuAffinity = "xen_domctl_vcpuaffinity" {
        req vcpu: u32 = "vcpu",
        opt flags: u32 = "flags",
        req cpumap: Nested = "cpumap" | "cpumap_hard",
    }
}

layout! {
    /// A bitmap by handle, since 4.3.
    Bitmap = "xenctl_bitmap" {
        req bitmap: u64 = "bitmap",
        req bits: u32 = "nr_bits",
    }
}

layout! {
    /// A CPU map by handle, in 4.2.
    CpuMap = "xenctl_cpumap" {
        req bitmap: u64 = "bitmap",
        req bits: u32 = "nr_cpus",
    }
}

layout! {
    /// `XEN_DOMCTL_scheduler_op`.
    SchedulerOp = "xen_domctl_scheduler_op" {
        req sched_id: u32 = "sched_id",
        req cmd: u32 = "cmd",
        req credit: Nested = "u.credit",
        req credit2: Nested = "u.credit2",
    }
}

layout! {
    /// The credit scheduler's weight and cap (percent of a CPU, 0 for none).
    SchedCredit = "xen_domctl_sched_credit" {
        req weight: u16 = "weight",
        req cap: u16 = "cap",
    }
}

layout! {
    /// The credit2 scheduler's weight, and its cap since 4.10.
    SchedCredit2 = "xen_domctl_sched_credit2" {
        req weight: u16 = "weight",
        opt cap: u16 = "cap",
    }
}

layout! {
    /// `XEN_DOMCTL_hypercall_init`.
    HypercallInit = "xen_domctl_hypercall_init" { req gmfn: u64 = "gmfn", }
}

layout! {
    /// `XEN_DOMCTL_set_cpuid`, until 4.12.
    Cpuid = "xen_domctl_cpuid" {
        req input: [u8; 8] = "input",
        req eax: u32 = "eax",
        req ebx: u32 = "ebx",
        req ecx: u32 = "ecx",
        req edx: u32 = "edx",
    }
}

layout! {
    /// `XEN_DOMCTL_set_gnttab_limits`, 4.10 and 4.11.
    GnttabLimits = "xen_domctl_set_gnttab_limits" {
        req grant_frames: u32 = "grant_frames",
        req maptrack_frames: u32 = "maptrack_frames",
    }
}

layout! {
    /// The envelope of every sysctl.
    Sysctl = "xen_sysctl" {
        req cmd: u32 = "cmd",
        req interface_version: u32 = "interface_version",
        req u: Nested = "u",
    }
}

layout! {
    /// `XEN_SYSCTL_physinfo`.
    PhysInfo = "xen_sysctl_physinfo" {
        req threads_per_core: u32 = "threads_per_core",
        req cores_per_socket: u32 = "cores_per_socket",
        req nr_cpus: u32 = "nr_cpus",
        req max_cpu_id: u32 = "max_cpu_id",
        req nr_nodes: u32 = "nr_nodes",
        req cpu_khz: u32 = "cpu_khz",
        req total_pages: u64 = "total_pages",
        req free_pages: u64 = "free_pages",
        req scrub_pages: u64 = "scrub_pages",
        opt outstanding_pages: u64 = "outstanding_pages",
    }
}

layout! {
    /// `XEN_SYSCTL_readconsole`.
    ReadConsole = "xen_sysctl_readconsole" {
        req clear: u8 = "clear",
        req incremental: u8 = "incremental",
        req index: u32 = "index",
        req buffer: u64 = "buffer",
        req count: u32 = "count",
    }
}

layout! {
    /// `XEN_SYSCTL_getdomaininfolist`.
    DomainInfoList = "xen_sysctl_getdomaininfolist" {
        req first_domain: u16 = "first_domain",
        req max_domains: u32 = "max_domains",
        req buffer: u64 = "buffer",
        req num_domains: u32 = "num_domains",
    }
}

layout! {
    /// `XEN_SYSCTL_topologyinfo`, until 4.5: three arrays.
    TopologyInfo = "xen_sysctl_topologyinfo" {
        req max_cpu_index: u32 = "max_cpu_index",
        req cpu_to_core: u64 = "cpu_to_core",
        req cpu_to_socket: u64 = "cpu_to_socket",
        req cpu_to_node: u64 = "cpu_to_node",
    }
}

layout! {
    /// `XEN_SYSCTL_cputopoinfo`, since 4.6: one array of [`CpuTopology`].
    CpuTopoInfo = "xen_sysctl_cputopoinfo" {
        req num_cpus: u32 = "num_cpus",
        req cputopo: u64 = "cputopo",
    }
}

layout! {
    /// An entry of [`CpuTopoInfo`].
    CpuTopology = "xen_sysctl_cputopo" {
        req core: u32 = "core",
        req socket: u32 = "socket",
        req node: u32 = "node",
    }
}

layout! {
    /// `XEN_SYSCTL_numainfo`: arrays of sizes until 4.5, of [`MemInfo`] since 4.6.
    NumaInfo = "xen_sysctl_numainfo" {
        req count: u32 = "num_nodes" | "max_node_index",
        opt meminfo: u64 = "meminfo",
        opt memsize: u64 = "node_to_memsize",
        opt memfree: u64 = "node_to_memfree",
        req distance: u64 = "distance" | "node_to_node_distance",
    }
}

layout! {
    /// An entry of [`NumaInfo`], since 4.6.
    MemInfo = "xen_sysctl_meminfo" {
        req memsize: u64 = "memsize",
        req memfree: u64 = "memfree",
    }
}

layout! {
    /// `XEN_SYSCTL_sched_id`.
    SchedId = "xen_sysctl_sched_id" { req sched_id: u32 = "sched_id", }
}

layout! {
    /// The argument of `XENMEM_populate_physmap`.
    MemoryReservation = "xen_memory_reservation" {
        req extent_start: u64 = "extent_start",
        req nr_extents: u64 = "nr_extents",
        req extent_order: u32 = "extent_order",
        req mem_flags: u32 = "mem_flags",
        req domid: u16 = "domid",
    }
}

layout! {
    /// A vCPU's state at its start.
    GuestContext = "vcpu_guest_context" {
        req flags: u64 = "flags",
        req user_regs: Nested = "user_regs",
        req kernel_ss: u64 = "kernel_ss",
        req kernel_sp: u64 = "kernel_sp",
        req ctrlreg: Nested = "ctrlreg",
    }
}

layout! {
    /// The registers in [`GuestContext`].
    UserRegs = "cpu_user_regs" {
        req rip: u64 = "rip",
        req rsp: u64 = "rsp",
        req rsi: u64 = "rsi",
        req rflags: u64 = "rflags",
        req cs: u16 = "cs",
        req ss: u16 = "ss",
        req ds: u16 = "ds",
        req es: u16 = "es",
        req fs: u16 = "fs",
        req gs: u16 = "gs",
    }
}

layout! {
    /// What a PV kernel finds at its start, with its address in RSI.
    StartInfo = "start_info" {
        req magic: [u8; 32] = "magic",
        req nr_pages: u64 = "nr_pages",
        req shared_info: u64 = "shared_info",
        req flags: u32 = "flags",
        req store_mfn: u64 = "store_mfn",
        req store_evtchn: u32 = "store_evtchn",
        req console_mfn: u64 = "console.domU.mfn",
        req console_evtchn: u32 = "console.domU.evtchn",
        req pt_base: u64 = "pt_base",
        req nr_pt_frames: u64 = "nr_pt_frames",
        req mfn_list: u64 = "mfn_list",
        req mod_start: u64 = "mod_start",
        req mod_len: u64 = "mod_len",
        req cmd_line: Nested = "cmd_line",
        req first_p2m_pfn: u64 = "first_p2m_pfn",
        req nr_p2m_frames: u64 = "nr_p2m_frames",
    }
}

layout! {
    /// A PV console's shared page.
    ConsoleRing = "xencons_interface" {
        req input: Nested = "in",
        req output: Nested = "out",
        req in_cons: u32 = "in_cons",
        req in_prod: u32 = "in_prod",
        req out_cons: u32 = "out_cons",
        req out_prod: u32 = "out_prod",
    }
}

layout! {
    /// `GNTTABOP_setup_table`.
    SetupTable = "gnttab_setup_table" {
        req dom: u16 = "dom",
        req nr_frames: u32 = "nr_frames",
        req status: u16 = "status",
        req frame_list: u64 = "frame_list",
    }
}

layout! {
    /// A grant of version 1.
    GrantEntry = "grant_entry_v1" {
        req flags: u16 = "flags",
        req domid: u16 = "domid",
        req frame: u32 = "frame",
    }
}

layout! {
    /// An entry of `mmuext_op`.
    MmuextOp = "mmuext_op" {
        req cmd: u32 = "cmd",
        req mfn: u64 = "arg1.mfn",
    }
}

layout! {
    /// `EVTCHNOP_alloc_unbound`.
    AllocUnbound = "evtchn_alloc_unbound" {
        req dom: u16 = "dom",
        req remote_dom: u16 = "remote_dom",
        req port: u32 = "port",
    }
}

layout! {
    /// The page that a domain shares with Xen.
    SharedInfo = "shared_info" {
        req vcpu_info: Nested = "vcpu_info",
    }
}

layout! {
    /// An entry of [`SharedInfo`].
    SharedVcpuInfo = "vcpu_info" {
        req evtchn_upcall_mask: u8 = "evtchn_upcall_mask",
    }
}

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
