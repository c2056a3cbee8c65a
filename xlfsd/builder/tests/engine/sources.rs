//! Source files from local folders: hashes, wrong files, unpacking, patches.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;

use xlfs_builder::build::{Builder, Config, Event, Request};
use xlfs_builder::digest::Digest;
use xlfs_builder::source::Places;

use crate::lab::{Lab, request};

fn lab() -> (Lab, Config) {
    let lab = Lab::new();
    let folder = lab.folder.path().join("sources");
    fs::create_dir_all(folder.join("x-1/sub")).unwrap();
    fs::create_dir_all(lab.folder.path().join("wrong")).unwrap();
    fs::write(folder.join("x-1/sub/text"), "upstream\n").unwrap();
    let tar = Command::new("tar").current_dir(&folder).args(["-czf", "x-1.tar.gz", "x-1"]).status();
    assert!(tar.unwrap().success());
    fs::write(lab.folder.path().join("wrong/x-1.tar.gz"), "not the file").unwrap();
    let digest = Digest::of_file(&folder.join("x-1.tar.gz")).unwrap();
    lab.file(
        "sources.lock",
        &format!(
            "[[source]]\nfile = \"x-1.tar.gz\"\nsize = {}\nsha256 = \"{}\"\n",
            digest.size, digest.hash
        ),
    );
    let patch = "--- a/sub/text\n+++ b/sub/text\n@@ -1 +1 @@\n-upstream\n+patched\n";
    lab.file("x/fix.patch", patch);
    lab.file("set.toml", &crate::lab::SET.replace("\"dash\"", "\"dash\", \"patch\""));
    let more = "patches = [\"fix.patch\"]\n[[source]]\nfile = \"x-1.tar.gz\"";
    lab.recipe("x", &[], more, "cp $SRC/sub/text $OUT/text");
    let folders = ["missing", "wrong", "sources"].map(|it| lab.folder.path().join(it));
    let places = Places { folders: folders.to_vec(), mirrors: Vec::new() };
    let config = Config { places, ..lab.config() };
    (lab, config)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hash_decides_which_place_serves() {
    let (lab, config) = lab();
    let build = Builder::open(&config).unwrap().start(request(&["x"])).unwrap();
    let mut reader = build.events().reader(0);
    let mut notes = Vec::new();
    while let Some(event) = reader.next().await {
        match event.event {
            Event::Note { text } => notes.push(text),
            Event::Fetched { from, .. } => assert!(from.ends_with("/sources"), "{from}"),
            _ => {}
        }
    }
    assert!(build.finished().await.succeeded());
    assert_eq!(lab.text("x", "text"), "patched\n");
    assert!(notes[0].contains("/missing: has no such file"), "{notes:?}");
    let wrong = Digest::of(b"not the file");
    assert!(notes[1].contains(&wrong.hash) && notes[1].contains("instead of"), "{notes:?}");
    // Now it is in the store, and no place is asked any more.
    fs::remove_dir_all(lab.folder.path().join("sources")).unwrap();
    lab.recipe("x", &[], "[[source]]\nfile = \"x-1.tar.gz\"", "cp $SRC/sub/text $OUT/text");
    lab.build(&["x"]).await.fine();
    assert_eq!(lab.text("x", "text"), "upstream\n");
    assert_eq!(lab.record("x").sources[0].from, "the store");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_places_are_listed_when_none_has_it() {
    let (lab, mut config) = lab();
    config.places.folders.pop();
    let build = Builder::open(&config).unwrap().start(request(&["x"])).unwrap();
    let mut reader = build.events().reader(0);
    let mut reason = String::new();
    while let Some(event) = reader.next().await {
        if let Event::Failed { reason: found, step, .. } = event.event {
            assert_eq!(step, "fetch");
            reason = found;
        }
    }
    for expected in ["no place has x-1.tar.gz", "/missing: has no such file", "/wrong: has another"]
    {
        assert!(reason.contains(expected), "{reason}");
    }
    lab.nothing_left();
}

/// A server that knows one file; every request is answered and closed.
fn serve(path: &'static str, bytes: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = vec![0; 4096];
            let count = stream.read(&mut request).unwrap_or_default();
            let request = String::from_utf8_lossy(&request[..count]).into_owned();
            let known = request.starts_with(&format!("GET {path} "));
            let (status, body) =
                if known { ("200 OK", &bytes[..]) } else { ("404 Not Found", &[][..]) };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            // A client that has gone away is its own affair.
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_serves_and_what_is_wrong_is_kept_aside() {
    let (lab, mut config) = lab();
    let right = fs::read(lab.folder.path().join("sources/x-1.tar.gz")).unwrap();
    let wrong = serve("/pub/x-1.tar.gz", b"something else".to_vec());
    let empty = serve("/nothing", Vec::new());
    let good = serve("/x-1.tar.gz", right);
    config.places.folders.clear();
    config.places.mirrors = vec![format!("{wrong}/pub/"), empty, good.clone()];
    let build = Builder::open(&config).unwrap().start(request(&["x"])).unwrap();
    let mut reader = build.events().reader(0);
    let mut notes = Vec::new();
    while let Some(event) = reader.next().await {
        match event.event {
            Event::Note { text } => notes.push(text),
            Event::Fetched { from, .. } => assert_eq!(from, format!("{good}/x-1.tar.gz")),
            _ => {}
        }
    }
    assert!(build.finished().await.succeeded(), "{notes:?}");
    let found = Digest::of(b"something else");
    assert!(notes[0].contains(&found.hash), "{notes:?}");
    assert!(notes[1].contains("404"), "{notes:?}");
    let aside = lab.store().join("aside").join(format!("x-1.tar.gz.{}", found.short()));
    assert_eq!(fs::read(aside).unwrap(), b"something else");
}

/// What lists an image's content tells what the set says, not how a build went.
#[tokio::test(flavor = "multi_thread")]
async fn bills_of_materials_do_not_depend_on_where_sources_were_found() {
    let (lab, config) = lab();
    let lock = fs::read_to_string(lab.recipes().join("sources.lock")).unwrap();
    let place = "places = [{ url = \"https://example.org/x-1.tar.gz\" }]\n";
    lab.file("sources.lock", &(lock + place));
    lab.file("images/i.toml", "name = \"i\"\nsummary = \"i\"\npackages = [\"x\"]\n");
    let built = async |rebuild: &[&str]| {
        let rebuild = rebuild.iter().map(|it| (*it).to_owned()).collect();
        let builder = Builder::open(&config).unwrap();
        let build = builder.start(Request { rebuild, ..request(&["i"]) }).unwrap();
        assert!(build.finished().await.succeeded());
        builder.store().image("t", "i").unwrap().unwrap()
    };
    let first = built(&[]).await;
    let bill = |name: &str| {
        let blob = lab.builder().store().read_blob(&first.artifacts[name]).unwrap();
        String::from_utf8(blob).unwrap()
    };
    assert!(bill("sbom.spdx.json").contains("places: https://example.org/x-1.tar.gz"));
    assert!(!bill("manifest.json").contains(&*lab.folder.path().to_string_lossy()));
    // This time the store serves the source.
    assert_eq!(built(&["x"]).await, first);
    // A licence is corrected: nothing is built again, but the bills tell it.
    let recipe = fs::read_to_string(lab.recipes().join("x.toml")).unwrap();
    lab.file("x.toml", &recipe.replace("\"MIT\"", "\"Zlib\""));
    let corrected = built(&[]).await;
    assert_ne!(corrected.artifacts["sbom.spdx.json"], first.artifacts["sbom.spdx.json"]);
    assert_eq!(corrected.packages, first.packages);
}
