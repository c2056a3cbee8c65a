//! What becomes of each key of xl that is not read for the definition: why it is
//! left out, and what to do instead. The keys are those of xl.cfg(5) of Xen 4.2
//! to 4.22, what xl reads without saying so there, and what xm left in files.

use super::finding::{Finding, Kind};
use super::settings::Setting;

/// Keys that [`super::convert`] reads.
pub(super) const READ: [&str; 17] = [
    "name",
    "type",
    "builder",
    "memory",
    "maxmem",
    "vcpus",
    "maxvcpus",
    "kernel",
    "ramdisk",
    "cmdline",
    "root",
    "extra",
    "on_poweroff",
    "on_reboot",
    "on_crash",
    "disk",
    "vif",
];

/// A key that xlfs has nothing for.
struct Other {
    keys: &'static [&'static str],
    /// Values, as words, that ask for what is so anyway.
    default: &'static [&'static str],
    why: &'static str,
    instead: &'static str,
}

/// What xlfs does not do. A value among `default` asks for nothing that is
/// missing, and is ignored; `*` stands for all values.
const OTHERS: &[Other] = &[
    Other {
        keys: &["uuid"],
        default: &[],
        why: "xlfsd gives each guest a UUID of its own",
        instead: "what knows the guest by this one must learn the new one: xlfsctl show NAME",
    },
    Other {
        keys: &["cpus", "cpus_soft", "nodes"],
        default: &["all", "", "[]"],
        why: "guests are not bound to CPUs or nodes",
        instead: "Xen's scheduler places them",
    },
    Other {
        keys: &["cpu_weight"],
        default: &["256"],
        why: "all guests have the scheduler's default weight",
        instead: "",
    },
    Other {
        keys: &["cap", "period", "slice", "latency", "extratime", "sched"],
        default: &["0"],
        why: "the scheduler's parameters are not set for a guest",
        instead: "",
    },
    Other {
        keys: &["pool"],
        default: &["Pool-0", ""],
        why: "guests run in Pool-0; other pools of CPUs are not used",
        instead: "",
    },
    Other {
        keys: &["on_watchdog", "on_soft_reset"],
        default: &[],
        why: "only power-off, reboot and crash have an action",
        instead: "--on-crash says what is done when the guest dies",
    },
    Other {
        keys: &["bootloader", "bootloader_args", "bootloader_restrict", "bootloader_user"],
        default: &["", "[]"],
        why: "pygrub and its like read the guest's own disk in Dom0, where a forged file system \
              attacks the host (XSA-198, XSA-443); kernels come from the image store",
        instead: "copy kernel and ramdisk out of the guest, import them with xlfsctl image import, \
                  and name them in a template",
    },
    Other {
        keys: &["firmware", "firmware_override"],
        default: &["", "none"],
        why: "guests boot a kernel of the image store directly",
        instead: "import the guest's kernel and ramdisk, and name them in a template",
    },
    Other {
        keys: &["pci", "dtdev", "ioports", "iomem", "irqs", "gfx_passthru", "rdm"],
        default: &["0", "[]", ""],
        why: "devices of the host are not passed through to guests",
        instead: "keep a guest that needs one on xl",
    },
    Other {
        keys: &[
            "pci_msitranslate",
            "pci_permissive",
            "pci_power_mgmt",
            "pci_seize",
            "passthrough",
            "rdm_mem_boundary",
            "e820_host",
        ],
        default: &["*"],
        why: "it only matters to devices that are passed through, and there are none",
        instead: "",
    },
    Other {
        keys: &["usbctrl", "usbdev", "vscsi"],
        default: &["[]"],
        why: "devices of the host are not passed through to guests",
        instead: "share them over the network, or keep the guest on xl",
    },
    Other {
        keys: &["vfb"],
        default: &["[]"],
        why: "guests have a text console, and no screen",
        instead: "use xlfsctl console NAME, or a VNC server inside the guest",
    },
    Other {
        keys: &["vkb", "vdispl", "vsnd"],
        default: &["[]"],
        why: "guests have a text console, and no screen, keyboard or sound",
        instead: "",
    },
    Other {
        keys: &["channel", "p9", "pvcalls", "vtpm", "vif2", "virtio"],
        default: &["[]"],
        why: "guests have a console, disks and network interfaces, and no devices of this kind",
        instead: "",
    },
    Other {
        keys: &["localtime"],
        default: &["0"],
        why: "a guest's clock starts in UTC",
        instead: "set the time zone inside the guest",
    },
    Other {
        keys: &["rtc_timeoffset"],
        default: &["0"],
        why: "a guest's clock is the host's",
        instead: "set the time zone inside the guest",
    },
    Other {
        keys: &["tsc_mode"],
        default: &["0", "default", ""],
        why: "guests have Xen's default mode of the time stamp counter",
        instead: "",
    },
    Other {
        keys: &["nomigrate", "no_migrate"],
        default: &["*"],
        why: "xlfs never moves a guest to another host",
        instead: "",
    },
    Other { keys: &["vnuma"], default: &["[]"], why: "guests have one NUMA node", instead: "" },
    Other {
        keys: &["cpuid", "msr_relaxed", "mca_caps", "vpmu"],
        default: &["0", "", "[]"],
        why: "guests see the CPU as Xen shows it by default",
        instead: "",
    },
    Other {
        keys: &["seclabel", "init_seclabel"],
        default: &[""],
        why: "XSM labels are not set",
        instead: "",
    },
    Other {
        keys: &[
            "max_grant_frames",
            "max_maptrack_frames",
            "max_grant_version",
            "max_event_channels",
        ],
        default: &[],
        why: "guests have Xen's default limits",
        instead: "set them for all guests on Xen's command line",
    },
    Other {
        keys: &["driver_domain"],
        default: &["0"],
        why: "back ends run in Dom0 only",
        instead: "",
    },
    Other {
        keys: &[
            "llc_colors",
            "xenstore_quota",
            "xenstore_feature_mask",
            "vmtrace_buf_kb",
            "xend_suspend_evtchn_compat",
            "hvm_pirq",
            "trap_unmapped_accesses",
        ],
        default: &["0", "", "[]"],
        why: "there is no such setting",
        instead: "",
    },
    Other {
        keys: &["autoballoon"],
        default: &["0", "off"],
        why: "it belongs in xl.conf; Dom0 keeps its memory, and gives none to guests",
        instead: "limit Dom0's memory on Xen's command line: dom0_mem",
    },
];

/// Keys that mean something to HVM, PVH or Arm guests only; xl itself does
/// nothing about them for a PV guest.
const NOT_PV: &[&str] = &[
    "acpi",
    "acpi_firmware",
    "acpi_laptop_slate",
    "acpi_s3",
    "acpi_s4",
    "altp2m",
    "altp2m_count",
    "altp2mhvm",
    "apic",
    "arm_sci",
    "bios",
    "bios_path_override",
    "boot",
    "device_model",
    "device_model_args",
    "device_model_args_hvm",
    "device_model_args_pv",
    "device_model_override",
    "device_model_stubdomain_override",
    "device_model_stubdomain_seclabel",
    "device_model_user",
    "device_model_version",
    "device_tree",
    "display",
    "dm_restrict",
    "gic_version",
    "hap",
    "hdtype",
    "hpet",
    "keymap",
    "mmio_hole",
    "ms_vm_genid",
    "nestedhvm",
    "nographic",
    "nr_spis",
    "nx",
    "oos",
    "opengl",
    "pae",
    "pvshim",
    "pvshim_cmdline",
    "pvshim_extra",
    "pvshim_path",
    "sdl",
    "serial",
    "shadow_memory",
    "smbios",
    "smbios_firmware",
    "soundhw",
    "spice",
    "spice_clipboard_sharing",
    "spice_image_compression",
    "spice_streaming_video",
    "spiceagent_mouse",
    "spicedisable_ticketing",
    "spicehost",
    "spicepasswd",
    "spiceport",
    "spicetls_port",
    "spiceusbredirection",
    "spicevdagent",
    "stdvga",
    "stubdomain_cmdline",
    "stubdomain_kernel",
    "stubdomain_memory",
    "stubdomain_ramdisk",
    "sve",
    "tee",
    "timer_mode",
    "usb",
    "usbdevice",
    "usbversion",
    "vendor_device",
    "vga",
    "videoram",
    "viridian",
    "vkb_device",
    "vnc",
    "vncconsole",
    "vncdisplay",
    "vnclisten",
    "vncpasswd",
    "vncunused",
    "vncviewer",
    "vpt_align",
    "vuart",
    "xauthority",
    "xen_platform_pci",
    "xen_platform_pci_bar_uc",
];

/// Keys of xm, which xl does not read either.
const XM: &[&str] = &[
    "blkif",
    "console",
    "dhcp",
    "features",
    "gateway",
    "guest_os_type",
    "hostname",
    "hvm",
    "ip",
    "machine_address_size",
    "netif",
    "netmask",
    "nfs_root",
    "nfs_server",
    "nics",
    "on_xend_start",
    "on_xend_stop",
    "restart",
    "superpages",
    "suppress_spurious_page_faults",
    "tpmif",
];

/// What there is to say of a key that is not read.
pub(super) fn finding(setting: &Setting) -> Finding {
    let (key, line) = (setting.key.as_str(), setting.place.line);
    let new = |kind, why: &str| Finding::new(key, line, kind, why);
    if let Some(other) = OTHERS.iter().find(|other| other.keys.contains(&key)) {
        let value = setting.value.word();
        let is_default = other.default.contains(&"*") || other.default.contains(&value.as_str());
        return match is_default {
            true => new(Kind::Ignored, other.why),
            false => new(Kind::Unsupported, other.why).instead(other.instead),
        };
    }
    if NOT_PV.contains(&key) {
        return new(Kind::Ignored, "it makes no difference to a PV guest");
    }
    if XM.contains(&key) {
        let found = new(Kind::Ignored, "a key of xm, which xl does not read either");
        let of_guest = matches!(key, "dhcp" | "gateway" | "hostname" | "ip" | "netmask");
        return match of_guest {
            true => found.instead("xlfsctl create takes it: see --ip, --gateway and --set"),
            false => found,
        };
    }
    let known = READ.iter().chain(NOT_PV).chain(OTHERS.iter().flat_map(|other| other.keys));
    let found = new(Kind::Unknown, "xl knows no such key");
    match nearest(key, known) {
        Some(meant) => found.instead(format!("is {meant} meant?")),
        None => found,
    }
}

/// The key most like `wrong`, if one is near enough to be meant.
fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a &'static str>) -> Option<&'static str> {
    let wrong: String = wrong.chars().take(64).collect::<String>().to_lowercase();
    let allowed = wrong.chars().count() / 3;
    known
        .map(|name| (strsim::damerau_levenshtein(&wrong, name), *name))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::parser::parse;
    use super::super::settings::Settings;
    use super::*;

    fn of(text: &str) -> Finding {
        let (settings, _) = Settings::new(parse(text.as_bytes()).expect(text)).expect(text);
        finding(settings.iter().next().expect(text))
    }

    #[test]
    fn a_key_has_one_place() {
        let mut seen = BTreeSet::new();
        let others = OTHERS.iter().flat_map(|other| other.keys);
        for key in READ.iter().chain(NOT_PV).chain(XM).chain(others) {
            assert!(seen.insert(key), "{key} is listed twice");
        }
    }

    #[test]
    fn defaults_are_told_from_losses() {
        for (text, kind, words) in [
            ("uuid = 'x'", Kind::Unsupported, "UUID of its own"),
            ("cpus = 'all'", Kind::Ignored, "not bound"),
            ("cpus = ''", Kind::Ignored, "not bound"),
            ("cpus = ['0', '1']", Kind::Unsupported, "not bound"),
            ("cpus = '0-3'", Kind::Unsupported, "not bound"),
            ("cpu_weight = 256", Kind::Ignored, "weight"),
            ("cpu_weight = 512", Kind::Unsupported, "weight"),
            ("pci = []", Kind::Ignored, "passed through"),
            ("pci = ['01:00.0']", Kind::Unsupported, "passed through"),
            ("pci_seize = 1", Kind::Ignored, "passed through"),
            ("tsc_mode = 'default'", Kind::Ignored, "time stamp"),
            ("tsc_mode = 'native'", Kind::Unsupported, "time stamp"),
            ("no_migrate = 1", Kind::Ignored, "another host"),
            ("localtime = 1", Kind::Unsupported, "time zone"),
            ("pae = 1", Kind::Ignored, "PV"),
            ("bootloader = 'pygrub'", Kind::Unsupported, "XSA-443"),
            ("autoballoon = 'on'", Kind::Unsupported, "dom0_mem"),
            ("dhcp = 'dhcp'", Kind::Ignored, "xm"),
            ("memroy = 1", Kind::Unknown, "is memory meant?"),
            ("Name = 'x'", Kind::Unknown, "is name meant?"),
            ("frobnicate_all = 1", Kind::Unknown, "no such key"),
        ] {
            let found = of(text);
            assert_eq!(found.kind, kind, "{text}: {found}");
            assert!(found.to_string().contains(words), "{text}: {found}");
        }
    }
}
