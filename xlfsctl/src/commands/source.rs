//! `source`: the files that packages are built from.

mod add;

use clap::{Args, Subcommand};
use xlfs_proto::v1::source_event::Kind;
use xlfs_proto::v1::{
    BuildRequest, ListSourcesRequest, Source as File, SourceEvent, VerifySourcesRequest,
};

use super::image::size;
use super::{Session, answer};
use crate::complete;
use crate::errors::{Context as _, Failure};
use crate::exit::Exit;
use crate::output::Output;
use crate::output::table::{Align, Cell, Colour, Table};
use crate::output::text::plain;
use crate::output::view::source::{CheckedView, FetchedView, SourceView, SourcesView};
use crate::progress::lines::Lines;

/// Source files: fetch, add, verify, list.
#[derive(Debug, Subcommand)]
pub(crate) enum Source {
    List(List),
    Fetch(Fetch),
    Add(add::Add),
    Verify(Verify),
}

/// List the source files of a release set, and which are in the store.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only those that are not in the store.
    #[arg(long)]
    missing: bool,
    #[command(flatten)]
    set: Set,
}

/// Get the source files that packages and images need, without building.
///
/// A file that no place has does not keep the others from being fetched. It ends with this
/// command; what came is kept.
#[derive(Debug, Args)]
pub(crate) struct Fetch {
    /// Packages and images; none: all images.
    #[arg(value_name = "TARGET", add = complete::targets())]
    targets: Vec<String>,
    #[command(flatten)]
    set: Set,
    /// The toolchain, whose packages are fetched for, too; default: the set's.
    #[arg(long, value_name = "NAME", add = complete::toolchains())]
    toolchain: Option<String>,
}

/// Read the source files in the store again, and hold them against their SHA-256.
///
/// One that is damaged is put aside: fetch it again.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    set: Set,
}

/// Which release set.
#[derive(Debug, Args)]
struct Set {
    /// The release set; default: the configured one, or the only one.
    #[arg(long, value_name = "SET", add = complete::sets())]
    set: Option<String>,
}

impl Set {
    fn name(self) -> String {
        self.set.unwrap_or_default()
    }
}

impl Source {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Source::List(args) => list(session, args).await,
            Source::Fetch(args) => fetch(session, args).await,
            Source::Add(args) => args.run(session).await,
            Source::Verify(args) => verify(session, args).await,
        }
    }
}

async fn list(session: &Session, args: List) -> Result<Exit, Failure> {
    let output = &session.output;
    let mut service = session.daemon().await?.sources();
    let call = service.list_sources(ListSourcesRequest { set: args.set.name() });
    let mut sources = answer(call).await.context(|| "cannot list the sources".to_owned())?.sources;
    sources.retain(|it| !args.missing || !it.stored);
    if !output.is_table() {
        let sources = sources.iter().map(SourceView::from).collect();
        output.document(&SourcesView { sources })?;
    } else if output.quiet {
        let names: String = sources.iter().map(|it| plain(&it.file) + "\n").collect();
        output.text(&names)?;
    } else if sources.is_empty() {
        output.note("There are none.");
    } else {
        output.text(&table(&sources, output))?;
    }
    Ok(Exit::Ok)
}

fn table(sources: &[File], output: &Output) -> String {
    let mut table = Table::new(&[
        ("FILE", Align::Elastic),
        ("SIZE", Align::Right),
        ("SHA256", Align::Left),
        ("STORE", Align::Left),
        ("FOR", Align::Elastic),
    ]);
    for source in sources {
        let (word, colour) = match source.stored {
            true => ("there", Colour::Green),
            false => ("-", Colour::Dim),
        };
        let hash: String = source.sha256.chars().take(12).collect();
        table.row([
            source.file.as_str().into(),
            size(source.size).into(),
            hash.into(),
            Cell::coloured(word, Some(colour)),
            source.packages.join(",").into(),
        ]);
    }
    table.render(output.width, output.colour)
}

/// What became of the files of a stream.
#[derive(Default)]
struct Heard {
    there: Vec<(String, String)>,
    wrong: Vec<(String, String)>,
}

impl Heard {
    /// Takes an event in, and tells it.
    fn hear(&mut self, event: SourceEvent, lines: &mut Lines) {
        match event.kind {
            Some(Kind::Begun(file)) => lines.draw(&[format!("{} ...", plain(&file))]),
            Some(Kind::Note(text)) => lines.tell(&format!("note     {}", plain(&text))),
            Some(Kind::There(there)) => {
                lines.tell(&plain(&format!("there    {} from {}", there.file, there.from)));
                self.there.push((there.file, there.from));
            }
            Some(Kind::Missing(missing)) => {
                lines.tell(&plain(&format!("MISSING  {}", missing.file)));
                self.wrong.push((missing.file, missing.reason));
            }
            Some(Kind::Damaged(damaged)) => {
                lines.tell(&plain(&format!("DAMAGED  {}: {}", damaged.file, damaged.reason)));
                self.wrong.push((damaged.file, damaged.reason));
            }
            Some(Kind::Total(_)) | None => {}
        }
    }
}

async fn fetch(session: &Session, args: Fetch) -> Result<Exit, Failure> {
    let output = &session.output;
    let tried = || "cannot fetch the sources".to_owned();
    let request = BuildRequest {
        set: args.set.name(),
        targets: args.targets,
        toolchain: args.toolchain.unwrap_or_default(),
        ..BuildRequest::default()
    };
    let mut service = session.daemon().await?.sources();
    let mut events = service.fetch_sources(request).await.context(tried)?.into_inner();
    let (mut heard, mut lines) = (Heard::default(), Lines::new(output));
    while let Some(event) = events.message().await.context(tried)? {
        heard.hear(event, &mut lines);
    }
    lines.clear();
    if !output.is_table() {
        output.document(&FetchedView::new(&heard.there, &heard.wrong))?;
    }
    let Some((first, reason)) = heard.wrong.first() else {
        if output.is_table() && !output.quiet {
            output.text(&format!("{} files are there\n", heard.there.len()))?;
        }
        return Ok(Exit::Ok);
    };
    let message = match heard.wrong.len() {
        1 => format!("no place has {first}"),
        count => format!("no place has {first}, nor {} others", count - 1),
    };
    Err(Failure::new(Exit::Failed, message)
        .cause(reason)
        .hint(format!("get it by hand, then: xlfsctl source add {first}"))
        .context("cannot fetch all sources"))
}

async fn verify(session: &Session, args: Verify) -> Result<Exit, Failure> {
    let output = &session.output;
    let tried = || "cannot verify the sources".to_owned();
    let request = VerifySourcesRequest { set: args.set.name() };
    let mut service = session.daemon().await?.sources();
    let mut events = service.verify_sources(request).await.context(tried)?.into_inner();
    let (mut heard, mut lines) = (Heard::default(), Lines::new(output));
    while let Some(event) = events.message().await.context(tried)? {
        // Those that are as they should be are only counted.
        match event.kind {
            Some(Kind::There(there)) => heard.there.push((there.file, there.from)),
            _ => heard.hear(event, &mut lines),
        }
    }
    lines.clear();
    if !output.is_table() {
        output.document(&CheckedView::new(&heard.there, &heard.wrong))?;
    } else if !output.quiet {
        let (good, bad) = (heard.there.len(), heard.wrong.len());
        output.text(&format!("{} files read, {bad} of them damaged\n", good + bad))?;
    }
    match heard.wrong.is_empty() {
        true => Ok(Exit::Ok),
        false => {
            output.note("They are put aside. Get them again: xlfsctl source fetch");
            Ok(Exit::Failed)
        }
    }
}
