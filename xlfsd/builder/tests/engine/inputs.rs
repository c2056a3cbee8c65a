//! Files that the one who builds gives to an image.

use std::fs;
use std::path::Path;

use serde_json::Value;
use xlfs_builder::build::Request;
use xlfs_builder::image::export;

use crate::lab::{Lab, request};

const IMAGE: &str = r##"
name = "host"
summary = "An image with programs from elsewhere"
packages = ["tools"]

[[file]]
path = "usr/sbin/xlfsd"
input = "xlfsd"
mode = "0755"
licence = "Apache-2.0"

[[file]]
path = "usr/bin/xlfsctl"
input = "xlfsctl"
mode = "0755"

[[artifact]]
kind = "tar"
file = "host.tar"
"##;

fn lab() -> Lab {
    let lab = Lab::new();
    lab.package("tools", &[], "mkdir $OUT/etc; echo tool > $OUT/etc/tool");
    lab.file("images/host.toml", IMAGE);
    lab
}

fn with(lab: &Lab, inputs: &[(&str, &str)]) -> Request {
    let give = |(name, text): &(&str, &str)| {
        let path = lab.folder.path().join(format!("given-{name}"));
        fs::write(&path, text).unwrap();
        ((*name).to_owned(), path)
    };
    Request { inputs: inputs.iter().map(give).collect(), ..request(&["host"]) }
}

/// Why a build does not start; nothing of it was built.
fn refused(lab: &Lab, request: Request) -> String {
    let error = lab.builder().start(request).unwrap_err();
    assert!(lab.builder().store().latest("t", "tools@shell").unwrap().is_none());
    xlfs_builder::with_causes(&error)
}

fn json(folder: &Path, name: &str) -> Value {
    serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap()
}

fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    let found = list.as_array().unwrap().iter().find(|it| it["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {list:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_is_in_the_image_and_marked_as_such() {
    let lab = lab();
    let given = with(&lab, &[("xlfsd", "the daemon"), ("xlfsctl", "the client")]);
    lab.build_request(given).await.fine();
    let builder = lab.builder();
    let record = builder.store().image("t", "host").unwrap().unwrap();
    assert_eq!(record.inputs.keys().collect::<Vec<_>>(), ["xlfsctl", "xlfsd"]);
    let folder = lab.folder.path().join("out");
    export(builder.store(), &record, &folder).unwrap();
    let tar = String::from_utf8(fs::read(folder.join("host.tar")).unwrap()).unwrap();
    assert!(tar.contains("the daemon") && tar.contains("the client"));

    let hash = &record.inputs["xlfsd"].hash;
    let manifest = json(&folder, "manifest.json");
    let daemon = named(&manifest["inputs"], "xlfsd");
    assert_eq!(
        (&daemon["sha256"], &daemon["licence"]),
        (&hash.as_str().into(), &"Apache-2.0".into())
    );
    assert_eq!(named(&manifest["inputs"], "xlfsctl")["licence"], Value::Null);
    let files = manifest["files"].as_array().unwrap();
    let file = files.iter().find(|it| it["path"] == "usr/sbin/xlfsd").unwrap();
    assert_eq!((&file["input"], &file["mode"]), (&"xlfsd".into(), &"0755".into()));

    let spdx = json(&folder, "sbom.spdx.json");
    let daemon = named(&spdx["packages"], "xlfsd");
    assert_eq!(daemon["checksums"][0]["checksumValue"], hash.as_str());
    assert_eq!(daemon["licenseDeclared"], "Apache-2.0");
    assert_eq!(named(&spdx["packages"], "xlfsctl")["licenseDeclared"], "NOASSERTION");
    let cyclonedx = json(&folder, "sbom.cyclonedx.json");
    let client = named(&cyclonedx["components"], "xlfsctl");
    assert!(client["properties"][0]["value"].as_str().unwrap().starts_with("given by"));
    assert_eq!(client["licenses"], Value::Array(Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_content_is_another_image() {
    let lab = lab();
    let key = async |text: &str| {
        lab.build_request(with(&lab, &[("xlfsd", text), ("xlfsctl", "c")])).await.fine();
        lab.builder().store().image("t", "host").unwrap().unwrap().key
    };
    let one = key("one").await;
    assert_ne!(one, key("two").await);
    assert_eq!(one, key("one").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_and_too_many_are_told_before_anything_is_built() {
    let lab = lab();
    let none = refused(&lab, request(&["host"]));
    assert_eq!(
        none,
        "host takes xlfsctl and xlfsd from who builds it, which was not given: \
         add --input xlfsctl=FILE --input xlfsd=FILE"
    );
    let wrong = refused(&lab, with(&lab, &[("xlfsd", "d"), ("xlfsctrl", "c")]));
    assert_eq!(
        wrong,
        "no image of this build asks for an input \"xlfsctrl\" (did you mean \"xlfsctl\"?)"
    );
    let mut gone = with(&lab, &[("xlfsd", "d"), ("xlfsctl", "c")]);
    fs::remove_file(&gone.inputs["xlfsctl"]).unwrap();
    let reason = refused(&lab, gone.clone());
    assert!(reason.starts_with("the input \"xlfsctl\" cannot be used: cannot read"), "{reason}");
    gone.inputs.insert("xlfsctl".to_owned(), lab.folder.path().to_owned());
    let reason = refused(&lab, gone);
    assert!(reason.ends_with("is no plain file"), "{reason}");

    let builder = lab.builder();
    let plan = builder.plan(&request(&["host"])).unwrap();
    let missing: Vec<_> = plan.missing_inputs.iter().map(|it| it.input.as_str()).collect();
    assert_eq!(missing, ["xlfsctl", "xlfsd"]);
    assert_eq!(builder.wanted_inputs(&["host".to_owned()]).len(), 2);
    assert!(builder.wanted_inputs(&["tools".to_owned()]).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_keeps_what_an_image_was_given() {
    let lab = lab();
    lab.build_request(with(&lab, &[("xlfsd", "d"), ("xlfsctl", "c")])).await.fine();
    let builder = lab.builder();
    builder.collect(false).unwrap();
    let record = builder.store().image("t", "host").unwrap().unwrap();
    assert_eq!(builder.store().read_blob(&record.inputs["xlfsd"]).unwrap(), b"d");
}
