//! A shell in the sandbox of a package, for a person at the other end of a stream.
//!
//! It runs on the threads of builds and ends with whoever opened it. A build may run
//! meanwhile: the shell has folders of its own.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use xlfs_builder::build::{Builder, ShellRequest};
use xlfs_builder::sandbox::{self, ShellInput};
use xlfs_proto::v1 as pb;
use xlfs_proto::v1::build_shell_input::{Open, Part as Input};
use xlfs_proto::v1::build_shell_output::Part as Output;

use super::{Builds, InUse, inspect, problem};
use crate::api::ReplyStream;
use crate::problem::Problem;

/// How long a client may take to say which package it means.
const PATIENCE: Duration = Duration::from_secs(30);

type Outputs = mpsc::Sender<Result<pb::BuildShellOutput, Status>>;

impl Builds {
    /// Opens a shell.
    pub async fn shell(
        &self,
        mut typed: Streaming<pb::BuildShellInput>,
    ) -> Result<ReplyStream<pb::BuildShellOutput>, Status> {
        let first = timeout(PATIENCE, typed.message()).await.map_err(|_| {
            let text = format!("no package was named within {} s", PATIENCE.as_secs());
            Problem::deadline_exceeded("NO_PACKAGE_NAMED", text)
        })?;
        let Some(Input::Open(open)) = first?.and_then(|message| message.part) else {
            let text = "the first message must name the package";
            return Err(Problem::invalid_field("BAD_SHELL_INPUT", "part", text).into());
        };
        let in_use = self.in_use().await;
        let this = self.clone();
        let (set, package) = (open.set.clone(), open.package.clone());
        let builder = self.on_threads(move || {
            sandbox::find().map_err(|_| problem::no_sandbox())?;
            let builder = this.builder(&set)?;
            inspect::known(&builder, &package)?;
            Ok::<_, Problem>(builder)
        });
        let builder = builder.await??;
        let (outputs, stream) = mpsc::channel(16);
        let cancel = CancellationToken::new();
        let ends_with_its_caller = cancel.clone().drop_guard();
        let run = Session { builder, open, typed, outputs, cancel, _in_use: in_use };
        self.threads()?.spawn(run.go());
        let stream = futures::StreamExt::map(ReceiverStream::new(stream), move |output| {
            let _ = &ends_with_its_caller;
            output
        });
        Ok(Box::pin(stream))
    }
}

/// One shell, from its preparation to its end.
struct Session {
    builder: Builder,
    open: Open,
    typed: Streaming<pb::BuildShellInput>,
    outputs: Outputs,
    cancel: CancellationToken,
    _in_use: InUse,
}

impl Session {
    async fn go(self) {
        let (outputs, cancel) = (self.outputs.clone(), self.cancel.clone());
        let run = cancel.run_until_cancelled(self.run());
        if let Some(Err(problem)) = run.await {
            // A caller who is gone needs no answer.
            let _ = outputs.send(Err(problem.into())).await;
        }
    }

    async fn run(self) -> Result<(), Problem> {
        let Self { builder, open, typed, outputs, cancel, .. } = self;
        let named = |text: String| Some(text).filter(|it| !it.is_empty());
        let request = ShellRequest {
            package: open.package,
            toolchain: named(open.toolchain),
            check: open.check,
            step: named(open.step),
        };
        let told = |text: &str| {
            // What does not fit was not worth waiting for.
            let _ = outputs.try_send(Ok(message(Output::Notice(text.to_owned()))));
        };
        let shell = builder.shell(&request, &cancel, told).await;
        let shell = shell.map_err(|error| problem::of(&error))?;
        let size = open.size.unwrap_or_default();
        let opened = shell.open(&open.term, side(size.rows, 25), side(size.columns, 80));
        let (input, mut output) = opened.map_err(|error| problem::of(&error.into()))?;
        let typing = tokio::spawn(cancel.clone().run_until_cancelled_owned(pass(typed, input)));
        while let Some(bytes) = output.next().await.map_err(|error| problem::of(&error.into()))? {
            if outputs.send(Ok(message(Output::Data(bytes)))).await.is_err() {
                return Ok(());
            }
        }
        let code = output.ended().await.map_err(|error| problem::of(&error.into()))?;
        let _ = outputs.send(Ok(message(Output::ExitCode(code)))).await;
        typing.abort();
        Ok(())
    }
}

/// Hands over what is typed, until the caller ends its side.
async fn pass(mut typed: Streaming<pb::BuildShellInput>, mut shell: ShellInput) {
    while let Ok(Some(message)) = typed.message().await {
        let done = match message.part {
            Some(Input::Data(bytes)) => shell.send(&bytes).await,
            Some(Input::Size(size)) => shell.resize(side(size.rows, 25), side(size.columns, 80)),
            Some(Input::Open(_)) | None => Ok(()),
        };
        if let Err(error) = done {
            tracing::debug!(%error, "the shell takes no more");
            return;
        }
    }
}

/// A number of rows or columns that a terminal can have.
fn side(told: u32, usual: u16) -> u16 {
    u16::try_from(told).ok().filter(|it| *it > 0).unwrap_or(usual)
}

fn message(part: Output) -> pb::BuildShellOutput {
    pb::BuildShellOutput { part: Some(part) }
}
