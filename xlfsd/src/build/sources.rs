//! The sources of a set: which are there, getting them, taking one by hand, and
//! reading them again.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use xlfs_builder::build::Builder;
use xlfs_builder::digest::Digest;
use xlfs_builder::recipe::{LockedSource, RecipeSet};
use xlfs_builder::with_causes;
use xlfs_proto::v1 as pb;
use xlfs_proto::v1::source_event::Kind;

use super::sets::short;
use super::{Builds, InUse, problem, run};
use crate::api::ReplyStream;
use crate::problem::Problem;
use crate::size::ByteSize;

type Events = mpsc::Sender<Result<pb::SourceEvent, Status>>;

impl Builds {
    /// Every file of the lock.
    pub async fn sources(
        &self,
        request: pb::ListSourcesRequest,
    ) -> Result<Vec<pb::Source>, Problem> {
        self.with_builder(request.set, |builder| {
            let set = builder.set();
            Ok(set.sources.values().map(|it| source(builder, it)).collect())
        })
        .await
    }

    /// Gets the files that the targets need.
    pub async fn fetch(
        &self,
        request: pb::BuildRequest,
    ) -> Result<ReplyStream<pb::SourceEvent>, Problem> {
        let (builder, wanted, in_use) = self.prepare(request).await?;
        self.tell(move |events| {
            // Let go last.
            let _in_use = in_use;
            let builder = builder;
            for one in wanted {
                if !send(events, Kind::Begun(one.file.clone())) {
                    return;
                }
                let note = |text| {
                    // Whether somebody listens is seen at the next event.
                    let _ = send(events, Kind::Note(text));
                };
                let kind = match builder.fetcher().fetch(&one, &note) {
                    Ok(from) => Kind::There(pb::SourceFetched { file: one.file, from }),
                    Err(error) => {
                        let reason = with_causes(&error);
                        Kind::Missing(pb::SourceMissing { file: one.file, reason })
                    }
                };
                if !send(events, kind) {
                    return;
                }
            }
        })
    }

    /// Reads the files that are in the store again.
    pub async fn verify_sources(
        &self,
        request: pb::VerifySourcesRequest,
    ) -> Result<ReplyStream<pb::SourceEvent>, Problem> {
        let in_use = self.in_use().await;
        let this = self.clone();
        let builder = self.on_threads(move || this.builder(&request.set)).await??;
        self.tell(move |events| {
            // Let go last.
            let _in_use = in_use;
            let builder = builder;
            let set = builder.set();
            let stored: Vec<_> =
                set.sources.values().filter(|it| builder.fetcher().has(it)).collect();
            if !send(events, Kind::Total(u32::try_from(stored.len()).unwrap_or(u32::MAX))) {
                return;
            }
            for one in stored {
                let kind = match read_again(&builder, one) {
                    Ok(None) => {
                        let (file, from) = (one.file.clone(), "the store".to_owned());
                        Kind::There(pb::SourceFetched { file, from })
                    }
                    Ok(Some(reason)) => {
                        Kind::Damaged(pb::SourceMissing { file: one.file.clone(), reason })
                    }
                    Err(problem) => {
                        // Nobody else to tell.
                        let _ = events.blocking_send(Err(problem.into()));
                        return;
                    }
                };
                if !send(events, Kind::Begun(one.file.clone())) || !send(events, kind) {
                    return;
                }
            }
        })
    }

    /// The files that the targets need, and the builder.
    async fn prepare(
        &self,
        request: pb::BuildRequest,
    ) -> Result<(Builder, Vec<LockedSource>, InUse), Problem> {
        let in_use = self.in_use().await;
        let this = self.clone();
        let (builder, wanted) = self
            .on_threads(move || {
                let builder = this.builder(&request.set)?;
                let asked = run::asked(&builder, request)?;
                let graph = xlfs_builder::graph::resolve(
                    builder.set(),
                    &asked.targets,
                    asked.toolchain.as_deref(),
                );
                let graph = graph.map_err(|error| problem::of(&error.into()))?;
                let files: BTreeSet<&String> = graph
                    .needs
                    .keys()
                    .filter_map(|name| builder.set().packages.get(name))
                    .flat_map(|package| package.source.iter().map(|used| &used.file))
                    .collect();
                let wanted = files.into_iter().filter_map(|file| builder.set().sources.get(file));
                let wanted = wanted.cloned().collect();
                Ok::<_, Problem>((builder, wanted))
            })
            .await??;
        Ok((builder, wanted, in_use))
    }

    /// A stream of what `work` tells; it ends early when nobody listens.
    fn tell(
        &self,
        work: impl FnOnce(&Events) + Send + 'static,
    ) -> Result<ReplyStream<pb::SourceEvent>, Problem> {
        let (events, stream) = mpsc::channel(16);
        self.threads()?.spawn_blocking(move || work(&events));
        Ok(Box::pin(ReceiverStream::new(stream)))
    }

    /// Begins to take a file that somebody has at hand.
    pub async fn add_source(
        &self,
        header: pb::add_source_request::Header,
    ) -> Result<Addition, Problem> {
        let in_use = self.in_use().await;
        let this = self.clone();
        self.on_threads(move || {
            let builder = this.builder(&header.set)?;
            let largest = builder.set().sources.values().map(|it| it.size).max().unwrap_or(0);
            let folder = builder.store().work_folder("add");
            let folder = folder.map_err(|error| problem::of_store(&error))?;
            let path = folder.path().join("file");
            let file = File::create(&path).map_err(|error| unwritable(&error))?;
            let state = State { file, hash: Sha256::new(), size: 0 };
            Ok(Addition {
                builds: this.clone(),
                builder,
                name: header.name,
                dry_run: header.dry_run,
                largest,
                path,
                state: Some(state),
                _folder: folder,
                _in_use: in_use,
            })
        })
        .await?
    }
}

/// A file on its way into the store. Dropping it leaves nothing behind.
#[derive(Debug)]
pub struct Addition {
    builds: Builds,
    builder: Builder,
    name: String,
    dry_run: bool,
    /// No file of the lock has more bytes.
    largest: u64,
    path: PathBuf,
    state: Option<State>,
    _folder: tempfile::TempDir,
    _in_use: InUse,
}

#[derive(Debug)]
struct State {
    file: File,
    hash: Sha256,
    size: u64,
}

impl Addition {
    /// Takes the next part.
    pub async fn write(&mut self, chunk: Vec<u8>) -> Result<(), Problem> {
        let Some(mut state) = self.state.take() else {
            return Err(Problem::internal("the file has failed already"));
        };
        state.size = state.size.saturating_add(chunk.len() as u64);
        if state.size > self.largest {
            let description = format!(
                "has more than {} bytes, which is more than any file of the set's sources.lock",
                self.largest
            );
            return Err(Problem::invalid_field("NOT_IN_LOCK", "chunk", &description));
        }
        let state = self.builds.on_threads(move || {
            state.hash.update(&chunk);
            state.file.write_all(&chunk).map(|()| state).map_err(|error| unwritable(&error))
        });
        self.state = Some(state.await??);
        Ok(())
    }

    /// Holds the whole against the lock, and keeps it.
    pub async fn finish(mut self) -> Result<pb::AddSourceResponse, Problem> {
        let Some(state) = self.state.take() else {
            return Err(Problem::internal("the file has failed already"));
        };
        let builds = self.builds.clone();
        builds
            .on_threads(move || {
                let hash = state.hash.finalize();
                let hash =
                    hash.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
                let digest = Digest { hash, size: state.size };
                let set = self.builder.set();
                let locked = match_lock(set, &self.name, &digest)?;
                let changed = !self.builder.fetcher().has(locked);
                if changed && !self.dry_run {
                    let kept = self.builder.store().take_file(&self.path, false);
                    kept.map_err(|error| problem::of_store(&error))?;
                }
                let mut source = source(&self.builder, locked);
                source.stored |= !self.dry_run;
                Ok(pb::AddSourceResponse { source: Some(source), changed })
            })
            .await?
    }
}

/// The entry of the lock that the content is.
fn match_lock<'a>(
    set: &'a RecipeSet,
    name: &str,
    found: &Digest,
) -> Result<&'a LockedSource, Problem> {
    let fits = |it: &&LockedSource| it.sha256 == found.hash && it.size == found.size;
    if let Some(locked) = set.sources.values().find(fits) {
        return Ok(locked);
    }
    let what = format!("the file has {} bytes and sha256 {}", found.size, found.hash);
    let hint = "Add an entry to sources.lock if it shall be used, with this size and hash.";
    let Some(locked) = set.sources.get(name) else {
        let names = set.sources.keys().map(String::as_str);
        let suggestion = xlfs_mistakes::suggest::did_you_mean(name, names);
        let text = format!(
            "{what}, which is no file of the lock of the set {}; it has none called {:?}{suggestion} \
             either",
            set.file.name,
            short(name)
        );
        return Err(Problem::invalid_field("NOT_IN_LOCK", "chunk", &text).hint(hint));
    };
    let text = format!(
        "{what}, but {name} of the lock has {} bytes and sha256 {}",
        locked.size, locked.sha256
    );
    Err(Problem::invalid_field("WRONG_HASH", "chunk", &text)
        .object(format!("source {name}"))
        .hint("It is another version, was changed, or was damaged on its way: get it again."))
}

/// None if the file is what it should be; otherwise what is wrong.
fn read_again(builder: &Builder, locked: &LockedSource) -> Result<Option<String>, Problem> {
    let wanted = Digest { hash: locked.sha256.clone(), size: locked.size };
    let mut wrong = None;
    for executable in [false, true] {
        let path = builder.store().blob_path(&wanted, executable);
        if !path.is_file() {
            continue;
        }
        let found = Digest::of_file(&path).map_err(|error| {
            Problem::internal(format!("{} cannot be read", path.display())).cause(&error)
        })?;
        if found != wanted {
            let name = format!("{}.{}", locked.file, found.short());
            let aside = builder.store().put_aside(&path, &name);
            let aside = aside.map_err(|error| problem::of_store(&error))?;
            wrong = Some(format!(
                "sha256 {} ({}) instead of {} ({}); put aside as {}",
                found.hash,
                ByteSize(found.size),
                wanted.hash,
                ByteSize(wanted.size),
                aside.display()
            ));
        }
    }
    Ok(wrong)
}

fn source(builder: &Builder, locked: &LockedSource) -> pb::Source {
    let set = builder.set();
    let uses = |package: &&xlfs_builder::recipe::Package| {
        package.source.iter().any(|used| used.file == locked.file)
    };
    pb::Source {
        file: locked.file.clone(),
        size: locked.size,
        sha256: locked.sha256.clone(),
        stored: builder.fetcher().has(locked),
        places: locked.places.iter().map(ToString::to_string).collect(),
        packages: set.packages.values().filter(uses).map(|it| it.name.clone()).collect(),
    }
}

fn send(events: &Events, kind: Kind) -> bool {
    events.blocking_send(Ok(pb::SourceEvent { kind: Some(kind) })).is_ok()
}

fn unwritable(error: &std::io::Error) -> Problem {
    let problem = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            Problem::resource_exhausted("DISK_FULL", "the disk of the store is full")
                .hint("Free some space, or run xlfsctl build gc.")
        }
        _ => Problem::internal("the file cannot be kept"),
    };
    problem.cause(error)
}
