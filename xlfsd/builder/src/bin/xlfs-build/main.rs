//! `xlfs-build`: the builder on a command line, without xlfsd and without Xen.

mod command;
mod progress;
mod shell;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use xlfs_builder::build::{BUILD_USER, Config, Request};
use xlfs_builder::remote;
use xlfs_builder::source::Places;

#[derive(Debug, Parser)]
#[command(name = "xlfs-build", version, about = "Builds packages and images from source")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Where {
    /// Folder of the release set
    #[arg(long, env = "XLFS_RECIPES")]
    recipes: PathBuf,
    /// Folder of the results
    #[arg(long, env = "XLFS_STORE", default_value = "/var/lib/xlfs/store")]
    store: PathBuf,
    /// A folder with source files (repeatable)
    #[arg(long = "sources", value_name = "FOLDER")]
    folders: Vec<PathBuf>,
    /// An address below which source files stand by their names (repeatable)
    #[arg(long = "mirror", value_name = "URL")]
    mirrors: Vec<String>,
    /// Size of the pool of jobs (0: as many as there are processors)
    #[arg(long, short, default_value_t = 0)]
    jobs: usize,
    /// How many packages may be built here at the same time (0: as many as there are jobs)
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    packages: usize,
    /// Who steps run as when this runs as root
    #[arg(long, default_value_t = BUILD_USER)]
    user: u32,
}

impl Where {
    fn config(&self) -> Config {
        Config {
            jobs: self.jobs,
            packages: self.packages,
            places: Places { folders: self.folders.clone(), mirrors: self.mirrors.clone() },
            user: self.user,
            ..Config::new(self.store.clone(), self.recipes.clone())
        }
    }
}

#[derive(Debug, Args)]
struct Away {
    /// A remote executor that builds the packages: http://HOST:PORT or unix:/PATH
    #[arg(long, value_name = "ADDRESS", env = "XLFS_REMOTE")]
    remote: Option<String>,
    /// Its instance
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    remote_instance: String,
    /// How many packages it builds at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    remote_jobs: usize,
    /// A package that it builds (repeatable; none: all)
    #[arg(long, value_name = "PACKAGE")]
    remote_package: Vec<String>,
}

impl Away {
    fn config(&self) -> Option<remote::Config> {
        Some(remote::Config {
            address: self.remote.clone()?,
            instance: self.remote_instance.clone(),
            jobs: self.remote_jobs,
            packages: self.remote_package.iter().cloned().collect(),
        })
    }
}

#[derive(Debug, Args)]
struct What {
    /// Packages and images; none: all images, or all packages if there are none
    targets: Vec<String>,
    /// Toolchain (none: the set's)
    #[arg(long)]
    toolchain: Option<String>,
    /// Also run the targets' own tests
    #[arg(long)]
    check: bool,
    /// Build this package even if its result is there (repeatable)
    #[arg(long, value_name = "PACKAGE")]
    rebuild: Vec<String>,
    /// A file for the images that ask for an input of this name (repeatable)
    #[arg(long = "input", value_name = "NAME=FILE", value_parser = input)]
    inputs: Vec<(String, PathBuf)>,
}

/// `NAME=FILE`.
fn input(text: &str) -> Result<(String, PathBuf), String> {
    let halves = text.split_once('=').filter(|(name, file)| !name.is_empty() && !file.is_empty());
    let (name, file) = halves.ok_or("must be like xlfsd=target/release/xlfsd")?;
    Ok((name.to_owned(), file.into()))
}

impl What {
    fn request(&self) -> Request {
        Request {
            targets: self.targets.clone(),
            toolchain: self.toolchain.clone(),
            check: self.check,
            rebuild: self.rebuild.iter().cloned().collect(),
            inputs: self.inputs.iter().cloned().collect(),
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read a whole release set and tell every mistake in it
    Check {
        #[command(flatten)]
        at: Where,
    },
    /// Tell what a build would do, and why
    Plan {
        #[command(flatten)]
        at: Where,
        #[command(flatten)]
        what: What,
    },
    /// Build packages and images
    Build {
        #[command(flatten)]
        at: Where,
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        away: Away,
        /// Copy images' files into this folder
        #[arg(long, short)]
        output: Option<PathBuf>,
    },
    /// Fetch sources of packages and images without building
    Fetch {
        #[command(flatten)]
        at: Where,
        #[command(flatten)]
        what: What,
    },
    /// Tell why a package would be built, and how it failed last time
    Why {
        #[command(flatten)]
        at: Where,
        #[command(flatten)]
        what: What,
    },
    /// Show what a package's last build printed
    Log {
        #[command(flatten)]
        at: Where,
        /// The package
        package: String,
        /// Only this step
        #[arg(long)]
        step: Option<String>,
        /// Toolchain (none: the set's)
        #[arg(long)]
        toolchain: Option<String>,
    },
    /// List the files of a package
    Files {
        #[command(flatten)]
        at: Where,
        /// The package
        package: String,
        /// Toolchain (none: the set's)
        #[arg(long)]
        toolchain: Option<String>,
    },
    /// Draw the last build as an SVG timeline with its critical path
    Graph {
        #[command(flatten)]
        at: Where,
        /// The file (none: to the terminal)
        #[arg(long, short)]
        output: Option<PathBuf>,
    },
    /// Build packages (also those of images) a second time and compare, and read the whole store again
    Verify {
        #[command(flatten)]
        at: Where,
        #[command(flatten)]
        what: What,
    },
    /// Open a package's sandbox: what its last failure left, or its sources
    Shell {
        #[command(flatten)]
        at: Where,
        /// The package
        package: String,
        /// Begin anew, with all before this step done
        #[arg(long)]
        step: Option<String>,
        /// Toolchain (none: the set's)
        #[arg(long)]
        toolchain: Option<String>,
        /// With the package's own tests among the steps
        #[arg(long)]
        check: bool,
    },
    /// Remove results that no recipe leads to any more
    Gc {
        #[command(flatten)]
        at: Where,
    },
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(command::run(Arguments::parse().command)),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xlfs-build: {}", xlfs_builder::with_causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
