//! Packages built by a remote executor: the same action, the same key, the same
//! files; and what happens when the executor goes away.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use xlfs_builder::build::{Builder, Config, Event, Request};
use xlfs_builder::{remote, with_causes};

use crate::casd::Casd;
use crate::lab::{Lab, Told, request};

fn config(lab: &Lab, store: &str, address: &str) -> Config {
    let remote = remote::Config { address: address.to_owned(), ..Default::default() };
    Config { store: store_path(lab, store), remote: Some(remote), ..lab.config() }
}

fn store_path(lab: &Lab, name: &str) -> PathBuf {
    lab.folder.path().join(name)
}

async fn build(config: &Config, request: Request) -> Told {
    let build = Builder::open(config).unwrap().start(request).unwrap();
    let mut reader = build.events().reader(0);
    let mut events = Vec::new();
    while let Some(event) = reader.next().await {
        events.push(event.event);
    }
    Told { summary: build.finished().await, events }
}

fn notes(told: &Told) -> Vec<&str> {
    let mut found = Vec::new();
    for event in &told.events {
        if let Event::Note { text } = event {
            found.push(text.as_str());
        }
    }
    found
}

/// Links, folders without files, modes, owners, a large file and many small ones.
fn recipes() -> Lab {
    let lab = Lab::new();
    let more = "[[permission]]\npath = \"usr/bin/a\"\nmode = \"4750\"\nowner = \"0:42\"\n\
                [[permission]]\npath = \"var/empty\"\nmode = \"0700\"";
    let a = "mkdir -p $OUT/usr/bin $OUT/lib $OUT/var/empty; echo a > $OUT/usr/bin/a
             chmod 755 $OUT/usr/bin/a; ln -s /etc/passwd $OUT/usr/absolute; ln -s a $OUT/usr/bin/b
             echo l > $OUT/lib/l; : > $OUT/usr/none; yes a-large-file | head -c 9000000 > $OUT/usr/large
             for i in $(seq 300); do echo $i > $OUT/usr/$i; done";
    lab.recipe("a", &[], more, a);
    lab.file("b/data", "of the recipe");
    let b = "mkdir -p $OUT/usr/share; cat /usr/bin/a $FILES/data > $OUT/usr/share/b
             ls -R /usr/bin /xlfs /etc > $OUT/usr/share/seen; cat /usr/large > $OUT/usr/share/large
             printenv | grep -v -e ^MAKEFLAGS= -e MAKEFLAGS= -e ^MFLAGS= | sort > $OUT/usr/share/env";
    lab.package("b", &["a"], b);
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_built_away_is_what_is_built_here() {
    let lab = recipes();
    let here = lab.build(&["b"]).await.fine();
    assert_eq!(here.built(), ["a", "b"]);
    let casd = Casd::start();
    let away = config(&lab, "away", &casd.address());
    let told = build(&away, request(&["b"])).await.fine();
    assert_eq!(told.built(), ["a", "b"], "{:#?}\n{}", told.events, casd.log());
    let note = format!("packages are built by {}, 2 at a time", casd.address());
    assert_eq!(notes(&told), [note.as_str()]);
    let builder = Builder::open(&away).unwrap();
    for name in ["a", "b"] {
        let (one, two) = (lab.record(name), builder.store().latest("t", &format!("{name}@shell")));
        let two = two.unwrap().unwrap();
        assert_eq!((one.action, one.outputs), (two.action, two.outputs));
        assert_eq!(two.provenance.by, Some(casd.address()));
        let steps: Vec<&str> = two.steps.iter().map(|it| it.step.as_str()).collect();
        assert_eq!(steps, ["upload", "remote", "download"]);
        let log = builder.store().read_blob(&two.log).unwrap();
        assert!(String::from_utf8_lossy(&log).contains("\u{1e}install\n"));
    }
    // A remote can lie; building again here would tell.
    for verified in builder.verify(&request(&["a", "b"])).await.unwrap() {
        assert!(verified.differences.is_empty(), "{verified:?}");
    }
    drop(builder);
    // Another machine finds the results in the service's cache.
    let third = build(&config(&lab, "third", &casd.address()), request(&["b"])).await.fine();
    assert_eq!((third.built().len(), third.summary.cached), (0, 2));
    let note = format!("b comes from the cache of {}", casd.address());
    assert!(notes(&third).contains(&note.as_str()), "{:?}", third.events);
    let builder = Builder::open(&config(&lab, "third", &casd.address())).unwrap();
    let record = builder.store().latest("t", "b@shell").unwrap().unwrap();
    assert_eq!(record.outputs, lab.record("b").outputs);
    let (_, bad) = builder.store().verify_blobs().unwrap();
    assert!(bad.is_empty());
    // Whoever wants it built gets it built.
    let rebuild = Request { rebuild: ["b".to_owned()].into(), ..request(&["b"]) };
    drop(builder);
    let again = build(&config(&lab, "third", &casd.address()), rebuild).await.fine();
    assert_eq!(again.built(), ["b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_comes_back_with_its_log() {
    let lab = Lab::new();
    lab.package("bad", &[], "echo before; echo reason >&2; (exit 3)");
    lab.package("after", &["bad"], "true");
    lab.recipe("outputs", &[], "[outputs]\nlib = [\"usr/lib/*.so\"]", "echo x > $OUT/x");
    let casd = Casd::start();
    let away = config(&lab, "away", &casd.address());
    // Twice: casd remembers failures, but we do not believe in them.
    for _ in 0..2 {
        let told = build(&away, request(&["after", "outputs"])).await;
        let (step, reason, tail) = told.failure("bad");
        let expected = format!("step install failed (exit code 3, at {})", casd.address());
        assert_eq!((step.as_str(), reason), ("install", expected));
        assert_eq!(tail, ["before", "reason"]);
        assert_eq!(told.skipped(), ["after"]);
        let (step, reason, _) = told.failure("outputs");
        assert_eq!(step, "outputs");
        assert_eq!(reason, "outputs: nothing in the package matches \"usr/lib/*.so\"");
    }
    let builder = Builder::open(&away).unwrap();
    let failure = builder.store().failure("t", "bad").unwrap().unwrap();
    let log = builder.store().read_blob(&failure.log).unwrap();
    assert_eq!(String::from_utf8_lossy(&log), "\u{1e}install\nbefore\nreason\n");
}

/// Bytes that are not what their digest says are noticed, whoever changed them.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_makes_up_is_refused() {
    let lab = Lab::new();
    lab.package("a", &[], "echo honest > $OUT/a");
    let casd = Casd::start();
    build(&config(&lab, "one", &casd.address()), request(&["a"])).await.fine();
    casd.forge(&xlfs_builder::digest::Digest::of(b"honest\n"), b"forged\n");
    let two = config(&lab, "two", &casd.address());
    let told = build(&two, request(&["a"])).await.fine();
    // Neither its cache is believed, nor what it makes of its cache.
    let [_, cache, built] = notes(&told)[..] else { panic!("{:#?}", told.events) };
    let nonsense = format!("the remote executor {} sent nonsense: a file whose", casd.address());
    assert!(cache.starts_with(&nonsense) && cache.ends_with("is not used for a"), "{cache}");
    assert!(built.starts_with(&nonsense) && built.ends_with("; a is built here"), "{built}");
    let record = Builder::open(&two).unwrap().store().latest("t", "a@shell").unwrap().unwrap();
    assert_eq!(record.provenance.by, None);
    lab.build(&["a"]).await.fine();
    assert_eq!(record.outputs, lab.record("a").outputs);
}

/// Carries bytes to casd until it is told to cut what it has.
fn proxy(lab: &Lab, casd: &Casd) -> (String, tokio::sync::watch::Sender<()>) {
    let path = lab.folder.path().join("proxy");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let (cut, hears) = tokio::sync::watch::channel(());
    let target = casd.address().trim_start_matches("unix:").to_owned();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let (mut hears, target) = (hears.clone(), target.clone());
            tokio::spawn(async move {
                hears.mark_unchanged();
                let mut far = tokio::net::UnixStream::connect(target).await.unwrap();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    _ = hears.changed() => {}
                }
            });
        }
    });
    (format!("unix:{}", path.display()), cut)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_is_made_again() {
    let lab = Lab::new();
    lab.package("a", &[], "sleep 4.75; echo a > $OUT/a");
    let casd = Casd::start();
    let (address, cut) = proxy(&lab, &casd);
    let away = config(&lab, "away", &address);
    let building = away.clone();
    let running = tokio::spawn(async move { build(&building, request(&["a"])).await });
    wait_for("it does not run away", || !sleeping("4.75").is_empty()).await;
    cut.send(()).unwrap();
    let told = running.await.unwrap().fine();
    assert_eq!(notes(&told).len(), 1, "{:#?}", told.events);
    let record = Builder::open(&away).unwrap().store().latest("t", "a@shell").unwrap().unwrap();
    assert_eq!(record.provenance.by, Some(address));
    let waited = casd.log().matches("WaitExecution").count();
    let ran = casd.log().matches("Execute request").count();
    assert!(waited > 0 && ran == 1, "{}", casd.log());
}

/// A package that lasts for ever away, and no time here.
fn sleeper(lab: &Lab, seconds: &str) {
    let step = format!(
        "case $(cat /proc/sys/kernel/hostname) in xlfs) ;; *) sleep {seconds} ;; esac; echo x > $OUT/x"
    );
    lab.package("sleeper", &[], &step);
}

/// Processes of ours that run this, by their numbers.
fn sleeping(seconds: &str) -> Vec<i32> {
    let line = format!("sleep\0{seconds}\0");
    let number = |entry: std::fs::DirEntry| {
        let same = std::fs::read(entry.path().join("cmdline")).ok()? == line.as_bytes();
        same.then(|| entry.file_name().to_str()?.parse().ok())?
    };
    std::fs::read_dir("/proc").unwrap().flatten().filter_map(number).collect()
}

async fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_that_dies_is_replaced_by_this_machine() {
    let lab = Lab::new();
    sleeper(&lab, "600.25");
    lab.package("next", &["sleeper"], "echo x > $OUT/x");
    let mut casd = Casd::start();
    let away = config(&lab, "away", &casd.address());
    let running = tokio::spawn(async move { build(&away, request(&["next"])).await });
    wait_for("it does not run away", || !sleeping("600.25").is_empty()).await;
    casd.child.kill().unwrap();
    let told = running.await.unwrap().fine();
    assert_eq!(told.built(), ["sleeper", "next"]);
    let [_, note] = notes(&told)[..] else { panic!("{:#?}", told.events) };
    let expected = format!("the remote executor {} cannot be reached: ", casd.address());
    assert!(note.starts_with(&expected) && note.ends_with("; sleeper is built here"), "{note}");
    // What casd leaves when it is killed is not ours, but this test's.
    for process in sleeping("600.25") {
        let process = nix::unistd::Pid::from_raw(process);
        nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGKILL).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_ends_what_runs_away() {
    let lab = Lab::new();
    sleeper(&lab, "600.5");
    let casd = Casd::start();
    let away = config(&lab, "away", &casd.address());
    let build = Builder::open(&away).unwrap().start(request(&["sleeper"])).unwrap();
    wait_for("it does not run away", || !sleeping("600.5").is_empty()).await;
    let clock = Instant::now();
    build.cancel();
    let summary = build.finished().await;
    assert!(summary.cancelled && summary.failed == 0, "{summary:?}");
    assert!(clock.elapsed() < Duration::from_secs(6));
    wait_for("it runs on", || sleeping("600.5").is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_executor_packages_are_built_here() {
    let lab = Lab::new();
    lab.package("a", &[], "echo a > $OUT/a");
    let nobody = config(&lab, "away", "unix:/nowhere/socket");
    let told = build(&nobody, request(&["a"])).await.fine();
    let [note] = notes(&told)[..] else { panic!("{:#?}", told.events) };
    assert!(note.starts_with("the remote executor unix:/nowhere/socket cannot be reached: "));
    assert!(note.ends_with("No such file or directory (os error 2); packages are built here"));
    for address in ["https://x", "x:1", "", "http://", "unix:"] {
        let error = Builder::open(&config(&lab, "away", address)).unwrap_err();
        let expected = format!(
            "{address:?} is no address of a remote executor: http://HOST:PORT or unix:/PATH"
        );
        assert_eq!(with_causes(&error), expected);
    }
}
