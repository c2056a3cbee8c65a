//! How a guest comes into being: a request is checked as a whole, and becomes a
//! record that holds its images.

use std::sync::Arc;

use uuid::Uuid;

use super::devices;
use super::guest::Guest;
use super::name;
use super::operations::{Accepted, Guests, busy, dry};
use super::plan::{Goal, World, plan};
use super::record::{GuestRecord, Work, now_ms};
use super::request::CreateRequest;
use crate::problem::{FieldProblem, Problem};
use crate::template::GuestFacts;

impl Guests {
    /// Makes a guest and starts it unless told not to.
    pub async fn create(&self, request: CreateRequest) -> Result<Accepted, Problem> {
        let (record, _holds) = self.define(&request)?;
        let goal = Goal::Defined { start: request.start, paused: request.paused };
        let steps = plan(World::of(&record, None), goal);
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
        let hub = self.shared.base.consoles.hub(record.uuid, &record.name)?;
        let guest = Arc::new(Guest::new(record, hub));
        let turn = guest.turn.clone().try_lock_owned().map_err(|_| busy(&guest))?;
        self.shared.table.insert(guest.clone())?;
        let summary = format!("creating the guest {}", guest.name());
        Ok(self.begin(guest, turn, host, Work::Create, steps, summary))
    }

    /// Checks a request as a whole and makes the record of it. The images are
    /// held until the record is in the table and holds them by itself.
    fn define(
        &self,
        request: &CreateRequest,
    ) -> Result<(GuestRecord, Vec<crate::image::ImageHold>), Problem> {
        name::check(&request.name)?;
        if let Some(taken) = self.shared.table.find(&request.name) {
            // Says the same as the table does when two come at once.
            self.shared.table.insert(taken)?;
        }
        let template = self.shared.base.templates.get(&request.template)?;
        let uuid = Uuid::new_v4();
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
        let (disks, disk_images) = devices::disks(
            &request.name,
            &request.disks,
            self.images(),
            &*self.shared.disks,
            &mut wrong,
        )?;
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
        let kernel = self
            .images()
            .hold(&template.kernel)
            .map_err(|problem| missing(problem, "kernel", &template.kernel))?;
        let ramdisk = template
            .ramdisk
            .as_deref()
            .map(|alias| self.images().hold(alias).map_err(|p| missing(p, "ramdisk", alias)))
            .transpose()?;
        let record = GuestRecord {
            format: GuestRecord::FORMAT,
            name: request.name.clone(),
            uuid,
            template: template.name.clone(),
            template_version: template.version.clone(),
            memory_mib,
            vcpus,
            kernel: kernel.digest(),
            ramdisk: ramdisk.as_ref().map(crate::image::ImageHold::digest),
            command_line: parameters.command_line.clone(),
            wanted_running: request.start,
            restarts: 0,
            held: false,
            created_ms: now_ms(),
            work: None,
            policy: request.policy.apply(template.end_policy),
            parameters: parameters.shown(),
            last_end: None,
            disks,
        };
        Ok((record, std::iter::once(kernel).chain(ramdisk).chain(disk_images).collect()))
    }
}
