//! vm-templates/first-boot run on disks made by xlfsd: what the one writes,
//! the other understands. Each test has a guest's root in a folder of its own
//! (XLFS_ROOT), so nothing of this machine is changed.

// All of this is test code; clippy sees that only within #[test] functions.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod root;

use root::{Guest, parse};
use uuid::Uuid;
use xlfsd::seed::{Addressing, Interface, Seed, Step, swap};
use xlfsd::value::PasswordHash;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g it's $(me)";

fn seed() -> Seed {
    let mut seed = Seed::new(Uuid::from_u128(7), parse("www.example.org"));
    let interface = |index, addressing| Interface {
        index,
        mac: format!("00:16:3e:00:00:{index:02x}").parse().unwrap(),
        addressing,
    };
    let addresses = ["10.0.0.2/24", "10.0.0.3/24", "fd00::2/64"];
    let addresses = addresses.iter().map(|address| parse(address)).collect();
    seed.interfaces = vec![
        interface(0, Addressing::Static(addresses)),
        interface(1, Addressing::Dhcp),
        interface(2, Addressing::None),
    ];
    seed.settings.gateways = vec![parse("10.0.0.1"), parse("fd00::1")];
    seed.settings.name_servers = vec![parse("10.0.0.53"), parse("fd00::53")];
    seed.settings.ntp_servers = vec![parse("ntp.example.org")];
    seed.settings.locale = Some(parse("en_US.UTF-8"));
    seed.settings.time_zone = Some(parse("Europe/Zurich"));
    seed.settings.ssh_keys = vec![parse(KEY)];
    seed.settings.root_password = Some(hash('h'));
    seed.steps = vec![
        step("20-second.sh", "echo second >>\"$XLFS_ROOT/ran\"\n"),
        step("10-first.sh", "echo first >>\"$XLFS_ROOT/ran\"\n"),
    ];
    seed
}

fn step(name: &str, content: &str) -> Step {
    Step::new(name, content).unwrap()
}

fn hash(letter: char) -> PasswordHash {
    parse(&format!("$6$salt${}", letter.to_string().repeat(86)))
}

#[test]
fn a_debian_guest_with_ifupdown_becomes_what_the_seed_says() {
    let guest = Guest::new();
    guest.with(&[
        ("etc/debian_version", "12\n"),
        ("etc/timezone", "Etc/UTC\n"),
        ("etc/network/if-up.d/x", ""),
        ("etc/hosts", "127.0.0.1 localhost\n10.9.9.9 mine\n"),
        ("etc/ssh/sshd_config", "PermitRootLogin yes\n"),
        ("etc/chrony/chrony.conf", "pool 2.debian.pool.ntp.org iburst\n"),
    ]);
    let run = guest.run(&seed());
    assert!(run.good, "{}", run.console);
    assert_eq!(run.last(), "xlfs-first-boot: done");

    assert_eq!(guest.read("etc/hostname"), "www\n");
    let hosts = guest.read("etc/hosts");
    for line in ["10.0.0.2 www.example.org www\n", "fd00::2 www.example.org www\n", "mine\n"] {
        assert!(hosts.contains(line), "{hosts}");
    }
    assert_eq!(
        guest.read("etc/network/interfaces"),
        "auto lo\niface lo inet loopback\n\n\
         auto eth0\n\
         iface eth0 inet static\n    address 10.0.0.2/24\n    gateway 10.0.0.1\n\
         iface eth0 inet static\n    address 10.0.0.3/24\n\
         iface eth0 inet6 static\n    address fd00::2/64\n    gateway fd00::1\n\n\
         auto eth1\niface eth1 inet dhcp\niface eth1 inet6 auto\n\n\
         auto enX2\niface enX2 inet manual\n"
    );
    assert_eq!(
        guest.read("etc/resolv.conf"),
        "search example.org\nnameserver 10.0.0.53\nnameserver fd00::53\n"
    );
    assert!(guest.read("etc/chrony/chrony.conf").contains("\nserver ntp.example.org iburst\n"));
    assert_eq!(guest.read("etc/default/locale"), "LANG=en_US.UTF-8\n");
    assert_eq!(guest.read("etc/timezone"), "Europe/Zurich\n");
    let zone = std::fs::read_link(guest.path("etc/localtime")).unwrap();
    assert_eq!(zone.to_str(), Some("/usr/share/zoneinfo/Europe/Zurich"));
    let keys = guest.read("root/.ssh/authorized_keys");
    assert!(keys.lines().any(|line| line == KEY), "{keys}");
    assert_eq!(guest.mode("root/.ssh/authorized_keys"), 0o600);
    assert_eq!(guest.mode("root/.ssh"), 0o700);
    let shadow = format!("daemon:*:1:0:::::\nroot:{}:1:0:::::\n", hash('h').secret());
    assert_eq!(guest.read("etc/shadow"), shadow);
    assert_eq!(guest.mode("etc/shadow"), 0o640);
    let sshd = guest.read("etc/ssh/sshd_config");
    let first = sshd.find("PermitRootLogin prohibit-password").unwrap();
    assert!(first < sshd.find("PermitRootLogin yes").unwrap(), "{sshd}");
    assert!(sshd.contains("PasswordAuthentication no"), "{sshd}");
    // In the seed's order, not in that of the names.
    assert_eq!(guest.read("ran"), "second\nfirst\n");
    assert!(!guest.path("run/xlfs-first-boot").exists());
    assert_eq!(guest.mode("var/lib/xlfs-first-boot"), 0o700);
    assert!(!guest.log().contains("salt$"), "the hash is in the log");
}

#[test]
fn it_sets_what_changed_runs_a_step_once_and_knows_a_clone() {
    let guest = Guest::new();
    guest.with(&[("etc/network/if-up.d/x", ""), ("etc/hosts", "10.9.9.9 mine\n")]);
    let mut seed = seed();
    assert!(guest.run(&seed).good);
    let hosts = guest.read("etc/hosts");
    guest.with(&[("etc/hostname", "changed-by-hand\n")]);

    assert!(guest.run(&seed).good);
    assert_eq!(guest.read("etc/hostname"), "changed-by-hand\n", "the same seed is old news");
    assert_eq!(guest.read("ran"), "second\nfirst\n");

    seed.settings.root_password = Some(hash('i'));
    assert!(guest.run(&seed).good);
    assert_eq!(guest.read("etc/hostname"), "www\n");
    assert_eq!(guest.read("etc/hosts"), hosts, "setting it again adds nothing");
    assert!(guest.read("etc/shadow").contains(hash('i').secret()));
    assert_eq!(guest.read("ran"), "second\nfirst\n");

    guest.with(&[("etc/ssh/ssh_host_rsa_key", "of the first guest")]);
    seed.instance = Uuid::from_u128(8);
    assert!(guest.run(&seed).good);
    assert_eq!(guest.read("ran"), "second\nfirst\nsecond\nfirst\n");
    let key = std::fs::read_to_string(guest.path("etc/ssh/ssh_host_rsa_key")).unwrap_or_default();
    assert_ne!(key, "of the first guest");
}

#[test]
fn networkd_gets_a_file_for_each_interface() {
    let guest = Guest::new();
    guest.with(&[
        ("usr/lib/systemd/systemd-networkd", ""),
        ("usr/lib/systemd/systemd-timesyncd", ""),
        ("etc/systemd/network/10-xlfs-eth7.network", "old"),
    ]);
    let run = guest.run(&seed());
    assert!(run.good, "{}", run.console);
    assert_eq!(
        guest.read("etc/systemd/network/10-xlfs-eth0.network"),
        "[Match]\nMACAddress=00:16:3e:00:00:00\n\n[Network]\n\
         Address=10.0.0.2/24\nAddress=10.0.0.3/24\nAddress=fd00::2/64\n\
         Gateway=10.0.0.1\nGateway=fd00::1\n\
         DNS=10.0.0.53\nDNS=fd00::53\nDomains=example.org\n"
    );
    assert!(guest.read("etc/systemd/network/10-xlfs-eth1.network").contains("DHCP=yes\n"));
    assert!(
        guest.read("etc/systemd/network/10-xlfs-eth2.network").contains("LinkLocalAddressing=no")
    );
    assert!(!guest.path("etc/systemd/network/10-xlfs-eth7.network").exists());
    assert_eq!(
        guest.read("etc/systemd/timesyncd.conf.d/xlfs.conf"),
        "[Time]\nNTP=ntp.example.org\n"
    );
    assert!(guest.log().contains("would run: systemctl enable --now"));
}

#[test]
fn without_both_the_addresses_are_set_at_every_boot() {
    let guest = Guest::new();
    let header = swap::header(1 << 20, Uuid::nil()).unwrap();
    guest.block_device("xvdb", &header, "0");
    let mut seed = seed();
    seed.interfaces.remove(1);
    for boot in 1..=2 {
        let run = guest.run(&seed);
        assert!(run.good, "{}", run.console);
        let log = guest.log();
        for command in [
            "ip link set eth0 up",
            "ip addr replace 10.0.0.2/24 dev eth0",
            "ip -4 route replace default via 10.0.0.1 dev eth0",
            "ip -6 route replace default via fd00::1 dev eth0",
            "ip link set enX2 up",
            &format!("swapon {}", guest.path("dev/xvdb").display()),
        ] {
            let line = format!("would run: {command}\n");
            assert_eq!(log.matches(&line).count(), boot, "{command}:\n{log}");
        }
    }
}

#[test]
fn a_failing_step_is_told_and_tried_again() {
    let guest = Guest::new();
    let mut seed = seed();
    let failing = "test -e \"$XLFS_ROOT/allowed\" || exit 3\n";
    seed.steps.insert(1, step("15-picky.sh", failing));
    let run = guest.run(&seed);
    assert!(!run.good);
    let lines: Vec<_> = run.console.lines().rev().take(2).collect();
    assert_eq!(
        lines,
        [
            "xlfs-first-boot: failed: 15-picky.sh",
            "xlfs-first-boot: step 15-picky.sh failed (exit 3)"
        ]
    );
    assert_eq!(guest.read("ran"), "second\n");
    guest.with(&[("allowed", "")]);
    let run = guest.run(&seed);
    assert!(run.good, "{}", run.console);
    assert_eq!(guest.read("ran"), "second\nfirst\n");
    assert!(guest.log().contains("step 15-picky.sh failed (exit 3)"));
}

#[test]
fn a_parameter_reaches_a_step_as_it_is() {
    let guest = Guest::new();
    let value =
        "it's \"here\" $(touch x) `id` \\n \\ ünï\u{1f600}\n'; rm -rf /nowhere; '\r\n# end\n\n";
    let mut seed = seed();
    seed.parameters.insert("site-name".into(), value.into());
    let content = "printf '%s.' \"$XLFS_PARAM_SITE_NAME\" >\"$XLFS_ROOT/value\"\n\
                   printf '%s %s %s' \"$XLFS_FQDN\" \"$XLFS_ADDRESSES\" \"${XLFS_ROOT_HASH-no hash}\" >\"$XLFS_ROOT/facts\"\n\
                   echo 'to the log'; echo 'to the log, too' >&2; cat\n";
    seed.steps = vec![step("10-show.sh", content)];
    let run = guest.run(&seed);
    assert!(run.good, "{}", run.console);
    assert_eq!(guest.read("value"), format!("{value}."));
    assert_eq!(guest.read("facts"), "www.example.org 10.0.0.2 10.0.0.3 fd00::2 no hash");
    assert!(guest.log().contains("to the log\nto the log, too\n"));
    assert!(!run.console.contains("to the log"));
}

#[test]
fn the_two_halves_can_run_apart() {
    let guest = Guest::new();
    let run = guest.run_part(&seed(), Some("configure"));
    assert!(run.good);
    assert_eq!(run.last(), "xlfs-first-boot: configured");
    assert!(!guest.path("ran").exists());
    let run = guest.run_part(&seed(), Some("steps"));
    assert_eq!(run.last(), "xlfs-first-boot: done");
    assert_eq!(guest.read("ran"), "second\nfirst\n");
}

#[test]
fn what_the_image_lacks_is_named_and_the_rest_is_done() {
    let guest = Guest::new();
    let mut seed = seed();
    seed.settings.time_zone = Some(parse("Mars/Olympus"));
    let run = guest.run(&seed);
    assert!(!run.good);
    assert!(run.console.contains("this image has no time zone Mars/Olympus"), "{}", run.console);
    assert_eq!(run.last(), "xlfs-first-boot: failed: locale_and_zone");
    assert_eq!(guest.read("etc/hostname"), "www\n");
    assert!(guest.read("root/.ssh/authorized_keys").contains(KEY));
}

#[test]
fn a_card_without_a_dhcp_client_is_told() {
    let guest = Guest::new();
    std::fs::remove_file(guest.path("programs/udhcpc")).unwrap();
    // A PATH without the host's clients: the few programs that it takes.
    for program in ["cat", "sed", "awk", "dd", "tr", "cp", "rm", "mv", "ln", "mkdir", "chmod"] {
        guest.link_program(program);
    }
    for program in ["chown", "stat", "readlink", "cksum", "sh", "grep", "ls", "sleep"] {
        guest.link_program(program);
    }
    let folder = guest.unpack(&seed());
    let path = guest.path("programs");
    let run = guest.boot_on(path.to_str().unwrap(), &path.join("sh"), folder.to_str());
    assert!(run.console.contains("this image has no DHCP client for eth1"), "{}", run.console);
    assert_eq!(run.last(), "xlfs-first-boot: failed: network_by_ip");
    assert_eq!(guest.read("etc/hostname"), "www\n");
}

#[test]
fn a_guest_without_the_disk_says_so_unless_it_is_set_up() {
    let guest = Guest::new();
    let run = guest.boot("/nonexistent", None);
    assert!(!run.good);
    assert_eq!(run.last(), "xlfs-first-boot: failed: disk");
    assert!(guest.run(&seed()).good);
    let run = guest.boot("/nonexistent", None);
    assert!(run.good);
    assert_eq!(run.last(), "xlfs-first-boot: done");
}

#[test]
fn it_finds_the_disk_by_its_label_and_mounts_it_read_only() {
    let guest = Guest::new();
    let folder = guest.unpack(&seed());
    // In place of mount and umount, which need root and a kernel with FAT.
    let mount = format!("#!/bin/sh\necho \"$*\" >>{0}.log\ncp -R {0}/. \"$6\"\n", folder.display());
    let umount = "#!/bin/sh\nrm -r \"$1\"/*\n";
    guest.program("mount", &mount);
    guest.program("umount", umount);
    guest.block_device("xvda", &[0; 65536], "0");
    guest.block_device("xvdz", &seed().image().unwrap(), "1");
    let run = guest.boot_on(&guest.programs(), "sh".as_ref(), None);
    assert!(run.good, "{}\n{}", run.console, guest.log());
    assert_eq!(guest.read("ran"), "second\nfirst\n");
    let asked = std::fs::read_to_string(folder.with_extension("log")).unwrap();
    let device = guest.path("dev/xvdz");
    let place = guest.path("run/xlfs-first-boot/disk");
    let wanted =
        format!("-t vfat -o ro,nosuid,nodev,noexec {} {}\n", device.display(), place.display());
    assert_eq!(asked, wanted);
}

/// That it mounts the real disk is shown in the lab, by the scenario lapp.
#[test]
fn busybox_understands_all_of_it() {
    for kind in ["usr/lib/systemd/systemd-networkd", "etc/network/if-up.d/x", "nothing"] {
        let guest = Guest::new();
        guest.with(&[(kind, ""), ("etc/ssh/sshd_config", ""), ("etc/ntp.conf", "")]);
        let applets = guest.busybox();
        let folder = guest.unpack(&seed());
        let run = guest.boot_on(applets.to_str().unwrap(), &applets.join("sh"), folder.to_str());
        assert!(run.good, "{}\n{}", run.console, guest.log());
        assert_eq!(run.last(), "xlfs-first-boot: done");
        assert!(!run.console.contains("not found"), "{}", run.console);
        assert_eq!(guest.read("ran"), "second\nfirst\n");
        assert_eq!(guest.read("etc/hostname"), "www\n");
        assert!(guest.read("etc/shadow").contains(hash('h').secret()));
        assert_eq!(guest.mode("etc/shadow"), 0o640);
    }
}
