//! The disks and the interfaces of a configuration.

use xlfs_proto::v1::ImageKind;

use super::super::definition::{Disk, ImageStep, Nic};
use super::super::disk::{DiskSpec, Format};
use super::super::finding::{Finding, Kind};
use super::super::parser::Place;
use super::super::{alias, disk, vif};
use super::Converter;

impl Converter {
    pub(super) fn disks(&mut self) {
        let specs = self.take("disk", |setting| setting.value.texts());
        for (place, text) in specs.map(|(specs, _)| specs).unwrap_or_default() {
            match disk::parse(&text) {
                Ok(spec) => self.disk(spec, place),
                Err(problem) => self.mistake(place, format!("disk: {problem}")),
            }
        }
    }

    fn disk(&mut self, spec: DiskSpec, place: Place) {
        let name = spec.name;
        let find = |kind, why: String, instead: String| {
            Finding::new("disk", place.line, kind, why).instead(instead)
        };
        for left in &spec.left {
            let kind = if left.known { Kind::Unsupported } else { Kind::Unknown };
            self.find(find(kind, format!("{}: {}", left.word, left.why), String::new()));
        }
        if let Some(script) = &spec.script {
            let why = format!("{name} is left out: no scripts are run, {script} neither");
            let instead = "make the block device in Dom0, and import what is on it as a disk";
            self.find(find(Kind::Unsupported, why, instead.to_owned()));
            return;
        }
        if spec.format == Format::Empty {
            let why = format!("{name} is left out: there are no drives whose medium is changed");
            self.find(find(Kind::Unsupported, why, String::new()));
            return;
        }
        if self.guest.definition.disks.iter().any(|disk| disk.name == name) {
            self.mistake(
                place,
                format!("disk: {name} is there twice; in a guest of xlfs, hda is xvda"),
            );
            return;
        }
        if let Some(from) = spec.renamed_from {
            let why = format!("disks are Xen's own: {from} is {name} in the guest");
            let instead =
                format!("write {name} in its fstab, and where its kernel is told of root");
            self.find(find(Kind::Changed, why, instead));
        } else if spec.cdrom {
            let why = format!("{name} is a disk that can only be read, and no drive");
            self.find(find(Kind::Changed, why, String::new()));
        }
        let mut file = spec.target;
        let mut prepare = None;
        if let Format::Container(format) = spec.format {
            let made = format!("{file}.raw");
            let tool = if format == "vhd" { "vpc" } else { &format };
            let words = ["qemu-img", "convert", "-f", tool, "-O", "raw", &file, &made];
            prepare = Some(words.map(str::to_owned).to_vec());
            let why = format!("{name} is raw in xlfs, and not {format}");
            let instead = "convert it before the import: --dry-run prints how";
            self.find(find(Kind::Changed, why, instead.to_owned()));
            file = made;
        }
        let alias = alias::of_disk(&self.guest.definition.name, &name);
        let (key, line, image) = ("disk", place.line, alias.clone());
        let step = ImageStep { kind: ImageKind::Disk, key, line, file, alias, prepare };
        self.guest.images.push(step);
        self.guest.definition.disks.push(Disk { name, image, read_only: spec.read_only });
    }

    pub(super) fn interfaces(&mut self) {
        let specs = self.take("vif", |setting| setting.value.texts());
        for (place, text) in specs.map(|(specs, _)| specs).unwrap_or_default() {
            let spec = match vif::parse(&text) {
                Ok(spec) => spec,
                Err(problem) => {
                    self.mistake(place, format!("vif: {problem}"));
                    continue;
                }
            };
            for left in spec.left {
                let kind = match left.what {
                    vif::What::Unknown => Kind::Unknown,
                    vif::What::Unsupported => Kind::Unsupported,
                    vif::What::Ignored => Kind::Ignored,
                };
                let why = format!("{}: {}", left.word, left.why);
                self.find(Finding::new("vif", place.line, kind, why).instead(left.instead));
            }
            self.guest.findings.extend(one_family(&spec.nic, place.line));
            self.guest.definition.nics.push(spec.nic);
        }
    }
}

/// xl's firewall rules for `ip=` are those of one family; anti-spoofing is for
/// both.
fn one_family(nic: &Nic, line: u32) -> Option<Finding> {
    let has = |mark| nic.addresses.iter().any(|address| address.contains(mark));
    let other = match (has('.'), has(':')) {
        (true, false) => "IPv6",
        (false, true) => "IPv4",
        _ => return None,
    };
    let why = format!("the guest may send from its ip= only, and so with {other} not at all");
    let finding = Finding::new("vif", line, Kind::Changed, why);
    let instead = format!("add its {other} addresses there, with a blank between");
    nic.anti_spoofing.then(|| finding.instead(instead))
}
