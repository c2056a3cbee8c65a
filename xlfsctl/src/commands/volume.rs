//! `volume`: the disks of guests, and those that are kept without one.

use clap::{Args, Subcommand};
use tonic::transport::Channel;
use xlfs_proto::v1::volume_service_client::VolumeServiceClient;
use xlfs_proto::v1::{
    CloneVolumeRequest, CreateVolumeRequest, DeleteVolumeRequest, GetVolumeRequest,
    GrowVolumeRequest, ListVolumesRequest, Volume as Stored, VolumeHolder,
};

use super::change::{Verb, apply_to};
use super::image::size;
use super::{Session, answer};
use crate::cli::Change;
use crate::complete;
use crate::errors::{Context as _, Failure};
use crate::exit::Exit;
use crate::output::facts::Facts;
use crate::output::table::{Align, Table};
use crate::output::text::plain;
use crate::output::view::volume::{VolumeView, VolumesView, kind_word};
use crate::output::{Output, time};
use crate::words::memory_mib;

type Volumes = VolumeServiceClient<Channel>;

/// Volumes: the disks of guests, and those that are kept without one.
#[derive(Debug, Subcommand)]
pub(crate) enum Volume {
    List(List),
    Show(Show),
    Create(Create),
    Grow(Grow),
    Clone(CloneVolume),
    Delete(Delete),
}

/// List the volumes, and which guests have them.
///
/// A disk of a guest that runs or is paused is marked with '*', one that the
/// guest only reads with "(ro)".
#[derive(Debug, Args)]
pub(crate) struct List {}

/// Show everything about a volume.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The volume: its name or its UUID.
    #[arg(value_name = "VOLUME", add = complete::volumes())]
    reference: String,
}

/// Make a volume that no guest has yet.
///
/// It stays until it is deleted. A guest gets it with
/// "xlfsctl create --disk xvdb,volume=NAME".
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The volume's name: a-z, 0-9, '-', '.'.
    name: String,
    /// Its size: 10G, 512M, or a number of MiB. Default: that of the image.
    #[arg(short, long, value_name = "SIZE", value_parser = memory_mib)]
    #[arg(required_unless_present = "image")]
    size: Option<u64>,
    /// The disk image that it begins as. Default: zeros.
    #[arg(short, long, value_name = "IMAGE", add = complete::images())]
    image: Option<String>,
    /// The pool that it is in. Default: the first one.
    #[arg(short, long, value_name = "POOL", add = complete::pools())]
    pool: Option<String>,
    #[command(flatten)]
    change: Change,
}

/// Make a volume larger.
///
/// Its guest must be stopped. What is added reads as zeros; the file system in
/// the volume is the guest's to grow.
#[derive(Debug, Args)]
pub(crate) struct Grow {
    /// The volume.
    #[arg(value_name = "VOLUME", add = complete::volumes())]
    reference: String,
    /// The size that it is to have: 20G, 512M, or a number of MiB.
    #[arg(value_name = "SIZE", value_parser = memory_mib)]
    size: u64,
    #[command(flatten)]
    change: Change,
}

/// Make an independent copy of a volume.
///
/// No running guest may write it meanwhile. "xlfsctl pool list" says whether the
/// copy shares blocks with it, or takes as much space again.
#[derive(Debug, Args)]
pub(crate) struct CloneVolume {
    /// The volume.
    #[arg(value_name = "VOLUME", add = complete::volumes())]
    reference: String,
    /// The copy's name.
    #[arg(value_name = "NEW")]
    name: String,
    /// The pool that the copy is in. Default: the same.
    #[arg(short, long, value_name = "POOL", add = complete::pools())]
    pool: Option<String>,
    #[command(flatten)]
    change: Change,
}

/// Delete volumes that no guest has, with all that is in them.
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The volumes.
    #[arg(required = true, value_name = "VOLUME", add = complete::free_volumes())]
    references: Vec<String>,
    #[command(flatten)]
    change: Change,
}

impl Volume {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Volume::List(List {}) => list(session).await,
            Volume::Show(args) => show(session, args.reference).await,
            Volume::Create(args) => args.run(session).await,
            Volume::Grow(args) => args.run(session).await,
            Volume::Clone(args) => args.run(session).await,
            Volume::Delete(args) => args.run(session).await,
        }
    }
}

fn verb(word: &'static str) -> Verb {
    Verb { word, phrase: word, noun: "volume" }
}

impl Create {
    async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let request = CreateVolumeRequest {
            name: self.name.clone(),
            size_bytes: self.size.unwrap_or_default() << 20,
            image: self.image.unwrap_or_default(),
            pool: self.pool.unwrap_or_default(),
            dry_run: self.change.dry_run,
        };
        let client = session.daemon().await?.volumes();
        let call = async |mut volumes: Volumes, _| volumes.create_volume(request.clone()).await;
        apply_to(session, &self.change, verb("create"), &[self.name], client, call).await
    }
}

impl Grow {
    async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let (size_bytes, dry_run) = (self.size << 20, self.change.dry_run);
        let client = session.daemon().await?.volumes();
        let call = async |mut volumes: Volumes, reference| {
            volumes.grow_volume(GrowVolumeRequest { reference, size_bytes, dry_run }).await
        };
        apply_to(session, &self.change, verb("grow"), &[self.reference], client, call).await
    }
}

impl CloneVolume {
    async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let (name, pool) = (self.name, self.pool.unwrap_or_default());
        let dry_run = self.change.dry_run;
        let client = session.daemon().await?.volumes();
        let call = async |mut volumes: Volumes, reference| {
            let (name, pool) = (name.clone(), pool.clone());
            volumes.clone_volume(CloneVolumeRequest { reference, name, pool, dry_run }).await
        };
        apply_to(session, &self.change, verb("clone"), &[self.reference], client, call).await
    }
}

impl Delete {
    async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let dry_run = self.change.dry_run;
        let client = session.daemon().await?.volumes();
        let call = async |mut volumes: Volumes, reference| {
            volumes.delete_volume(DeleteVolumeRequest { reference, dry_run }).await
        };
        apply_to(session, &self.change, verb("delete"), &self.references, client, call).await
    }
}

async fn list(session: &Session) -> Result<Exit, Failure> {
    let output = &session.output;
    let mut client = session.daemon().await?.volumes();
    let call = client.list_volumes(ListVolumesRequest {});
    let volumes = answer(call).await.context(|| "cannot list the volumes".to_owned())?.volumes;
    if !output.is_table() {
        output
            .document(&VolumesView { volumes: volumes.iter().map(VolumeView::from).collect() })?;
    } else if output.quiet {
        let names = volumes.iter().map(|volume| plain(&volume.name) + "\n");
        output.text(&names.collect::<String>())?;
    } else if volumes.is_empty() {
        output.note("There are no volumes. Make one: xlfsctl volume create NAME --size 10G");
    } else {
        output.text(&table(&volumes, output))?;
        for volume in volumes.iter().filter(|volume| !volume.problem.is_empty()) {
            output.note(&format!("{}: {}", plain(&volume.name), plain(&volume.problem)));
        }
    }
    Ok(Exit::Ok)
}

async fn show(session: &Session, reference: String) -> Result<Exit, Failure> {
    let tried = format!("cannot show volume \"{reference}\"");
    let mut client = session.daemon().await?.volumes();
    let call = client.get_volume(GetVolumeRequest { reference });
    let volume = answer(call).await.context(|| tried)?;
    match session.output.is_table() {
        true => session.output.text(&facts(&volume, &session.output))?,
        false => session.output.document(&VolumeView::from(&volume))?,
    }
    Ok(Exit::Ok)
}

fn table(volumes: &[Stored], output: &Output) -> String {
    let mut table = Table::new(&[
        ("NAME", Align::Elastic),
        ("POOL", Align::Elastic),
        ("SIZE", Align::Right),
        ("USED", Align::Right),
        ("KIND", Align::Left),
        ("KEPT", Align::Left),
        ("AGE", Align::Right),
        ("GUESTS", Align::Elastic),
    ]);
    for volume in volumes {
        let dash = || "-".to_owned();
        let holders: Vec<_> = volume.holders.iter().map(holder).collect();
        table.row([
            volume.name.as_str().into(),
            volume.pool.as_str().into(),
            size(volume.size_bytes).into(),
            volume.allocated_bytes.map_or_else(dash, size).into(),
            kind_word(volume.kind()).into(),
            (if volume.kept { "yes" } else { "no" }).into(),
            volume.created.as_ref().and_then(time::age).unwrap_or_else(dash).into(),
            (if holders.is_empty() { dash() } else { holders.join(",") }).into(),
        ]);
    }
    table.render(output.width, output.colour)
}

/// `web:xvda*`, `web:xvdb(ro)`.
fn holder(holder: &VolumeHolder) -> String {
    let read_only = if holder.read_only { "(ro)" } else { "" };
    let attached = if holder.attached { "*" } else { "" };
    format!("{}:{}{read_only}{attached}", holder.guest, holder.disk)
}

fn facts(volume: &Stored, output: &Output) -> String {
    let heading = format!("{}: {}", volume.name, size(volume.size_bytes));
    let mut facts = Facts::new(output, &heading);
    facts.fact("Problem", &volume.problem);
    facts.fact("UUID", &volume.uuid);
    facts.fact("Pool", &volume.pool);
    facts.fact("Size", format!("{} bytes", volume.size_bytes));
    let used = volume.allocated_bytes.map(|bytes| format!("{bytes} bytes of its pool"));
    facts.fact("Used", used.unwrap_or_default());
    facts.fact("Kind", kind_word(volume.kind()));
    facts.fact("Image", &volume.image_digest);
    facts.fact("Copy of", &volume.copy_of);
    facts.many(
        "Guests",
        match volume.holders.as_slice() {
            [] => vec!["none".to_owned()],
            holders => holders.iter().map(sentence).collect(),
        },
    );
    facts.fact(
        "Kept",
        match (volume.kept, volume.holders.is_empty()) {
            (true, true) => "until it is deleted",
            (true, false) => "when its guest is deleted",
            (false, _) => "no, it goes with its guest",
        },
    );
    facts.fact("Created", volume.created.as_ref().and_then(time::for_people).unwrap_or_default());
    facts.into_text()
}

/// `web, as xvda, attached now`.
fn sentence(holder: &VolumeHolder) -> String {
    let mut text = format!("{}, as {}", holder.guest, holder.disk);
    if !holder.snapshot.is_empty() {
        text.push_str(&format!(" of its snapshot {}", holder.snapshot));
    }
    if holder.read_only && holder.snapshot.is_empty() {
        text.push_str(", read-only");
    }
    if holder.attached {
        text.push_str(", attached now");
    }
    text
}
