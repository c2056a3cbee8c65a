//! `build log`, `files`, `graph` and `export`: what came out of builds.

use std::fs::{self, File};
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use xlfs_proto::v1::build_log_part::Part as LogPart;
use xlfs_proto::v1::export_part::Part as Exported;
use xlfs_proto::v1::{
    BuildLogHeader, DrawBuildRequest, ExportBuildRequest, PackageFile, PackageRequest,
};

use super::InSet;
use crate::commands::image::size;
use crate::commands::{Session, answer};
use crate::complete;
use crate::errors::{Context as _, Failure};
use crate::exit::Exit;
use crate::output::guest_text::GuestText;
use crate::output::table::{Align, Table};
use crate::output::text::plain;
use crate::output::time;
use crate::output::view::result::{ExportedFileView, ExportedView, FileView, FilesView};
use crate::progress::build::about;

/// Print what a package's last build printed.
///
/// A failed build's log comes before that of an earlier one that went well. On a terminal,
/// control sequences other than colours are shown and not acted upon.
#[derive(Debug, Args)]
pub(crate) struct Log {
    /// The package.
    #[arg(add = complete::packages())]
    package: String,
    /// Only this step: unpack, prepare, configure, build, check, install.
    #[arg(long)]
    step: Option<String>,
    #[command(flatten)]
    set: InSet,
}

/// List the files of a package as it was built last.
#[derive(Debug, Args)]
pub(crate) struct Files {
    /// The package.
    #[arg(add = complete::packages())]
    package: String,
    #[command(flatten)]
    set: InSet,
}

/// Draw the last build as an SVG picture: who was built when, and the critical path.
#[derive(Debug, Args)]
pub(crate) struct Graph {
    /// The file to write; default: standard output.
    #[arg(value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,
    /// The release set; default: the configured one, or the only one.
    #[arg(long, value_name = "SET", add = complete::sets())]
    set: Option<String>,
}

/// Copy the files of an image, as it was built last, into a folder.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The image.
    #[arg(add = complete::built_images())]
    image: String,
    /// The folder; it is made when it is not there.
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    folder: PathBuf,
    /// The release set; default: the configured one, or the only one.
    #[arg(long, value_name = "SET", add = complete::sets())]
    set: Option<String>,
}

fn request(package: &str, set: InSet, step: Option<String>) -> PackageRequest {
    PackageRequest {
        set: set.set.unwrap_or_default(),
        package: package.to_owned(),
        toolchain: set.toolchain.unwrap_or_default(),
        step: step.unwrap_or_default(),
    }
}

impl Log {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let output = &session.output;
        let tried = || format!("cannot read the log of {}", self.package);
        let request = request(&self.package, self.set, self.step);
        let mut service = session.daemon().await?.builds();
        let mut parts = service.read_build_log(request).await.context(tried)?.into_inner();
        let mut filter = std::io::stdout().is_terminal().then(GuestText::default);
        let mut last = b'\n';
        while let Some(part) = parts.message().await.context(tried)? {
            match part.part {
                Some(LogPart::Header(header)) => output.note(&heading(&header)),
                Some(LogPart::Step(step)) => {
                    // A step may end in the middle of a line.
                    let start = if last == b'\n' { "" } else { "\n" };
                    output.text(&format!("{start}=== {}\n", plain(&step)))?;
                    last = b'\n';
                }
                Some(LogPart::Data(bytes)) => {
                    last = bytes.last().copied().unwrap_or(last);
                    let bytes = filter.as_mut().map_or_else(|| bytes.clone(), |f| f.pass(&bytes));
                    output.bytes(&bytes)?;
                }
                None => {}
            }
        }
        if let Some(end) = filter.as_ref().and_then(GuestText::end) {
            output.text(end)?;
        }
        Ok(Exit::Ok)
    }
}

/// What the log is of, in a line.
fn heading(header: &BuildLogHeader) -> String {
    let when = header.started.as_ref().and_then(time::for_people).unwrap_or_default();
    let took = about(header.seconds);
    match &header.failure {
        Some(failure) => format!(
            "{}: failed in step {} at {when}, after {took}: {}",
            header.package, failure.step, failure.reason
        ),
        None => {
            let steps: Vec<_> = header
                .steps
                .iter()
                .map(|it| format!("{} {}", it.step, about(it.seconds)))
                .collect();
            format!("{}: built at {when} in {took} ({})", header.package, steps.join(", "))
        }
    }
}

impl Files {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let output = &session.output;
        let tried = || format!("cannot list the files of {}", self.package);
        let request = request(&self.package, self.set, None);
        let mut service = session.daemon().await?.builds();
        let mut parts = service.list_package_files(request).await.context(tried)?.into_inner();
        let mut files = Vec::new();
        while let Some(part) = parts.message().await.context(tried)? {
            files.extend(part.files);
        }
        if !output.is_table() {
            let files = files.iter().map(FileView::from).collect();
            output.document(&FilesView { package: self.package.clone(), files })?;
        } else if output.quiet {
            let paths: String = files.iter().map(|it| format!("/{}\n", plain(&it.path))).collect();
            output.text(&paths)?;
        } else {
            output.text(&table(&files))?;
            let bytes = files.iter().map(|it| it.size).sum();
            output.note(&format!("{} files, {}", files.len(), size(bytes)));
        }
        Ok(Exit::Ok)
    }
}

fn table(files: &[PackageFile]) -> String {
    let mut table =
        Table::new(&[("OUTPUT", Align::Left), ("SIZE", Align::Right), ("PATH", Align::Left)]);
    for file in files {
        let link = !file.target.is_empty();
        let (bytes, path) = match link {
            true => (String::new(), format!("/{} -> {}", file.path, file.target)),
            false => (size(file.size), format!("/{}", file.path)),
        };
        table.row([file.output.as_str().into(), bytes.into(), path.into()]);
    }
    // Paths are meant to be copied: they are never cut.
    table.render(None, false)
}

impl Graph {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let tried = || "cannot draw the build".to_owned();
        let mut service = session.daemon().await?.builds();
        let request = DrawBuildRequest { set: self.set.unwrap_or_default() };
        let picture = answer(service.draw_build(request)).await.context(tried)?;
        match self.file {
            None => session.output.text(&picture.svg)?,
            Some(path) => {
                let name = plain(&path.to_string_lossy());
                fs::write(&path, &picture.svg)
                    .map_err(|error| Failure::io(format!("cannot write {name}"), &error))?;
                session.output.note(&format!("the picture is in {name}"));
            }
        }
        Ok(Exit::Ok)
    }
}

impl Export {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let set = self.set.unwrap_or_default();
        let files = export(session, &set, &self.image, &self.folder).await?;
        if !session.output.is_table() {
            session.output.document(&ExportedView { image: self.image, files })?;
        }
        Ok(Exit::Ok)
    }
}

/// Writes the files of an image into a folder, each under its name once it is whole, and
/// answers what came.
pub(super) async fn export(
    session: &Session,
    set: &str,
    image: &str,
    folder: &Path,
) -> Result<Vec<ExportedFileView>, Failure> {
    let tried = || format!("cannot export {image}");
    let wrong = |what: &Path, error: &std::io::Error| {
        Failure::io(format!("cannot write {}", plain(&what.to_string_lossy())), error)
            .context(&tried())
    };
    let request = ExportBuildRequest { set: set.to_owned(), image: image.to_owned() };
    let mut service = session.daemon().await?.builds();
    let mut parts = service.export_build(request).await.context(tried)?.into_inner();
    fs::create_dir_all(folder).map_err(|error| wrong(folder, &error))?;
    let mut current: Option<Writing> = None;
    let mut files = Vec::new();
    while let Some(part) = parts.message().await.context(tried)? {
        match part.part {
            Some(Exported::File(file)) => {
                finish(session, current.take())?;
                // A daemon of another version must not choose where it is written.
                let plain_name = !file.name.contains('/') && !file.name.starts_with('.');
                if !plain_name || file.name.is_empty() {
                    let message = format!("{:?} is no name for a file", file.name);
                    return Err(Failure::new(Exit::Invalid, message).context(&tried()));
                }
                let part = folder.join(format!(".{}.part", file.name));
                let opened = File::create(&part).map_err(|error| wrong(&part, &error))?;
                let path = folder.join(&file.name);
                files.push(ExportedFileView::new(&file, &path));
                current = Some(Writing { file: opened, part, path, left: file.size });
            }
            Some(Exported::Chunk(chunk)) => {
                if let Some(writing) = &mut current {
                    writing.left = writing.left.saturating_sub(chunk.len() as u64);
                    let done = writing.file.write_all(&chunk);
                    done.map_err(|error| wrong(&writing.part, &error))?;
                }
            }
            None => {}
        }
    }
    finish(session, current)?;
    Ok(files)
}

/// A file that is on its way.
struct Writing {
    file: File,
    part: PathBuf,
    path: PathBuf,
    /// Bytes that are still to come.
    left: u64,
}

fn finish(session: &Session, writing: Option<Writing>) -> Result<(), Failure> {
    let Some(Writing { file, part, path, left }) = writing else { return Ok(()) };
    let name = plain(&path.to_string_lossy());
    if left > 0 {
        return Err(Failure::new(
            Exit::Failed,
            format!("{name} came without its last {left} bytes"),
        ));
    }
    let done = file.sync_all().and_then(|()| fs::rename(&part, &path));
    done.map_err(|error| Failure::io(format!("cannot write {name}"), &error))?;
    if session.output.is_table() {
        session.output.text(&format!("{name}\n"))?;
    }
    Ok(())
}
