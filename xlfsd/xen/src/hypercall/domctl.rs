//! `domctl`: what a domain is and does. Source: public/domctl.h.

use nix::errno::Errno;

use super::{DomainId, HypercallError, Xen};
use crate::abi::numbers::*;

/// A request for any free domain id. Xen 4.22 takes only this value for it;
/// every older release takes every value that is no domain's.
const DOMID_ANY: u16 = 0x7FF5;

/// Limits that a domain is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most vCPUs that it may ever have.
    pub vcpus: u32,
    /// Highest event channel port.
    pub event_channels: u32,
}

/// Why a domain shut down, in the guest's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutdownReason {
    /// It powered off.
    Poweroff,
    /// It wants to be started again.
    Reboot,
    /// It suspended itself.
    Suspend,
    /// It crashed.
    Crash,
    /// Its watchdog fired.
    Watchdog,
    /// It wants its devices reset.
    SoftReset,
    /// A number that no release defines.
    Other(u8),
}

impl ShutdownReason {
    fn from_number(number: u8) -> Self {
        match number {
            SHUTDOWN_POWEROFF => Self::Poweroff,
            SHUTDOWN_REBOOT => Self::Reboot,
            SHUTDOWN_SUSPEND => Self::Suspend,
            SHUTDOWN_CRASH => Self::Crash,
            SHUTDOWN_WATCHDOG => Self::Watchdog,
            SHUTDOWN_SOFT_RESET => Self::SoftReset,
            other => Self::Other(other),
        }
    }
}

/// What the hypervisor knows of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainInfo {
    /// Its number.
    pub domid: DomainId,
    /// The UUID it was made with.
    pub handle: [u8; 16],
    /// It runs no more and is being taken apart.
    pub dying: bool,
    /// It shut itself down, for this reason.
    pub shutdown: Option<ShutdownReason>,
    /// It was paused by the toolstack.
    pub paused: bool,
    /// None of its vCPUs has anything to do.
    pub blocked: bool,
    /// One of its vCPUs is on a CPU now.
    pub running: bool,
    /// Not paravirtualised.
    pub hvm: bool,
    /// Pages it has.
    pub pages: u64,
    /// Pages it may have.
    pub max_pages: u64,
    /// Machine frame of its shared-info page.
    pub shared_info_frame: u64,
    /// Nanoseconds of CPU time used.
    pub cpu_time_ns: u64,
    /// vCPUs that are up.
    pub online_vcpus: u32,
    /// Highest vCPU number.
    pub max_vcpu_id: u32,
}

/// A vCPU now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VcpuState {
    /// It is up.
    pub online: bool,
    /// It waits for an event.
    pub blocked: bool,
    /// It is on a CPU.
    pub running: bool,
    /// Nanoseconds of CPU time used.
    pub cpu_time_ns: u64,
    /// The CPU it last ran on.
    pub cpu: u32,
}

/// A domain's share of the CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchedParams {
    /// Relative weight, 1 to 65535; 256 is usual.
    pub weight: u16,
    /// Most it may use, in percent of one CPU; 0 for no limit.
    pub cap: u16,
}

impl Xen {
    /// Makes an empty PV domain, paused, and returns its number.
    ///
    /// # Errors
    /// ENOMEM when the hypervisor has no room, EINVAL when it rejects a limit.
    pub fn create_domain(
        &self,
        handle: [u8; 16],
        limits: Limits,
    ) -> Result<DomainId, HypercallError> {
        let layouts = &self.abi.layouts;
        let layout = &layouts.create_domain;
        let mut domctl = self.domctl_buffer(DOMCTL_CREATEDOMAIN, DOMID_ANY)?;
        let u = layouts.domctl.u.of_mut(&mut domctl);
        layout.handle.put(u, handle);
        layout.flags.put(u, 0);
        let optional = [
            (layout.max_vcpus, limits.vcpus),
            (layout.max_evtchn_port, limits.event_channels),
            // -1: the hypervisor's own default.
            (layout.max_grant_frames, u32::MAX),
            (layout.max_maptrack_frames, u32::MAX),
            // Grant tables of version 1: every guest knows them, and version 2
            // has a history of advisories.
            (layout.grant_opts, 1),
            (layout.cpupool_id, 0),
        ];
        for (field, value) in optional {
            if let Some(field) = field {
                field.put(u, value);
            }
        }
        self.issue_domctl(&domctl, "createdomain", None)?;
        let domid = DomainId(layouts.domctl.domain.get(&domctl));
        // 4.10 and 4.11 leave a new domain without a grant table until told its size.
        if let Some(layout) = &layouts.gnttab_limits {
            self.simple_domctl(domid, DOMCTL_SET_GNTTAB_LIMITS, "set_gnttab_limits", |u| {
                layout.grant_frames.put(u, 32);
                layout.maptrack_frames.put(u, 1024);
            })
            .inspect_err(|_| {
                let _ = self.destroy_domain(domid);
            })?;
        }
        Ok(domid)
    }

    /// Takes a domain apart. Call it until it answers `true`; each call does a
    /// bounded part, so that the caller may look at the clock in between.
    ///
    /// # Errors
    /// ESRCH when there is no such domain (any more).
    pub fn destroy_domain_once(&self, domid: DomainId) -> Result<bool, HypercallError> {
        match self.simple_domctl(domid, DOMCTL_DESTROYDOMAIN, "destroydomain", |_| {}) {
            Ok(()) => Ok(true),
            // ERESTART as some kernels pass it on, EAGAIN as others do.
            Err(e) if matches!(e.errno, Errno::EAGAIN | Errno::EINTR) || e.errno as i32 == 85 => {
                Ok(false)
            }
            Err(e) => Err(e),
        }
    }

    /// Takes a domain apart, whole.
    ///
    /// # Errors
    /// ESRCH when there is no such domain (any more).
    pub fn destroy_domain(&self, domid: DomainId) -> Result<(), HypercallError> {
        while !self.destroy_domain_once(domid)? {}
        Ok(())
    }

    /// Stops a domain's vCPUs.
    ///
    /// # Errors
    /// ESRCH when there is no such domain.
    pub fn pause_domain(&self, domid: DomainId) -> Result<(), HypercallError> {
        self.simple_domctl(domid, DOMCTL_PAUSEDOMAIN, "pausedomain", |_| {})
    }

    /// Lets a domain's vCPUs run.
    ///
    /// # Errors
    /// ESRCH when there is no such domain.
    pub fn unpause_domain(&self, domid: DomainId) -> Result<(), HypercallError> {
        self.simple_domctl(domid, DOMCTL_UNPAUSEDOMAIN, "unpausedomain", |_| {})
    }

    /// What the hypervisor knows of one domain; `None` when it does not exist.
    ///
    /// # Errors
    /// Anything but "no such domain".
    pub fn domain_info(&self, domid: DomainId) -> Result<Option<DomainInfo>, HypercallError> {
        let mut domctl = self.domctl_buffer(DOMCTL_GETDOMAININFO, domid.0)?;
        match self.issue_domctl(&domctl, "getdomaininfo", Some(domid)) {
            Ok(()) => {}
            Err(e) if e.is_no_domain() => return Ok(None),
            Err(e) => return Err(e),
        }
        let info = self.decode_domain_info(self.abi.layouts.domctl.u.of_mut(&mut domctl));
        // The call answers for the next domain when the one asked for is gone.
        Ok((info.domid == domid).then_some(info))
    }

    /// Sets how much memory a domain may have, in KiB.
    ///
    /// # Errors
    /// ESRCH, or EINVAL where a release checks it against what the domain has.
    pub fn set_max_memory(&self, domid: DomainId, kib: u64) -> Result<(), HypercallError> {
        let layout = &self.abi.layouts.max_mem;
        self.simple_domctl(domid, DOMCTL_MAX_MEM, "max_mem", |u| layout.max_memkb.put(u, kib))
    }

    /// Makes the vCPUs of a new domain; since 4.12 the number it was made with.
    ///
    /// # Errors
    /// ENOMEM, EINVAL for another number.
    pub fn set_max_vcpus(&self, domid: DomainId, vcpus: u32) -> Result<(), HypercallError> {
        let layout = &self.abi.layouts.max_vcpus;
        self.simple_domctl(domid, DOMCTL_MAX_VCPUS, "max_vcpus", |u| layout.max.put(u, vcpus))
    }

    /// Gives a vCPU its first state. `context` is a `vcpu_guest_context` of
    /// this release.
    ///
    /// # Errors
    /// EINVAL when the hypervisor rejects a register or the page tables.
    pub fn set_vcpu_context(
        &self,
        domid: DomainId,
        vcpu: u32,
        context: &[u8],
    ) -> Result<(), HypercallError> {
        let layouts = &self.abi.layouts;
        let fail = |errno| self.fail("domctl", "setvcpucontext", Some(domid), errno);
        if context.len() != layouts.guest_context.size {
            return Err(fail(Errno::EINVAL));
        }
        let mut buffer = self.privcmd.buffer(context.len()).map_err(fail)?;
        buffer.copy_from_slice(context);
        let mut domctl = self.domctl_buffer(DOMCTL_SETVCPUCONTEXT, domid.0)?;
        let u = layouts.domctl.u.of_mut(&mut domctl);
        layouts.vcpu_context.vcpu.put(u, vcpu);
        layouts.vcpu_context.ctxt.put(u, buffer.address());
        // `buffer` is live across the call and has the size of the struct.
        self.issue_domctl(&domctl, "setvcpucontext", Some(domid))
    }

    /// A vCPU now; `None` when the domain has no such vCPU.
    ///
    /// # Errors
    /// Anything but "no such domain or vCPU".
    pub fn vcpu_state(
        &self,
        domid: DomainId,
        vcpu: u32,
    ) -> Result<Option<VcpuState>, HypercallError> {
        let layouts = &self.abi.layouts;
        let layout = &layouts.vcpu_info;
        let mut domctl = self.domctl_buffer(DOMCTL_GETVCPUINFO, domid.0)?;
        layout.vcpu.put(layouts.domctl.u.of_mut(&mut domctl), vcpu);
        match self.issue_domctl(&domctl, "getvcpuinfo", Some(domid)) {
            Ok(()) => {}
            Err(e) if e.is_no_domain() => return Ok(None),
            Err(e) => return Err(e),
        }
        let u = layouts.domctl.u.of(&domctl);
        Ok(Some(VcpuState {
            online: layout.online.get(u) != 0,
            blocked: layout.blocked.get(u) != 0,
            running: layout.running.get(u) != 0,
            cpu_time_ns: layout.cpu_time.get(u),
            cpu: layout.cpu.get(u),
        }))
    }

    /// Pins a vCPU to a set of CPUs.
    ///
    /// # Errors
    /// EINVAL when none of them exists.
    pub fn pin_vcpu(&self, domid: DomainId, vcpu: u32, cpus: &[u32]) -> Result<(), HypercallError> {
        let layouts = &self.abi.layouts;
        let layout = &layouts.vcpu_affinity;
        let fail = |errno| self.fail("domctl", "setvcpuaffinity", Some(domid), errno);
        let bits = cpus.iter().max().map_or(8, |max| (max / 8 + 1) * 8);
        let mut map = self.privcmd.buffer(bits as usize / 8).map_err(fail)?;
        for cpu in cpus {
            map[*cpu as usize / 8] |= 1 << (cpu % 8);
        }
        let mut domctl = self.domctl_buffer(DOMCTL_SETVCPUAFFINITY, domid.0)?;
        let u = layouts.domctl.u.of_mut(&mut domctl);
        layout.vcpu.put(u, vcpu);
        if let Some(flags) = layout.flags {
            flags.put(u, VCPUAFFINITY_HARD);
        }
        let cpumap = layout.cpumap.of_mut(u);
        let (bitmap, nr_bits) = match (&layouts.bitmap, &layouts.cpu_map) {
            (Some(layout), _) => (layout.bitmap, layout.bits),
            (None, Some(layout)) => (layout.bitmap, layout.bits),
            (None, None) => return Err(fail(Errno::ENOSYS)),
        };
        bitmap.put(cpumap, map.address());
        nr_bits.put(cpumap, bits);
        // `map` is live across the call and has `bits` bits.
        self.issue_domctl(&domctl, "setvcpuaffinity", Some(domid))
    }

    /// Sets a domain's share, by whichever of the credit schedulers runs.
    ///
    /// # Errors
    /// EINVAL for a weight of 0; ENOSYS under another scheduler.
    pub fn set_sched_params(
        &self,
        domid: DomainId,
        params: SchedParams,
    ) -> Result<(), HypercallError> {
        self.scheduler_op(domid, SCHEDOP_PUTINFO, params).map(|_| ())
    }

    /// A domain's share.
    ///
    /// # Errors
    /// ENOSYS under a scheduler that is neither credit nor credit2.
    pub fn sched_params(&self, domid: DomainId) -> Result<SchedParams, HypercallError> {
        self.scheduler_op(domid, SCHEDOP_GETINFO, SchedParams { weight: 0, cap: 0 })
    }

    fn scheduler_op(
        &self,
        domid: DomainId,
        command: u32,
        params: SchedParams,
    ) -> Result<SchedParams, HypercallError> {
        let layouts = &self.abi.layouts;
        let layout = &layouts.scheduler_op;
        let scheduler = self.scheduler()?.number();
        let (place, weight, cap) = match scheduler {
            SCHEDULER_CREDIT => {
                (layout.credit, layouts.sched_credit.weight, Some(layouts.sched_credit.cap))
            }
            SCHEDULER_CREDIT2 => {
                (layout.credit2, layouts.sched_credit2.weight, layouts.sched_credit2.cap)
            }
            _ => return Err(self.fail("domctl", "scheduler_op", Some(domid), Errno::ENOSYS)),
        };
        let mut domctl = self.domctl_buffer(DOMCTL_SCHEDULER_OP, domid.0)?;
        let u = layouts.domctl.u.of_mut(&mut domctl);
        layout.sched_id.put(u, scheduler);
        layout.cmd.put(u, command);
        weight.put(place.of_mut(u), params.weight);
        if let Some(cap) = cap {
            cap.put(place.of_mut(u), params.cap);
        }
        self.issue_domctl(&domctl, "scheduler_op", Some(domid))?;
        let u = place.of(layouts.domctl.u.of(&domctl));
        Ok(SchedParams { weight: weight.get(u), cap: cap.map_or(0, |c| c.get(u)) })
    }

    /// Fills a frame of a domain with the hypervisor's hypercall page.
    ///
    /// # Errors
    /// EACCES when the frame is not the domain's, or is a page table.
    pub fn init_hypercall_page(&self, domid: DomainId, mfn: u64) -> Result<(), HypercallError> {
        let layout = &self.abi.layouts.hypercall_init;
        self.simple_domctl(domid, DOMCTL_HYPERCALL_INIT, "hypercall_init", |u| {
            layout.gmfn.put(u, mfn);
        })
    }

    /// Sets one CPUID leaf of a domain. Exists until 4.12; since 4.9 a new
    /// domain has a policy already.
    ///
    /// # Errors
    /// ENOSYS where it does not exist.
    pub fn set_cpuid(
        &self,
        domid: DomainId,
        leaf: u32,
        subleaf: Option<u32>,
        registers: [u32; 4],
    ) -> Result<(), HypercallError> {
        let Some(layout) = &self.abi.layouts.cpuid else {
            return Err(self.fail("domctl", "set_cpuid", Some(domid), Errno::ENOSYS));
        };
        let mut input = [0; 8];
        input[..4].copy_from_slice(&leaf.to_le_bytes());
        input[4..].copy_from_slice(&subleaf.unwrap_or(CPUID_INPUT_UNUSED).to_le_bytes());
        self.simple_domctl(domid, DOMCTL_SET_CPUID, "set_cpuid", |u| {
            layout.input.put(u, input);
            layout.eax.put(u, registers[0]);
            layout.ebx.put(u, registers[1]);
            layout.ecx.put(u, registers[2]);
            layout.edx.put(u, registers[3]);
        })
    }

    pub(super) fn decode_domain_info(&self, bytes: &[u8]) -> DomainInfo {
        let layout = &self.abi.layouts.domain_info;
        let flags = layout.flags.get(bytes);
        let reason = (flags >> DOMINF_SHUTDOWNSHIFT) & DOMINF_SHUTDOWNMASK;
        DomainInfo {
            domid: DomainId(layout.domain.get(bytes)),
            handle: layout.handle.get(bytes),
            dying: flags & DOMINF_DYING != 0,
            shutdown: (flags & DOMINF_SHUTDOWN != 0)
                .then(|| ShutdownReason::from_number(reason as u8)),
            paused: flags & DOMINF_PAUSED != 0,
            blocked: flags & DOMINF_BLOCKED != 0,
            running: flags & DOMINF_RUNNING != 0,
            hvm: flags & DOMINF_HVM_GUEST != 0,
            pages: layout.tot_pages.get(bytes),
            max_pages: layout.max_pages.get(bytes),
            shared_info_frame: layout.shared_info_frame.get(bytes),
            cpu_time_ns: layout.cpu_time.get(bytes),
            online_vcpus: layout.nr_online_vcpus.get(bytes),
            max_vcpu_id: layout.max_vcpu_id.get(bytes),
        }
    }

    fn domctl_buffer(
        &self,
        command: u32,
        domid: u16,
    ) -> Result<crate::privcmd::HypercallBuffer<'_>, HypercallError> {
        let layout = &self.abi.layouts.domctl;
        let mut buffer = self
            .privcmd
            .buffer(layout.size)
            .map_err(|errno| self.fail("domctl", "allocate", Some(DomainId(domid)), errno))?;
        layout.cmd.put(&mut buffer, command);
        layout.interface_version.put(&mut buffer, self.abi.domctl_version);
        layout.domain.put(&mut buffer, domid);
        Ok(buffer)
    }

    /// Issues a domctl. Handles inside it must point to live hypercall buffers
    /// of the size that the operation needs; every caller in this file sees to it.
    fn issue_domctl(
        &self,
        domctl: &crate::privcmd::HypercallBuffer<'_>,
        operation: &'static str,
        domid: Option<DomainId>,
    ) -> Result<(), HypercallError> {
        // SAFETY: `domctl` has the size of this release's struct; handles in
        // it are the callers' duty, stated above.
        unsafe { self.privcmd.hypercall(HYPERVISOR_DOMCTL, [domctl.address(), 0, 0, 0, 0]) }
            .map(|_| ())
            .map_err(|errno| self.fail("domctl", operation, domid, errno))
    }

    fn simple_domctl(
        &self,
        domid: DomainId,
        command: u32,
        operation: &'static str,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<(), HypercallError> {
        let mut domctl = self.domctl_buffer(command, domid.0)?;
        fill(self.abi.layouts.domctl.u.of_mut(&mut domctl));
        self.issue_domctl(&domctl, operation, Some(domid))
    }
}
