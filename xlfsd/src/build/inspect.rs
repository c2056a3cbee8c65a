//! What can be seen of results: logs, files, pictures, the files of images; and the
//! collection of what nobody needs.

use std::fs::File;
use std::io::Read;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use xlfs_builder::build::{BuildError, Builder};
use xlfs_builder::store::{Collected, Failure, Record, StoreError};
use xlfs_builder::timeline;
use xlfs_builder::tree::Node;
use xlfs_proto::v1 as pb;
use xlfs_proto::v1::build_log_part::Part as LogPart;
use xlfs_proto::v1::export_part::Part as Exported;

use super::sets::short;
use super::table::Occupant;
use super::{Builds, message, problem};
use crate::api::ReplyStream;
use crate::problem::Problem;

/// Bytes of a message that carries content.
const CHUNK: usize = 256 << 10;
/// How long a collection waits for those who look.
const PATIENCE: Duration = Duration::from_secs(5);
/// Files in a message.
const FILES: usize = 1000;

impl Builds {
    /// What a package's last build printed.
    pub async fn log(
        &self,
        request: pb::PackageRequest,
    ) -> Result<ReplyStream<pb::BuildLogPart>, Problem> {
        let parts = self
            .with_builder(request.set.clone(), move |builder| {
                let set = builder.set().file.name.clone();
                known(builder, &request.package)?;
                let failure = builder.store().failure(&set, &request.package);
                let failure = failure.map_err(|error| problem::of_store(&error))?;
                // A failure is kept only as long as nothing newer was built.
                let (digest, header) = match &failure {
                    Some(failure) => (&failure.log, header_of_failure(failure)),
                    None => {
                        let record = latest(builder, &request)?;
                        (&record.log.clone(), header_of_record(&record))
                    }
                };
                let text = builder.store().read_blob(digest);
                let text = text.map_err(|error| problem::of_store(&error))?;
                let parts = cut(&text, &request.step).ok_or_else(|| {
                    let steps = steps_of(&text).join(", ");
                    let step = short(&request.step);
                    Problem::not_found(
                        "NO_SUCH_STEP",
                        format!("{} has no step {step:?} in its log", request.package),
                    )
                    .object(format!("package {}", request.package))
                    .hint(format!("It has: {steps}."))
                })?;
                Ok(std::iter::once(LogPart::Header(header)).chain(parts).collect::<Vec<_>>())
            })
            .await?;
        let parts = parts.into_iter().map(|part| Ok(pb::BuildLogPart { part: Some(part) }));
        Ok(Box::pin(futures::stream::iter(parts)))
    }

    /// The files of a package.
    pub async fn files(
        &self,
        request: pb::PackageRequest,
    ) -> Result<ReplyStream<pb::PackageFiles>, Problem> {
        let files = self
            .with_builder(request.set.clone(), move |builder| {
                known(builder, &request.package)?;
                let record = latest(builder, &request)?;
                let mut files = Vec::new();
                for (output, root) in &record.outputs {
                    let tree = builder.store().read_tree(root);
                    let tree = tree.map_err(|error| problem::of_store(&error))?;
                    let nodes = tree.iter().filter_map(|(path, node)| file(output, path, node));
                    files.extend(nodes);
                }
                Ok(files)
            })
            .await?;
        let parts: Vec<_> = files.chunks(FILES).map(<[_]>::to_vec).collect();
        let parts = parts.into_iter().map(|files| Ok(pb::PackageFiles { files }));
        Ok(Box::pin(futures::stream::iter(parts)))
    }

    /// The picture of the last build.
    pub async fn draw(&self, request: pb::DrawBuildRequest) -> Result<String, Problem> {
        self.with_builder(request.set.clone(), move |builder| {
            let set = &builder.set().file.name;
            let history = builder.store().history(set);
            let history = history.map_err(|error| problem::of_store(&error))?;
            let history = history.ok_or_else(|| {
                let message = format!("no build of the set {set} has come to its end yet");
                Problem::failed_precondition("NOTHING_BUILT", message)
                    .hint("Start one: xlfsctl build start")
            })?;
            Ok(timeline::svg(&history))
        })
        .await
    }

    /// Removes what no recipe leads to.
    pub async fn collect(
        &self,
        request: pb::CollectStoreRequest,
    ) -> Result<pb::CollectStoreResponse, Problem> {
        let place = self.occupy(Occupant::Collection)?;
        // Whoever looks at something has the store open for a moment; a fetch or a shell
        // for longer, and nobody shall wait for those.
        let gate = std::sync::Arc::clone(&self.shared.gate).write_owned();
        let gate = timeout(PATIENCE, gate).await.map_err(|_| {
            Problem::failed_precondition("BUILDER_BUSY", "somebody works with the store")
                .hint("Try again when no sources are fetched or read and no shell is open.")
        })?;
        let this = self.clone();
        self.on_threads(move || {
            let (_place, _gate) = (place, gate);
            let done = collect(&this.builder(&request.set)?, request.dry_run);
            let done = done.map_err(|error| problem::of(&error))?;
            Ok(pb::CollectStoreResponse {
                results: done.results,
                files: done.blobs,
                bytes: done.bytes,
                kept: done.kept,
            })
        })
        .await?
    }

    /// The files of an image, one after another.
    pub async fn export(
        &self,
        request: pb::ExportBuildRequest,
    ) -> Result<ReplyStream<pb::ExportPart>, Problem> {
        let files = self
            .with_builder(request.set.clone(), move |builder| {
                let (set, image) = (builder.set(), &request.image);
                if !set.images.contains_key(image) {
                    let message =
                        format!("the set {} has no image {:?}", set.file.name, short(image));
                    return Err(Problem::not_found("NO_SUCH_IMAGE", message)
                        .hint("List them: xlfsctl recipe list"));
                }
                let record = builder.store().image(&set.file.name, image);
                let record = record.map_err(|error| problem::of_store(&error))?;
                let record = record.ok_or_else(|| {
                    Problem::failed_precondition("NOT_BUILT", format!("{image} is not built"))
                        .hint(format!("Build it: xlfsctl build start {image}"))
                })?;
                // Open files stay, whatever a collection does.
                let open = |(name, digest): (String, xlfs_builder::digest::Digest)| {
                    let path = builder.store().blob(&digest, false);
                    let path = path.map_err(|error| problem::of_store(&error))?;
                    let file = File::open(&path).map_err(|error| {
                        Problem::internal(format!("{} cannot be read", path.display()))
                            .cause(&error)
                    })?;
                    let (size, sha256) = (digest.size, digest.hash);
                    Ok((pb::ExportedFile { name, size, sha256 }, file))
                };
                record.artifacts.into_iter().map(open).collect::<Result<Vec<_>, Problem>>()
            })
            .await?;
        let (parts, stream) = mpsc::channel(4);
        self.threads()?.spawn_blocking(move || {
            for (about, file) in files {
                if !send(about, file, &parts) {
                    return;
                }
            }
        });
        Ok(Box::pin(ReceiverStream::new(stream)))
    }
}

/// Collects. What somebody was in the middle of who went away may hold the store for a
/// moment more.
fn collect(builder: &Builder, dry_run: bool) -> Result<Collected, BuildError> {
    let begun = Instant::now();
    loop {
        match builder.collect(dry_run) {
            Err(BuildError::Store(StoreError::Busy { .. })) if begun.elapsed() < PATIENCE => {
                std::thread::sleep(PATIENCE / 50);
            }
            done => return done,
        }
    }
}

/// False when nobody listens any more, or was told that it failed.
fn send(
    about: pb::ExportedFile,
    mut file: File,
    parts: &mpsc::Sender<Result<pb::ExportPart, tonic::Status>>,
) -> bool {
    let name = about.name.clone();
    let send =
        |part: Exported| parts.blocking_send(Ok(pb::ExportPart { part: Some(part) })).is_ok();
    if !send(Exported::File(about)) {
        return false;
    }
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        match file.by_ref().take(CHUNK as u64).read_to_end(&mut chunk) {
            Ok(0) => return true,
            Ok(_) if send(Exported::Chunk(chunk)) => {}
            Ok(_) => return false,
            Err(error) => {
                let problem = Problem::internal(format!("{name} cannot be read")).cause(&error);
                // Nobody else to tell.
                let _ = parts.blocking_send(Err(problem.into()));
                return false;
            }
        }
    }
}

/// NOT_FOUND for what is no package of the set.
pub(super) fn known(builder: &Builder, package: &str) -> Result<(), Problem> {
    let set = builder.set();
    if set.packages.contains_key(package) || set.problems.contains_key(package) {
        return Ok(());
    }
    let names = set.packages.keys().map(String::as_str);
    let suggestion = xlfs_mistakes::suggest::did_you_mean(package, names);
    let message =
        format!("the set {} has no package {:?}{suggestion}", set.file.name, short(package));
    Err(Problem::not_found("NO_SUCH_PACKAGE", message)
        .object(format!("package {}", short(package)))
        .hint("List them: xlfsctl recipe list"))
}

/// The newest result of a package.
fn latest(builder: &Builder, request: &pb::PackageRequest) -> Result<Record, Problem> {
    let (set, package) = (builder.set(), &request.package);
    let own = set.packages.get(package).and_then(|it| it.toolchain.as_deref());
    let wanted = match request.toolchain.as_str() {
        "" => set.file.toolchain.as_str(),
        named => named,
    };
    let toolchain = own.unwrap_or(wanted);
    let found = builder.store().latest(&set.file.name, &format!("{package}@{toolchain}"));
    found.map_err(|error| problem::of_store(&error))?.ok_or_else(|| {
        let message = format!("{package} was never built with the toolchain {}", short(toolchain));
        Problem::failed_precondition("NOT_BUILT", message)
            .object(format!("package {package}"))
            .hint(format!("Build it: xlfsctl build start {package}"))
    })
}

fn header_of_failure(failure: &Failure) -> pb::BuildLogHeader {
    pb::BuildLogHeader {
        package: failure.package.clone(),
        started: Some(message::moment(failure.started.saturating_mul(1000))),
        seconds: failure.seconds,
        failure: Some(message::failure(failure)),
        steps: Vec::new(),
    }
}

fn header_of_record(record: &Record) -> pb::BuildLogHeader {
    let step = |it: &xlfs_builder::store::StepTime| pb::StepTime {
        step: it.step.clone(),
        seconds: it.seconds,
    };
    pb::BuildLogHeader {
        package: record.package.clone(),
        started: Some(message::moment(record.started.saturating_mul(1000))),
        seconds: record.seconds,
        failure: None,
        steps: record.steps.iter().map(step).collect(),
    }
}

fn file(output: &str, path: &str, node: &Node) -> Option<pb::PackageFile> {
    let (output, path) = (output.to_owned(), path.to_owned());
    let empty = pb::PackageFile { output, path, ..pb::PackageFile::default() };
    match node {
        Node::Folder(_) => None,
        Node::Link { target } => Some(pb::PackageFile { target: target.clone(), ..empty }),
        Node::File { digest, executable, .. } => Some(pb::PackageFile {
            size: digest.size,
            executable: *executable,
            sha256: digest.hash.clone(),
            ..empty
        }),
    }
}

/// How a line begins that says that a step begins.
const MARK: u8 = xlfs_builder::action::MARK as u8;

/// The log in parts: of one step, or of all. None if there is no such step.
fn cut(text: &[u8], wanted: &str) -> Option<Vec<LogPart>> {
    let mut parts = Vec::new();
    let mut found = wanted.is_empty();
    let mut shown = found;
    let mut run: Vec<u8> = Vec::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if line.first() == Some(&MARK) {
            flush(&mut run, &mut parts);
            let step = String::from_utf8_lossy(line.get(1..).unwrap_or_default());
            let step = step.trim_end().to_owned();
            shown = wanted.is_empty() || step == wanted;
            found |= shown;
            if shown {
                parts.push(LogPart::Step(step));
            }
        } else if shown {
            run.extend_from_slice(line);
            if run.len() >= CHUNK {
                flush(&mut run, &mut parts);
            }
        }
    }
    flush(&mut run, &mut parts);
    found.then_some(parts)
}

fn flush(run: &mut Vec<u8>, parts: &mut Vec<LogPart>) {
    for chunk in std::mem::take(run).chunks(CHUNK) {
        parts.push(LogPart::Data(chunk.to_vec()));
    }
}

fn steps_of(text: &[u8]) -> Vec<String> {
    let marks = text.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(&[MARK]));
    marks.map(|step| String::from_utf8_lossy(step).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_cut_into_steps() {
        let long = "x".repeat(CHUNK + 5);
        let text = format!("odd\n\u{1e}configure\nyes\nno\n\u{1e}build\n{long}\nend");
        let all = cut(text.as_bytes(), "").unwrap();
        assert_eq!(all[0], LogPart::Data(b"odd\n".to_vec()));
        assert_eq!(all[1], LogPart::Step("configure".to_owned()));
        assert_eq!(all[2], LogPart::Data(b"yes\nno\n".to_vec()));
        let bytes: usize = all[4..]
            .iter()
            .map(|part| match part {
                LogPart::Data(data) => {
                    assert!(data.len() <= CHUNK);
                    data.len()
                }
                other => panic!("{other:?}"),
            })
            .sum();
        assert_eq!(bytes, long.len() + 4);
        assert_eq!(cut(text.as_bytes(), "configure").unwrap().len(), 2);
        assert!(cut(text.as_bytes(), "check").is_none());
        assert_eq!(steps_of(text.as_bytes()), ["configure", "build"]);
    }
}
