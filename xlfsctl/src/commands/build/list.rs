//! `build list` and `build cancel`.

use clap::Args;
use xlfs_proto::v1::{Build, BuildState, CancelBuildRequest, ListBuildsRequest};

use crate::commands::{Session, answer};
use crate::complete;
use crate::errors::{Context as _, Failure};
use crate::exit::Exit;
use crate::output::Output;
use crate::output::table::{Align, Cell, Colour, Table};
use crate::output::text::plain;
use crate::output::time;
use crate::output::view::build::{BuildView, BuildsView, build_state_word};
use crate::progress::build::{Events, follow};

/// List the build that runs and those that ended, newest first.
///
/// A build that is "interrupted" was under way when xlfsd ended; starting it again goes on
/// with what was not finished.
#[derive(Debug, Args)]
pub(crate) struct List {}

/// End the build that runs; what is built is kept.
#[derive(Debug, Args)]
pub(crate) struct Cancel {
    /// The build; default: the one that runs.
    #[arg(add = complete::builds())]
    id: Option<String>,
    /// Do not wait until its steps have ended.
    #[arg(long)]
    no_wait: bool,
    /// Only tell which build it would end.
    #[arg(long)]
    dry_run: bool,
}

impl List {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let output = &session.output;
        let mut service = session.daemon().await?.builds();
        let call = service.list_builds(ListBuildsRequest {});
        let builds = answer(call).await.context(|| "cannot list the builds".to_owned())?.builds;
        if !output.is_table() {
            let builds = builds.iter().map(BuildView::from).collect();
            output.document(&BuildsView { builds })?;
        } else if output.quiet {
            let ids: String = builds.iter().map(|build| plain(&build.id) + "\n").collect();
            output.text(&ids)?;
        } else if builds.is_empty() {
            output.note("Nothing was built yet. Start a build: xlfsctl build start");
        } else {
            output.text(&table(&builds, output))?;
            // One that another came after is history.
            let last = builds.first().filter(|it| it.state() == BuildState::Interrupted);
            if let Some(build) = last {
                output.note(&format!(
                    "Build {} was interrupted; go on with it: {}",
                    build.id,
                    command(build)
                ));
            }
        }
        Ok(Exit::Ok)
    }
}

/// The command that goes on with a build.
fn command(build: &Build) -> String {
    let request = build.request.clone().unwrap_or_default();
    let mut words = vec!["xlfsctl build start".to_owned()];
    words.extend(request.targets);
    words.push(format!("--set {}", request.set));
    if !request.toolchain.is_empty() {
        words.push(format!("--toolchain {}", request.toolchain));
    }
    if request.check {
        words.push("--check".to_owned());
    }
    // What was asked to be built again and was, is there; the rest is not known.
    words.extend(request.rebuild.iter().map(|it| format!("--rebuild {it}")));
    let mut inputs: Vec<_> = request.inputs.iter().collect();
    inputs.sort();
    words.extend(inputs.iter().map(|(name, file)| format!("--input {name}={file}")));
    if build.import {
        words.push("--import".to_owned());
    }
    words.join(" ")
}

fn table(builds: &[Build], output: &Output) -> String {
    let mut table = Table::new(&[
        ("ID", Align::Right),
        ("STATE", Align::Left),
        ("TARGETS", Align::Elastic),
        ("BUILT", Align::Right),
        ("THERE", Align::Right),
        ("FAILED", Align::Right),
        ("TOOK", Align::Right),
        ("AGE", Align::Right),
    ]);
    for build in builds {
        let counts = build.counts.unwrap_or_default();
        let colour = match build.state() {
            BuildState::Succeeded => Some(Colour::Green),
            BuildState::Running => Some(Colour::Yellow),
            BuildState::Failed | BuildState::Interrupted => Some(Colour::Red),
            _ => None,
        };
        let took = build.started.as_ref().zip(build.ended.as_ref());
        let took = took.and_then(|(started, ended)| time::between(started, ended));
        let targets = build.request.as_ref().map(|it| it.targets.join(",")).unwrap_or_default();
        table.row([
            build.id.as_str().into(),
            Cell::coloured(build_state_word(build.state()), colour),
            targets.into(),
            counts.built.to_string().into(),
            counts.cached.to_string().into(),
            counts.failed.to_string().into(),
            took.map_or_else(|| "-".to_owned(), time::span).into(),
            build.started.as_ref().and_then(time::age).unwrap_or_default().into(),
        ]);
    }
    table.render(output.width, output.colour)
}

impl Cancel {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let output = &session.output;
        let tried = || match &self.id {
            None => "cannot cancel the build".to_owned(),
            Some(id) => format!("cannot cancel build {id}"),
        };
        let daemon = session.daemon().await?;
        let id = self.id.clone().unwrap_or_default();
        let request = CancelBuildRequest { id, dry_run: self.dry_run };
        let build = daemon.builds().cancel_build(request).await.context(tried)?.into_inner();
        let id = plain(&build.id);
        if !self.dry_run && !self.no_wait {
            let from = build.events;
            follow(daemon, output, build.clone(), from, Events::Progress).await?;
        }
        if !output.is_table() {
            output.document(&BuildView::from(&build))?;
        } else if self.dry_run {
            output.text(&format!("would cancel build {id}\n"))?;
        } else {
            output.note(&format!("build {id} is cancelled; what is built is kept"));
        }
        Ok(Exit::Ok)
    }
}

#[cfg(test)]
mod tests {
    use xlfs_proto::v1::BuildRequest;

    use super::*;

    #[test]
    fn an_interrupted_build_goes_on_by_the_same_request() {
        let request = BuildRequest {
            set: "12".to_owned(),
            targets: vec!["dom0".to_owned(), "minimal".to_owned()],
            toolchain: "host".to_owned(),
            check: true,
            rebuild: vec!["zlib".to_owned()],
            inputs: [("xlfsd".to_owned(), "/tmp/xlfsd".to_owned())].into(),
        };
        let build = Build { request: Some(request), import: true, ..Build::default() };
        assert_eq!(
            command(&build),
            "xlfsctl build start dom0 minimal --set 12 --toolchain host --check --rebuild zlib \
             --input xlfsd=/tmp/xlfsd --import"
        );
    }
}
