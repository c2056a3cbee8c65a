//! Makes a guest definition of the keys of a configuration. Nothing is lost in
//! silence: what is not in the definition is a finding, and what makes no sense
//! is a mistake. All mistakes are told at once. Disks and interfaces are in
//! [`devices`].

mod devices;

use xlfs_proto::v1::{ImageKind, Template};

use super::definition::{Definition, ImageStep};
use super::finding::{Finding, Kind};
use super::parser::{Mistake, Place, parse};
use super::settings::{Setting, Settings};
use super::{alias, keys};
use crate::commands::create::Action;

/// What a configuration says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guest {
    /// Without a template: that is for the user, or for [`Guest::bind`].
    pub(crate) definition: Definition,
    /// To be imported before the guest is made.
    pub(crate) images: Vec<ImageStep>,
    /// In the order of the lines.
    pub(crate) findings: Vec<Finding>,
}

/// The guest that a file describes, under another name if one is given.
pub(crate) fn convert(bytes: &[u8], name: Option<&str>) -> Result<Guest, Vec<Mistake>> {
    let assignments = parse(bytes).map_err(|mistake| vec![mistake])?;
    let (settings, findings) = Settings::new(assignments).map_err(|mistake| vec![mistake])?;
    let guest = Guest { findings, ..Guest::default() };
    let mut converter = Converter { settings, guest, mistakes: Vec::new() };
    converter.kind();
    converter.name(name);
    converter.sizes();
    converter.ends();
    converter.boot();
    converter.disks();
    converter.interfaces();
    let others = converter.settings.iter().filter(|one| !keys::READ.contains(&one.key.as_str()));
    converter.guest.findings.extend(others.map(keys::finding));
    match converter.mistakes.is_empty() {
        true => {
            converter.guest.findings.sort_by_key(|finding| finding.line);
            Ok(converter.guest)
        }
        false => {
            converter.mistakes.sort_by_key(|mistake| mistake.place.line);
            Err(converter.mistakes)
        }
    }
}

impl Guest {
    /// Gives the guest its template. That names the kernel and the ramdisk; the
    /// file's own are told, unless they are the same by name. What is None is
    /// not known: xlfsd could not be asked.
    pub(crate) fn bind(&mut self, name: &str, template: Option<&Template>) {
        self.definition.template = name.to_owned();
        for step in &self.images {
            let theirs = template.map(|template| match step.kind {
                ImageKind::Kernel => template.kernel.as_str(),
                _ => template.ramdisk.as_str(),
            });
            if step.kind == ImageKind::Disk || theirs == Some(&step.alias) {
                continue;
            }
            let what = step.key;
            let own = match theirs {
                Some("") => format!("template {name} has none"),
                Some(theirs) => format!("template {name} has {theirs}"),
                None => format!("see xlfsctl template show {name}"),
            };
            let why = format!("a guest boots the {what} that its template names ({own})");
            let alias = &step.alias;
            let instead = format!(
                "to boot this one, import it and write a template with image.{what} = \"{alias}\""
            );
            let finding = Finding::new(what, step.line, Kind::Unsupported, why).instead(instead);
            self.findings.push(finding);
        }
        self.findings.sort_by_key(|finding| finding.line);
    }

    /// The alias that a kernel or a ramdisk of the file has, or would have.
    pub(crate) fn alias_of(&self, kind: ImageKind) -> Option<&str> {
        self.images.iter().find(|step| step.kind == kind).map(|step| step.alias.as_str())
    }
}

#[derive(Debug)]
struct Converter {
    settings: Settings,
    guest: Guest,
    mistakes: Vec<Mistake>,
}

impl Converter {
    fn get(&self, key: &str) -> Option<Setting> {
        self.settings.get(key).cloned()
    }

    fn mistake(&mut self, place: Place, problem: impl Into<String>) {
        self.mistakes.push(Mistake::new(place, problem));
    }

    fn find(&mut self, finding: Finding) {
        self.guest.findings.push(finding);
    }

    /// The value of a key, unless it makes no sense.
    fn take<T>(
        &mut self,
        key: &str,
        read: impl Fn(&Setting) -> Result<T, Mistake>,
    ) -> Option<(T, Place)> {
        let setting = self.get(key)?;
        match read(&setting) {
            Ok(value) => Some((value, setting.place)),
            Err(Mistake { place, problem }) => {
                self.mistake(place, format!("{key}: {problem}"));
                None
            }
        }
    }

    fn text(&mut self, key: &str) -> Option<(String, Place)> {
        self.take(key, |setting| setting.value.text())
    }

    fn number(&mut self, key: &str) -> Option<(u64, Place)> {
        self.take(key, |setting| setting.value.number())
    }

    /// Only PV guests can be run.
    fn kind(&mut self) {
        for key in ["type", "builder"] {
            let Some((kind, place)) = self.text(key) else { continue };
            match kind.as_str() {
                "pv" | "generic" | "linux" | "" => {}
                "hvm" | "pvh" => self.not_pv(place, &format!("{key} = \"{kind}\"")),
                other => {
                    self.mistake(
                        place,
                        format!("{key}: {other:?} is no kind of a guest: write pv"),
                    );
                }
            }
        }
    }

    fn not_pv(&mut self, place: Place, what: &str) {
        let problem = format!(
            "{what}: xlfs builds paravirtualised (PV) guests only, and has no device model to \
             run others; give the guest a kernel for PV, or keep it on xl"
        );
        self.mistake(place, problem);
    }

    fn name(&mut self, asked: Option<&str>) {
        let written = self.text("name");
        if let Some(name) = asked {
            name.clone_into(&mut self.guest.definition.name);
            return;
        }
        let Some((name, place)) = written else {
            // What is there and makes no sense was told.
            if self.get("name").is_none() {
                let place = Place { line: 1, column: 1 };
                self.mistake(place, "name: the guest has none; give it one with --name");
            }
            return;
        };
        let fit = host_name(&name);
        if fit.is_empty() {
            self.mistake(
                place,
                format!("name: {name:?} cannot be a host name; give one with --name"),
            );
            return;
        }
        if fit != name {
            let why = format!("a guest is named like a host: {fit}, and not {name}");
            let finding = Finding::new("name", place.line, Kind::Changed, why);
            self.find(finding.instead("--name gives it another name"));
        }
        self.guest.definition.name = fit;
    }

    fn sizes(&mut self) {
        let memory = self.number("memory");
        let most = self.number("maxmem");
        match (memory, most) {
            (Some((memory, _)), Some((most, place))) if most != memory => {
                let why =
                    format!("memory does not grow: the guest has {memory} MiB from the start");
                let finding = Finding::new("maxmem", place.line, Kind::Unsupported, why);
                self.find(finding.instead(format!("--memory {most}M gives it all of that")));
            }
            _ => {}
        }
        if let Some((mib, place)) = memory.or(most) {
            match u32::try_from(mib) {
                Ok(1..) => self.guest.definition.memory_mib = Some(mib),
                _ => self.mistake(place, format!("memory: {mib} MiB is no size of a guest")),
            }
        }
        let vcpus = self.number("vcpus");
        if let Some((most, place)) = self.number("maxvcpus") {
            // Without vcpus, xl starts the guest with one.
            let start = vcpus.map_or(1, |(vcpus, _)| vcpus);
            if most != start {
                let why = format!("vCPUs are not added later: the guest has {start}");
                let finding = Finding::new("maxvcpus", place.line, Kind::Unsupported, why);
                self.find(finding.instead(format!("--vcpus {most} gives it all of them")));
            }
        }
        if let Some((count, place)) = vcpus {
            match u32::try_from(count) {
                Ok(count @ 1..) => self.guest.definition.vcpus = Some(count),
                _ => self.mistake(place, format!("vcpus: a guest cannot have {count}")),
            }
        }
    }

    fn ends(&mut self) {
        self.guest.definition.on_poweroff = self.end("on_poweroff");
        self.guest.definition.on_reboot = self.end("on_reboot");
        self.guest.definition.on_crash = self.end("on_crash");
    }

    fn end(&mut self, key: &str) -> Option<Action> {
        let (word, place) = self.text(key)?;
        let (action, why, instead) = match word.as_str() {
            "destroy" => return Some(Action::Destroy),
            "restart" => return Some(Action::Restart),
            "preserve" => return Some(Action::Preserve),
            "rename-restart" => (
                Action::Restart,
                "restart: the old domain is not kept beside the new one",
                "preserve keeps it, and starts none",
            ),
            "coredump-destroy" => {
                (Action::Destroy, "destroy: no core is dumped", "preserve keeps it for a look")
            }
            "coredump-restart" => {
                (Action::Restart, "restart: no core is dumped", "preserve keeps it for a look")
            }
            "soft-reset" => (Action::Restart, "restart: the domain is built anew", ""),
            other => {
                let known = "destroy, restart and preserve";
                self.mistake(place, format!("{key}: {other:?} is no action; there are {known}"));
                return None;
            }
        };
        self.find(Finding::new(key, place.line, Kind::Changed, why).instead(instead));
        Some(action)
    }

    /// Kernel and ramdisk are told by [`Guest::bind`], which knows the template.
    fn boot(&mut self) {
        for (key, kind) in [("kernel", ImageKind::Kernel), ("ramdisk", ImageKind::Ramdisk)] {
            let Some((file, place)) = self.text(key).filter(|(file, _)| !file.is_empty()) else {
                continue;
            };
            if key == "kernel" && file.rsplit('/').next() == Some("hvmloader") {
                self.not_pv(place, "kernel: hvmloader starts HVM guests");
                continue;
            }
            let alias = alias::of_file(&file, key);
            let line = place.line;
            let step = ImageStep { kind, key, line, file, alias, prepare: None };
            self.guest.images.push(step);
        }
        let whole = self.text("cmdline");
        for key in ["cmdline", "root", "extra"] {
            let Some((text, place)) = self.text(key).filter(|(text, _)| !text.is_empty()) else {
                continue;
            };
            if key != "cmdline" && whole.is_some() {
                let why = "xl takes cmdline alone when it is there";
                self.find(Finding::new(key, place.line, Kind::Ignored, why));
                continue;
            }
            let why = "the kernel's command line is the template's";
            let text = if key == "root" { format!("root={text}") } else { text };
            let instead = format!("put {text} into image.command_line of a template");
            self.find(Finding::new(key, place.line, Kind::Unsupported, why).instead(instead));
        }
    }
}

/// A guest's name made of any other: in small letters, with dashes for what a
/// host name cannot have. Empty if nothing is left.
fn host_name(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '.';
    let name: String = name
        .chars()
        .map(|c| if allowed(c) { c.to_ascii_lowercase() } else { '-' })
        .take(63)
        .collect();
    let labels = name.split('.').map(|label| label.trim_matches('-'));
    labels.filter(|label| !label.is_empty()).collect::<Vec<_>>().join(".")
}
