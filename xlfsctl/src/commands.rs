//! The commands, a file for each: its arguments, and what it does with them.

pub(crate) mod build;
mod change;
pub(crate) mod clone;
pub(crate) mod console;
pub(crate) mod create;
pub(crate) mod device;
pub(crate) mod events;
mod health;
pub(crate) mod host;
pub(crate) mod image;
pub(crate) mod import;
pub(crate) mod lifecycle;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod man;
pub(crate) mod network;
pub(crate) mod pool;
pub(crate) mod recipe;
pub(crate) mod show;
pub(crate) mod snapshot;
pub(crate) mod source;
pub(crate) mod task;
pub(crate) mod template;
pub(crate) mod volume;
pub(crate) mod wait;

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::OnceCell;
use tonic::{Response, Status};

use crate::cli::{Cli, Command, Global};
use crate::client::Daemon;
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::{Output, failure};

/// How long xlfsd may take to answer a question. Changes have no such limit:
/// they are tasks, and answer at once.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// What every command works with.
pub(crate) struct Session {
    socket: PathBuf,
    daemon: OnceCell<Daemon>,
    pub(crate) output: Output,
}

impl Session {
    fn new(global: &Global) -> Session {
        let output = Output::new(global);
        Session { socket: global.socket.clone(), daemon: OnceCell::new(), output }
    }

    /// The daemon; connects when it is asked for first, so that mistakes in the
    /// arguments are told without one.
    pub(crate) async fn daemon(&self) -> Result<&Daemon, Failure> {
        self.daemon.get_or_try_init(|| Daemon::connect(&self.socket)).await
    }
}

/// Runs the command and tells of its failure.
pub(crate) async fn run(cli: Cli) -> Exit {
    let format = cli.global.output;
    match dispatch(cli).await {
        Ok(exit) => exit,
        Err(failure) => {
            failure::report(format, &failure);
            failure.exit()
        }
    }
}

async fn dispatch(cli: Cli) -> Result<Exit, Failure> {
    let session = &Session::new(&cli.global);
    match cli.command {
        Command::Create(args) => args.run(session).await,
        Command::Import(args) => args.run(session).await,
        Command::Clone(args) => args.run(session).await,
        Command::Start(args) => args.run(session).await,
        Command::Shutdown(args) => args.run(session).await,
        Command::Reboot(args) => args.run(session).await,
        Command::Pause(args) => args.run(session).await,
        Command::Unpause(args) => args.run(session).await,
        Command::Destroy(args) => args.run(session).await,
        Command::Delete(args) => args.run(session).await,
        Command::List(args) => args.run(session).await,
        Command::Show(args) => args.run(session).await,
        Command::Console(args) => args.run(session).await,
        Command::Logs(args) => args.run(session).await,
        Command::Events(args) => args.run(session).await,
        Command::Wait(args) => args.run(session).await,
        Command::Disk(args) => args.run(session).await,
        Command::Nic(args) => args.run(session).await,
        Command::Template(args) => args.run(session).await,
        Command::Image(args) => args.run(session).await,
        Command::Snapshot(args) => args.run(session).await,
        Command::Volume(args) => args.run(session).await,
        Command::Pool(args) => args.run(session).await,
        Command::Network(args) => args.run(session).await,
        Command::Build(args) => args.run(session).await,
        Command::Source(args) => args.run(session).await,
        Command::Recipe(args) => args.run(session).await,
        Command::Host(args) => args.run(session).await,
        Command::Task(args) => args.run(session).await,
        Command::Completion(args) => args.run(&session.output),
        Command::Man(args) => args.run(&session.output),
    }
}

/// The answer to a question, or a failure when it does not come in time.
pub(crate) async fn answer<T>(
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(ANSWER_TIMEOUT, call).await {
        Ok(reply) => Ok(reply?.into_inner()),
        Err(_) => {
            let seconds = ANSWER_TIMEOUT.as_secs();
            Err(Failure::new(Exit::Deadline, format!("xlfsd did not answer in {seconds} s"))
                .hint("it may hang: see its log"))
        }
    }
}
