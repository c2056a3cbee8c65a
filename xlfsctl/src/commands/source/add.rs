//! `source add`: a file that somebody has at hand, sent into the store.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use clap::{Args, ValueHint};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use xlfs_proto::v1::AddSourceRequest;
use xlfs_proto::v1::add_source_request::{Header, Part};

use super::Set;
use crate::commands::Session;
use crate::commands::image::{open, send, show_progress, size};
use crate::errors::{Context as _, Failure};
use crate::exit::Exit;
use crate::output::text::plain;
use crate::output::view::source::{AddedView, SourceView};

/// Take a source file into the store that was got by hand.
///
/// Its SHA-256 decides what it is: it must be that of a file in the set's sources.lock,
/// whatever its name. Another one is refused, and both hashes are shown.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// The file; "-" for standard input.
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// What the lock calls it, where that is not the file's name: only for a better message
    /// when it is not the right one.
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    set: Set,
    /// Check the file, and store nothing.
    #[arg(long)]
    dry_run: bool,
}

impl Add {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let output = &session.output;
        let shown = plain(&self.file.to_string_lossy());
        let tried = || format!("cannot add {shown}");
        let (file, total) = open(&self.file).context(tried)?;
        let own = || self.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = self.name.clone().unwrap_or_else(own);
        let header = Header { set: self.set.name(), name, dry_run: self.dry_run };
        let sent = Arc::new(AtomicU64::new(0));
        let (requests, stream) = mpsc::channel(2);
        let reader = tokio::task::spawn_blocking({
            let sent = Arc::clone(&sent);
            move || {
                let first = AddSourceRequest { part: Some(Part::Header(header)) };
                let chunk = |bytes| AddSourceRequest { part: Some(Part::Chunk(bytes)) };
                send(file, first, chunk, &requests, &sent)
            }
        });
        let mut service = session.daemon().await?.sources();
        let call = service.add_source(ReceiverStream::new(stream));
        let reply = show_progress(call, &shown, total, &sent, output).await;
        // A file that could not be read to its end explains whatever xlfsd made of it.
        let read = reader.await.unwrap_or(Ok(()));
        read.map_err(|error| Failure::io("the file cannot be read", &error)).context(tried)?;
        let reply = reply.context(tried)?.into_inner();
        let source = reply.source.unwrap_or_default();
        if !output.is_table() {
            let (changed, dry_run) = (reply.changed, self.dry_run);
            output.document(&AddedView { source: SourceView::from(&source), changed, dry_run })?;
            return Ok(Exit::Ok);
        }
        let told = match (reply.changed, self.dry_run) {
            (false, _) => "is in the store already",
            (true, true) => "would go into the store",
            (true, false) => "is in the store now",
        };
        let packages = match source.packages.as_slice() {
            [] => String::new(),
            packages => format!(", for {}", packages.join(", ")),
        };
        let line = format!("{} ({}{packages}) {told}\n", source.file, size(source.size));
        output.text(&plain(line.trim_end()))?;
        output.text("\n")?;
        Ok(Exit::Ok)
    }
}
