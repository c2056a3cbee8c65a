//! `build`: packages and images from source, by the recipes of a release set.

mod collect;
mod list;
mod plan;
mod results;
mod start;
mod verify;

use clap::{Args, Subcommand};
use xlfs_proto::v1::BuildRequest;

use super::Session;
use crate::complete;
use crate::errors::Failure;
use crate::exit::Exit;

/// Packages and images from source: plan, start, watch, log, why, and more.
#[derive(Debug, Subcommand)]
pub(crate) enum Build {
    Plan(plan::Plan),
    Start(start::Start),
    Watch(start::Watch),
    List(list::List),
    Cancel(list::Cancel),
    Log(results::Log),
    Why(plan::Why),
    Files(results::Files),
    Graph(results::Graph),
    Export(results::Export),
    Verify(verify::Verify),
    Gc(collect::Gc),
}

/// What is to be built.
#[derive(Debug, Args)]
struct What {
    /// Packages and images; none: all images.
    #[arg(value_name = "TARGET", add = complete::targets())]
    targets: Vec<String>,
    #[command(flatten)]
    set: InSet,
    /// Also run the tests of the targets.
    #[arg(long)]
    check: bool,
    /// Build this package even if its result is there (repeatable).
    #[arg(long, value_name = "PACKAGE", add = complete::packages())]
    rebuild: Vec<String>,
}

/// Which set, and with which toolchain.
#[derive(Debug, Args)]
struct InSet {
    /// The release set; default: the configured one, or the only one.
    #[arg(long, value_name = "SET", add = complete::sets())]
    set: Option<String>,
    /// The toolchain; default: the set's.
    #[arg(long, value_name = "NAME", add = complete::toolchains())]
    toolchain: Option<String>,
}

impl What {
    fn request(self) -> BuildRequest {
        BuildRequest {
            set: self.set.set.unwrap_or_default(),
            targets: self.targets,
            toolchain: self.set.toolchain.unwrap_or_default(),
            check: self.check,
            rebuild: self.rebuild,
        }
    }
}

impl Build {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Build::Plan(args) => args.run(session).await,
            Build::Start(args) => args.run(session).await,
            Build::Watch(args) => args.run(session).await,
            Build::List(args) => args.run(session).await,
            Build::Cancel(args) => args.run(session).await,
            Build::Log(args) => args.run(session).await,
            Build::Why(args) => args.run(session).await,
            Build::Files(args) => args.run(session).await,
            Build::Graph(args) => args.run(session).await,
            Build::Export(args) => args.run(session).await,
            Build::Verify(args) => args.run(session).await,
            Build::Gc(args) => args.run(session).await,
        }
    }
}
