//! Every template in vm-templates can be used: its manifest is right, its
//! steps are shell files that parse, and a guest gets by with the parameters
//! that it must be given.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use uuid::Uuid;
use xlfsd::seed::Seed;
use xlfsd::template::{GuestFacts, Template};

fn shipped(name: &str) -> Template {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vm-templates").join(name);
    Template::read(&folder).unwrap_or_else(|error| panic!("{name}: {error:?}"))
}

fn resolved(name: &str, given: &[(&str, &str)]) -> Template {
    let template = shipped(name);
    let given: HashMap<_, _> =
        given.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let guest = GuestFacts { name: "host.example.org", uuid: Uuid::from_u128(1) };
    let params = template.validate(&given, &guest).unwrap_or_else(|p| panic!("{name}: {p:?}"));
    for check in &template.health {
        check.fill(&params.values, &guest).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let mut seed = Seed::new(guest.uuid, guest.name.parse().unwrap());
    seed.parameters = params.values;
    seed.steps = template.steps.clone();
    seed.image().unwrap_or_else(|error| panic!("{name}: {error}"));
    template
}

#[test]
fn each_makes_a_guest_with_no_more_than_it_requires() {
    let zone = [("zone", "example.org")];
    let domain = [("mail-domain", "example.org")];
    for (name, given) in [("lapp", &[] as &[_]), ("dns", &zone), ("mail", &domain)] {
        let template = resolved(name, given);
        assert_eq!(template.disks["root"].image.as_deref(), Some(format!("{name}-root").as_str()));
        assert!(!template.health.is_empty() && !template.steps.is_empty(), "{name}");
    }
}

#[test]
fn all_their_steps_are_shell_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vm-templates");
    let mut found = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if !path.join("template.toml").exists() {
            continue;
        }
        let template = shipped(path.file_name().unwrap().to_str().unwrap());
        for step in &template.steps {
            let file = path.join(step.name());
            let output = Command::new("sh").arg("-n").arg(&file).output().unwrap();
            assert!(output.status.success(), "{}: {output:?}", file.display());
            found += 1;
        }
        // A step that nobody names would never run.
        let files = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name());
        for name in files.filter(|name| name.to_string_lossy().ends_with(".sh")) {
            let named = template.steps.iter().any(|step| name == *step.name());
            assert!(named, "{}: {name:?} is no step", path.display());
        }
    }
    assert!(found >= 8);
}
