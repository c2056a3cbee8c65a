//! Running lvm(8): the only program that storage cannot do without, as nothing
//! else may write a volume group's metadata.
//!
//! It is found once, when a pool is opened, in the places where distributions
//! put it, and must be root's. No shell, no environment, and a deadline.
//!
//! Its own configuration holds, but for two things. Guests' disks are none of
//! its business (see [`NOT_OURS`]). And where no udev runs, it makes the device
//! nodes by itself: asked nothing, lvm leaves that to udev, running or not.

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Devices that hold what a guest wrote: image files, which are loop devices
/// while a guest runs, and our logical volumes. Read by LVM in Dom0, a guest's
/// disk could claim to be a part of any volume group: with the name of ours, on
/// any disk, every command about the group fails.
const NOT_OURS: [&str; 2] = ["r|^/dev/loop|", "r|^/dev/mapper/.*-xlfs--|"];
/// There while udev runs.
const UDEV: &str = "/run/udev/control";
/// Asks what the host's lvm.conf says.
const ASK_FILTER: [&str; 4] = ["lvmconfig", "--typeconfig", "current", "devices/global_filter"];

const PLACES: [&str; 3] = ["/usr/sbin/lvm", "/sbin/lvm", "/usr/bin/lvm"];
/// Of one command. Other commands on the same group may make it wait.
const DEADLINE: Duration = Duration::from_secs(120);
/// Bytes of what it says that are kept for an error.
const MAX_SAID: usize = 1000;
/// Bytes of an answer that are read: ten thousand volumes have less.
const MAX_ANSWER: u64 = 16 << 20;

/// Why a command of lvm failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum LvmError {
    #[error("there is no lvm that can be trusted in {}", PLACES.join(", "))]
    Missing {
        /// What is wrong with the last one found.
        #[source]
        source: io::Error,
    },
    #[error("cannot run {command}")]
    Run {
        command: String,
        #[source]
        source: io::Error,
    },
    #[error("{command} ended with {status}: {said}")]
    Failed { command: String, status: ExitStatus, said: String },
    #[error("{command} took longer than {seconds} s and was killed")]
    Deadline { command: String, seconds: u64 },
    #[error("{command} gave an answer that makes no sense")]
    Answer {
        command: String,
        #[source]
        source: serde_json::Error,
    },
}

/// Something that carries out commands of lvm; a test has one of its own.
pub(super) trait Lvm: Send + Sync + fmt::Debug {
    /// Runs a command to its end and answers what it prints.
    fn run(&self, arguments: &[String]) -> Result<String, LvmError>;
}

/// The program.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    deadline: Duration,
    /// Settings for each command, in the words of lvm.conf(5).
    settings: Option<String>,
}

impl Program {
    /// The host's program, told to stay away from guests' disks.
    pub(super) fn find() -> Result<Self, LvmError> {
        let mut found = Self::find_in(&PLACES)?;
        let asked = found.run(&ASK_FILTER.map(str::to_owned));
        // It fails where nothing is set. What else may be wrong shows at the
        // first command that matters.
        let own = asked.as_deref().ok().and_then(filter_of).unwrap_or_default();
        found.settings = Some(without_guests(own));
        Ok(found)
    }

    fn find_in(places: &[&str]) -> Result<Self, LvmError> {
        let mut wrong = io::Error::from(io::ErrorKind::NotFound);
        for place in places {
            match checked(Path::new(place)) {
                Ok(path) => return Ok(Self { path, deadline: DEADLINE, settings: None }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => wrong = error,
            }
        }
        Err(LvmError::Missing { source: wrong })
    }
}

/// The patterns in the answer to [`ASK_FILTER`], between its brackets.
fn filter_of(answer: &str) -> Option<&str> {
    let list = answer.trim().strip_prefix("global_filter=")?;
    // One pattern may stand without them.
    let list = list.strip_prefix('[').and_then(|list| list.strip_suffix(']')).unwrap_or(list);
    Some(list.trim())
}

/// The setting that puts guests' disks before the host's own patterns: the first
/// that fits a device's name decides.
fn without_guests(own: &str) -> String {
    let ours = NOT_OURS.map(|pattern| format!("\"{pattern}\""));
    let all: Vec<_> = ours.iter().map(String::as_str).chain([own]).collect();
    let all: Vec<_> = all.into_iter().filter(|one| !one.is_empty()).collect();
    format!("devices/global_filter=[{}]", all.join(","))
}

/// The program itself: it and its folder belong to root, who alone may write them.
fn checked(place: &Path) -> io::Result<PathBuf> {
    let path = fs::canonicalize(place)?;
    let meta = fs::metadata(&path)?;
    let folder = fs::metadata(path.parent().unwrap_or(Path::new("/")))?;
    let trusted = |meta: &fs::Metadata| meta.uid() == 0 && meta.mode() & 0o022 == 0;
    let executable = meta.is_file() && meta.mode() & 0o111 != 0;
    match executable && trusted(&meta) && trusted(&folder) {
        true => Ok(path),
        false => {
            let text = format!("{} is no program that only root may write", path.display());
            Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
        }
    }
}

impl Lvm for Program {
    fn run(&self, arguments: &[String]) -> Result<String, LvmError> {
        let command = shown(arguments);
        let failed = |source| LvmError::Run { command: command.clone(), source };
        let (name, rest) = arguments.split_at(arguments.len().min(1));
        let mut lvm = Command::new(&self.path);
        lvm.args(name);
        if let Some(settings) = &self.settings {
            lvm.args(["--config", settings]);
        }
        lvm.args(rest).env_clear().env("LC_ALL", "C");
        if !Path::new(UDEV).exists() {
            // libdevmapper's word for it; without it no node appears.
            lvm.env("DM_DISABLE_UDEV", "1");
        }
        let mut child = lvm
            // The daemon's descriptors close on exec; it would warn of others'.
            .env("LVM_SUPPRESS_FD_WARNINGS", "1")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        // Read beside the wait, or a long answer would fill the pipe.
        let (status, answer, said) = std::thread::scope(|scope| {
            let answer = scope.spawn(move || read(out));
            let said = scope.spawn(move || read(err));
            let status = wait(&mut child, self.deadline);
            (status, answer.join(), said.join())
        });
        let said = said.unwrap_or_else(|_| Ok(String::new())).unwrap_or_default();
        match status.map_err(failed)? {
            None => Err(LvmError::Deadline { command, seconds: self.deadline.as_secs() }),
            Some(status) if !status.success() => {
                Err(LvmError::Failed { command, status, said: one_line(&said) })
            }
            Some(_) => {
                if !said.trim().is_empty() {
                    tracing::debug!(command, "{}", one_line(&said));
                }
                let lost = || io::Error::other("its answer was lost");
                answer.unwrap_or_else(|_| Err(lost())).map_err(failed)
            }
        }
    }
}

fn read(pipe: Option<impl Read>) -> io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.by_ref().take(MAX_ANSWER).read_to_end(&mut bytes)?;
        // What is over is read all the same, so that it does not block.
        io::copy(&mut pipe, &mut io::sink())?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// None: it was killed at the deadline.
fn wait(child: &mut Child, deadline: Duration) -> io::Result<Option<ExitStatus>> {
    let begin = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begin.elapsed() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// As a person would type it.
pub(super) fn shown(arguments: &[String]) -> String {
    format!("lvm {}", arguments.join(" "))
}

fn one_line(said: &str) -> String {
    let lines: Vec<_> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    match lines.join("; ") {
        text if text.is_empty() => "it did not say why".to_owned(),
        text => text[..text.floor_char_boundary(MAX_SAID)].to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn program(path: &str, deadline: Duration) -> Program {
        Program { path: path.into(), deadline, settings: None }
    }

    fn script(text: &str, deadline: Duration) -> Result<String, LvmError> {
        program("/bin/sh", deadline).run(&["-c".to_owned(), text.to_owned()])
    }

    #[test]
    fn an_error_has_the_command_the_status_and_the_words() {
        let error = script("echo; echo ' no such group' >&2; echo bye >&2; exit 5", DEADLINE);
        let text = error.unwrap_err().to_string();
        assert!(text.starts_with("lvm -c echo;"), "{text}");
        assert!(text.ends_with("ended with exit status: 5: no such group; bye"), "{text}");
    }

    #[test]
    fn a_long_answer_comes_whole_and_the_environment_is_not_passed_on() {
        let text =
            script("echo \"$HOME$CARGO$LC_ALL\"; echo ok >&2; seq 100000", DEADLINE).unwrap();
        assert!(text.starts_with("C\n1\n"), "{}", &text[..80]);
        assert!(text.ends_with("\n100000\n"));
    }

    #[test]
    fn guests_disks_come_first_in_the_filter_and_the_hosts_own_follows() {
        // As lvm 2.03.16 answers.
        let own = filter_of("global_filter=[\"r|/dev/sd.*|\",\"a|x\\\"y|\"]\n").unwrap();
        assert_eq!(
            without_guests(own),
            "devices/global_filter=[\"r|^/dev/loop|\",\"r|^/dev/mapper/.*-xlfs--|\",\
             \"r|/dev/sd.*|\",\"a|x\\\"y|\"]"
        );
        assert_eq!(filter_of("global_filter=\"r|x|\""), Some("\"r|x|\""));
        assert_eq!(filter_of("global_filter=[]"), Some(""));
        assert_eq!(filter_of("nonsense"), None);
        assert!(without_guests("").ends_with("-xlfs--|\"]"));
    }

    #[test]
    fn settings_follow_the_commands_name() {
        let mut echo = program("/bin/echo", DEADLINE);
        echo.settings = Some("a=1".to_owned());
        let words = ["lvs", "--", "vg0"].map(str::to_owned);
        assert_eq!(echo.run(&words).unwrap(), "lvs --config a=1 -- vg0\n");
    }

    #[test]
    fn a_program_that_hangs_is_killed() {
        let error = script("exec sleep 1000", Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, LvmError::Deadline { .. }), "{error}");
    }

    #[test]
    fn only_a_program_of_root_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lvm");
        fs::write(&path, "").unwrap();
        let places = ["/nonexistent/lvm", path.to_str().unwrap()];
        for mode in [0o644, 0o757, 0o775] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = Program::find_in(&places).unwrap_err();
            let LvmError::Missing { source } = error else { panic!("{error}") };
            assert_eq!(source.kind(), io::ErrorKind::PermissionDenied, "{mode:o}");
        }
        if nix::unistd::geteuid().is_root() {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            let canonical = fs::canonicalize(&path).unwrap();
            assert_eq!(Program::find_in(&places).unwrap().path, canonical);
        }
        assert!(Program::find_in(&places[..1]).is_err());
    }
}
