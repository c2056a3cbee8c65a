//! `template`: what guests are made from.

use clap::{Args, Subcommand};
use xlfs_proto::v1::{
    GetTemplateRequest, ListTemplatesRequest, OfferedService, Template as Manifest, TemplateDisk,
    TemplateNetwork, TemplateParameter, TemplateSwap,
};

use super::image::size;
use super::{Session, answer, health, show};
use crate::complete;
use crate::errors::{Context as _, Failure};
use crate::exit::Exit;
use crate::output::Output;
use crate::output::facts::Facts;
use crate::output::table::{Align, Table};
use crate::output::text::{hanging, plain};
use crate::output::view::template::{TemplateView, TemplatesView, type_word};

/// Columns that the names of parameters take at most.
const MOST_NAME: usize = 24;

/// What guests are made from: list, show.
#[derive(Debug, Subcommand)]
pub(crate) enum Template {
    List(List),
    Show(Show),
}

/// List the templates.
#[derive(Debug, Args)]
pub(crate) struct List {}

/// Show a template and its parameters.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The template.
    #[arg(value_name = "TEMPLATE", add = complete::templates())]
    name: String,
}

impl Template {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Template::List(List {}) => list(session).await,
            Template::Show(Show { name }) => show_one(session, name).await,
        }
    }
}

async fn list(session: &Session) -> Result<Exit, Failure> {
    let output = &session.output;
    let mut store = session.daemon().await?.templates();
    let call = store.list_templates(ListTemplatesRequest {});
    let tried = || "cannot list the templates".to_owned();
    let mut templates = answer(call).await.context(tried)?.templates;
    templates.sort_by(|a, b| a.name.cmp(&b.name));
    if !output.is_table() {
        let templates = templates.iter().map(TemplateView::from).collect();
        output.document(&TemplatesView { templates })?;
        return Ok(Exit::Ok);
    }
    if output.quiet {
        let names: String = templates.iter().map(|one| plain(&one.name) + "\n").collect();
        output.text(&names)?;
        return Ok(Exit::Ok);
    }
    if templates.is_empty() {
        output.note("There are no templates.");
    } else {
        output.text(&table(&templates, output))?;
    }
    for template in templates.iter().filter(|one| !one.problem.is_empty()) {
        output.note(&format!("{}: {}", plain(&template.name), plain(&template.problem)));
    }
    Ok(Exit::Ok)
}

async fn show_one(session: &Session, name: String) -> Result<Exit, Failure> {
    let tried = format!("cannot show template \"{name}\"");
    let mut store = session.daemon().await?.templates();
    let call = store.get_template(GetTemplateRequest { name });
    let template = answer(call).await.context(|| tried)?;
    match session.output.is_table() {
        true => session.output.text(&facts(&template, &session.output))?,
        false => session.output.document(&TemplateView::from(&template))?,
    }
    Ok(Exit::Ok)
}

fn table(templates: &[Manifest], output: &Output) -> String {
    let mut table = Table::new(&[
        ("NAME", Align::Elastic),
        ("VERSION", Align::Left),
        ("MEM MIB", Align::Right),
        ("VCPUS", Align::Right),
        ("READY", Align::Left),
        ("SUMMARY", Align::Elastic),
    ]);
    for template in templates {
        table.row([
            template.name.as_str().into(),
            template.version.as_str().into(),
            template.memory_mib.to_string().into(),
            template.vcpus.to_string().into(),
            if template.problem.is_empty() { "yes" } else { "no" }.into(),
            template.summary.as_str().into(),
        ]);
    }
    table.render(output.width, output.colour)
}

fn facts(template: &Manifest, output: &Output) -> String {
    let heading = format!("{} {}: {}", template.name, template.version, template.summary);
    let mut facts = Facts::new(output, &heading);
    facts.fact("Problem", &template.problem);
    facts.fact("About", paragraphs(&template.description));
    facts.fact("Kernel", image(&template.kernel, &template.kernel_digest));
    facts.fact("Ramdisk", image(&template.ramdisk, &template.ramdisk_digest));
    facts.fact("Command line", &template.command_line);
    let memory = format!("{} MiB, at least {}", template.memory_mib, template.memory_min_mib);
    facts.fact("Memory", memory);
    let most = match template.vcpus_max {
        0 => String::new(),
        most => format!(", at most {most}"),
    };
    facts.fact("vCPUs", format!("{}{most}", template.vcpus));
    facts.many("Disks", template.disks.iter().map(disk));
    facts.fact("Swap", template.swap.as_ref().map(swap).unwrap_or_default());
    facts.fact("Network", template.network.as_ref().map_or("none".to_owned(), network));
    if let Some(policy) = &template.end_policy {
        facts.fact("When it ends", show::end_policy(policy));
    }
    facts.fact("First boot", template.first_boot_steps.join(", "));
    let service = |one: &OfferedService| format!("{}: {}", one.name, one.description);
    facts.many("Services", template.services.iter().map(service));
    facts.many("Health", template.health.iter().map(health::check));
    let mut text = facts.into_text();
    let width = output.width.unwrap_or(crate::output::DEFAULT_WIDTH);
    let parameters = &template.parameters;
    text.push_str(if parameters.is_empty() {
        "There are no parameters to --set.\n"
    } else {
        "Parameters, each with --set NAME=VALUE or --set-file NAME=FILE:\n"
    });
    let names = parameters.iter().map(|parameter| plain(&parameter.name).chars().count());
    let column = names.max().unwrap_or_default().clamp(14, MOST_NAME);
    for parameter in parameters {
        let label = format!("  {:<column$}  ", plain(&parameter.name));
        text.push_str(&hanging(&label, &about(parameter), width));
    }
    text
}

/// The text with its lines joined, except at empty lines: it is wrapped anew.
fn paragraphs(text: &str) -> String {
    let lines = |part: &str| part.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    text.trim().split("\n\n").map(lines).collect::<Vec<_>>().join("\n\n")
}

/// `root as xvda: 2.0 GiB, at least 1.0 GiB, from lapp-root (0123456789ab)`
fn disk(disk: &TemplateDisk) -> String {
    let mut parts = match disk.size_mib {
        0 => vec!["as large as its image".to_owned()],
        mib => vec![size(mib << 20)],
    };
    if disk.size_min_mib > 0 {
        parts.push(format!("at least {}", size(disk.size_min_mib << 20)));
    }
    match disk.image.is_empty() {
        true => parts.push("empty".to_owned()),
        false => parts.push(format!("from {}", image(&disk.image, &disk.image_digest))),
    }
    parts.extend(pool(&disk.pool));
    format!("{} as {}: {}", disk.name, disk.device, parts.join(", "))
}

/// `xvdb: 1.5 times the memory`
fn swap(swap: &TemplateSwap) -> String {
    let times = format!("{} times the memory", f64::from(swap.percent) / 100.0);
    let parts: Vec<_> = std::iter::once(times).chain(pool(&swap.pool)).collect();
    format!("{}: {}", swap.device, parts.join(", "))
}

fn pool(pool: &str) -> Option<String> {
    (!pool.is_empty()).then(|| format!("in the pool {pool}"))
}

/// `2 interfaces, on lan, then on the host's first network`
fn network(network: &TemplateNetwork) -> String {
    let many = match network.interfaces {
        1 => "1 interface".to_owned(),
        more => format!("{more} interfaces"),
    };
    let named = network.networks.join(", ");
    let left = network.interfaces as usize > network.networks.len();
    match (named.is_empty(), left) {
        (true, _) => format!("{many} on the host's first network"),
        (false, false) => format!("{many} on {named}"),
        (false, true) => format!("{many} on {named}, then on the host's first network"),
    }
}

/// An image as a template names it, with the digest it stands for now.
fn image(alias: &str, digest: &str) -> String {
    let digest: String = digest.chars().take(12).collect();
    match (alias.is_empty(), digest.is_empty()) {
        (true, _) => String::new(),
        (false, true) => format!("{alias} (not in the store)"),
        (false, false) => format!("{alias} ({digest})"),
    }
}

/// What a parameter is for, and which values it takes.
fn about(parameter: &TemplateParameter) -> String {
    let mut parts = vec![type_word(parameter.r#type()).to_owned()];
    if !parameter.choices.is_empty() {
        parts = vec![format!("one of {}", parameter.choices.join(", "))];
    }
    match (parameter.min, parameter.max) {
        (Some(min), Some(max)) => parts.push(format!("{min} to {max}")),
        (Some(min), None) => parts.push(format!("{min} or more")),
        (None, Some(max)) => parts.push(format!("{max} at most")),
        (None, None) => {}
    }
    if !parameter.pattern.is_empty() {
        parts.push(format!("like {}", parameter.pattern));
    }
    if parameter.secret {
        parts.push("never shown again".to_owned());
    }
    match &parameter.default {
        _ if parameter.required => parts.push("required".to_owned()),
        _ if parameter.generated => {
            parts.push(format!("made when not given, {} characters", parameter.length));
        }
        Some(default) => parts.push(format!("default \"{default}\"")),
        None => parts.push("no default".to_owned()),
    }
    let parts = parts.join("; ");
    match parameter.description.as_str() {
        "" => parts,
        description => format!("{description} ({parts})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_paragraph_are_joined() {
        assert_eq!(paragraphs("a\n  b\n\nc\n"), "a b\n\nc");
    }
}
