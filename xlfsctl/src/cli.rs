//! The command line as clap sees it: the options that every command has, and
//! the list of commands. The arguments of a command stand beside what it does,
//! in [`crate::commands`].

use std::path::PathBuf;

use clap::builder::Styles;
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use xlfs_proto::DEFAULT_SOCKET;

use crate::commands::{
    build, clone, console, create, device, events, host, image, import, lifecycle, list, logs, man,
    network, pool, recipe, show, snapshot, source, task, template, volume, wait,
};
use crate::complete;
use crate::exit::MEANINGS;
use crate::words;

const EXAMPLES: &str = "\
Examples:
  xlfsctl template list
  xlfsctl create web --template lapp --set hostname=web --memory 512M
  xlfsctl console web                 (leave with CTRL-])
  xlfsctl shutdown web --timeout 2m
  xlfsctl -o json list";

/// What `--help` adds to `-h`: the exit codes.
fn after_long_help() -> String {
    let mut help = format!("{EXAMPLES}\n\nExit codes:\n");
    for meaning in &MEANINGS {
        help.push_str(&format!("  {:>3}  {}\n", meaning.exit.code(), meaning.text));
    }
    help.push_str("  128 and more: ended by the signal of this number less 128");
    help
}

/// Run guests on a Xen host: the command line of xlfs.
///
/// xlfsctl talks to xlfsd, the daemon of the host, over its Unix socket.
#[derive(Debug, Parser)]
#[command(name = "xlfsctl", version, styles = Styles::plain())]
#[command(after_help = EXAMPLES, after_long_help = after_long_help())]
#[command(max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that stand before or after any command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The socket of xlfsd.
    #[arg(long, global = true, value_name = "PATH", env = "XLFSD_SOCKET", hide_env_values = true)]
    #[arg(value_parser = words::socket, default_value = DEFAULT_SOCKET, value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub(crate) socket: PathBuf,
    /// Print a table, json or yaml.
    #[arg(short, long, global = true, value_name = "FORMAT", value_enum)]
    #[arg(default_value_t = Format::Table, hide_default_value = true)]
    #[arg(hide_possible_values = true)]
    pub(crate) output: Format,
    /// No progress and no notes; lists as bare names.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

/// How output is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people: aligned text.
    Table,
    /// For programs: JSON, of a stable schema.
    Json,
    /// The same as YAML.
    Yaml,
}

/// Options of every command that changes something by a task.
#[derive(Clone, Debug, Args)]
pub(crate) struct Change {
    /// Print the plan, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Wait until it is done, and show the progress; the default.
    #[arg(long, overrides_with = "no_wait", hide_short_help = true)]
    pub(crate) wait: bool,
    /// Print the id of the task, and do not wait.
    #[arg(long, overrides_with = "wait")]
    pub(crate) no_wait: bool,
}

/// The commands, in the order of the help.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Create(Box<create::Create>),
    Import(import::Import),
    Clone(Box<clone::Clone>),
    Start(lifecycle::Start),
    Shutdown(lifecycle::Shutdown),
    Reboot(lifecycle::Reboot),
    Pause(lifecycle::Pause),
    Unpause(lifecycle::Unpause),
    Destroy(lifecycle::Destroy),
    Delete(lifecycle::Delete),
    List(list::List),
    Show(show::Show),
    Console(console::Console),
    Logs(logs::Logs),
    Events(events::Events),
    Wait(wait::Wait),
    #[command(subcommand)]
    Disk(device::Disk),
    #[command(subcommand)]
    Nic(device::Nic),
    #[command(subcommand)]
    Template(template::Template),
    #[command(subcommand)]
    Image(image::Image),
    #[command(subcommand)]
    Snapshot(snapshot::Snapshot),
    #[command(subcommand)]
    Volume(volume::Volume),
    #[command(subcommand)]
    Pool(pool::Pool),
    #[command(subcommand)]
    Network(network::Network),
    #[command(subcommand)]
    Build(build::Build),
    #[command(subcommand)]
    Source(source::Source),
    #[command(subcommand)]
    Recipe(recipe::Recipe),
    #[command(subcommand)]
    Host(host::Host),
    #[command(subcommand)]
    Task(task::Task),
    Completion(complete::Completion),
    Man(man::Man),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn definitions_hold_together() {
        Cli::command().debug_assert();
    }
}
