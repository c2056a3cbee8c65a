//! How a guest comes into being: a request is checked as a whole, and becomes a
//! record that holds its images.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::devices::{self, DiskName, DiskRecord};
use super::guest::Guest;
use super::lent::Lent;
use super::name;
use super::operations::{Accepted, Guests, busy, dry};
use super::plan::{Goal, World, plan};
use super::record::{self, GuestRecord, Work, now_ms};
use super::request::{CreateRequest, DiskRequest, NicRequest};
use super::seeding;
use super::steps::Step;
use crate::image::ImageHold;
use crate::network::Net;
use crate::problem::{FieldProblem, Problem};
use crate::template::{GuestFacts, HealthCheck, Template};

impl Guests {
    /// Makes a guest and starts it unless told not to.
    pub async fn create(&self, request: CreateRequest) -> Result<Accepted, Problem> {
        self.create_from(request, None, false).await
    }

    /// The same, where disks begin as those of the guest `source`, which may be
    /// paused. It is not needed for a dry run.
    pub(super) async fn create_from(
        &self,
        request: CreateRequest,
        source: Option<Lent>,
        paused: bool,
    ) -> Result<Accepted, Problem> {
        let uuid = Uuid::new_v4();
        let keeper = MacKeeper { net: &self.shared.net, guest: uuid };
        let Defined { record, seed, generated, holds: _holds } = self.define(uuid, &request)?;
        let goal = Goal::Defined { start: request.start, paused: request.paused };
        let mut steps = plan(World::of(&record, None), goal);
        if paused && record.disks.iter().any(|disk| disk.volume.copy_of.is_some()) {
            // What the paused guest has under way must be on its disks first.
            let at = steps.iter().position(|step| *step == Step::MakeVolumes);
            steps.insert(at.unwrap_or_default(), Step::SettleDisks);
        }
        let host = if request.start { Some(self.shared.reach.reach().await?) } else { None };
        if let Some(host) = &host {
            host.ledger
                .check(&*host.hypervisor, record.pages())
                .map_err(|problem| problem.object(record.title()))?;
        }
        let planned = steps.iter().map(|step| step.planned(&record)).collect();
        if request.dry_run {
            return Ok(dry(planned, format!("would create the guest {}", record.name)));
        }
        let adopted: Vec<_> = record.disks.iter().filter(|disk| disk.adopted).cloned().collect();
        let hub = self.shared.base.consoles.hub(record.uuid, &record.name)?;
        let guest = Arc::new(Guest::new(record, hub));
        guest.set_seed(seed);
        let turn = guest.turn.clone().try_lock_owned().map_err(|_| busy(&guest))?;
        let disks = &self.shared.disks;
        self.shared.table.insert_if(guest.clone(), || {
            let shared = |disk: &DiskRecord| {
                disks.check_shared(disk.volume.uuid, uuid, record::access(disk)).map(drop)
            };
            adopted.iter().try_for_each(shared)
        })?;
        guest.lend(source);
        let summary = format!("creating the guest {}", guest.name());
        keeper.keep();
        let accepted = self.begin(guest, turn, host, Work::Create, steps, summary);
        Ok(Accepted { generated, ..accepted })
    }

    /// Checks a request as a whole and makes the record of it. The images are
    /// held until the record is in the table and holds them by itself.
    fn define(&self, uuid: Uuid, request: &CreateRequest) -> Result<Defined, Problem> {
        name::check(&request.name)?;
        if let Some(taken) = self.shared.table.find(&request.name) {
            // Says the same as the table does when two come at once.
            self.shared.table.insert(taken)?;
        }
        let template = self.shared.base.templates.get(&request.template)?;
        let facts = GuestFacts { name: &request.name, uuid };
        let mut wrong = Vec::new();
        let parameters = match template.validate(&request.parameters, &facts) {
            Ok(parameters) => Some(parameters),
            Err(problem) => {
                wrong.extend_from_slice(problem.fields());
                None
            }
        };
        let memory_mib = request.memory_mib.unwrap_or(template.resources.memory_mib);
        let (least, most) = (template.resources.memory_min_mib, 1 << 24);
        if !(least..=most).contains(&memory_mib) {
            wrong.push(FieldProblem::new(
                "memory_mib",
                format!("must be from {least} to {most} MiB for the template {}", template.name),
            ));
        }
        let vcpus = request.vcpus.unwrap_or(template.resources.vcpus);
        if !(1..=template.resources.vcpus_max).contains(&vcpus) {
            wrong.push(FieldProblem::new(
                "vcpus",
                format!("must be from 1 to {}", template.resources.vcpus_max),
            ));
        }
        let wanted = match request.like {
            Some(_) => request.disks.clone(),
            None => disks_of(&template, memory_mib, &request.disks, &mut wrong),
        };
        let (disks, disk_images) = devices::disks(
            &request.name,
            (&wanted, &[]),
            self.images(),
            &*self.shared.disks,
            &mut wrong,
        )?;
        for disk in disks.iter().filter(|disk| disk.adopted) {
            let access = record::access(disk);
            self.shared.disks.check_shared(disk.volume.uuid, uuid, access)?;
        }
        let wanted_nics = match request.like {
            Some(_) => request.nics.clone(),
            None => nics_of(&template, &request.nics),
        };
        let defaults = template.network.as_ref().map(|n| n.networks.clone()).unwrap_or_default();
        let nics = devices::nics(
            (uuid, &request.name),
            (&wanted_nics, &[]),
            &defaults,
            &self.shared.net.networks,
            &self.shared.net.macs,
            &mut wrong,
        )?;
        let health = match &parameters {
            Some(parameters) => health_of(&template, &parameters.values, &facts, &mut wrong),
            None => Vec::new(),
        };
        let Some(parameters) = parameters.filter(|_| wrong.is_empty()) else {
            let many = if wrong.len() == 1 { "one field is" } else { "some fields are" };
            let first = wrong.first().map(|f| format!("{}: {}", f.field, f.description));
            let message = match (wrong.len(), first) {
                (1, Some(first)) => first,
                _ => format!("{many} wrong"),
            };
            return Err(Problem::invalid("BAD_REQUEST", message, wrong)
                .object(format!("guest {}", request.name))
                .hint(format!("See: xlfsctl template show {}", template.name)));
        };
        let missing = |problem: Problem, kind: &str, alias: &str| {
            Problem::failed_precondition(
                "IMAGE_MISSING",
                format!("the template {} needs the {kind} {alias}", template.name),
            )
            .cause(&problem)
            .object(format!("guest {}", request.name))
            .hint(format!("Import it: xlfsctl image import FILE --kind {kind} --alias {alias}"))
        };
        let (kernel, ramdisk) = match request.like {
            Some(images) => {
                (images.kernel.to_string(), images.ramdisk.map(|digest| digest.to_string()))
            }
            None => (template.kernel.clone(), template.ramdisk.clone()),
        };
        let kernel =
            self.images().hold(&kernel).map_err(|problem| missing(problem, "kernel", &kernel))?;
        let ramdisk = ramdisk
            .as_deref()
            .map(|alias| self.images().hold(alias).map_err(|p| missing(p, "ramdisk", alias)))
            .transpose()?;
        let mut record = GuestRecord {
            format: GuestRecord::FORMAT,
            name: request.name.clone(),
            uuid,
            template: template.name.clone(),
            template_version: template.version.clone(),
            memory_mib,
            vcpus,
            kernel: kernel.digest(),
            ramdisk: ramdisk.as_ref().map(ImageHold::digest),
            command_line: parameters.command_line.clone(),
            wanted_running: request.start,
            restarts: 0,
            held: false,
            created_ms: now_ms(),
            work: None,
            policy: request.policy.apply(template.end_policy),
            parameters: parameters.recorded(),
            last_end: None,
            disks,
            nics,
            health,
            seed: false,
            change: None,
            snapshots: Vec::new(),
            restoring: Vec::new(),
        };
        let configuration = request.configuration.clone();
        record.seed = seeding::wanted(&template, &record, &configuration);
        let seed = match record.seed {
            true => Some(seeding::content(&template, &record, configuration, &parameters)?),
            false => None,
        };
        let holds = std::iter::once(kernel).chain(ramdisk).chain(disk_images).collect();
        Ok(Defined { record, seed, generated: parameters.generated, holds })
    }
}

/// A guest that can be made.
struct Defined {
    record: GuestRecord,
    /// The content of its configuration disk.
    seed: Option<Vec<u8>>,
    /// Secrets that were made, to be told once.
    generated: BTreeMap<String, String>,
    holds: Vec<ImageHold>,
}

/// Gives a guest's MAC addresses back, unless the guest came into being.
struct MacKeeper<'a> {
    net: &'a Net,
    guest: Uuid,
}

impl MacKeeper<'_> {
    /// From here on the guest's end gives them back.
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for MacKeeper<'_> {
    fn drop(&mut self) {
        self.net.macs.release_guest(self.guest);
    }
}

/// The template's disks and swap as the user changed them, then his own. A size
/// below the template's least is added to `wrong`.
fn disks_of(
    template: &Template,
    memory_mib: u64,
    asked: &[DiskRequest],
    wrong: &mut Vec<FieldProblem>,
) -> Vec<DiskRequest> {
    let mib = |mib: u64| mib.saturating_mul(1 << 20);
    let mut wanted: Vec<DiskRequest> = Vec::new();
    for disk in template.disks.values() {
        let Ok(name) = disk.device.parse::<DiskName>() else { continue };
        let change = asked.iter().find(|asked| asked.name == Some(name)).cloned();
        let change = change.unwrap_or_default();
        if let (Some(size), Some(least)) = (change.size, disk.size_min_mib)
            && size < mib(least)
        {
            let text = format!("{name}: must have at least {least} MiB for this template");
            wrong.push(FieldProblem::new("disks", text));
        }
        // The template's size is that of its own image.
        let size = disk.size_mib.map(mib).filter(|_| change.image.is_none());
        if change.volume.is_some() {
            wanted.push(DiskRequest { name: Some(name), ..change });
            continue;
        }
        wanted.push(DiskRequest {
            name: Some(name),
            size: change.size.or(size),
            image: change.image.or_else(|| disk.image.clone()),
            pool: change.pool.or_else(|| disk.pool.clone()),
            ..change
        });
    }
    if let Some(swap) = &template.swap
        && let Ok(name) = swap.device.parse()
    {
        wanted.push(DiskRequest {
            name: Some(name),
            size: Some(mib(swap.size_mib(memory_mib))),
            pool: swap.pool.clone(),
            swap: true,
            ..DiskRequest::default()
        });
    }
    let known = |disk: &&DiskRequest| {
        disk.name.is_some_and(|name| wanted.iter().any(|other| other.name == Some(name)))
    };
    let own: Vec<DiskRequest> = asked.iter().filter(|disk| !known(disk)).cloned().collect();
    wanted.extend(own);
    wanted
}

/// The template's checks with the guest's values put in.
fn health_of(
    template: &Template,
    values: &BTreeMap<String, String>,
    facts: &GuestFacts<'_>,
    wrong: &mut Vec<FieldProblem>,
) -> Vec<HealthCheck> {
    let mut checks = Vec::new();
    for (check, number) in template.health.iter().zip(1..) {
        match check.fill(values, facts) {
            Ok(check) => checks.push(check),
            Err(error) => {
                let text = format!("the template's health check {number} fails with them: {error}");
                wrong.push(FieldProblem::new("parameters", text));
            }
        }
    }
    checks
}

/// As many interfaces as were asked for, or as the template says.
fn nics_of(template: &Template, asked: &[NicRequest]) -> Vec<NicRequest> {
    let least = template.network.as_ref().map_or(0, |network| usize::from(network.interfaces));
    let mut nics = asked.to_vec();
    nics.resize_with(nics.len().max(least), NicRequest::default);
    nics
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::TemplateLibrary;

    fn asked(text: &str, size: Option<u64>) -> DiskRequest {
        DiskRequest { name: Some(text.parse().unwrap()), size, ..DiskRequest::default() }
    }

    #[test]
    fn a_templates_disk_is_changed_by_its_name_and_never_too_small() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../vm-templates");
        let mut template = TemplateLibrary::new(vec![folder.into()]).get("lapp").unwrap();
        let swap = crate::template::Swap { percent: 150, pool: None, device: "xvdb".into() };
        template.swap = Some(swap);
        let mut wrong = Vec::new();
        let more = [asked("xvda", Some(9 << 30)), asked("xvdc", Some(1 << 20))];
        let disks = disks_of(&template, 512, &more, &mut wrong);
        assert!(wrong.is_empty(), "{wrong:?}");
        let sizes: Vec<_> = disks.iter().map(|disk| disk.size.unwrap() >> 20).collect();
        assert_eq!(sizes, [9 << 10, 768, 1]);
        assert_eq!(disks[0].image.as_deref(), Some("lapp-root"));
        assert_eq!(disks.iter().map(|disk| disk.swap).collect::<Vec<_>>(), [false, true, false]);

        disks_of(&template, 512, &[asked("xvda", Some(1 << 20))], &mut wrong);
        assert!(wrong[0].description.contains("at least 1024 MiB"), "{wrong:?}");
    }
}
