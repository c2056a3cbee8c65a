//! What the rest of the daemon stands on, opened in this order: the state
//! folder and its lock, the events, the tasks, the images, the templates and
//! the consoles.
//! None of it needs a hypervisor.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::config::Config;
use crate::console::Consoles;
use crate::durable::{self, FileError};
use crate::event::{EventBus, Numbering};
use crate::image::ImageStore;
use crate::problem::{Problem, ProblemKind};
use crate::task::TaskRegistry;
use crate::template::TemplateLibrary;

/// The rooms that need no Xen. Clones of the parts go to whoever works with them.
#[derive(Debug)]
pub struct Base {
    pub events: EventBus,
    pub tasks: TaskRegistry,
    pub images: ImageStore,
    pub templates: TemplateLibrary,
    pub consoles: Consoles,
    /// Held as long as this daemon lives; the kernel lets go of it in any case.
    _lock: Flock<File>,
}

impl Base {
    /// Opens it all. What is damaged below the state folder is put aside and
    /// reported; an error means that the folder itself cannot be used. Must be
    /// called within a tokio runtime.
    pub fn open(config: &Config) -> Result<Self, Problem> {
        let state = &config.state_dir;
        durable::make_private_dir(state).map_err(|error| unusable(state, &error))?;
        let lock = lock(state)?;
        let (numbering, error) = Numbering::claim(&state.join("event-blocks"));
        let events = EventBus::new(numbering, config.event_limits());
        if let Some(error) = error {
            let text =
                format!("{:#}; the clock stands in for it", Problem::internal(error.to_string()));
            events.warn("events", "EVENT_NUMBERS", text);
        }
        let tasks = TaskRegistry::new(events.clone(), config.task_limits());
        let images = ImageStore::open_dir(state, config.image_limits(), events.clone())
            .map_err(|error| unusable(state, &error))?;
        let templates = TemplateLibrary::new(config.templates.clone());
        let consoles = Consoles::new(state, config.console_limits(), events.clone());
        Ok(Self { events, tasks, images, templates, consoles, _lock: lock })
    }
}

/// Two daemons on one state folder would overwrite each other's records.
fn lock(state: &Path) -> Result<Flock<File>, Problem> {
    let path = state.join("lock");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options
        .open(&path)
        .map_err(FileError::at("open", &path))
        .map_err(|error| unusable(state, &error))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut lock) => {
            // For whoever is refused; nothing depends on it.
            let told = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
            if let Err(error) = told {
                tracing::debug!(%error, "the lock does not say who holds it");
            }
            Ok(lock)
        }
        Err((mut file, Errno::EWOULDBLOCK)) => {
            let mut holder = String::new();
            let read =
                file.rewind().and_then(|()| (&mut file).take(20).read_to_string(&mut holder));
            let holder = match read {
                Ok(_) if !holder.trim().is_empty() => format!(" (process {})", holder.trim()),
                _ => String::new(),
            };
            Err(Problem::failed_precondition(
                "STATE_IN_USE",
                format!("another xlfsd{holder} works with the state folder {}", state.display()),
            )
            .hint("One xlfsd serves a host. Stop the other one first."))
        }
        Err((_, errno)) => Err(unusable(state, &errno)),
    }
}

fn unusable(state: &Path, error: &(dyn std::error::Error + 'static)) -> Problem {
    Problem::from_error(
        ProblemKind::FailedPrecondition,
        "STATE_UNUSABLE",
        format!("the state folder {} cannot be used", state.display()),
        error,
    )
    .hint("xlfsd needs a folder that it may write: see state_dir in its configuration.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_daemon_is_refused_and_told_why() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { state_dir: dir.path().join("state"), ..Config::default() };
        let base = Base::open(&config).unwrap();
        let problem = Base::open(&config).unwrap_err();
        assert_eq!(problem.reason, "STATE_IN_USE");
        let me = format!("(process {})", std::process::id());
        assert!(problem.message.contains(&me), "{problem}");
        let first = base.events.latest();
        drop(base);
        let again = Base::open(&config).unwrap();
        assert!(again.events.latest() > first);
    }

    #[tokio::test]
    async fn damage_below_the_state_folder_is_no_reason_not_to_start() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("event-blocks"), "garbage").unwrap();
        std::fs::create_dir_all(dir.path().join("images/index")).unwrap();
        std::fs::write(dir.path().join("images/index/x.toml"), "garbage").unwrap();
        let config = Config { state_dir: dir.path().to_owned(), ..Config::default() };
        let base = Base::open(&config).unwrap();
        assert!(base.images.list().is_empty());
    }
}
