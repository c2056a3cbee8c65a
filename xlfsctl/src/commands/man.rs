//! `man`: the manual pages, from the same definitions as the command line.

use std::path::PathBuf;

use clap::{Args, Command, CommandFactory as _, ValueHint};
use clap_mangen::Man as Page;

use crate::cli::Cli;
use crate::errors::Failure;
use crate::exit::{Exit, MEANINGS};
use crate::output::Output;
use crate::output::text::plain;

/// Write the manual pages of xlfsctl and of each of its commands.
///
/// Without a folder, the page of xlfsctl itself is printed: xlfsctl man | man -l -
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The folder to write them to; it is made when it is not there.
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    folder: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(self, output: &Output) -> Result<Exit, Failure> {
        let unwritable = |error: std::io::Error| Failure::io("cannot write manual pages", &error);
        let pages = pages().map_err(unwritable)?;
        let Some(folder) = self.folder else {
            let main = pages.iter().find(|(name, _)| name == "xlfsctl.1");
            output.bytes(main.map_or(&[][..], |(_, text)| text))?;
            return Ok(Exit::Ok);
        };
        let fail = |error| unwritable(error).cause(plain(&folder.to_string_lossy()));
        std::fs::create_dir_all(&folder).map_err(fail)?;
        for (name, text) in &pages {
            std::fs::write(folder.join(name), text).map_err(fail)?;
        }
        output.note(&format!("{} pages are in {}", pages.len(), plain(&folder.to_string_lossy())));
        Ok(Exit::Ok)
    }
}

/// Every page: its file name, and its text.
fn pages() -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut command = full(Cli::command().disable_help_subcommand(true));
    command.build();
    let mut pages = Vec::new();
    collect(&command, &mut pages)?;
    Ok(pages)
}

/// The command with what only its short help leaves out.
fn full(command: Command) -> Command {
    command.mut_args(|argument| argument.hide_short_help(false)).mut_subcommands(full)
}

/// The usage line, which is shorter than a list of all options.
fn synopsis(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").replace('-', "\\-");
    format!(".SH SYNOPSIS\n{usage}\n")
}

fn collect(command: &Command, pages: &mut Vec<(String, Vec<u8>)>) -> std::io::Result<()> {
    let is_main = command.get_name() == "xlfsctl";
    let version = env!("CARGO_PKG_VERSION");
    let page = Page::new(command.clone()).source(format!("xlfs {version}")).manual("xlfs");
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    text.extend(synopsis(command).as_bytes());
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    if command.has_subcommands() {
        page.render_subcommands_section(&mut text)?;
    }
    if is_main {
        text.extend(main_sections().as_bytes());
    } else {
        text.extend(b".SH SEE ALSO\n\\fBxlfsctl\\fR(1)\n");
    }
    pages.push((page.get_filename(), text));
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        collect(command, pages)?;
    }
    Ok(())
}

/// What the definitions do not say, for the page of xlfsctl.
fn main_sections() -> String {
    let mut out = String::from(
        ".SH OUTPUT\n\
         Results go to standard output; notes, progress and failures go to standard error. With \
         \\fB\\-o json\\fR or \\fB\\-o yaml\\fR both are documents of a stable schema, which is \
         described in the manual of xlfs (cli.md).\n\
         .PP\n\
         On a terminal, a task is shown as one line that is drawn anew. Ctrl\\-C asks xlfsd to \
         cancel the tasks that are waited for; a second Ctrl\\-C leaves without waiting.\n\
         .SH EXIT STATUS\n",
    );
    for meaning in &MEANINGS {
        let (code, text) = (meaning.exit.code(), meaning.text);
        out.push_str(&format!(".TP\n.B {code}\n{text}\n"));
    }
    out.push_str(
        ".TP\n.B 128 and more\nIt was ended by the signal of this number less 128; 130 is Ctrl\\-C.\n\
         .PP\n\
         Where several names are given, the first failure decides.\n\
         .SH ENVIRONMENT\n\
         .TP\n.B XLFSD_SOCKET\nThe socket of xlfsd, where \\fB\\-\\-socket\\fR is not given.\n\
         .TP\n.B NO_COLOR\nWhen it is set and not empty, nothing is coloured.\n\
         .SH FILES\n\
         .TP\n.I /run/xlfsd/xlfsd.sock\nThe socket of xlfsd.\n\
         .SH EXAMPLES\n\
         Make a guest from a template, and look at its console:\n\
         .PP\n.EX\n\
         xlfsctl template list\n\
         xlfsctl create web \\-\\-template lapp \\-\\-set hostname=web \\-\\-memory 512M\n\
         xlfsctl console web\n\
         .EE\n\
         .PP\n\
         Stop all guests that run, three minutes at most:\n\
         .PP\n.EX\n\
         xlfsctl \\-o json list | jq \\-r '.domains[] | select(.managed and .state==\"running\") | \
         .name' | xargs xlfsctl shutdown \\-\\-timeout 3m\n\
         .EE\n",
    );
    out
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The pages in docs/man are those that this program writes.
    #[test]
    fn the_pages_in_the_manual_are_current() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/man");
        let pages = pages().expect("pages");
        for (name, text) in &pages {
            let found = std::fs::read(folder.join(name)).unwrap_or_default();
            assert!(found == *text, "{name} is out of date; run: xlfsctl man docs/man");
        }
        let files = std::fs::read_dir(&folder).expect("docs/man").filter_map(Result::ok);
        let stale: Vec<_> = files
            .map(|file| file.file_name().to_string_lossy().into_owned())
            .filter(|file| !pages.iter().any(|(name, _)| name == file))
            .collect();
        assert!(stale.is_empty(), "no command has these pages: {stale:?}");
    }
}
