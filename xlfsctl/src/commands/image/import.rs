//! `image import`: a file, sent in chunks, with a bar that shows how far.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum, ValueHint};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use xlfs_proto::v1::import_image_request::{Header, Part};
use xlfs_proto::v1::{ImageKind, ImportImageRequest, ImportImageResponse};

use super::{Session, one_line, size};
use crate::errors::{Context as _, Failure};
use crate::exit::Exit;
use crate::output::text::{cut, plain};
use crate::output::time::span;
use crate::output::view::image::{ImageView, ImportView};
use crate::output::{Output, stderr_width, to_stderr};
use crate::words::sha256;

/// Bytes of a message: few enough to show progress, and far below the limit of
/// 1 MiB.
const CHUNK: usize = 256 * 1024;
const REDRAW: Duration = Duration::from_millis(250);

/// Take a kernel, a ramdisk or a disk into the image store.
///
/// An image that is there already is not stored twice; it only gets the alias.
///
/// A root file system can come as an archive: tar, also compressed by gzip, xz or zstd. With
/// --kind disk, xlfsd makes an ext4 file system of it, with the archive's owners, modes, times,
/// links, device nodes and extended attributes (file capabilities among them). Make it with
/// GNU tar as root: tar --xattrs --xattrs-include='*' --numeric-owner -C ROOT -cf root.tar .
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file; "-" for standard input.
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// What it is.
    #[arg(short, long, value_enum)]
    kind: Kind,
    /// The name by which templates find it; the last import of a name wins.
    #[arg(short, long)]
    alias: Option<String>,
    /// Refuse it unless its SHA-256 is this one.
    #[arg(long, value_name = "DIGEST", value_parser = sha256)]
    sha256: Option<String>,
    /// Check the image, and store nothing.
    #[arg(long)]
    dry_run: bool,
}

/// The kinds of images.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Kernel,
    Ramdisk,
    /// The raw content of a disk: a file system, or a disk with partitions; or an archive of a
    /// root file system.
    Disk,
}

/// Takes a disk image that another command needs, and answers its digest.
pub(crate) async fn import_disk(session: &Session, file: &Path) -> Result<String, Failure> {
    let (kind, file) = (Kind::Disk, file.to_owned());
    let import = Import { file, kind, alias: None, sha256: None, dry_run: false };
    Ok(import.send_to(session).await?.image.unwrap_or_default().digest)
}

impl Import {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let reply = self.send_to(session).await?;
        self.print(reply, &session.output)?;
        Ok(Exit::Ok)
    }

    async fn send_to(&self, session: &Session) -> Result<ImportImageResponse, Failure> {
        let name = plain(&self.file.to_string_lossy());
        let tried = || format!("cannot import {name}");
        let (file, total) = open(&self.file).context(tried)?;
        let kind = match self.kind {
            Kind::Kernel => ImageKind::Kernel,
            Kind::Ramdisk => ImageKind::Ramdisk,
            Kind::Disk => ImageKind::Disk,
        };
        let origin = self.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let header = Header {
            kind: kind.into(),
            alias: self.alias.clone().unwrap_or_default(),
            origin,
            expected_digest: self.sha256.clone().unwrap_or_default(),
            dry_run: self.dry_run,
        };
        let sent = Arc::new(AtomicU64::new(0));
        let (requests, stream) = mpsc::channel(2);
        let reader = tokio::task::spawn_blocking({
            let sent = Arc::clone(&sent);
            move || {
                let first = ImportImageRequest { part: Some(Part::Header(header)) };
                let chunk = |bytes| ImportImageRequest { part: Some(Part::Chunk(bytes)) };
                send(file, first, chunk, &requests, &sent)
            }
        });
        let mut images = session.daemon().await?.images();
        let call = images.import_image(ReceiverStream::new(stream));
        let reply = show_progress(call, &name, total, &sent, &session.output).await;
        // A file that could not be read to its end explains whatever xlfsd
        // made of the half that it got.
        let read = reader.await.unwrap_or(Ok(()));
        read.map_err(|error| Failure::io("the file cannot be read", &error)).context(tried)?;
        Ok(reply.context(tried)?.into_inner())
    }

    fn print(&self, reply: ImportImageResponse, output: &Output) -> Result<(), Failure> {
        if !output.is_table() {
            return output.document(&ImportView {
                image: reply.image.as_ref().map(ImageView::from),
                changed: reply.changed,
                dry_run: self.dry_run,
            });
        }
        let image = reply.image.unwrap_or_default();
        if output.quiet {
            return output.text(&format!("{}\n", plain(&image.digest)));
        }
        let what = one_line(&image);
        let told = match (self.dry_run, reply.changed) {
            (true, true) => format!("would import {what}"),
            (true, false) | (false, false) => format!("{what}: is in the store already"),
            (false, true) => format!("imported {what}"),
        };
        let inside = match image.summary.as_str() {
            "" => String::new(),
            summary => format!("{}\n", plain(summary)),
        };
        output.text(&format!("{told}\n{inside}"))
    }
}

/// Opens a file that is to be sent; with its size where that is known.
pub(crate) fn open(path: &Path) -> Result<(Box<dyn Read + Send>, Option<u64>), Failure> {
    if path.as_os_str() == "-" {
        return Ok((Box::new(io::stdin()), None));
    }
    let fail = |error: &io::Error| Failure::io("the file cannot be opened", error);
    let file = File::open(path).map_err(|error| fail(&error))?;
    let about = file.metadata().map_err(|error| fail(&error))?;
    if about.is_dir() {
        return Err(Failure::new(Exit::Invalid, "it is a folder").hint("name the file inside it"));
    }
    Ok((Box::new(file), about.is_file().then_some(about.len())))
}

/// Reads the file and hands it over in messages, behind the `first`. Ends early, without
/// an error, when xlfsd has heard enough; it says why then.
pub(crate) fn send<T>(
    mut file: impl Read,
    first: T,
    chunk: impl Fn(Vec<u8>) -> T,
    requests: &mpsc::Sender<T>,
    sent: &AtomicU64,
) -> io::Result<()> {
    let mut message = first;
    loop {
        if requests.blocking_send(message).is_err() {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(CHUNK);
        file.by_ref().take(CHUNK as u64).read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            return Ok(());
        }
        sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        message = chunk(bytes);
    }
}

/// Waits for the answer; on a terminal with a bar.
pub(crate) async fn show_progress<T>(
    call: impl Future<Output = T>,
    name: &str,
    total: Option<u64>,
    sent: &AtomicU64,
    output: &Output,
) -> T {
    tokio::pin!(call);
    if output.quiet || !io::stderr().is_terminal() {
        return call.await;
    }
    let begun = Instant::now();
    let mut redraw = tokio::time::interval(REDRAW);
    loop {
        tokio::select! {
            reply = &mut call => {
                to_stderr("\r\x1b[K");
                return reply;
            }
            _ = redraw.tick() => {
                let width = stderr_width().saturating_sub(1);
                let so_far = sent.load(Ordering::Relaxed);
                let line = bar(name, so_far, total, &span(begun.elapsed()), width);
                to_stderr(&format!("\r{line}\x1b[K"));
            }
        }
    }
}

/// How much of the file is on its way, in one line of at most `width` columns.
fn bar(name: &str, sent: u64, total: Option<u64>, elapsed: &str, width: usize) -> String {
    const BAR: u64 = 24;
    let name = cut(name.rsplit('/').next().unwrap_or(name), 24);
    let line = match total.filter(|total| *total > 0) {
        Some(total) if sent >= total => {
            format!("{name}  {} sent, being checked  {elapsed}", size(sent))
        }
        Some(total) => {
            let part = sent.min(total);
            let percent = part.saturating_mul(100) / total;
            let filled = (part.saturating_mul(BAR) / total) as usize;
            let bar = format!("{}{}", "#".repeat(filled), ".".repeat(BAR as usize - filled));
            format!("{name}  [{bar}] {percent:>3}% of {}  {elapsed}", size(total))
        }
        None => format!("{name}  {} sent  {elapsed}", size(sent)),
    };
    cut(&line, width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fits_and_counts() {
        let line = bar("/boot/vmlinuz", 512, Some(1024), "1.0s", 79);
        assert_eq!(line, "vmlinuz  [############............]  50% of 1.0 KiB  1.0s");
        assert!(bar("a", 10, Some(10), "1.0s", 79).contains("being checked"));
        assert!(bar("-", 2048, None, "1.0s", 79).contains("2.0 KiB sent"));
        assert!(bar(&"x".repeat(100), 1, Some(3), "1.0s", 40).chars().count() <= 40);
    }

    #[test]
    fn the_header_comes_first_and_chunks_are_full() {
        let file = vec![7; CHUNK + 1];
        let (requests, mut inbox) = mpsc::channel(8);
        let sent = AtomicU64::new(0);
        let request = |part| ImportImageRequest { part: Some(part) };
        let first = request(Part::Header(Header::default()));
        let chunk = |bytes| request(Part::Chunk(bytes));
        send(file.as_slice(), first, chunk, &requests, &sent).expect("sent");
        drop(requests);
        assert!(matches!(inbox.blocking_recv().expect("one").part, Some(Part::Header(_))));
        let mut lengths = Vec::new();
        while let Some(request) = inbox.blocking_recv() {
            let Some(Part::Chunk(chunk)) = request.part else { panic!("no chunk") };
            lengths.push(chunk.len());
        }
        assert_eq!(lengths, [CHUNK, 1]);
        assert_eq!(sent.into_inner(), CHUNK as u64 + 1);
    }
}
