//! Mistakes on the command line: clap's message, a hint where the mistake is a
//! common one, and JSON where JSON was asked for.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory as _};

use crate::cli::{Cli, Format};
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::text::hanging;
use crate::output::{DEFAULT_WIDTH, failure, stderr_width, to_stderr};

/// Words that people bring from xl, virsh and Docker, and what we call them.
const ELSEWHERE: [(&str, &str); 23] = [
    ("attach", "console NAME"),
    ("cancel", "task cancel ID"),
    ("define", "create NAME --template T --no-start"),
    ("dmesg", "host dmesg"),
    ("domains", "list"),
    ("halt", "shutdown NAME"),
    ("images", "image list"),
    ("info", "host info"),
    ("kill", "destroy NAME"),
    ("log", "logs NAME"),
    ("ls", "list"),
    ("poweroff", "shutdown NAME"),
    ("ps", "list"),
    ("remove", "delete NAME"),
    ("restart", "reboot NAME"),
    ("resume", "unpause NAME"),
    ("rm", "delete NAME"),
    ("run", "create NAME --template T"),
    ("stop", "shutdown NAME"),
    ("suspend", "pause NAME"),
    ("tasks", "task list"),
    ("templates", "template list"),
    ("undefine", "delete NAME"),
];

/// Prints what clap has to say and answers how the program ends.
pub(crate) fn report(error: clap::Error) -> Exit {
    if !error.use_stderr() {
        // --help and --version; a reader that has gone away is no failure.
        let _ = error.print();
        return Exit::Ok;
    }
    if error.kind() == ErrorKind::MissingSubcommand {
        // The help of the command that lacks one says more than an error.
        to_stderr(&short_help(std::env::args_os()));
        return Exit::Usage;
    }
    let hint = hint(&error);
    let format = asked_format(std::env::args_os());
    if error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        && format != Format::Table
    {
        let text = error.render().to_string();
        let line = text.lines().next().unwrap_or_default();
        let mut found = Failure::new(Exit::Usage, line.trim_start_matches("error: "));
        found.hint = hint;
        failure::report(format, &found);
        return Exit::Usage;
    }
    to_stderr(&as_text(&error.render().to_string(), hint.as_deref(), stderr_width()));
    Exit::Usage
}

/// All commands on one screen of 25 lines, the prompt included.
fn overview(main: &Command) -> String {
    let mut out = "Usage: xlfsctl [OPTIONS] COMMAND\n\n".to_owned();
    let (mut nouns, mut shell) = (Vec::new(), Vec::new());
    for command in main.get_subcommands() {
        match command.get_name() {
            "help" => {}
            name @ ("completion" | "man") => shell.push(name),
            // What they do is said by their own help, a line for each.
            name if command.has_subcommands() => nouns.push(name),
            name => {
                let about = command.get_about().map(ToString::to_string).unwrap_or_default();
                out.push_str(&format!("  {name:<11} {about}\n"));
            }
        }
    }
    out.push_str(&hanging("  And about   ", &nouns.join(", "), DEFAULT_WIDTH - 1));
    out.push_str(&format!("  Also        {}\n", shell.join(", ")));
    out + "More: xlfsctl --help, xlfsctl COMMAND --help\n"
}

/// clap's message, wrapped for the terminal, with our hint in place of its own
/// guess.
fn as_text(message: &str, hint: Option<&str>, width: usize) -> String {
    let message = message.replacen("error: ", "xlfsctl: ", 1);
    let mut out = String::new();
    let mut blank = false;
    for line in message.trim_end().lines() {
        let text = line.trim_start();
        let guess = text.starts_with("tip: ");
        if guess && hint.is_some() || text.is_empty() && blank {
            continue;
        }
        blank = text.is_empty();
        out.push_str(&hanging(&line[..line.len() - text.len()], text, width));
    }
    if let Some(hint) = hint {
        out.push_str(&hanging("\n  hint:   ", hint, width));
    }
    out
}

/// The help of the command that a line names so far, `image` in
/// `xlfsctl -q image`.
fn short_help(args: impl Iterator<Item = OsString>) -> String {
    let mut command = Cli::command();
    command.build();
    for arg in args.skip(1) {
        if let Some(found) = command.find_subcommand(&arg).cloned() {
            command = found;
        }
    }
    if command.get_name() == "xlfsctl" {
        return overview(&command);
    }
    command.render_help().to_string()
}

/// What may have been meant.
fn hint(error: &clap::Error) -> Option<String> {
    let given = |kind| match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let word = given(ContextKind::InvalidSubcommand)?;
            let (_, ours) = ELSEWHERE.iter().find(|(theirs, _)| *theirs == word)?;
            Some(format!("xlfsctl {ours}"))
        }
        ErrorKind::UnknownArgument => match given(ContextKind::InvalidArg)? {
            "-f" => Some("is it --force or --follow? Both are written out".to_owned()),
            "--json" => Some("write -o json".to_owned()),
            "--yaml" => Some("write -o yaml".to_owned()),
            "-k" | "--kind" | "-a" | "--alias" => Some(
                "images are imported by xlfsctl image import FILE --kind kernel|ramdisk|disk"
                    .to_owned(),
            ),
            "--mem" | "--maxmem" => Some("write --memory 256M".to_owned()),
            _ => None,
        },
        _ => None,
    }
}

/// The format that a command line asks for which clap could not parse.
fn asked_format(args: impl Iterator<Item = OsString>) -> Format {
    let args: Vec<_> = args.map(|arg| arg.to_string_lossy().into_owned()).collect();
    let mut format = Format::Table;
    for (at, arg) in args.iter().enumerate() {
        let word = match arg.as_str() {
            "-o" | "--output" => args.get(at + 1).map(String::as_str).unwrap_or_default(),
            _ => arg
                .strip_prefix("--output=")
                .or_else(|| arg.strip_prefix("-o=").or_else(|| arg.strip_prefix("-o")))
                .unwrap_or_default(),
        };
        match word {
            "json" => format = Format::Json,
            "yaml" => format = Format::Yaml,
            _ => {}
        }
    }
    format
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn hint_for(args: &[&str]) -> Option<String> {
        let all = std::iter::once("xlfsctl").chain(args.iter().copied());
        hint(&Cli::try_parse_from(all).expect_err("a mistake"))
    }

    #[test]
    fn words_from_elsewhere_are_translated() {
        assert_eq!(hint_for(&["stop", "web"]).as_deref(), Some("xlfsctl shutdown NAME"));
        assert_eq!(hint_for(&["dmesg"]).as_deref(), Some("xlfsctl host dmesg"));
        assert_eq!(hint_for(&["list", "--json"]).as_deref(), Some("write -o json"));
        assert_eq!(hint_for(&["frobnicate"]), None);
        let image = hint_for(&["import", "vmlinuz", "--kind", "kernel"]).expect("a hint");
        assert!(image.contains("xlfsctl image import"), "{image}");
    }

    #[test]
    fn the_list_is_sorted_and_holds_no_command_of_ours() {
        assert!(ELSEWHERE.is_sorted_by_key(|(word, _)| *word));
        for (word, _) in ELSEWHERE {
            let error = Cli::try_parse_from(["xlfsctl", word]).expect_err(word);
            assert_eq!(error.kind(), ErrorKind::InvalidSubcommand, "{word}");
        }
    }

    #[test]
    fn a_command_without_its_second_word_gets_its_help() {
        let help = |line: &str| short_help(line.split(' ').map(OsString::from));
        assert!(help("xlfsctl -q image").contains("Usage: xlfsctl image"));
        let main = help("xlfsctl");
        assert!(main.contains("  create      Make a guest"), "{main}");
        assert!(main.lines().count() <= 24 && main.lines().all(|line| line.len() < 80), "{main}");
    }

    #[test]
    fn long_messages_are_wrapped_and_guesses_replaced() {
        let message = "error: a rather long message of clap\n\n  tip: guess\n\nUsage: x\n";
        let text = as_text(message, Some("do this"), 30);
        assert_eq!(
            text,
            "xlfsctl: a rather long message\nof clap\n\nUsage: x\n\n  hint:   do this\n"
        );
        assert!(as_text(message, None, 80).contains("  tip: guess"));
    }

    #[test]
    fn the_format_is_found_on_a_broken_line() {
        let asked = |line: &str| asked_format(line.split(' ').map(OsString::from));
        assert_eq!(asked("xlfsctl -o json frob"), Format::Json);
        assert_eq!(asked("xlfsctl frob -ojson"), Format::Json);
        assert_eq!(asked("xlfsctl --output=yaml frob"), Format::Yaml);
        assert_eq!(asked("xlfsctl frob"), Format::Table);
    }
}
