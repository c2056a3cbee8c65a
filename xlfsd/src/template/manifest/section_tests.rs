//! `[disks]`, `[swap]`, `[network]`, `[first_boot]`, `[[health]]`, `[services]`.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use uuid::Uuid;

use super::*;
use crate::seed::{MAX_STEP, MAX_STEPS};
use crate::template::guest::GuestFacts;
use crate::template::{HealthKind, Network};

const GOOD: &str = r#"
name = "lapp"
version = "1"
summary = "A web server"

[image]
kernel = "k"

[parameters.site-name]
type = "domain-name"
default = "${guest.name}"

[parameters.admin]
type = "email"

[parameters.password]
type = "secret"

[disks.root]
image = "lapp-root"
size = "4G"
size_min = "1G"

[disks.data]
size = "10G"
pool = "fast"
device = "xvdc"

[swap]
times = 1.5

[network]
networks = ["lan"]
interfaces = 2

[first_boot]
steps = ["20-web.sh", "10-postgres.sh"]

[[health]]
kind = "http"
path = "/health?name=${site-name}"
expect = "ready"
interval = "10s"
timeout = "2s"
grace = "5m"

[[health]]
kind = "tcp"
port = 5432

[services]
http = "Apache httpd on port 80"
"#;

/// A folder with the manifest `text` and the steps that GOOD names.
fn folder(text: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("lapp");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join(FILE_NAME), text).unwrap();
    fs::write(dir.join("20-web.sh"), "echo web\n").unwrap();
    fs::write(dir.join("10-postgres.sh"), "echo data\n").unwrap();
    root
}

fn read(text: &str) -> Result<Template, TemplateError> {
    Template::read(&folder(text).path().join("lapp"))
}

/// The error and its sources in a line.
#[track_caller]
fn wrong(text: &str) -> String {
    let error = read(text).unwrap_err();
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        line = format!("{line}: {error}");
        source = error.source();
    }
    line
}

#[test]
fn a_good_manifest_says_all_of_it() {
    let template = read(GOOD).unwrap();
    let root = &template.disks[Disk::ROOT];
    assert_eq!(root.image.as_deref(), Some("lapp-root"));
    assert_eq!((root.size_mib, root.size_min_mib), (Some(4096), Some(1024)));
    assert_eq!((root.device.as_str(), root.pool.as_deref()), ("xvda", None));
    let data = &template.disks["data"];
    assert_eq!((data.image.as_deref(), data.pool.as_deref()), (None, Some("fast")));
    let swap = template.swap.as_ref().unwrap();
    assert_eq!((swap.percent, swap.device.as_str()), (150, "xvdb"));
    assert_eq!(swap.size_mib(256), 384);
    assert_eq!(template.network, Some(Network { networks: vec!["lan".into()], interfaces: 2 }));
    // In the manifest's order, with what the files hold.
    let steps: Vec<_> = template.steps.iter().map(|s| (s.name(), s.content())).collect();
    assert_eq!(steps, [("20-web.sh", "echo web\n"), ("10-postgres.sh", "echo data\n")]);
    let [http, tcp] = template.health.as_slice() else { panic!("{:?}", template.health) };
    assert_eq!((http.kind, http.port), (HealthKind::Http, 80));
    assert_eq!((http.interval, http.timeout), (Duration::from_secs(10), Duration::from_secs(2)));
    assert_eq!(http.grace, Duration::from_secs(300));
    assert_eq!((tcp.kind, tcp.port, tcp.path.as_deref()), (HealthKind::Tcp, 5432, None));
    assert_eq!((tcp.interval, tcp.timeout), (Duration::from_secs(30), Duration::from_secs(5)));
    assert_eq!(template.services["http"], "Apache httpd on port 80");
}

#[test]
fn a_manifest_of_before_has_none_of_it() {
    let old = GOOD.split_once("[disks.root]").unwrap().0;
    let template = read(old).unwrap();
    assert!(template.disks.is_empty() && template.steps.is_empty() && template.health.is_empty());
    assert!(template.swap.is_none() && template.network.is_none());
}

#[test]
fn what_is_wrong_in_a_section_is_named() {
    for (from, to, text) in [
        ("image = \"lapp-root\"", "", "disks.root: it needs an image"),
        ("size = \"10G\"", "", "disks.data: it needs a size, or an image"),
        ("device = \"xvdc\"", "", "disks.data: it needs a device"),
        ("\"4G\"", "\"512M\"", "disks.root: its size is less than its size_min"),
        ("\"4G\"", "\"100K\"", "disks.root: its size must be a number of whole MiB"),
        ("\"1G\"", "1048577", "disks.root: its size_min must be a number of whole MiB"),
        ("\"fast\"", "\"../x\"", "disks.data: its pool must be"),
        ("\"xvdc\"", "\"xvda\"", "disks.root: its device xvda is that of the disk data"),
        ("\"xvdc\"", "\"xvdq\"", "its device \"xvdq\" must be xvda to xvdp"),
        ("\"xvdc\"", "\"xvdc0\"", "must be xvda to xvdp"),
        ("\"xvdc\"", "\"xvdc16\"", "must be xvda to xvdp"),
        ("\"xvdc\"", "\"xvdc+1\"", "must be xvda to xvdp"),
        ("\"xvdc\"", "\"xvdä\"", "must be xvda to xvdp"),
        ("\"xvdc\"", "\"sda\"", "must be xvda to xvdp"),
        ("\"xvdc\"", "\"xvdb\"", "swap: its device xvdb is that of the disk data"),
        ("disks.data", "disks.Data", "disks.Data: its name must have"),
        ("1.5", "0.001", "swap: times must be 0.01 to 16"),
        ("1.5", "16.01", "swap: times must be 0.01 to 16"),
        ("1.5", "nan", "swap: times must be 0.01 to 16"),
        ("interfaces = 2", "interfaces = 0", "network: interfaces must be 1 to 32"),
        ("interfaces = 2", "interfaces = 33", "network: interfaces must be 1 to 32"),
        ("[\"lan\"]", "['a', 'b', 'c']", "names 3, and there are 2 interfaces"),
        ("[\"lan\"]", "['la n']", "network: networks: \"la n\" is no network's name"),
        ("\"20-web.sh\"", "\"30-no.sh\"", "step 30-no.sh cannot be used: it cannot be read"),
        ("\"20-web.sh\"", "\"../x\"", "cannot be a step's name"),
        ("\"20-web.sh\"", "\"10-Postgres.sh\"", "10-postgres.sh is named twice"),
        (".admin]", ".site_name]", "it is the same as site-name, XLFS_PARAM_SITE_NAME"),
        ("kind = \"tcp\"", "kind = \"icmp\"", "unknown value \"icmp\""),
        ("port = 5432", "", "health 2: a tcp check needs a port"),
        ("port = 5432", "port = 0", "health 2: its port must be 1 to 65535"),
        ("port = 5432", "port = 65536", "invalid value"),
        ("port = 5432", "port = 1\npath = '/'", "only an http check has a path, and it is tcp"),
        ("port = 5432", "port = 1\nexpect = 'x'", "a tcp check has nothing to expect"),
        ("port = 5432", "port = 1\nquery = 'x'", "only a dns check has a query"),
        ("kind = \"tcp\"", "kind = \"dns\"", "a dns check needs a query"),
        ("\"10s\"", "\"1s\"", "its timeout is longer than its interval"),
        ("\"10s\"", "\"2h\"", "its interval must be 1s to 1h"),
        ("\"10s\"", "\"often\"", "\"often\" is not a time"),
        ("\"2s\"", "\"0s\"", "its timeout must be 1s to 1m"),
        ("\"5m\"", "\"25h\"", "its grace must be 0s to 1day"),
        ("${site-name}", "${site-nam}", "no parameter (did you mean \"site-name\"?)"),
        ("${site-name}", "${admin}", "mentions admin, which need not have a value"),
        ("${site-name}", "${password}", "mentions the secret password"),
        ("${site-name}", "${site-name", "has an open"),
        ("\"/health?name=${site-name}\"", "\"health\"", "its path must begin with '/'"),
        ("\"ready\"", "\"\"\"a\nb\"\"\"\npath = '/'\n#", "health 1: its expect must be one line"),
        ("http = \"Ap", "HTTP = \"Ap", "services.HTTP: its name must have"),
        ("\"Apache httpd on port 80\"", "\"\"", "services.http: it must be told in one line"),
        ("times = 1.5", "tmes = 1.5", "unknown key \"tmes\" (did you mean \"times\"?)"),
        ("size_min", "size_mni", "unknown key \"size_mni\""),
        ("grace", "grase", "unknown key \"grase\""),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let mut changed = GOOD.replacen(from, to, 1);
        if to.contains("\"\"\"") {
            changed = changed.replacen("path = \"/health?name=${site-name}\"\n", "", 1);
        }
        let error = wrong(&changed);
        assert!(error.contains(text) && error.contains("lapp/template.toml"), "{to}: {error}");
    }
}

#[test]
fn a_step_is_a_file_of_text_in_the_folder_and_nothing_else() {
    let read = |make: &dyn Fn(&Path)| {
        let root = folder(GOOD);
        let dir = root.path().join("lapp");
        fs::remove_file(dir.join("20-web.sh")).unwrap();
        make(&dir.join("20-web.sh"));
        Template::read(&dir).map(|template| template.steps[0].content().len())
    };
    assert_eq!(read(&|path| fs::write(path, "x".repeat(MAX_STEP)).unwrap()).unwrap(), MAX_STEP);
    type Make<'a> = &'a dyn Fn(&Path);
    let refused: [(Make<'_>, &str); 5] = [
        (&|path| fs::write(path, "x".repeat(MAX_STEP + 1)).unwrap(), "TooLarge"),
        (&|path| fs::write(path, "x\0").unwrap(), "Binary"),
        (&|path| fs::write(path, [0xff]).unwrap(), "Utf8"),
        (&|path| symlink("/etc/passwd", path).unwrap(), "Read"),
        (&|path| fs::create_dir(path).unwrap(), "Read"),
    ];
    for (make, what) in refused {
        let error = read(make).unwrap_err();
        assert!(format!("{error:?}").contains(what), "{what}: {error:?}");
    }
    let names: Vec<_> = (0..=MAX_STEPS).map(|n| format!("\"{n}.sh\"")).collect();
    let many = GOOD.replace("\"20-web.sh\", \"10-postgres.sh\"", &names.join(","));
    assert!(wrong(&many).contains("at most 64"));
}

#[test]
fn a_health_check_is_filled_for_its_guest() {
    let template = read(GOOD).unwrap();
    let guest = GuestFacts { name: "web", uuid: Uuid::nil() };
    let fill = |value: &str| {
        let values = BTreeMap::from([("site-name".to_owned(), value.to_owned())]);
        template.health[0].fill(&values, &guest)
    };
    let check = fill("www.example.org").unwrap();
    assert_eq!(check.path.as_deref(), Some("/health?name=www.example.org"));
    assert_eq!(check.expect.as_deref(), Some("ready"));
    // What a value holds is no place, and no other request.
    assert_eq!(fill("${site-name}").unwrap().path.as_deref(), Some("/health?name=${site-name}"));
    for value in ["a b", "a\r\nHost: x", "ä", &"a".repeat(600)] {
        assert!(fill(value).is_err(), "{value:?}");
    }
    assert!(template.health[0].fill(&BTreeMap::new(), &guest).is_err());
}
