//! Guests of xl: what `import` prints, what it asks xlfsd for, and that both are
//! the same.

use std::path::Path;
use std::process::{Command, Stdio};

use xlfs_proto::v1::{OperationReply, Template};

use crate::fake::images::image;
use crate::fake::others::template;
use crate::fake::tasks::success;
use crate::fake::{Fake, World, serve};
use crate::run::{Run, command, finish, no_daemon, xlfsctl};

const WEB: &str = "\
# what xl create took
name = 'Web'
type = 'pv'
kernel = '/boot/lapp-kernel'
ramdisk = '/boot/lapp-ramdisk'
memory = 512
vcpus = 2
uuid = '6f1c1f0e-0a4e-4f0c-9c55-9a2d3c1e7b42'
disk = [ 'phy:vg0/web root,xvda1,w', ]
on_reboot = 'rename-restart'
vif = [ '', 'bridge=dmz,mac=00:16:3E:00:00:01,ip=10.0.0.2/24,rate=1Mb/s' ]
pae = 1
";

/// A file of this content, in a folder that lives as long as the first.
fn file(content: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("web.cfg");
    std::fs::write(&path, content).expect("written");
    let path = path.to_str().expect("text").to_owned();
    (folder, path)
}

/// A daemon with the template lapp and the image of the guest's disk.
fn ready() -> World {
    let images = vec![image("web-xvda1", "ab", &[])];
    let mut world = World { templates: vec![template()], images, ..World::default() };
    let task = success("7", "create", "web");
    let first = task.first().cloned();
    let reply = OperationReply { task: first, changed: true, ..OperationReply::default() };
    world.replies.insert("web".to_owned(), Ok(reply));
    world.tasks.insert("7".to_owned(), task);
    world
}

/// The requests that xlfsd got to make guests.
fn created(fake: &Fake) -> Vec<String> {
    let world = fake.stage.world();
    world.requests.iter().filter(|one| one.starts_with("CreateDomain")).cloned().collect()
}

async fn shell(socket: &Path, script: &str) -> Run {
    let xlfsctl = Path::new(env!("CARGO_BIN_EXE_xlfsctl"));
    let mut command = Command::new("/bin/sh");
    command.env_clear().env("XLFSD_SOCKET", socket).env("PATH", xlfsctl.parent().expect("folder"));
    command.args(["-c", script]).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(command).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_prints_commands_and_needs_no_daemon() {
    let (_folder, path) = file(WEB);
    let (_nobody, socket) = no_daemon();
    let args = ["import", &path, "--template", "lapp", "--set", "hostname=web", "--dry-run"];
    let run = finish(command(&socket, &args)).await.expect(0);
    assert_eq!(
        run.out,
        "\
xlfsctl image import /boot/lapp-kernel --kind kernel --alias lapp-kernel
xlfsctl image import /boot/lapp-ramdisk --kind ramdisk --alias lapp-ramdisk
xlfsctl image import '/dev/vg0/web root' --kind disk --alias web-xvda1
xlfsctl create web --template lapp --set hostname=web --memory 512M --vcpus 2 --on-reboot restart --disk xvda1,image=web-xvda1 --nic '' --nic network=dmz,mac=00:16:3e:00:00:01,ip=10.0.0.2/24,rate=1Mb/s,anti-spoofing --no-start
"
    );
    let told = run.err.replace('\n', " ");
    for words in [
        "web.cfg:2: name: changed: a guest is named like a host: web",
        "web.cfg:4: kernel: not supported",
        "web.cfg:8: uuid: not supported",
        "web.cfg:10: on_reboot: changed: restart",
        "web.cfg:11: vif: changed: the guest may send from its ip= only",
        "web.cfg:12: pae: ignored",
    ] {
        assert!(told.contains(words), "{words}: {}", run.err);
    }
    let quiet = finish(command(&socket, &[&args[..], &["-q"]].concat())).await.expect(0);
    assert_eq!((quiet.err.as_str(), quiet.out), ("", run.out));
}

/// What the printed commands do is what `import` does.
#[tokio::test(flavor = "multi_thread")]
async fn the_printed_commands_make_the_same_guest() {
    let (_folder, path) = file(WEB);
    for start in [&["--start"][..], &[]] {
        let fake = serve(ready());
        let args = [&["import", &path, "--set", "hostname=it's me; $HOME"], start].concat();
        let dry = xlfsctl(&fake, &[&args[..], &["--dry-run"]].concat()).await.expect(0);
        assert_eq!(created(&fake), Vec::<String>::new(), "a dry run makes nothing");
        let create = dry.out.lines().last().expect("a line");
        shell(&fake.socket, create).await.expect(0);
        let run = xlfsctl(&fake, &args).await.expect(0);
        assert!(run.err.ends_with("web: create done in 4.0s\n"), "{}", run.err);
        let requests = created(&fake);
        assert_eq!(requests.len(), 2, "{requests:?}");
        assert_eq!(requests[0], requests[1]);
        let no_start = format!("no_start: {}", start.is_empty());
        for part in [
            "name: \"web\"",
            "it's me; $HOME",
            "image: \"web-xvda1\"",
            "network: \"dmz\"",
            &no_start,
        ] {
            assert!(requests[0].contains(part), "{part}: {}", requests[0]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_template_is_found_by_the_kernel() {
    let fake = serve(ready());
    let (_folder, path) = file(WEB);
    let json = xlfsctl(&fake, &["import", &path, "--dry-run", "-o", "json"]).await.expect(0).json();
    assert_eq!(json["definition"]["template"], "lapp");
    let findings = json["findings"].as_array().expect("a list").clone();
    let keys: Vec<_> = findings.iter().map(|one| one["key"].as_str().expect("text")).collect();
    assert_eq!(
        keys,
        ["name", "uuid", "on_reboot", "vif", "pae"],
        "the kernel is the template's own"
    );
    let kinds: Vec<_> = findings.iter().map(|one| one["kind"].as_str().expect("text")).collect();
    assert_eq!(kinds, ["changed", "unsupported", "changed", "changed", "ignored"]);
    assert_eq!(findings[1]["line"], 8);

    // The ramdisk counts too, where there is one.
    let (_folder, other) = file(&WEB.replace("lapp-ramdisk", "other"));
    xlfsctl(&fake, &["import", &other, "--dry-run"]).await.expect(2);
    let without = WEB.replace("ramdisk = '/boot/lapp-ramdisk'", "");
    let (_folder, other) = file(&without);
    let run = xlfsctl(&fake, &["import", &other, "--dry-run"]).await.expect(0);
    assert!(run.out.contains("--template lapp"), "{}", run.out);

    // Two that name it: nobody guesses.
    let other = Template { name: "lapp2".to_owned(), ..template() };
    fake.stage.world().templates.push(other);
    let failure = xlfsctl(&fake, &["import", &path, "-o", "json"]).await.expect(2).failure();
    assert!(failure["hint"].as_str().expect("a hint").contains("lapp, lapp2"), "{failure}");

    // None: a guest without disks is made from the smallest template.
    let (_folder, bare) = file("name = 'bare'\n");
    let run = xlfsctl(&fake, &["import", &bare, "--dry-run"]).await.expect(0);
    assert_eq!(run.out, "xlfsctl create bare --template minimal --no-start\n");
    let (_folder, disk) = file("name = 'bare'\ndisk = ['/dev/x,raw,xvda,w']\n");
    let run = xlfsctl(&fake, &["import", &disk, "--dry-run"]).await.expect(2);
    assert!(run.err.contains("--template"), "{}", run.err);
    let run = xlfsctl(&fake, &["import", &disk, "-t", "lap", "--dry-run"]).await.expect(3);
    assert!(run.err.contains("there is no template \"lap\""), "{}", run.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn disks_are_copied_before_a_guest_is_made() {
    let fake = serve(World { images: Vec::new(), ..ready() });
    let (_folder, path) = file(WEB);
    let run = xlfsctl(&fake, &["import", &path, "-o", "json"]).await.expect(5);
    let failure = run.failure();
    let cause = failure["causes"][0].as_str().expect("a cause");
    let command = "xlfsctl image import '/dev/vg0/web root' --kind disk --alias web-xvda1";
    assert!(cause.ends_with(command), "{failure}");
    assert_eq!(run.out, "");
    assert_eq!(created(&fake), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_says_what_was_made() {
    let fake = serve(ready());
    let (_folder, path) = file(WEB);
    let args = ["-o", "json", "import", &path, "--name", "web"];
    let json = xlfsctl(&fake, &args).await.expect(0).json();
    assert_eq!(json["dry_run"], false);
    assert_eq!(json["definition"]["memory_mib"], 512);
    assert_eq!(json["definition"]["end_policy"]["on_reboot"], "restart");
    assert_eq!(json["definition"]["disks"][0]["name"], "xvda1");
    assert_eq!(json["images"][2]["alias"], "web-xvda1");
    assert_eq!(json["result"]["operation"], "create");
    assert_eq!(json["result"]["task"]["state"], "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_takes_no_loss() {
    let fake = serve(ready());
    let (_folder, path) = file(WEB);
    let args = ["import", &path, "--strict", "-o", "json"];
    let failure = xlfsctl(&fake, &args).await.expect(10).failure();
    assert_eq!(failure["fields"].as_array().map(Vec::len), Some(5), "{failure}");
    assert_eq!(failure["fields"][1]["field"], "uuid");
    assert!(failure["fields"][1]["problem"].as_str().expect("text").starts_with("line 8: "));
    let text = xlfsctl(&fake, &args[..3]).await.expect(10);
    assert_eq!(text.err.matches("UUID of its own").count(), 1, "told once: {}", text.err);
    assert_eq!(created(&fake), Vec::<String>::new());

    let clean = "name='web'\nmemory=64\ndisk=['phy:vg0/web,xvda1,w']\n";
    let (_folder, path) = file(clean);
    xlfsctl(&fake, &["import", &path, "-t", "lapp", "--strict"]).await.expect(0);
    assert_eq!(created(&fake).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_guest_is_explained() {
    let fake = serve(ready());
    for (content, words) in [
        ("import os\nname = 'a'\n", "line 1, column 1: \"import\" is a word of Python"),
        ("name = 'a'\nmemory = 512M\n", "line 2, column 10: \"512M\" is no number"),
        ("name = 'a'\ntype = 'hvm'\n", "PV) guests only"),
        ("vcpus = 'x'\nmemory = []\n", "3 mistakes"),
        ("\0\0\0", "this is no configuration of xl"),
    ] {
        let (_folder, path) = file(content);
        let run = xlfsctl(&fake, &["import", &path]).await.expect(10);
        let told = run.err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.contains(words), "{words}: {}", run.err);
    }
    let (_folder, large) = file(&"#".repeat((1 << 20) + 1));
    let run = xlfsctl(&fake, &["import", &large]).await.expect(10);
    assert!(run.err.contains("larger than 1 MiB"), "{}", run.err);
    xlfsctl(&fake, &["import", "/nowhere/web.cfg"]).await.expect(3);
    assert_eq!(created(&fake), Vec::<String>::new());
}

/// A file may come from anywhere; what it says does not steer the terminal.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_cannot_write_to_the_terminal() {
    let fake = serve(ready());
    let (_folder, path) = file("name = 'a'\nextra = '\x1b[2J\u{202e}'\nfrob\x1b[2J = 1\n");
    let run = xlfsctl(&fake, &["import", &path, "--dry-run"]).await;
    assert!(!run.err.contains(['\x1b', '\u{202e}']) && run.code == 10, "{:?}", run.err);
    let (_folder, path) = file("name = 'a'\nfrob = '\x1b[2J'\nvif = ['\x1b[2J=1']\n");
    let run = xlfsctl(&fake, &["import", &path, "--dry-run"]).await;
    assert!(!run.err.contains('\x1b') && run.code == 10, "{:?}", run.err);
}
