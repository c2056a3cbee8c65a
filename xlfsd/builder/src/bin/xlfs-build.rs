//! `xlfs-build`: the builder on a command line, without xlfsd and without Xen.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xlfs_builder::recipe::RecipeSet;

#[derive(Debug, Parser)]
#[command(name = "xlfs-build", version, about = "Builds packages and images from source")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Reads a whole release set and tells every mistake in it
    Check {
        /// Folder of the release set
        #[arg(long)]
        recipes: PathBuf,
    },
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Check { recipes } => check(&recipes),
    }
}

fn check(recipes: &std::path::Path) -> ExitCode {
    let set = match RecipeSet::load(recipes) {
        Ok(set) => set,
        Err(error) => return fail(&error),
    };
    for error in set.problems.values().flatten() {
        tell(error);
    }
    let count = set.problems.values().map(Vec::len).sum::<usize>();
    println!("{} packages, {} images, {count} mistakes", set.packages.len(), set.images.len());
    if count == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    tell(error);
    ExitCode::FAILURE
}

/// The error and what it comes from, in one line.
fn tell(error: &dyn std::error::Error) {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    eprintln!("xlfs-build: {text}");
}
