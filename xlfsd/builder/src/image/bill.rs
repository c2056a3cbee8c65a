//! What is in an image, for people and programs: a manifest with every file, and
//! bills of materials in SPDX 2.3 and CycloneDX 1.5.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::contents::Composed;
use super::{Inputs, mode, owner};
use crate::digest::Digest;
use crate::graph::OutputName;
use crate::recipe::Image;
use crate::store::{Record, SourceRecord};
use crate::tree::{Node, Tree};

/// An image and what went into it.
pub(super) struct Contents<'a> {
    pub image: &'a Image,
    pub key: &'a Digest,
    pub epoch: u64,
    pub contents: &'a Composed,
    pub records: &'a BTreeMap<String, Arc<Record>>,
    /// Files that were given with the build.
    pub inputs: &'a Inputs,
}

impl Contents<'_> {
    /// What the recipe says of an input's licence.
    fn licence(&self, input: &str) -> Option<&str> {
        let mut files = self.image.file.iter().filter(|it| it.input.as_deref() == Some(input));
        files.find_map(|it| it.licence.as_deref())
    }
}

/// The files' names and contents.
pub(super) fn all(
    list: &Contents<'_>,
    layers: &[(OutputName, Arc<Tree>)],
) -> Vec<(&'static str, Vec<u8>)> {
    let names: BTreeSet<&str> = layers.iter().map(|(output, _)| output.package.as_str()).collect();
    let packages: Vec<&Record> =
        names.into_iter().filter_map(|name| list.records.get(name)).map(Arc::as_ref).collect();
    [
        ("manifest.json", manifest(list, &packages)),
        ("sbom.spdx.json", spdx(list, &packages)),
        ("sbom.cyclonedx.json", cyclonedx(list, &packages)),
    ]
    .into_iter()
    // A Value always has a text form; the sort of its keys is fixed.
    .map(|(name, value)| (name, format!("{value:#}\n").into_bytes()))
    .collect()
}

fn manifest(list: &Contents<'_>, packages: &[&Record]) -> Value {
    let source = |it: &SourceRecord| json!({ "file": it.file, "sha256": it.digest.hash, "size": it.digest.size, "places": it.from });
    let package = |it: &&Record| {
        json!({
            "name": it.package,
            "version": it.version,
            "licence": it.licence,
            "action": it.action.hash,
            "sources": it.sources.iter().map(source).collect::<Vec<_>>(),
            "toolchain": it.provenance.toolchain,
            "host_packages": it.provenance.host_packages.len(),
        })
    };
    let file = |(path, node): (&str, &Node)| {
        let (user, group) = owner(node);
        let mut entry = json!({
            "path": path,
            "package": list.contents.owner(path),
            "mode": format!("{:04o}", mode(node)),
            "owner": format!("{user}:{group}"),
        });
        let more = match node {
            Node::Folder(_) => json!({ "kind": "folder" }),
            Node::Link { target } => json!({ "kind": "link", "target": target }),
            Node::File { digest, .. } => {
                json!({ "kind": "file", "sha256": digest.hash, "size": digest.size })
            }
        };
        if let (Value::Object(entry), Value::Object(more)) = (&mut entry, more) {
            entry.extend(more);
            entry.extend(list.contents.input(path).map(|it| ("input".to_owned(), it.into())));
        }
        entry
    };
    let input = |(name, digest): (&String, &Digest)| {
        json!({
            "name": name,
            "sha256": digest.hash,
            "size": digest.size,
            "licence": list.licence(name),
            "from": GIVEN,
        })
    };
    json!({
        "image": list.image.name,
        "key": list.key.hash,
        "packages": packages.iter().map(package).collect::<Vec<_>>(),
        "inputs": list.inputs.iter().map(input).collect::<Vec<_>>(),
        "files": list.contents.tree().iter().map(file).collect::<Vec<_>>(),
    })
}

fn spdx(list: &Contents<'_>, packages: &[&Record]) -> Value {
    let id = |text: &str| {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
        text.chars().map(plain).collect::<String>()
    };
    let image_id = format!("SPDXRef-Image-{}", id(&list.image.name));
    let mut entries = vec![json!({
        "SPDXID": image_id,
        "name": list.image.name,
        "versionInfo": list.key.short(),
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "primaryPackagePurpose": "OPERATING-SYSTEM",
    })];
    let mut relations = vec![relation("SPDXRef-DOCUMENT", "DESCRIBES", &image_id)];
    let mut sources = BTreeSet::new();
    for package in packages {
        let package_id = format!("SPDXRef-Package-{}", id(&package.package));
        entries.push(json!({
            "SPDXID": package_id,
            "name": package.package,
            "versionInfo": package.version,
            "downloadLocation": "NOASSERTION",
            "homepage": package.homepage.as_deref().unwrap_or("NOASSERTION"),
            "filesAnalyzed": false,
            "licenseDeclared": package.licence,
            "licenseConcluded": "NOASSERTION",
            "copyrightText": "NOASSERTION",
            "comment": provenance(package),
        }));
        relations.push(relation(&image_id, "CONTAINS", &package_id));
        for source in &package.sources {
            let source_id = format!("SPDXRef-Source-{}", id(&source.file));
            relations.push(relation(&package_id, "GENERATED_FROM", &source_id));
            if sources.insert(source_id.clone()) {
                entries.push(json!({
                    "SPDXID": source_id,
                    "name": source.file,
                    "downloadLocation": "NOASSERTION",
                    "filesAnalyzed": false,
                    "primaryPackagePurpose": "SOURCE",
                    "checksums": [{ "algorithm": "SHA256", "checksumValue": source.digest.hash }],
                    "sourceInfo": format!("places: {}", source.from),
                }));
            }
        }
    }
    for (name, digest) in list.inputs {
        let input_id = format!("SPDXRef-Input-{}", id(name));
        relations.push(relation(&image_id, "CONTAINS", &input_id));
        entries.push(json!({
            "SPDXID": input_id,
            "name": name,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": false,
            "licenseDeclared": list.licence(name).unwrap_or("NOASSERTION"),
            "licenseConcluded": "NOASSERTION",
            "copyrightText": "NOASSERTION",
            "checksums": [{ "algorithm": "SHA256", "checksumValue": digest.hash }],
            "comment": GIVEN,
        }));
    }
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": list.image.name,
        "documentNamespace": format!("urn:xlfs:image:{}:{}", list.image.name, list.key.hash),
        "creationInfo": { "created": timestamp(list.epoch), "creators": [creator()] },
        "packages": entries,
        "relationships": relations,
    })
}

fn relation(from: &str, kind: &str, to: &str) -> Value {
    json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to })
}

fn cyclonedx(list: &Contents<'_>, packages: &[&Record]) -> Value {
    let mut files: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for (path, node) in list.contents.tree().iter() {
        // An input is a component of its own.
        if let (Node::File { digest, .. }, None) = (node, list.contents.input(path)) {
            files.entry(list.contents.owner(path)).or_default().push(json!({
                "type": "file",
                "name": format!("/{path}"),
                "hashes": [{ "alg": "SHA-256", "content": digest.hash }],
            }));
        }
    }
    let source = |it: &SourceRecord| {
        json!({
            "type": "source-distribution",
            "url": it.file,
            "comment": format!("places: {}", it.from),
            "hashes": [{ "alg": "SHA-256", "content": it.digest.hash }],
        })
    };
    let mut components: Vec<Value> = packages
        .iter()
        .map(|it| {
            let mut references: Vec<Value> = it.sources.iter().map(source).collect();
            references.extend(it.homepage.iter().map(|it| json!({ "type": "website", "url": it })));
            json!({
                "type": "library",
                "bom-ref": it.package,
                "name": it.package,
                "version": it.version,
                "purl": format!("pkg:generic/{}@{}", it.package, it.version),
                "licenses": [{ "expression": it.licence }],
                "externalReferences": references,
                "properties": [{ "name": "xlfs:provenance", "value": provenance(it) }],
                "components": files.remove(it.package.as_str()).unwrap_or_default(),
            })
        })
        .collect();
    components.extend(list.inputs.iter().map(|(name, digest)| {
        let licence = list.licence(name).map(|it| json!({ "expression": it }));
        json!({
            "type": "application",
            "bom-ref": format!("input:{name}"),
            "name": name,
            "licenses": licence.into_iter().collect::<Vec<_>>(),
            "hashes": [{ "alg": "SHA-256", "content": digest.hash }],
            "properties": [{ "name": "xlfs:provenance", "value": GIVEN }],
        })
    }));
    components.extend(files.into_values().flatten());
    let hash = |from: usize, to: usize| list.key.hash.get(from..to).unwrap_or_default();
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": format!(
            "urn:uuid:{}-{}-4{}-8{}-{}",
            hash(0, 8), hash(8, 12), hash(13, 16), hash(17, 20), hash(20, 32)
        ),
        "version": 1,
        "metadata": {
            "timestamp": timestamp(list.epoch),
            "component": { "type": "operating-system", "name": list.image.name, "version": list.key.short() },
            "tools": { "components": [{ "type": "application", "name": "xlfs-builder", "version": env!("CARGO_PKG_VERSION") }] },
        },
        "components": components,
    })
}

/// Where an input is from: all that the builder knows.
const GIVEN: &str = "given by the one who built the image; not built from source here";

fn provenance(record: &Record) -> String {
    let host = record.provenance.host_packages.len();
    let machine = if host == 0 {
        String::new()
    } else {
        format!(", which holds {host} packages of the building machine")
    };
    format!("built from source with the toolchain {}{machine}", record.provenance.toolchain)
}

fn creator() -> String {
    format!("Tool: xlfs-builder-{}", env!("CARGO_PKG_VERSION"))
}

/// Seconds since 1970 as both formats want a time (civil calendar, UTC).
fn timestamp(epoch: u64) -> String {
    let (days, seconds) = (epoch / 86_400, epoch % 86_400);
    // Howard Hinnant's days-to-civil: years begin in March, so that leap days end them.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::timestamp;

    #[test]
    fn times_are_told_in_utc() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00Z");
        assert_eq!(timestamp(1_686_355_200), "2023-06-10T00:00:00Z");
        assert_eq!(timestamp(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(timestamp(951_782_400), "2000-02-29T00:00:00Z");
    }
}
