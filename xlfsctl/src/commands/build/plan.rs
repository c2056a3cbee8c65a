//! `build plan` and `build why`: what would be built, and for what reasons.

use clap::Args;
use xlfs_proto::v1::{BuildPlan, BuildRequest, PackageStanding, PlannedPackage};

use super::{InSet, What};
use crate::commands::Session;
use crate::complete;
use crate::errors::{Context as _, Failure};
use crate::exit::Exit;
use crate::output::table::{Align, Cell, Colour, Table};
use crate::output::text::{hanging, plain};
use crate::output::time;
use crate::output::view::build::{PlanView, standing_word};
use crate::output::{DEFAULT_WIDTH, Output};
use crate::progress::build::about;

/// Tell what a build would do, why, and how long it would take.
///
/// The times are those of earlier builds. "perhaps" is a package that is only built if the
/// result of another one changes.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    what: What,
    /// List the packages too whose results are there.
    #[arg(long)]
    all: bool,
}

/// Tell why packages would be built, and how they failed last time.
#[derive(Debug, Args)]
pub(crate) struct Why {
    /// The packages.
    #[arg(required = true, value_name = "PACKAGE", add = complete::targets())]
    packages: Vec<String>,
    #[command(flatten)]
    set: InSet,
}

/// Asks for a plan. It may take a while: there is no deadline but the user's patience.
pub(super) async fn ask(session: &Session, request: BuildRequest) -> Result<BuildPlan, Failure> {
    let call = session.daemon().await?.builds().plan_build(request).await;
    Ok(call.context(|| "cannot plan the build".to_owned())?.into_inner())
}

impl Plan {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let plan = ask(session, self.what.request()).await?;
        print(&plan, self.all, &session.output)?;
        Ok(Exit::Ok)
    }
}

/// Prints a plan.
pub(super) fn print(plan: &BuildPlan, all: bool, output: &Output) -> Result<(), Failure> {
    if !output.is_table() {
        return output.document(&PlanView::from(plan));
    }
    let shown = plan.packages.iter().filter(|it| all || it.standing() != PackageStanding::Cached);
    if output.quiet {
        let names: String = shown.map(|it| plain(&it.name) + "\n").collect();
        return output.text(&names);
    }
    let shown: Vec<_> = shown.collect();
    if !shown.is_empty() {
        output.text(&table(&shown, output))?;
    }
    output.text(&format!("{}\n", total(plan)))?;
    if !plan.missing_inputs.is_empty() {
        let options: Vec<_> =
            plan.missing_inputs.iter().map(|name| format!("--input {name}=FILE")).collect();
        output.note(&format!("It cannot start yet: images ask for {}.", options.join(", ")));
    }
    Ok(())
}

fn table(packages: &[&PlannedPackage], output: &Output) -> String {
    let mut table = Table::new(&[
        ("PACKAGE", Align::Left),
        ("VERSION", Align::Elastic),
        ("", Align::Left),
        ("TIME", Align::Right),
        ("WHY", Align::Elastic),
    ]);
    for package in packages {
        let colour = match package.standing() {
            PackageStanding::Build => Some(Colour::Yellow),
            _ => Some(Colour::Dim),
        };
        table.row([
            package.name.as_str().into(),
            package.version.as_str().into(),
            Cell::coloured(standing_word(package.standing()), colour),
            package.seconds.map_or_else(|| "?".to_owned(), about).into(),
            why(package).into(),
        ]);
    }
    table.render(output.width, output.colour)
}

/// The reasons in a line.
fn why(package: &PlannedPackage) -> String {
    match package.standing() {
        PackageStanding::Perhaps => format!("if {} changes", package.reasons.join(" or ")),
        _ => package.reasons.join(", "),
    }
}

/// The last line: how many, and for how long.
fn total(plan: &BuildPlan) -> String {
    let count = |standing| plan.packages.iter().filter(|it| it.standing() == standing).count();
    let (build, perhaps) = (count(PackageStanding::Build), count(PackageStanding::Perhaps));
    let there = count(PackageStanding::Cached);
    let all = plan.packages.len();
    if build + perhaps == 0 {
        return format!("{all} packages, all of them there already.");
    }
    let guessed = match plan.guessed {
        0 => String::new(),
        guessed => format!(" ({guessed} never built: guessed)"),
    };
    let perhaps = if perhaps > 0 { format!(", {perhaps} perhaps") } else { String::new() };
    format!(
        "{all} packages: {build} to build{perhaps}, {there} there already; about {}{guessed}.",
        about(plan.estimate_seconds.round())
    )
}

impl Why {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let output = &session.output;
        let request = BuildRequest {
            set: self.set.set.unwrap_or_default(),
            targets: self.packages.clone(),
            toolchain: self.set.toolchain.unwrap_or_default(),
            ..BuildRequest::default()
        };
        let mut plan = ask(session, request).await?;
        // Of an image, all its packages are meant.
        let image = !self.packages.iter().all(|it| plan.packages.iter().any(|p| p.name == *it));
        plan.packages.retain(|it| image || self.packages.contains(&it.name));
        if !output.is_table() {
            output.document(&PlanView::from(&plan))?;
            return Ok(Exit::Ok);
        }
        let width = output.width.unwrap_or(DEFAULT_WIDTH);
        for package in &plan.packages {
            output.text(&explain(package, width))?;
        }
        Ok(Exit::Ok)
    }
}

fn explain(package: &PlannedPackage, width: usize) -> String {
    let name = &package.name;
    let mut out = match package.standing() {
        PackageStanding::Cached => format!("{name}: its result is there, and nothing changed\n"),
        PackageStanding::Perhaps => {
            format!("{name}: would be built if the result of one of these changes\n")
        }
        _ => format!("{name}: would be built\n"),
    };
    for reason in &package.reasons {
        out.push_str(&hanging("  ", reason, width));
    }
    if let Some(failure) = &package.failure {
        let age = failure.started.as_ref().and_then(time::age);
        let when = age.map(|age| format!(" {age} ago")).unwrap_or_default();
        let text = format!(
            "failed{when} in step {}, after {}: {}",
            failure.step,
            about(failure.seconds),
            failure.reason
        );
        out.push_str(&hanging("  ", &text, width));
        out.push_str(&hanging("  ", &format!("xlfsctl build log {name}"), width));
    }
    out
}

#[cfg(test)]
mod tests {
    use xlfs_proto::v1::PackageFailure;

    use super::*;

    #[test]
    fn reasons_are_sentences() {
        let package = PlannedPackage {
            name: "zlib".to_owned(),
            standing: PackageStanding::Build.into(),
            reasons: vec!["step build changed".to_owned()],
            failure: Some(PackageFailure {
                step: "build".to_owned(),
                reason: "exit code 2".to_owned(),
                started: None,
                seconds: 3.0,
            }),
            ..PlannedPackage::default()
        };
        let text = explain(&package, 80);
        assert_eq!(
            text,
            "zlib: would be built\n  step build changed\n  \
             failed in step build, after 3.0s: exit code 2\n  xlfsctl build log zlib\n"
        );
        let plan = BuildPlan {
            packages: vec![package],
            estimate_seconds: 60.4,
            guessed: 1,
            ..BuildPlan::default()
        };
        assert_eq!(
            total(&plan),
            "1 packages: 1 to build, 0 there already; about 1m00s (1 never built: guessed)."
        );
    }
}
