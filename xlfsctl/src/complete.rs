//! Completion for bash, zsh and fish. The shell runs xlfsctl with
//! `XLFSCTL_COMPLETE` set; clap's engine completes commands and options from
//! their definitions, and the names of guests, templates, images and tasks are
//! asked from xlfsd. Where that is away, slow or broken there are no names, and
//! not a word: nobody wants an error in the middle of a line.

mod bash;
mod builds;
mod names;

pub(crate) use builds::{builds, built_images, packages, sets, targets, toolchains};
pub(crate) use names::{
    free_volumes, guests, guests_for, images, pools, running_tasks, settings, snapshots, tasks,
    templates, volumes,
};

use std::ffi::OsString;
use std::io::Write as _;
use std::sync::OnceLock;

use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::engine::{CompletionCandidate, complete};

use crate::cli::Cli;
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::Output;

/// Says for which shell a completion is wanted. The words of the line follow
/// behind `--`; the last one is being typed.
const VARIABLE: &str = "XLFSCTL_COMPLETE";

/// Print the completion script of a shell
///
/// It completes commands, options, and the names of guests, templates, images,
/// volumes and tasks, for which it asks xlfsd.
///
/// bash: add  source <(xlfsctl completion bash)  to ~/.bashrc;
/// zsh: add  source <(xlfsctl completion zsh)  to ~/.zshrc, after compinit;
/// fish: run  xlfsctl completion fish > ~/.config/fish/completions/xlfsctl.fish
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Completion {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// The shells that can complete.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// What stands before an `=` is a word of its own for bash: see [`bash`].
const BASH: &str = r#"_xlfsctl() {
    local line="${COMP_LINE:0:COMP_POINT}"
    mapfile -t COMPREPLY < <(XLFSCTL_COMPLETE=bash xlfsctl -- "$line" "$2" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && "${COMPREPLY[0]}" == *[=/] ]]; then
        compopt -o nospace
    fi
}
if ((BASH_VERSINFO[0] > 4 || (BASH_VERSINFO[0] == 4 && BASH_VERSINFO[1] >= 4))); then
    complete -o bashdefault -o nosort -F _xlfsctl xlfsctl
else
    complete -o bashdefault -F _xlfsctl xlfsctl
fi
"#;

const ZSH: &str = r#"#compdef xlfsctl
_xlfsctl() {
    local -a found open closed
    found=("${(@f)$(XLFSCTL_COMPLETE=zsh xlfsctl -- "${(@Q)words[1,CURRENT]}" 2>/dev/null)}")
    local one
    for one in "${found[@]}"; do
        case "${one%%:*}" in
            '') ;;
            *[=/]) open+=("$one") ;;
            *) closed+=("$one") ;;
        esac
    done
    (( $#open )) && _describe -V 'value' open -S ''
    (( $#closed )) && _describe -V 'value' closed
}
if [[ "${funcstack[1]}" == _xlfsctl ]]; then
    _xlfsctl "$@"
else
    compdef _xlfsctl xlfsctl
fi
"#;

const FISH: &str = r#"function __xlfsctl_complete
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    set -l current (commandline --current-token --cut-at-cursor)
    XLFSCTL_COMPLETE=fish xlfsctl -- $words "$current" 2>/dev/null
end
complete --keep-order --no-files --command xlfsctl --arguments '(__xlfsctl_complete)'
"#;

impl Completion {
    pub(crate) fn run(self, output: &Output) -> Result<Exit, Failure> {
        // The scripts name no path: a host may move the program.
        output.text(match self.shell {
            Shell::Bash => BASH,
            Shell::Zsh => ZSH,
            Shell::Fish => FISH,
        })?;
        Ok(Exit::Ok)
    }
}

/// Completes a line when a shell asks for that; false when it is a user who
/// runs the program.
pub(crate) fn answer_shell() -> bool {
    let Some(shell) = std::env::var_os(VARIABLE).filter(|shell| !shell.is_empty()) else {
        return false;
    };
    let known = shell.to_str().and_then(|shell| Shell::from_str(shell, true).ok());
    let words: Vec<_> = std::env::args_os().skip(1).skip_while(|arg| arg != "--").skip(1).collect();
    if let Some(shell) = known
        && !words.is_empty()
    {
        let answer = match shell {
            Shell::Bash => bash::answer(words),
            Shell::Zsh => lines(words, zsh_line),
            Shell::Fish => lines(words, fish_line),
        };
        // A shell that has gone away needs no answer.
        let _ = std::io::stdout().write_all(answer.as_bytes());
    }
    true
}

/// The candidates, one a line.
fn lines(words: Vec<OsString>, line: impl Fn(&str, &str) -> String) -> String {
    let mut out = String::new();
    for candidate in candidates(words) {
        let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
        let help = help.lines().next().unwrap_or_default();
        out.push_str(&line(&candidate.get_value().to_string_lossy(), help));
        out.push('\n');
    }
    out
}

/// `value:help`, where a colon of the value is escaped.
fn zsh_line(value: &str, help: &str) -> String {
    let value = value.replace('\\', "\\\\").replace(':', "\\:");
    if help.is_empty() { value } else { format!("{value}:{}", help.replace('\\', "\\\\")) }
}

fn fish_line(value: &str, help: &str) -> String {
    if help.is_empty() { value.to_owned() } else { format!("{value}\t{help}") }
}

/// What may stand in the place of the last word. Options come only where there
/// is nothing else, or where a `-` was typed: lists are to be short.
fn candidates(words: Vec<OsString>) -> Vec<CompletionCandidate> {
    remember(&words);
    let dashed = words.last().is_some_and(|word| word.to_string_lossy().starts_with('-'));
    let last = words.len().saturating_sub(1);
    let mut command = Cli::command();
    command.build();
    let folder = std::env::current_dir().ok();
    let mut found = complete(&mut command, words, last, folder.as_deref()).unwrap_or_default();
    let is_option = |one: &CompletionCandidate| one.get_value().to_string_lossy().starts_with('-');
    if !dashed && !found.iter().all(is_option) {
        found.retain(|one| !is_option(one));
    }
    found
}

/// The words of the line, for completions that depend on other words.
static LINE: OnceLock<Vec<String>> = OnceLock::new();

fn remember(words: &[OsString]) {
    let words = words.iter().map(|word| word.to_string_lossy().into_owned());
    // It is set once, before the engine runs.
    let _ = LINE.set(words.collect());
}

/// The value that the line gives to an option, in any of its spellings.
fn given(long: &str, short: Option<&str>) -> Option<String> {
    value_of(LINE.get()?, long, short)
}

/// The word before the one that is being typed.
fn before_last() -> Option<String> {
    let words = LINE.get()?;
    words.len().checked_sub(2).and_then(|at| words.get(at)).cloned()
}

fn value_of(words: &[String], long: &str, short: Option<&str>) -> Option<String> {
    let joined = format!("{long}=");
    words.iter().enumerate().find_map(|(at, word)| {
        if word == long || Some(word.as_str()) == short {
            return words.get(at + 1).cloned();
        }
        word.strip_prefix(&joined).map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zsh_gets_colons_escaped() {
        assert_eq!(zsh_line("a:b", "c:d"), "a\\:b:c:d");
        assert_eq!(zsh_line("a", ""), "a");
        assert_eq!(fish_line("a", "b"), "a\tb");
    }

    #[test]
    fn values_are_found_in_every_spelling() {
        let find = |line: &str| {
            let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
            value_of(&words, "--template", Some("-t"))
        };
        assert_eq!(find("x create web --template lapp").as_deref(), Some("lapp"));
        assert_eq!(find("x create web --template=lapp").as_deref(), Some("lapp"));
        assert_eq!(find("x create -t lapp --set a").as_deref(), Some("lapp"));
        assert_eq!(find("x create web --template"), None);
        assert_eq!(find("x create web"), None);
    }
}
