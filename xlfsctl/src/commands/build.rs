//! `build`: packages and images from source, by the recipes of a release set.

mod collect;
mod list;
mod plan;
mod results;
mod shell;
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
    Shell(shell::Shell),
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
    /// A file that images ask for, by its name there (repeatable). xlfsd and xlfsctl need not
    /// be given.
    #[arg(long = "input", value_name = "NAME=FILE", value_parser = input)]
    inputs: Vec<(String, String)>,
}

/// A name and the absolute path of a file.
fn input(text: &str) -> Result<(String, String), String> {
    let (name, file) = text.split_once('=').ok_or("write NAME=FILE, such as xlfsd=out/xlfsd")?;
    let path = std::path::absolute(file).map_err(|error| error.to_string())?;
    let path = path.to_str().ok_or("the path is not UTF-8")?;
    Ok((name.to_owned(), path.to_owned()))
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
            inputs: self.inputs.into_iter().collect(),
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
            Build::Shell(args) => args.run(session).await,
            Build::Verify(args) => args.run(session).await,
            Build::Gc(args) => args.run(session).await,
        }
    }
}
