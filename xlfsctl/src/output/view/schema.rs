//! Compares docs/cli.md with the documents: every field that is printed is
//! documented, and every field that is documented is printed.

mod builds;
mod samples;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;
use xlfs_proto::v1;

use super::domain::{DomainView, DomainsView, SnapshotsView};
use super::event::EventView;
use super::host::{HostView, HypervisorLogView};
use super::image::{DeletedView, ImageView, ImagesView, ImportView};
use super::network::{NetworkView, NetworksView};
use super::slot::{SlotView, SlotsView};
use super::task::{TaskView, TasksView};
use super::template::{TemplateView, TemplatesView};
use super::volume::{PoolView, PoolsView, VolumeView, VolumesView};
use crate::errors::Failure;
use crate::exit::{Exit, MEANINGS};
use crate::output::failure::FailureDocument;

use self::samples::*;

const MANUAL: &str = include_str!("../../../../docs/cli.md");

fn json(view: &impl Serialize) -> Value {
    serde_json::to_value(view).expect("JSON")
}

/// Each schema with a sample that has everything.
fn samples() -> BTreeMap<&'static str, Vec<Value>> {
    let domains = v1::ListDomainsResponse { domains: vec![domain()], hypervisor_problem: text() };
    let image = || ImageView::from(&image());
    let import = ImportView { image: Some(image()), changed: true, dry_run: false };
    let mut all = BTreeMap::from([
        ("results", vec![json(&results())]),
        ("domains", vec![json(&DomainsView::from(domains))]),
        ("domain", vec![json(&DomainView::from(&domain()))]),
        ("templates", vec![json(&TemplatesView { templates: vec![(&template()).into()] })]),
        ("template", vec![json(&TemplateView::from(&template()))]),
        ("images", vec![json(&ImagesView { images: vec![image()] })]),
        ("image", vec![json(&image())]),
        ("import", vec![json(&import)]),
        ("imported", imported().iter().map(json).collect()),
        ("snapshots", vec![json(&SnapshotsView { snapshots: snapshots() })]),
        ("volumes", vec![json(&VolumesView { volumes: vec![(&volume()).into()] })]),
        ("volume", vec![json(&VolumeView::from(&volume()))]),
        ("pools", vec![json(&PoolsView { pools: vec![PoolView::from(&pool())] })]),
        ("networks", vec![json(&NetworksView { networks: vec![NetworkView::from(&network())] })]),
        ("deleted", vec![json(&DeletedView { deleted: vec![image()], dry_run: false })]),
        ("host", vec![json(&HostView::from(&host()))]),
        ("dmesg", vec![json(&HypervisorLogView { text: text(), cleared: true })]),
        ("slots", vec![json(&SlotsView { slots: vec![SlotView::from(&slot())] })]),
        ("tasks", vec![json(&TasksView { tasks: vec![(&task()).into()] })]),
        ("task", vec![json(&TaskView::from(&task()))]),
        ("event", events().iter().map(|event| json(&EventView::from(event))).collect()),
        ("failure", vec![json(&FailureDocument { error: (&failure()).into() })]),
    ]);
    all.extend(builds::samples());
    all
}

/// The fields of each schema, as the manual lists them.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let mut schemas: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let (_, text) = MANUAL.split_once("\n## Schemas\n").expect("the chapter is there");
    for part in text.split("\n### ").skip(1) {
        let (name, rest) = part.split_once('\n').expect("a heading");
        let rows = rest.lines().filter_map(|line| line.strip_prefix("| `"));
        let fields: Vec<_> =
            rows.map(|row| row.split('`').next().unwrap_or_default().to_owned()).collect();
        let unique: BTreeSet<_> = fields.iter().cloned().collect();
        assert_eq!(unique.len(), fields.len(), "{name} lists a field twice");
        schemas.insert(name.to_owned(), unique);
    }
    schemas
}

/// The fields of a sample. What has a schema of its own is not looked into.
fn fields(value: &Value, path: &str, own: &BTreeSet<String>, found: &mut BTreeSet<String>) {
    // `task` is a field of its own in the manual, `task.id` is not.
    if own.contains(path) {
        found.insert(path.to_owned());
        return;
    }
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                fields(value, &path, own, found);
            }
        }
        Value::Array(list) => {
            for value in list {
                fields(value, &format!("{path}[]"), own, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn the_manual_lists_the_fields_that_are_printed() {
    let documented = documented();
    let samples = samples();
    let names: Vec<_> = documented.keys().map(String::as_str).collect();
    assert_eq!(names, samples.keys().copied().collect::<Vec<_>>());
    for (name, values) in samples {
        let listed = &documented[name];
        let mut printed = BTreeSet::new();
        for value in &values {
            fields(value, "", listed, &mut printed);
        }
        // Of an event, the kinds that it is not of are null.
        if name == "event" {
            for kind in ["domain_state", "lagged", "image", "warning", "health"] {
                printed.remove(kind);
            }
        }
        // In an event of a build, `counts` is null but at its end.
        if name == "build-event" {
            printed.remove("counts");
        }
        assert_eq!(printed, *listed, "{name}: printed on the left, documented on the right");
    }
}

/// "Every field is always there", also when nothing is known.
#[test]
fn empty_messages_have_all_fields() {
    let keys = |value: &Value| -> BTreeSet<String> {
        value.as_object().expect("an object").keys().cloned().collect()
    };
    let samples = samples();
    for (name, empty) in [
        ("domain", json(&DomainView::from(&v1::Domain::default()))),
        ("task", json(&TaskView::from(&v1::Task::default()))),
        ("image", json(&ImageView::from(&v1::Image::default()))),
        ("volume", json(&VolumeView::from(&v1::Volume::default()))),
        ("template", json(&TemplateView::from(&v1::Template::default()))),
        ("host", json(&HostView::from(&v1::Host::default()))),
        ("event", json(&EventView::from(&v1::Event::default()))),
    ] {
        assert_eq!(keys(&empty), keys(&samples[name][0]), "{name}");
    }
    let failure = Failure::new(Exit::Failed, "no");
    let empty = json(&FailureDocument { error: (&failure).into() });
    assert_eq!(keys(&empty["error"]), keys(&samples["failure"][0]["error"]));
}

#[test]
fn the_manual_lists_the_exit_codes() {
    let (_, text) = MANUAL.split_once("\n## Exit codes\n").expect("the chapter is there");
    let (text, _) = text.split_once("\n## ").expect("another chapter");
    let rows: Vec<_> = text.lines().filter(|line| line.contains("| `")).collect();
    let expected: Vec<_> = MEANINGS
        .iter()
        .map(|one| format!("| {} | `{}` | {} |", one.exit.code(), one.word, one.text))
        .collect();
    assert_eq!(rows, expected);
}

/// Every command of the program is in the manual, and every link leads
/// somewhere.
#[test]
fn the_manual_lists_the_commands() {
    use clap::CommandFactory as _;
    let (_, text) = MANUAL.split_once("\n## Commands\n").expect("the chapter is there");
    let (text, _) = text.split_once("\n## ").expect("another chapter");
    for command in crate::cli::Cli::command().get_subcommands() {
        let name = command.get_name();
        for inner in command.get_subcommands() {
            let both = format!("`{name} {}", inner.get_name());
            assert!(text.contains(&both), "{both} is not in the table");
        }
        assert!(
            text.contains(&format!("`{name} ")) || text.contains(&format!("`{name}`")),
            "{name}"
        );
    }
    let anchor = |title: &str| {
        let kept = title.chars().filter(|c| c.is_alphanumeric() || " -".contains(*c));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    let titles: BTreeSet<_> = MANUAL
        .lines()
        .filter_map(|line| line.strip_prefix("## ").or_else(|| line.strip_prefix("### ")))
        .map(anchor)
        .collect();
    for link in MANUAL.split("](#").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(titles.contains(link), "nothing has the anchor #{link}");
    }
}
