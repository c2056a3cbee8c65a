//! A table of files as they are found on hosts, with what becomes of them.

use super::*;

/// What make-domu of XLFS writes.
pub(super) const XLFS: &str = r#"kernel = "/boot/vmlinuz-xen-domu"
memory = 1024
vcpus = 2
name = "www.example.org"
vif = [ 'mac=00:16:3e:00:00:02, bridge=br0', 'mac=00:16:3e:01:00:02, bridge=br1' ]
disk = [ 'phy:/dev/vg0/www.example.org,xvda1,w' ]
root = "/dev/xvda1"
no_migrate = 1
tsc_mode = "default"
"#;

/// Debian's xen-tools, with pygrub.
const XEN_TOOLS_PYGRUB: &str = r#"#
# Configuration file for the Xen instance mail.example.org, created
# by xen-tools 4.2.1 on Sat Mar 26 12:00:00 2011.
#

#
#  Kernel + memory size
#

bootloader = '/usr/lib/xen-4.0/bin/pygrub'

vcpus       = '1'
memory      = '256'

#
#  Disk device(s).
#
root        = '/dev/xvda2 ro'
disk        = [
                  'phy:/dev/vg0/mail.example.org-disk,xvda2,w',
                  'phy:/dev/vg0/mail.example.org-swap,xvda1,w',
              ]


#
#  Physical volumes
#


#
#  Hostname
#
name        = 'mail.example.org'

#
#  Networking
#
vif         = [ 'ip=192.0.2.7 ,mac=00:16:3E:B4:CB:D8' ]

#
#  Behaviour
#
on_poweroff = 'destroy'
on_reboot   = 'restart'
on_crash    = 'restart'
"#;

const XEN_TOOLS_KERNEL: &str = r#"
kernel      = '/boot/vmlinuz-3.2.0-4-amd64'
extra       = 'elevator=noop'
ramdisk     = '/boot/initrd.img-3.2.0-4-amd64'
vcpus       = '1'
memory      = '512'
root        = '/dev/xvda2 ro'
disk        = [
                  'file:/home/xen/domains/db/disk.img,xvda2,w',
                  'file:/home/xen/domains/db/swap.img,xvda1,w',
              ]
name        = 'db'
dhcp        = 'dhcp'
vif         = [ 'mac=00:16:3E:AA:BB:CC' ]
on_poweroff = 'destroy'
on_reboot   = 'restart'
on_crash    = 'restart'
"#;

/// The example that Xen comes with, in our words.
const XEN_EXAMPLE: &str = r#"
name = "example.pvlinux"
#uuid = "XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXXXXXX"
type = "pv"
kernel = "/boot/vmlinuz"
#ramdisk = "/boot/initrd.gz"
extra = "root=/dev/xvda1"
memory = 128
#maxmem = 512
vcpus = 2
vif = [ '' ]
disk = [ '/dev/vg/guest-volume,raw,xvda,rw' ]
"#;

const XM: &str = r#"kernel = "/boot/vmlinuz-2.6.18-xen"; ramdisk = "/boot/initrd-2.6.18-xen.img"
builder='linux'
memory = 64
maxmem = 128
name = "ExampleDomain_1"
cpus = ""         # leave to Xen to pick
vcpus = 1
vif = [ 'type=ioemu, mac=00:16:3e:00:00:11, bridge=xenbr0, model=ne2k_pci' ]
disk = [ 'phy:hda1,hda1,w', 'tap:aio:/srv/data.img,sdb,r' ]
dhcp="dhcp"
root = "/dev/hda1 ro"
extra = "4"
on_poweroff = 'destroy'
on_reboot   = 'rename-restart'
on_crash    = 'coredump-destroy'
"#;

const NAMED_DISKS: &str = r#"
name = 'files'
memory = 0x800
vcpus = 2
maxvcpus = 4
disk = [
    'format=raw, vdev=xvda, access=rw, target=/dev/vg/files',   # the system
    'format=qcow2, vdev=xvdb, access=ro, target=/srv/it''s.qcow2',
]
"#;

const ADDED: &str = r#"
name = "add"
memory = 256
disk = [ 'phy:vg/add-root,xvda,w' ]
disk += [ 'phy:vg/add-data,xvdb,w' ]
vif = [ 'bridge=lan' ]
vif += [ 'bridge=dmz,rate=10Mb/s,ip=10.0.0.9/24 fd00::9/64' ]
extra = "console=hvc0"
extra += " quiet"
memory = 512
"#;

const PINNED: &str = r#"
name="rt"
uuid="c6a2a7f4-6a1e-4bd9-a80f-62b4b4a0f0a1"
memory=2048
vcpus=4
cpus=["2","3","4","5"]
cpu_weight=512
cap=0
pool="rt-pool"
nomigrate=1
localtime=0
pae=1
timer_mode=1
on_watchdog="destroy"
autoballoon="off"
"#;

const GRAPHICS: &str = r#"
name = "desk"
memory = 1024
vfb = [ 'type=vnc,vncdisplay=10,vncpasswd=secret,keymap=de' ]
vnc = 1
keymap = "de"
usb = 1
usbdevice = "tablet"
pci = [ '0000:05:00.0', '05:00.1@1' ]
serial = 'pty'
device_model_version = "qemu-xen"
device_model_args = [ "-vga", "std" ]
"#;

const CDROM: &str = r#"
name = "inst"
disk = [ 'phy:/dev/vg/inst,xvda,w', 'file:/srv/debian.iso,hdc:cdrom,r', ',hdd:cdrom,r' ]
"#;

const ROUTED: &str = r#"
name = "Web 1"
vif = [ 'script=vif-route,gatewaydev=eth0,ip=192.0.2.9,vifname=web1', 'bridge=br_lan,mtu=9000' ]
disk = [ 'iscsi:iqn.2001-05.com.example:web,xvda,w', 'drbd:web,xvdb,w' ]
memroy = 512
"#;

#[test]
fn files_as_people_write_them() {
    for (text, expected) in [
        (
            XLFS,
            "\
import /boot/vmlinuz-xen-domu --kind kernel --alias vmlinuz-xen-domu
import /dev/vg0/www.example.org --kind disk --alias www.example.org-xvda1
create www.example.org --template T --memory 1024M --vcpus 2 --disk xvda1,image=www.example.org-xvda1 --nic network=br0,mac=00:16:3e:00:00:02 --nic network=br1,mac=00:16:3e:01:00:02 --no-start
unsupported: 1:kernel 7:root
ignored: 8:no_migrate 9:tsc_mode
",
        ),
        (
            XEN_TOOLS_PYGRUB,
            "\
import /dev/vg0/mail.example.org-disk --kind disk --alias mail.example.org-xvda2
import /dev/vg0/mail.example.org-swap --kind disk --alias mail.example.org-xvda1
create mail.example.org --template T --memory 256M --vcpus 1 --on-poweroff destroy --on-reboot restart --on-crash restart --disk xvda2,image=mail.example.org-xvda2 --disk xvda1,image=mail.example.org-xvda1 --nic mac=00:16:3e:b4:cb:d8 --no-start
unsupported: 10:bootloader 18:root 38:vif
",
        ),
        (
            XEN_TOOLS_KERNEL,
            "\
import /boot/vmlinuz-3.2.0-4-amd64 --kind kernel --alias vmlinuz-3.2.0-4-amd64
import /boot/initrd.img-3.2.0-4-amd64 --kind ramdisk --alias initrd.img-3.2.0-4-amd64
import /home/xen/domains/db/disk.img --kind disk --alias db-xvda2
import /home/xen/domains/db/swap.img --kind disk --alias db-xvda1
create db --template T --memory 512M --vcpus 1 --on-poweroff destroy --on-reboot restart --on-crash restart --disk xvda2,image=db-xvda2 --disk xvda1,image=db-xvda1 --nic mac=00:16:3e:aa:bb:cc --no-start
unsupported: 2:kernel 3:extra 4:ramdisk 7:root
ignored: 13:dhcp
",
        ),
        (
            XEN_EXAMPLE,
            "\
import /boot/vmlinuz --kind kernel --alias vmlinuz
import /dev/vg/guest-volume --kind disk --alias example.pvlinux-xvda
create example.pvlinux --template T --memory 128M --vcpus 2 --disk xvda,image=example.pvlinux-xvda --nic '' --no-start
unsupported: 5:kernel 7:extra
",
        ),
        (
            XM,
            "\
import /boot/vmlinuz-2.6.18-xen --kind kernel --alias vmlinuz-2.6.18-xen
import /boot/initrd-2.6.18-xen.img --kind ramdisk --alias initrd-2.6.18-xen.img
import /dev/hda1 --kind disk --alias exampledomain-1-xvda1
import /srv/data.img --kind disk --alias exampledomain-1-xvdb
create exampledomain-1 --template T --memory 64M --vcpus 1 --on-poweroff destroy --on-reboot restart --on-crash destroy --disk xvda1,image=exampledomain-1-xvda1 --disk xvdb,image=exampledomain-1-xvdb,ro --nic network=xenbr0,mac=00:16:3e:00:00:11 --no-start
unsupported: 1:kernel 1:ramdisk 4:maxmem 11:root 12:extra
changed: 5:name 9:disk 9:disk 14:on_reboot 15:on_crash
ignored: 6:cpus 8:vif 8:vif 10:dhcp
",
        ),
        (
            ADDED,
            "\
import /dev/vg/add-root --kind disk --alias add-xvda
import /dev/vg/add-data --kind disk --alias add-xvdb
create add --template T --memory 512M --disk xvda,image=add-xvda --disk xvdb,image=add-xvdb --nic network=lan --nic network=dmz,ip=10.0.0.9/24,ip=fd00::9/64,rate=10Mb/s,anti-spoofing --no-start
unsupported: 8:extra
ignored: 3:memory
",
        ),
        (
            PINNED,
            "\
create rt --template T --memory 2048M --vcpus 4 --no-start
unsupported: 3:uuid 6:cpus 7:cpu_weight 9:pool 14:on_watchdog
ignored: 8:cap 10:nomigrate 11:localtime 12:pae 13:timer_mode 15:autoballoon
",
        ),
        (
            GRAPHICS,
            "\
create desk --template T --memory 1024M --no-start
unsupported: 4:vfb 9:pci
ignored: 5:vnc 6:keymap 7:usb 8:usbdevice 10:serial 11:device_model_version 12:device_model_args
",
        ),
        (
            CDROM,
            "\
import /dev/vg/inst --kind disk --alias inst-xvda
import /srv/debian.iso --kind disk --alias inst-xvdc
create inst --template T --disk xvda,image=inst-xvda --disk xvdc,image=inst-xvdc,ro --no-start
unsupported: 3:disk
changed: 3:disk
",
        ),
        (
            ROUTED,
            "\
create web-1 --template T --nic '' --nic '' --no-start
unknown: 5:memroy
unsupported: 3:vif 3:vif 3:vif 3:vif 3:vif 3:vif 4:disk 4:disk
changed: 2:name
",
        ),
    ] {
        assert_eq!(summary(&mut guest(text)), expected, "{text}");
    }
}

/// Paths are for a shell, whatever is in them.
#[test]
fn commands_can_be_copied() {
    let text = NAMED_DISKS.replace("it''s", "it\\'s here; reboot");
    assert_eq!(
        summary(&mut guest(&text)),
        "\
import /dev/vg/files --kind disk --alias files-xvda
qemu-img convert -f qcow2 -O raw '/srv/it'\\''s here; reboot.qcow2' '/srv/it'\\''s here; reboot.qcow2.raw'
import '/srv/it'\\''s here; reboot.qcow2.raw' --kind disk --alias files-xvdb
create files --template T --memory 2048M --vcpus 2 --disk xvda,image=files-xvda --disk xvdb,image=files-xvdb,ro --no-start
unsupported: 5:maxvcpus
changed: 8:disk
"
    );
}

#[test]
fn files_that_cannot_be_guests_say_why() {
    for (text, line, words) in [
        ("import os\nname = 'a'", 1, "Python"),
        ("name = 'a'\nmemory = 512M", 2, "no unit"),
        ("name = 'a'\nvif = [ 'bridge=' + br ]", 2, "expected ',' or ']'"),
        ("name = 'a'\ntype = 'hvm'", 2, "PV) guests only"),
        ("name = 'a'\ntype = \"pvh\"", 2, "PV) guests only"),
        ("name = 'a'\nbuilder = 'hvm'", 2, "PV) guests only"),
        ("name='a'\nkernel = '/usr/lib/xen/boot/hvmloader'", 2, "PV) guests only"),
        ("name = 'a'\ntype = 'vm'", 2, "write pv"),
        ("memory = 1", 1, "--name"),
        ("name = '___'", 1, "--name"),
        ("name = ['a']", 1, "expected a string, found a list"),
        ("name = 'a'\nmemory = 'much'", 2, "expected a number, found \"much\""),
        ("name = 'a'\nmemory = 0", 2, "no size"),
        ("name = 'a'\nvcpus = 0", 2, "cannot have 0"),
        ("name = 'a'\non_crash = 'panic'", 2, "destroy, restart and preserve"),
        ("name = 'a'\ndisk = [\n'phy:vg/a,xvda,w',\n'phy:vg/b,hda,w' ]", 4, "there twice"),
        ("name = 'a'\ndisk = [ 'phy:vg/a' ]", 2, "vdev is missing"),
        ("name = 'a'\ndisk = [ [ 'x' ] ]", 2, "found a list"),
        ("name = 'a'\nvif = [ 'mac=1' ]", 2, "MAC address"),
        ("name = 'a'\nkernel = '/boot/\\x1b[2Jx'", 2, "plain text"),
    ] {
        let found = mistakes(text);
        assert_eq!(found[0].place.line, line, "{text}: {found:?}");
        assert!(found[0].problem.contains(words), "{text}: {found:?}");
    }
    let found = mistakes("memory = 'x'\nvcpus = 'y'\ntype = 'hvm'\n");
    let lines: Vec<_> = found.iter().map(|one| one.place.line).collect();
    assert_eq!(lines, [1, 1, 2, 3], "all mistakes are told at once, and the missing name");
}

#[test]
fn a_template_that_names_the_kernel_is_no_loss() {
    use xlfs_proto::v1::Template;
    let text = "name='a'\nkernel='/x/web-kernel'\nramdisk='/x/other.img'\n";
    let template = Template {
        kernel: "web-kernel".to_owned(),
        ramdisk: "web-ramdisk".to_owned(),
        ..Template::default()
    };
    let mut bound = guest(text);
    bound.bind("web", Some(&template));
    assert_eq!(bound.findings.len(), 1, "{:?}", bound.findings);
    let told = bound.findings[0].to_string();
    assert!(told.contains("template web has web-ramdisk"), "{told}");
    assert!(told.contains("image.ramdisk = \"other.img\""), "{told}");
}

/// Anti-spoofing takes away more than xl's firewall rules did.
#[test]
fn a_guest_without_addresses_of_a_family_is_told() {
    for (addresses, lost) in [
        ("10.0.0.2/24", Some("IPv6")),
        ("fd00::2/64", Some("IPv4")),
        ("10.0.0.2/24 fd00::2/64", None),
    ] {
        let found = guest(&format!("name = 'a'\nvif = [ 'ip={addresses}' ]\n")).findings;
        assert_eq!(found.len(), usize::from(lost.is_some()), "{addresses}: {found:?}");
        if let (Some(lost), [finding]) = (lost, &found[..]) {
            assert!(finding.why.contains(&format!("with {lost} not at all")), "{finding}");
        }
    }
}

/// Only what is lost is asked of the user; what changes nothing says so.
#[test]
fn findings_say_what_to_do() {
    let guest = guest(XEN_TOOLS_PYGRUB);
    let bootloader = guest.findings.iter().find(|one| one.key == "bootloader").expect("told");
    let told = bootloader.to_string();
    assert!(told.starts_with("not supported: pygrub") && told.contains("XSA-443"), "{told}");
    assert!(told.contains("xlfsctl image import"), "{told}");
    let root = guest.findings.iter().find(|one| one.key == "root").expect("told");
    assert!(root.to_string().contains("put root=/dev/xvda2 ro into"), "{root}");
}
