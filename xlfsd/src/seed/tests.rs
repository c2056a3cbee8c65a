use std::io::{Cursor, Read};
use std::process::Command;

use serde_json::{Value, json};

use super::*;
use crate::value::HOSTILE;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g it's \"me\" $(id) ä";

fn parse<T: std::str::FromStr<Err: fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn interface(index: u8, addressing: Addressing) -> Interface {
    let mac = format!("00:16:3e:00:00:{index:02x}").parse().unwrap();
    Interface { index, mac, addressing }
}

fn fixed(addresses: &[&str]) -> Addressing {
    Addressing::Static(addresses.iter().map(|address| parse(address)).collect())
}

/// A seed with all that there is.
fn full() -> Seed {
    let mut seed = Seed::new(Uuid::from_u128(0x1234_5678), parse("www.example.org"));
    seed.interfaces = vec![
        interface(0, fixed(&["10.0.0.2/24", "fd00::2/64"])),
        interface(1, Addressing::Dhcp),
        interface(2, Addressing::None),
    ];
    seed.settings.gateways = vec![parse("10.0.0.1"), parse("fe80::1")];
    seed.settings.name_servers = vec![parse("10.0.0.53"), parse("fd00::53")];
    seed.settings.ntp_servers = vec![parse("ntp.example.org"), parse("10.0.0.123")];
    seed.settings.locale = Some(parse("en_US.UTF-8"));
    seed.settings.time_zone = Some(parse("Europe/Zurich"));
    seed.settings.ssh_keys = vec![parse(KEY)];
    seed.settings.root_password = Some(parse(&format!("$6$salt${}", "h".repeat(86))));
    seed.parameters = [("site-name", "it's here"), ("password", "s3cret")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    seed.steps = vec![
        Step::new("20-web.sh", "echo \"$XLFS_PARAM_SITE_NAME\"\n").unwrap(),
        Step::new("10-data.sh", "# ünïcode\nexit 0\n").unwrap(),
    ];
    seed
}

fn read(image: &[u8], path: &str) -> String {
    let volume =
        fatfs::FileSystem::new(Cursor::new(image.to_vec()), fatfs::FsOptions::new()).unwrap();
    let mut text = String::new();
    volume.root_dir().open_file(path).unwrap().read_to_string(&mut text).unwrap();
    text
}

fn yaml(image: &[u8], path: &str) -> Value {
    serde_saphyr::from_str(&read(image, path)).unwrap()
}

/// What a shell has in the variables `names` after it read `conf`, in an
/// empty folder, which must stay empty.
fn sourced(conf: &str, names: &[&str]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let (file, inside) = (dir.path().join("xlfs.conf"), dir.path().join("inside"));
    std::fs::write(&file, conf).unwrap();
    std::fs::create_dir(&inside).unwrap();
    let names: Vec<_> = names.iter().map(|name| format!("\"$XLFS_{name}\"")).collect();
    let script = format!(". \"$1\"; printf '%s\\0' {}", names.join(" "));
    let mut command = Command::new("sh");
    command.args(["-u", "-e", "-c", &script, "sh"]).arg(&file).current_dir(&inside);
    let output = command.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}\n{conf}");
    assert_eq!(std::fs::read_dir(&inside).unwrap().count(), 0, "{conf}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.strip_suffix('\0').unwrap().split('\0').map(str::to_owned).collect()
}

#[test]
fn the_disk_is_small_labelled_and_the_same_each_time() {
    let image = full().image().unwrap();
    assert_eq!(image.len(), 1 << 20);
    assert_eq!(full().image().unwrap(), image);
    let mut other = full();
    other.instance = Uuid::from_u128(0x1234_5679);
    assert_ne!(other.image().unwrap(), image);
    let volume =
        fatfs::FileSystem::new(Cursor::new(image.clone()), fatfs::FsOptions::new()).unwrap();
    // blkid and cloud-init look for the label in the root folder.
    assert_eq!(volume.read_volume_label_from_root_dir().unwrap().as_deref(), Some(LABEL));
    assert_eq!(volume.volume_label(), LABEL);
    assert_eq!(volume.volume_id(), 0x1234_5678);
    let entries: Vec<_> = volume.root_dir().iter().map(Result::unwrap).collect();
    let names: Vec<_> = entries.iter().map(|entry| entry.file_name()).collect();
    assert_eq!(
        names,
        [
            "meta-data",
            "user-data",
            "network-config",
            "xlfs.conf",
            "step-20-web.sh",
            "step-10-data.sh"
        ]
    );
    for entry in &entries {
        let date = entry.modified().date;
        assert_eq!((date.year, date.month, date.day), (1980, 1, 1), "{}", entry.file_name());
    }
    assert_eq!(read(&image, "step-10-data.sh"), "# ünïcode\nexit 0\n");
}

#[test]
fn a_disk_grows_with_its_content_up_to_a_limit() {
    let mut seed = Seed::new(Uuid::nil(), parse("web"));
    let image = seed.image().unwrap();
    assert_eq!(image.len(), 1 << 20);
    let value = "x".repeat(1 << 20);
    seed.parameters.insert("big".into(), value.clone());
    let image = seed.image().unwrap();
    assert_eq!(image.len(), 2 << 20);
    assert_eq!(sourced(&read(&image, "xlfs.conf"), &["PARAM_BIG"]), [value]);
    let rest = MAX_CONTENT - (1 << 20);
    seed.parameters.insert("rest".into(), "y".repeat(rest));
    assert!(matches!(seed.image(), Err(SeedError::TooLarge { .. })));
    // The fullest disk: each file has one byte more than its clusters hold.
    let files: Vec<_> = (0..63)
        .map(|n| (format!("step-{n}-{}", "n".repeat(60)), "x".repeat((64 << 10) + 1)))
        .collect();
    assert!(disk::image(Uuid::nil(), &files).is_ok());
}

#[test]
fn cloud_init_is_told_everything() {
    let image = full().image().unwrap();
    assert_eq!(
        yaml(&image, "meta-data"),
        json!({ "instance-id": Uuid::from_u128(0x1234_5678).to_string(), "local-hostname": "www.example.org" })
    );
    let name_servers = json!({ "addresses": ["10.0.0.53", "fd00::53"], "search": ["example.org"] });
    assert_eq!(
        yaml(&image, "network-config"),
        json!({ "version": 2, "ethernets": {
            "eth0": {
                "match": { "macaddress": "00:16:3e:00:00:00" }, "set-name": "eth0",
                "dhcp4": false, "dhcp6": false,
                "addresses": ["10.0.0.2/24", "fd00::2/64"],
                "gateway4": "10.0.0.1", "gateway6": "fe80::1",
                "nameservers": name_servers,
            },
            "eth1": {
                "match": { "macaddress": "00:16:3e:00:00:01" }, "set-name": "eth1",
                "dhcp4": true, "dhcp6": true, "nameservers": name_servers,
            },
            "eth2": {
                "match": { "macaddress": "00:16:3e:00:00:02" }, "set-name": "eth2",
                "dhcp4": false, "dhcp6": false,
            },
        } })
    );
    assert!(read(&image, "user-data").starts_with("#cloud-config\n"));
    let user = yaml(&image, "user-data");
    assert_eq!(user["fqdn"], "www.example.org");
    assert_eq!(user["hostname"], "www");
    assert_eq!(user["ssh_pwauth"], false);
    assert_eq!(
        user["users"],
        json!([{ "name": "root", "lock_passwd": false, "ssh_authorized_keys": [KEY] }])
    );
    let hash = full().settings.root_password.unwrap();
    assert_eq!(
        user["chpasswd"],
        json!({ "expire": false, "users": [{ "name": "root", "password": hash.secret(), "type": "hash" }] })
    );
    assert_eq!(user["locale"], "en_US.UTF-8");
    assert_eq!(user["timezone"], "Europe/Zurich");
    assert_eq!(user["ntp"]["servers"], json!(["ntp.example.org", "10.0.0.123"]));
    let files = user["write_files"].as_array().unwrap();
    assert_eq!(files[0]["content"], read(&image, "xlfs.conf"));
    assert_eq!(files[0]["permissions"], "0600");
    assert_eq!(files[1]["path"], "/var/lib/xlfs-first-boot/steps/20-web.sh");
    assert_eq!(files[1]["content"], full().steps[0].content());
}

#[test]
fn nothing_given_is_nothing_said() {
    let image = Seed::new(Uuid::nil(), parse("web")).image().unwrap();
    assert_eq!(yaml(&image, "network-config"), json!({ "version": 2, "ethernets": {} }));
    let user = yaml(&image, "user-data");
    let keys: Vec<_> = user.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        ["disable_root", "fqdn", "hostname", "manage_etc_hosts", "ssh_pwauth", "users"]
    );
    assert_eq!(user["users"], json!([{ "name": "root", "lock_passwd": false }]));
}

#[test]
fn the_shell_is_told_the_same() {
    let conf = read(&full().image().unwrap(), "xlfs.conf");
    let hash = full().settings.root_password.unwrap();
    for (name, value) in [
        ("FORMAT", "1"),
        ("INSTANCE", "00000000-0000-0000-0000-000012345678"),
        ("FQDN", "www.example.org"),
        ("HOST", "www"),
        ("DOMAIN", "example.org"),
        ("SEARCH", "example.org"),
        ("NAME_SERVERS", "10.0.0.53 fd00::53"),
        ("NTP_SERVERS", "ntp.example.org 10.0.0.123"),
        ("LOCALE", "en_US.UTF-8"),
        ("TIME_ZONE", "Europe/Zurich"),
        ("INTERFACES", "0 1 2"),
        ("ADDRESSES", "10.0.0.2 fd00::2"),
        ("IF0_MAC", "00:16:3e:00:00:00"),
        ("IF0_METHOD", "static"),
        ("IF0_ADDRESSES", "10.0.0.2/24 fd00::2/64"),
        ("IF0_GATEWAYS", "10.0.0.1 fe80::1"),
        ("IF1_METHOD", "dhcp"),
        ("IF1_ADDRESSES", ""),
        ("IF2_METHOD", "none"),
        ("SSH_KEYS", KEY),
        ("ROOT_HASH", hash.secret()),
        ("PASSWORD_LOGIN", "no"),
        ("STEPS", "20-web.sh 10-data.sh"),
        ("PARAMS", "PASSWORD SITE_NAME"),
        ("PARAM_SITE_NAME", "it's here"),
    ] {
        assert_eq!(sourced(&conf, &[name]), [value], "{name}");
    }
}

/// xorshift64*, so that a failure can be repeated.
fn random(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33
}

#[test]
fn no_value_breaks_out_of_the_shell_or_of_yaml() {
    const PIECES: [&str; 28] = [
        "'",
        "\"",
        "\\",
        "\n",
        "\r",
        "\t",
        "$",
        "(",
        ")",
        "`",
        ";",
        "#",
        "&",
        "|",
        ">",
        "touch x ",
        "$(touch x)",
        "'\\''",
        "XLFS_FQDN='evil'",
        ": ",
        "- ",
        "{",
        "}",
        "\u{7f}",
        "\u{85}",
        "\u{2028}",
        "ä",
        "\u{1f600}",
    ];
    let mut state = 0x1bad_5eed_u64;
    let mut values: Vec<String> = (0..300)
        .map(|_| {
            let length = random(&mut state) % 12;
            (0..length).map(|_| PIECES[random(&mut state) as usize % PIECES.len()]).collect()
        })
        .collect();
    values.extend(HOSTILE.iter().filter(|text| !text.contains('\0')).map(|text| text.to_string()));
    values.extend((1..=0x24f).filter_map(char::from_u32).map(|c| format!("{c}a{c}")));

    let mut seed = Seed::new(Uuid::nil(), parse("web"));
    let name = |index| format!("p{index}");
    seed.parameters =
        values.iter().enumerate().map(|(index, value)| (name(index), value.clone())).collect();
    let steps = values.iter().take(MAX_STEPS).enumerate();
    seed.steps = steps.map(|(index, value)| Step::new(&name(index), value).unwrap()).collect();
    let image = seed.image().unwrap();
    let conf = read(&image, "xlfs.conf");
    let names: Vec<_> = (0..values.len()).map(|index| format!("PARAM_P{index}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    assert_eq!(sourced(&conf, &names), values);
    assert_eq!(sourced(&conf, &["FQDN"]), ["web"]);
    let files = &yaml(&image, "user-data")["write_files"];
    assert_eq!(files[0]["content"], conf);
    for (index, value) in values.iter().take(MAX_STEPS).enumerate() {
        assert_eq!(files[index + 1]["content"], *value);
    }
}

#[test]
fn nonsense_is_refused_and_named() {
    let wrong = |change: fn(&mut Seed)| {
        let mut seed = full();
        change(&mut seed);
        seed.image().unwrap_err().to_string()
    };
    for (change, text) in [
        (
            (|seed| seed.interfaces[1].index = 0) as fn(&mut Seed),
            "two interfaces have the same name, eth0",
        ),
        (|seed| seed.interfaces[1].mac = seed.interfaces[0].mac, "same MAC address, 00:16:3e"),
        (|seed| seed.interfaces[1].addressing = fixed(&["10.0.0.2/8"]), "same address, 10.0.0.2"),
        (
            |seed| seed.steps = vec![Step::new("a", "").unwrap(); 65],
            "65 first-boot steps are too many",
        ),
        (|seed| seed.interfaces[1].addressing = fixed(&[]), "eth1 is to have static addresses"),
        (|seed| seed.settings.gateways = vec![parse("10.0.0.2")], "an address of the guest itself"),
        (
            |seed| seed.settings.gateways = vec![parse("10.0.1.1")],
            "10.0.1.1 is in no network of the guest's interfaces (10.0.0.2/24, fd00::2/64)",
        ),
        (|seed| seed.settings.gateways.push(parse("10.0.0.3")), "two gateways are given for IPv4"),
        (|seed| seed.steps.push(Step::new("20-WEB.sh", "").unwrap()), "the name 20-WEB.sh"),
        (
            |seed| _ = seed.parameters.insert("site_name".into(), "x".into()),
            "site-name and site_name are the same variable XLFS_PARAM_SITE_NAME",
        ),
        (|seed| _ = seed.parameters.insert("x".into(), "a\0b".into()), "x holds a NUL"),
        (|seed| _ = seed.parameters.insert("x=y".into(), "".into()), "\"x=y\" cannot be"),
        (
            |seed| seed.interfaces = (0..33).map(|n| interface(n, Addressing::Dhcp)).collect(),
            "33 interfaces are too many",
        ),
    ] {
        let error = wrong(change);
        assert!(error.contains(text), "{error}");
    }
    let login =
        wrong(|seed| (seed.settings.root_password, seed.settings.password_login) = (None, true));
    assert!(login.contains("a login with a password"), "{login}");
    for name in HOSTILE {
        assert_eq!(variable(name), None, "{name:?}");
    }
}

#[test]
fn secrets_stay_out_of_logs() {
    let shown = format!("{:?}", full());
    assert!(shown.contains("password") && !shown.contains("s3cret"), "{shown}");
    assert!(!shown.contains("hhhh"), "{shown}");
}
