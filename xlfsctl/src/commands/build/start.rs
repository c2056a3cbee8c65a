//! `build start` and `build watch`.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use xlfs_proto::v1::{Build, BuildFinished, BuildState, GetBuildRequest, StartBuildRequest};

use super::{What, plan, results};
use crate::commands::{Session, answer};
use crate::complete;
use crate::errors::{Context as _, Failure};
use crate::exit::Exit;
use crate::output::text::plain;
use crate::output::view::build::{BuildView, build_state_word};
use crate::progress::build::{End, Events, about, follow};

/// Build packages and images, and show how far it is.
///
/// The build goes on when this command ends: Ctrl-C only leaves it. Whatever is there already
/// is not built again; a build that was interrupted or cancelled goes on when it is started
/// once more. One build runs at a time.
#[derive(Debug, Args)]
pub(crate) struct Start {
    #[command(flatten)]
    what: What,
    /// Take the images' kernels, ramdisks and disks into the image store, under the aliases
    /// that the images' recipes name.
    #[arg(long)]
    import: bool,
    /// Copy the images' files into this folder.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with = "detach")]
    export: Option<PathBuf>,
    /// Print the build's number, and do not wait.
    #[arg(short, long)]
    detach: bool,
    /// Print what it would do (as build plan does), and do nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Show how far a build is, from its beginning.
///
/// Ctrl-C leaves it. With -o json or -o yaml, each event is a document; their numbers are
/// for --from.
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// The build; default: the one that runs, or the last one.
    #[arg(add = complete::builds())]
    id: Option<String>,
    /// Start with the event of this number.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    from: u64,
}

impl Start {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let output = &session.output;
        let request = self.what.request();
        if self.dry_run {
            let planned = plan::ask(session, request).await?;
            plan::print(&planned, false, output)?;
            return Ok(Exit::Ok);
        }
        let request = StartBuildRequest { build: Some(request), import: self.import };
        let daemon = session.daemon().await?;
        let build = daemon.builds().start_build(request).await;
        let build = build.context(|| "cannot start the build".to_owned())?.into_inner();
        if self.detach {
            match (output.is_table(), output.quiet) {
                (false, _) => output.document(&BuildView::from(&build))?,
                (true, true) => output.text(&format!("{}\n", plain(&build.id)))?,
                (true, false) => output.text(&format!("build {} has begun\n", plain(&build.id)))?,
            }
            return Ok(Exit::Ok);
        }
        output.note(&begun(&build));
        let end = follow(daemon, output, build.clone(), 0, Events::Progress).await?;
        let exit = exit(&end);
        if let (Some(folder), Exit::Ok) = (&self.export, exit) {
            let plan = build.plan.clone().unwrap_or_default();
            let packages: Vec<_> = plan.packages.iter().map(|it| it.name.as_str()).collect();
            let is_image = |it: &&String| !packages.contains(&it.as_str());
            for image in plan.targets.iter().filter(is_image) {
                results::export(session, &plan.set, image, &folder.join(image)).await?;
            }
        }
        if output.is_table() {
            tell(session, &build.id, &end)?;
        } else {
            let call = daemon.builds();
            let request = GetBuildRequest { id: build.id.clone() };
            let build = answer({
                let mut call = call;
                async move { call.get_build(request).await }
            });
            output.document(&BuildView::from(&build.await?))?;
        }
        Ok(exit)
    }
}

fn begun(build: &Build) -> String {
    let plan = build.plan.clone().unwrap_or_default();
    let guessed = match plan.guessed {
        0 => String::new(),
        count => format!(", {count} of them never built before"),
    };
    format!(
        "Build {}: {} packages{guessed}; about {}. Ctrl-C leaves it, and it goes on.",
        build.id,
        plan.packages.len(),
        about(plan.estimate_seconds.round())
    )
}

impl Watch {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let daemon = session.daemon().await?;
        let id = self.id.unwrap_or_default();
        let tried = || match id.as_str() {
            "" => "cannot watch the build".to_owned(),
            id => format!("cannot watch build {id}"),
        };
        let mut service = daemon.builds();
        let call = service.get_build(GetBuildRequest { id: id.clone() });
        let build = answer(call).await.context(tried)?;
        let id = build.id.clone();
        let end = follow(daemon, &session.output, build, self.from, Events::Documents).await?;
        if session.output.is_table() {
            tell(session, &id, &end)?;
        }
        Ok(exit(&end))
    }
}

/// How the command ends.
fn exit(end: &End) -> Exit {
    match end.finished.state() {
        BuildState::Succeeded => Exit::Ok,
        BuildState::Cancelled | BuildState::Interrupted => Exit::Cancelled,
        _ => end.failed.first().map_or(Exit::Failed, |(_, exit)| *exit),
    }
}

/// Says how it ended and, where it did not end well, what to do.
fn tell(session: &Session, id: &str, end: &End) -> Result<(), Failure> {
    let End { finished, failed } = end;
    if !session.output.quiet {
        session.output.text(&format!("build {}: {}\n", plain(id), summary(finished)))?;
    }
    for (package, _) in failed {
        session.output.note(&format!("{package} failed: xlfsctl build log {package}"));
    }
    if matches!(finished.state(), BuildState::Cancelled | BuildState::Interrupted) {
        session.output.note("What is built is kept; start it again to go on with the rest.");
    }
    Ok(())
}

fn summary(finished: &BuildFinished) -> String {
    let counts = finished.counts.unwrap_or_default();
    let mut parts = vec![format!("{} built", counts.built), format!("{} there", counts.cached)];
    if counts.failed > 0 {
        parts.push(format!("{} failed", counts.failed));
    }
    if counts.skipped > 0 {
        parts.push(format!("{} not tried", counts.skipped));
    }
    let after = match finished.seconds {
        seconds if seconds > 0.0 => format!(" after {}", about(seconds)),
        _ => String::new(),
    };
    format!("{}{after}: {}", build_state_word(finished.state()), parts.join(", "))
}

#[cfg(test)]
mod tests {
    use xlfs_proto::v1::BuildCounts;

    use super::*;

    #[test]
    fn the_end_in_a_line() {
        let counts = BuildCounts { packages: 9, built: 2, cached: 5, failed: 1, skipped: 1 };
        let state = BuildState::Failed.into();
        let finished = BuildFinished { state, counts: Some(counts), seconds: 75.0 };
        assert_eq!(
            summary(&finished),
            "failed after 1m15s: 2 built, 5 there, 1 failed, 1 not tried"
        );
        let failed = vec![("zlib".to_owned(), Exit::Exhausted)];
        assert_eq!(exit(&End { finished, failed }), Exit::Exhausted);
        assert_eq!(exit(&End { finished, failed: Vec::new() }), Exit::Failed);
        let finished = BuildFinished { state: BuildState::Cancelled.into(), ..finished };
        assert_eq!(exit(&End { finished, failed: Vec::new() }), Exit::Cancelled);
    }
}
