//! Mistakes on the command line: clap's message, a hint where the mistake is a
//! common one, and JSON where JSON was asked for.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli::Format;
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::{failure, to_stderr};

/// Words that people bring from xl, virsh and Docker, and what we call them.
const ELSEWHERE: [(&str, &str); 24] = [
    ("attach", "console NAME"),
    ("cancel", "task cancel ID"),
    ("define", "create NAME --template T --no-start"),
    ("dmesg", "host dmesg"),
    ("domains", "list"),
    ("halt", "shutdown NAME"),
    ("images", "image list"),
    ("import", "image import FILE --kind kernel|ramdisk"),
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
    let _ = error.print();
    if let Some(hint) = hint {
        to_stderr(&format!("\n  hint: {hint}\n"));
    }
    Exit::Usage
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
    use crate::cli::Cli;

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
    fn the_format_is_found_on_a_broken_line() {
        let asked = |line: &str| asked_format(line.split(' ').map(OsString::from));
        assert_eq!(asked("xlfsctl -o json frob"), Format::Json);
        assert_eq!(asked("xlfsctl frob -ojson"), Format::Json);
        assert_eq!(asked("xlfsctl --output=yaml frob"), Format::Yaml);
        assert_eq!(asked("xlfsctl frob"), Format::Table);
    }
}
