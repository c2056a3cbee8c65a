//! `snapshot`: what a guest's disks held.

use clap::{Args, Subcommand};
use xlfs_proto::v1::{
    CreateSnapshotRequest, DeleteSnapshotRequest, GetDomainRequest, Operation,
    RestoreSnapshotRequest, Snapshot as Kept,
};

use super::change::{Domains, Verb, apply};
use super::image::size;
use super::{Session, answer};
use crate::cli::Change;
use crate::complete;
use crate::errors::{Context as _, Failure};
use crate::exit::Exit;
use crate::output::table::{Align, Table};
use crate::output::text::plain;
use crate::output::view::domain::{SnapshotView, SnapshotsView};
use crate::output::{Output, time};

/// Snapshots: keep what a guest's disks hold, and bring it back.
#[derive(Debug, Subcommand)]
pub(crate) enum Snapshot {
    Create(Create),
    List(List),
    Restore(Restore),
    Delete(Delete),
}

/// Keep what the disks of a stopped or paused guest hold.
///
/// All disks that the guest writes are kept as they are at one instant; swap is
/// left out. A stopped guest has written all that it meant to. The disks of a
/// paused one are as after a power failure: what it had not written yet is not
/// there.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The guest.
    #[arg(add = complete::guests_for(Operation::Snapshot))]
    guest: String,
    /// The snapshot's name: a-z, 0-9, '-', '.'. Default: snapshot-1 and so on.
    name: Option<String>,
    #[command(flatten)]
    change: Change,
}

/// List the snapshots of a guest.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// The guest.
    #[arg(add = complete::guests())]
    guest: String,
}

/// Have the disks of a stopped guest hold what they held then.
///
/// What they hold now is lost; make a snapshot of it first, if it is worth that.
/// All disks change at once, and the snapshot stays.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The guest.
    #[arg(add = complete::guests_for(Operation::Restore))]
    guest: String,
    /// The snapshot.
    #[arg(add = complete::snapshots())]
    name: String,
    #[command(flatten)]
    change: Change,
}

/// Delete a snapshot, whatever its guest does.
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The guest.
    #[arg(add = complete::guests())]
    guest: String,
    /// The snapshot.
    #[arg(add = complete::snapshots())]
    name: String,
    #[command(flatten)]
    change: Change,
}

const CREATE: Verb = Verb { word: "snapshot", phrase: "make a snapshot of", noun: "guest" };
const RESTORE: Verb = Verb { word: "restore", phrase: "restore a snapshot of", noun: "guest" };
const DELETE: Verb =
    Verb { word: "delete-snapshot", phrase: "delete a snapshot of", noun: "guest" };

impl Snapshot {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Snapshot::Create(args) => args.run(session).await,
            Snapshot::List(args) => args.run(session).await,
            Snapshot::Restore(args) => args.run(session).await,
            Snapshot::Delete(args) => args.run(session).await,
        }
    }
}

impl Create {
    async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let snapshot = self.name.unwrap_or_default();
        let dry_run = self.change.dry_run;
        let call = async |mut domains: Domains, name| {
            let snapshot = snapshot.clone();
            domains.create_snapshot(CreateSnapshotRequest { name, snapshot, dry_run }).await
        };
        apply(session, &self.change, CREATE, &[self.guest], call).await
    }
}

impl Restore {
    async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let (snapshot, dry_run) = (self.name, self.change.dry_run);
        let call = async |mut domains: Domains, name| {
            let snapshot = snapshot.clone();
            domains.restore_snapshot(RestoreSnapshotRequest { name, snapshot, dry_run }).await
        };
        apply(session, &self.change, RESTORE, &[self.guest], call).await
    }
}

impl Delete {
    async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let (snapshot, dry_run) = (self.name, self.change.dry_run);
        let call = async |mut domains: Domains, name| {
            let snapshot = snapshot.clone();
            domains.delete_snapshot(DeleteSnapshotRequest { name, snapshot, dry_run }).await
        };
        apply(session, &self.change, DELETE, &[self.guest], call).await
    }
}

impl List {
    async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let output = &session.output;
        let request = GetDomainRequest { name: self.guest.clone() };
        let mut domains = session.daemon().await?.domains();
        let call = domains.get_domain(request);
        let tried = || format!("cannot list the snapshots of guest \"{}\"", self.guest);
        let snapshots = answer(call).await.context(tried)?.snapshots;
        if !output.is_table() {
            let snapshots = snapshots.iter().map(SnapshotView::from).collect();
            output.document(&SnapshotsView { snapshots })?;
        } else if output.quiet {
            let names = snapshots.iter().map(|snapshot| plain(&snapshot.name) + "\n");
            output.text(&names.collect::<String>())?;
        } else if snapshots.is_empty() {
            let guest = plain(&self.guest);
            output.note(&format!(
                "{guest} has no snapshots. Make one: xlfsctl snapshot create {guest}"
            ));
        } else {
            output.text(&table(&snapshots, output))?;
            for snapshot in snapshots.iter().filter(|snapshot| !snapshot.problem.is_empty()) {
                output.note(&format!("{}: {}", plain(&snapshot.name), plain(&snapshot.problem)));
            }
        }
        Ok(Exit::Ok)
    }
}

fn table(snapshots: &[Kept], output: &Output) -> String {
    let mut table = Table::new(&[
        ("NAME", Align::Elastic),
        ("CREATED", Align::Left),
        ("GUEST WAS", Align::Left),
        ("SIZE", Align::Right),
        ("DISKS", Align::Elastic),
    ]);
    for snapshot in snapshots {
        let created = snapshot.created.as_ref().and_then(time::for_people);
        let disks: Vec<_> = snapshot.disks.iter().map(|disk| disk.name.as_str()).collect();
        table.row([
            snapshot.name.as_str().into(),
            created.unwrap_or_else(|| "-".to_owned()).into(),
            was(snapshot).into(),
            size(snapshot.disks.iter().map(|disk| disk.size_bytes).sum()).into(),
            disks.join(",").into(),
        ]);
    }
    table.render(output.width, output.colour)
}

fn was(snapshot: &Kept) -> &'static str {
    if snapshot.paused { "paused" } else { "stopped" }
}

/// `before-upgrade: 2026-11-22 05:18:00 UTC, stopped, xvda xvdb`
pub(super) fn sentence(snapshot: &Kept) -> String {
    let created = snapshot.created.as_ref().and_then(time::for_people).unwrap_or_default();
    let disks: Vec<_> = snapshot.disks.iter().map(|disk| disk.name.as_str()).collect();
    let mut text = format!("{}: {created}, {}, {}", snapshot.name, was(snapshot), disks.join(" "));
    if !snapshot.problem.is_empty() {
        text.push_str(&format!("; {}", snapshot.problem));
    }
    text
}
