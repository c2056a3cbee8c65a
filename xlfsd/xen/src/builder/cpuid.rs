//! What a PV guest sees of the CPU, on Xen 4.2 to 4.8.
//!
//! Since 4.9 the hypervisor gives a new domain a sane policy by itself. Before,
//! a guest sees zeros in every leaf that the toolstack did not set, and Linux
//! does not boot. The leaves are those of the CPU that Dom0 runs on, without
//! what a 64-bit PV guest cannot use. XSAVE and with it AVX are left out:
//! their leaf depends on state that these releases reserve per domain.
//! Sources: Intel SDM volume 2 "CPUID"; AMD APM volume 3 appendix E;
//! xen/arch/x86 of those releases for what a PV guest may not have.

use std::arch::x86_64::__cpuid_count;

use crate::hypercall::{DomainId, HypercallError, Xen};

/// First release with a policy of its own.
const DEFAULT_POLICY_SINCE: u32 = 9;

const fn bits(numbers: &[u32]) -> u32 {
    let mut mask = 0;
    let mut i = 0;
    while i < numbers.len() {
        mask |= 1 << numbers[i];
        i += 1;
    }
    mask
}

/// VME, PSE, MCE, MTRR, PGE, MCA, PSE36: the hypervisor's business, in leaf 1
/// and leaf 0x80000001.
const NOT_FOR_PV_EDX: u32 = bits(&[1, 3, 7, 12, 13, 14, 17]);
/// DS, ACC, PBE.
const NOT_IN_LEAF1_EDX: u32 = bits(&[21, 29, 31]);
/// SEP, which AMD has not in long mode.
const SEP: u32 = bits(&[11]);
/// DTES64, MONITOR, DS-CPL, VMX, SMX, EST, TM2, xTPR, PDCM, PCID, DCA, and
/// XSAVE, OSXSAVE, AVX, F16C, FMA, which need XSAVE.
const NOT_IN_LEAF1_ECX: u32 = bits(&[2, 3, 4, 5, 6, 7, 8, 12, 14, 15, 17, 18, 26, 27, 28, 29]);
const HYPERVISOR: u32 = bits(&[31]);
/// FSGSBASE, BMI1, HLE, BMI2, ERMS, RTM. AVX2 needs XSAVE.
const LEAF7_EBX: u32 = bits(&[0, 3, 4, 8, 9, 11]);
const SYSCALL: u32 = bits(&[11]);
/// 1 GiB pages and RDTSCP.
const NOT_IN_EXT1_EDX: u32 = bits(&[26, 27]);
/// SVM, OSVW, IBS, XOP, SKINIT, WDT, LWP, FMA4, NODEID_MSR, TOPOEXT.
const NOT_IN_EXT1_ECX: u32 = bits(&[2, 9, 10, 11, 12, 13, 15, 16, 19, 22]);

/// Highest leaves that are passed on.
const MAX_BASIC: u32 = 0xd;
const MAX_EXTENDED: u32 = 0x8000_0008;

type Registers = [u32; 4];

/// Sets a new domain's leaves where the hypervisor does not.
pub(super) fn apply(xen: &Xen, domid: DomainId) -> Result<(), HypercallError> {
    if xen.version().minor >= DEFAULT_POLICY_SINCE {
        return Ok(());
    }
    for (leaf, subleaf, registers) in policy(native) {
        xen.set_cpuid(domid, leaf, subleaf, registers)?;
    }
    Ok(())
}

fn native(leaf: u32, subleaf: u32) -> Registers {
    let r = __cpuid_count(leaf, subleaf);
    [r.eax, r.ebx, r.ecx, r.edx]
}

/// The leaves of a PV guest, from those of the CPU.
fn policy(cpu: impl Fn(u32, u32) -> Registers) -> Vec<(u32, Option<u32>, Registers)> {
    let mut leaves = Vec::new();
    let vendor = cpu(0, 0);
    let amd = vendor[1..] == [0x6874_7541, 0x444d_4163, 0x6974_6e65];
    let last = vendor[0].min(MAX_BASIC);
    for leaf in 0..=last {
        if leaf == 4 {
            // One subleaf for each cache, until one of no type.
            let caches = (0..8).map(|n| (n, cpu(4, n))).take_while(|(_, r)| r[0] & 0x1f != 0);
            leaves.extend(caches.map(|(n, r)| (4, Some(n), r)));
            continue;
        }
        let [a, b, c, d] = cpu(leaf, 0);
        let registers = match leaf {
            0 => [last, b, c, d],
            1 => {
                let sep = if amd { SEP } else { 0 };
                let d = d & !(NOT_FOR_PV_EDX | NOT_IN_LEAF1_EDX | sep);
                [a, b, (c & !NOT_IN_LEAF1_ECX) | HYPERVISOR, d]
            }
            2 | 3 | 6 => [a, b, c, d],
            7 => [0, b & LEAF7_EBX, 0, 0],
            // Performance counters, topology by APIC id, XSAVE: not a PV guest's.
            _ => continue,
        };
        leaves.push((leaf, (leaf == 7).then_some(0), registers));
    }
    let [extended, b, c, d] = cpu(0x8000_0000, 0);
    let last = extended.min(MAX_EXTENDED);
    leaves.push((0x8000_0000, None, [last, b, c, d]));
    for leaf in 0x8000_0001..=last {
        let [a, b, c, d] = cpu(leaf, 0);
        let registers = if leaf == 0x8000_0001 {
            let d = (d & !(NOT_FOR_PV_EDX | NOT_IN_EXT1_EDX)) | SYSCALL;
            [a, b, c & !NOT_IN_EXT1_ECX, d]
        } else {
            [a, b, c, d]
        };
        leaves.push((leaf, None, registers));
    }
    leaves.retain(|(leaf, _, r)| *r != [0; 4] || *leaf == 0);
    leaves
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(leaves: &[(u32, Option<u32>, Registers)], leaf: u32) -> Registers {
        leaves.iter().find(|l| l.0 == leaf).map_or([0; 4], |l| l.2)
    }

    /// A CPU with everything.
    fn full(leaf: u32, subleaf: u32) -> Registers {
        match (leaf, subleaf) {
            (0, _) => [0x20, 0x756e_6547, 0x6c65_746e, 0x4965_6e69],
            (4, 4..) => [0; 4],
            (0x8000_0000, _) => [0x8000_0020, 0, 0, 0],
            _ => [u32::MAX; 4],
        }
    }

    #[test]
    fn a_pv_guest_gets_what_linux_needs_and_nothing_it_cannot_have() {
        let leaves = policy(full);
        assert_eq!(find(&leaves, 0)[0], MAX_BASIC);
        let leaf1 = find(&leaves, 1);
        assert_eq!(leaf1[3] & bits(&[0, 6, 8, 24, 25, 26]), bits(&[0, 6, 8, 24, 25, 26]));
        assert_eq!(leaf1[3] & NOT_FOR_PV_EDX, 0);
        assert_eq!(leaf1[2] & bits(&[26, 27, 28]), 0, "XSAVE, OSXSAVE, AVX");
        assert_eq!(leaf1[2] >> 31, 1, "runs on a hypervisor");
        let ext1 = find(&leaves, 0x8000_0001);
        assert_eq!(ext1[3] & bits(&[11, 20, 29]), bits(&[11, 20, 29]), "SYSCALL, NX, LM");
        assert_eq!(ext1[3] & bits(&[26, 27]), 0);
        assert_eq!(find(&leaves, 0xd), [0; 4]);
        assert_eq!(leaves.iter().filter(|l| l.0 == 4).count(), 4);
        assert!(leaves.len() <= 40, "the hypervisor's table has 40 entries");
    }

    #[test]
    fn amd_has_no_sysenter_in_long_mode() {
        let amd = |leaf, subleaf| match leaf {
            0 => [1, 0x6874_7541, 0x444d_4163, 0x6974_6e65],
            _ => full(leaf, subleaf),
        };
        assert_eq!(find(&policy(amd), 1)[3] & SEP, 0);
        assert_eq!(find(&policy(full), 1)[3] & SEP, SEP);
    }
}
