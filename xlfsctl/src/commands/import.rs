//! `import`: a guest of xl, read from its configuration file
//! ([`crate::xl_cfg`]) and defined here.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use clap::{Args, ValueHint};
use xlfs_proto::v1::{
    GetTemplateRequest, ImageKind, ListImagesRequest, ListTemplatesRequest, Template,
};

use super::change::{Domains, Verb, carry_out, outcomes, print};
use super::{Session, answer, create};
use crate::cli::Change;
use crate::complete;
use crate::errors::{Context as _, Failure};
use crate::exit::Exit;
use crate::output::text::{hanging, plain};
use crate::output::view::imported::ImportedView;
use crate::output::{stderr_width, to_stderr};
use crate::words::{Setting, setting};
use crate::xl_cfg::convert::{Guest, convert};
use crate::xl_cfg::parser::{MAX_BYTES, Mistake};
use crate::xl_cfg::{request, shell};

/// What guests without a disk are made from.
const DEFAULT_TEMPLATE: &str = "minimal";

/// Make a guest of one of xl, from its configuration file.
///
/// What the file says and xlfs does not take is listed, with its line and what
/// to do instead. The guest is not started. With --dry-run, nothing is made: the
/// commands that would do the same are printed, ready for a shell. xlfsd need
/// not run for that.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file, as xl create takes it; "-" for standard input.
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// The guest's name, if not that in the file.
    #[arg(long)]
    name: Option<String>,
    /// The template. Without it: the one that names the file's kernel, or
    /// "minimal" for a guest without disks.
    #[arg(short, long, value_name = "TEMPLATE", add = complete::templates())]
    template: Option<String>,
    /// A parameter of the template; once for each.
    #[arg(short, long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    #[arg(add = complete::settings())]
    settings: Vec<Setting>,
    /// Fail if there is anything to list.
    #[arg(long)]
    strict: bool,
    /// Start the guest.
    #[arg(long)]
    start: bool,
    #[command(flatten)]
    change: Change,
}

impl Import {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let file = plain(&self.file.to_string_lossy());
        let tried = || format!("cannot import {file}");
        let bytes = self.read().context(tried)?;
        let mut guest = convert(&bytes, self.name.as_deref())
            .map_err(|mistakes| senseless(&file, &bytes, &mistakes))?;
        let parameters = create::parameters(self.settings.clone(), Vec::new())?;
        guest.definition.parameters = parameters.into_iter().collect();
        guest.definition.start = self.start;
        self.bind(session, &mut guest).await.context(tried)?;
        if self.strict && !guest.findings.is_empty() {
            return Err(too_strict(&file, &guest));
        }
        let output = &session.output;
        if output.is_table() && !output.quiet {
            tell(&file, &guest);
        }
        if self.change.dry_run {
            match output.is_table() {
                true => output.text(&commands(&guest))?,
                false => output.document(&ImportedView::new(&guest, true, None))?,
            }
            return Ok(Exit::Ok);
        }
        need_images(session, &guest).await?;
        self.create(session, &guest).await
    }

    /// The file, or as much of it as shows that it is too large.
    fn read(&self) -> Result<Vec<u8>, Failure> {
        let fail = |error: io::Error| Failure::io("the file cannot be read", &error);
        let source: Box<dyn Read> = match self.file.as_os_str() == "-" {
            true => Box::new(io::stdin()),
            false => Box::new(File::open(&self.file).map_err(fail)?),
        };
        let mut bytes = Vec::new();
        source.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(fail)?;
        Ok(bytes)
    }

    /// Finds the guest's template. A dry run goes on without xlfsd.
    async fn bind(&self, session: &Session, guest: &mut Guest) -> Result<(), Failure> {
        let answered = match &self.template {
            Some(name) => get_template(session, name).await.map(|one| vec![one]),
            None => templates_for(session, guest).await,
        };
        let found = match answered {
            Ok(found) => found,
            Err(failure) if self.change.dry_run && failure.exit() == Exit::Unreachable => {
                session.output.note("xlfsd does not answer: templates are not looked at");
                Vec::new()
            }
            Err(failure) => return Err(failure),
        };
        match (&self.template, &found[..]) {
            (Some(name), _) => guest.bind(name, found.first()),
            (None, [one]) => guest.bind(&one.name, Some(one)),
            (None, _) if guest.definition.disks.is_empty() => {
                let template = get_template(session, DEFAULT_TEMPLATE).await.ok();
                guest.bind(DEFAULT_TEMPLATE, template.as_ref());
            }
            (None, several) => {
                let names: Vec<_> = several.iter().map(|one| plain(&one.name)).collect();
                let which = match names.is_empty() {
                    true => "xlfsctl template list".to_owned(),
                    false => format!("{} name this kernel", names.join(", ")),
                };
                let what = "a guest with disks needs a template that boots from them";
                return Err(Failure::new(Exit::Usage, what)
                    .hint(format!("name one with --template: {which}")));
            }
        }
        Ok(())
    }

    /// Makes the guest, and prints what came of it.
    async fn create(&self, session: &Session, guest: &Guest) -> Result<Exit, Failure> {
        let request = request::request(&guest.definition);
        let call = async |mut domains: Domains, _| domains.create_domain(request.clone()).await;
        let names = [guest.definition.name.clone()];
        let client = session.daemon().await?.domains();
        let (exit, accepted) =
            carry_out(session, &self.change, Verb::CREATE, &names, client, call).await?;
        if session.output.is_table() {
            print(session, &self.change, Verb::CREATE, &accepted)?;
        } else {
            let result = outcomes(&self.change, Verb::CREATE, &accepted).pop();
            session.output.document(&ImportedView::new(guest, false, result))?;
        }
        Ok(exit)
    }
}

async fn get_template(session: &Session, name: &str) -> Result<Template, Failure> {
    let mut store = session.daemon().await?.templates();
    answer(store.get_template(GetTemplateRequest { name: name.to_owned() })).await
}

/// The templates that name the kernel of the file, and its ramdisk if it has
/// one, by the names of the files.
async fn templates_for(session: &Session, guest: &Guest) -> Result<Vec<Template>, Failure> {
    let Some(kernel) = guest.alias_of(ImageKind::Kernel) else { return Ok(Vec::new()) };
    let ramdisk = guest.alias_of(ImageKind::Ramdisk);
    let mut store = session.daemon().await?.templates();
    let mut found = answer(store.list_templates(ListTemplatesRequest {})).await?.templates;
    found
        .retain(|one| one.kernel == kernel && ramdisk.is_none_or(|ramdisk| one.ramdisk == ramdisk));
    Ok(found)
}

/// A guest's disks are made from images; those must be there first.
async fn need_images(session: &Session, guest: &Guest) -> Result<(), Failure> {
    if guest.definition.disks.is_empty() {
        return Ok(());
    }
    let tried = || Verb::CREATE.cannot(&guest.definition.name);
    let mut store = session.daemon().await?.images();
    let images = answer(store.list_images(ListImagesRequest {})).await.context(tried)?.images;
    let there: HashSet<&str> =
        images.iter().flat_map(|image| &image.aliases).map(String::as_str).collect();
    let missing = guest
        .images
        .iter()
        .filter(|step| step.kind == ImageKind::Disk && !there.contains(step.alias.as_str()));
    let missing: Vec<_> = missing.collect();
    if missing.is_empty() {
        return Ok(());
    }
    let what = "images of its disks are not in the store; xlfs copies a disk, and adopts none";
    let mut failure = Failure::new(Exit::WrongState, what).context(&tried());
    for step in missing {
        failure = failure.cause(format!("{} is missing: {}", step.alias, step.command()));
    }
    Err(failure.hint("import them, with the guest shut down: --dry-run prints the commands"))
}

/// The commands that do the same, one a line.
fn commands(guest: &Guest) -> String {
    let steps = guest.images.iter().flat_map(|step| {
        step.prepare.as_deref().map(shell::line).into_iter().chain([step.command()])
    });
    let create = shell::line(&request::words(&guest.definition));
    steps.chain([create]).map(|command| plain(&command) + "\n").collect()
}

/// Lists what is not in the definition.
fn tell(file: &str, guest: &Guest) {
    let width = stderr_width();
    for finding in &guest.findings {
        let label = format!("{file}:{}: ", finding.line);
        let text = hanging("", &format!("{label}{}: {finding}", finding.key), width);
        to_stderr(&text);
    }
}

/// The failure for a file that is no guest.
fn senseless(file: &str, bytes: &[u8], mistakes: &[Mistake]) -> Failure {
    let what = match mistakes {
        [Mistake { place, problem }] => format!("{place}: {problem}"),
        several => format!("{} mistakes", several.len()),
    };
    let mut failure = Failure::new(Exit::Invalid, format!("cannot import {file}: {what}"));
    failure.fields = mistakes
        .iter()
        .map(|Mistake { place, problem }| (place.to_string(), problem.clone()))
        .collect();
    if bytes.iter().take(4096).any(|byte| *byte == 0) {
        return failure.hint(
            "this is no configuration of xl; kernels, ramdisks and disks are taken by \
             xlfsctl image import",
        );
    }
    failure
}

/// The failure for a file that says what is not taken.
fn too_strict(file: &str, guest: &Guest) -> Failure {
    let count = guest.findings.len();
    let what = match count {
        1 => "one thing is not taken as it is".to_owned(),
        count => format!("{count} things are not taken as they are"),
    };
    let mut failure = Failure::new(Exit::Invalid, format!("cannot import {file}: {what}"));
    let field = |finding: &crate::xl_cfg::finding::Finding| {
        (finding.key.clone(), format!("line {}: {finding}", finding.line))
    };
    failure.fields = guest.findings.iter().map(field).collect();
    failure.hint("take them out of the file, or leave out --strict")
}
