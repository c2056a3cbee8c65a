//! `host slots|upgrade|rollback|reboot|poweroff`: the root slots of a host that boots
//! from its own disk, and its end.

use std::path::Path;
use std::time::Duration;

use clap::{Args, ValueHint};
use tonic::transport::Channel;
use xlfs_proto::v1::slot_service_client::SlotServiceClient;
use xlfs_proto::v1::{
    ListSlotsRequest, RestartHostRequest, RollBackHostRequest, Slot, UpgradeHostRequest,
};

use super::super::change::{Verb, apply_to};
use super::super::image::import_disk;
use super::super::{Session, answer};
use crate::cli::Change;
use crate::complete;
use crate::errors::{Context as _, Failure};
use crate::exit::Exit;
use crate::output::table::{Align, Table};
use crate::output::text::plain;
use crate::output::view::slot::{SlotView, SlotsView, state_word};
use crate::output::{Output, time};

type Slots = SlotServiceClient<Channel>;

/// Show the two root slots: which runs, which is good, what is in them.
///
/// "good" is the slot that is started unless something else was asked for, "next" the
/// one that is started next.
#[derive(Debug, Args)]
pub(crate) struct List {}

/// Write an image into the slot that does not run, and start it.
///
/// Guests are shut down in order first, and those that ran are started again after it.
/// The slot is started once: when xlfsd's checks pass there (xenstore, networks, pools,
/// sshd), it is the good one; otherwise, and when anything hangs or panics, the slot
/// that runs now is started again, by itself and within a minute.
#[derive(Debug, Args)]
pub(crate) struct Upgrade {
    /// A disk image of the store, or the path of a file (dom0.ext4), which is imported.
    #[arg(add = complete::images(), value_hint = ValueHint::FilePath)]
    image: String,
    /// Write it only; it is tried at the host's next start.
    #[arg(long)]
    no_reboot: bool,
    #[command(flatten)]
    end: End,
    #[command(flatten)]
    change: Change,
}

/// Start the other slot, if it is known to work.
#[derive(Debug, Args)]
pub(crate) struct Rollback {
    #[command(flatten)]
    end: End,
    #[command(flatten)]
    change: Change,
}

/// Shut the guests down in order, then restart the host.
///
/// Guests that ran are started again after it.
#[derive(Debug, Args)]
pub(crate) struct Reboot {
    #[command(flatten)]
    end: End,
    #[command(flatten)]
    change: Change,
}

/// Shut the guests down in order, then switch the host off.
#[derive(Debug, Args)]
pub(crate) struct Poweroff {
    #[command(flatten)]
    end: End,
    #[command(flatten)]
    change: Change,
}

/// How the guests end before the host does.
#[derive(Debug, Args)]
pub(crate) struct End {
    /// How long guests may take to shut down, such as 90s or 5m. Default: 2m.
    #[arg(long, value_name = "TIME", value_parser = crate::words::duration)]
    timeout: Option<Duration>,
    /// Destroy guests that have not shut down when the time is up, and end domains that
    /// xlfs did not make.
    #[arg(long)]
    force: bool,
}

impl End {
    fn timeout(&self) -> Option<prost_types::Duration> {
        self.timeout.and_then(|timeout| timeout.try_into().ok())
    }
}

fn verb(word: &'static str, phrase: &'static str) -> Verb {
    Verb { word, phrase, noun: "host" }
}

impl List {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let output = &session.output;
        let mut client = session.daemon().await?.slots();
        let call = client.list_slots(ListSlotsRequest {});
        let slots = answer(call).await.context(|| "cannot show the slots".to_owned())?.slots;
        if !output.is_table() {
            output.document(&SlotsView { slots: slots.iter().map(SlotView::from).collect() })?;
            return Ok(Exit::Ok);
        }
        output.text(&table(&slots, output))?;
        for slot in slots.iter().filter(|slot| !slot.problem.is_empty()) {
            let when = slot.judged.as_ref().and_then(time::for_people);
            let on = when.map(|when| format!(" on {when}")).unwrap_or_default();
            let told = match state_word(slot.state()) {
                "failed" => format!("slot {}: failed its trial{on}: ", plain(&slot.name)),
                _ => format!("slot {}: ", plain(&slot.name)),
            };
            output.note(&(told + &plain(&slot.problem)));
        }
        Ok(Exit::Ok)
    }
}

impl Upgrade {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let image = match Path::new(&self.image) {
            // An alias has no slash.
            path if self.image.contains('/') || path.is_file() => {
                if self.change.dry_run {
                    let told = "a file is imported first, which a dry run does not do";
                    let hint = format!("xlfsctl image import {} --kind disk", self.image);
                    return Err(Failure::new(Exit::Invalid, told).hint(hint));
                }
                import_disk(session, path).await?
            }
            _ => self.image.clone(),
        };
        let request = UpgradeHostRequest {
            image,
            no_reboot: self.no_reboot,
            force: self.end.force,
            timeout: self.end.timeout(),
            dry_run: self.change.dry_run,
        };
        let call = async |mut slots: Slots, _| slots.upgrade_host(request.clone()).await;
        apply(session, &self.change, verb("upgrade", "upgrade"), call).await
    }
}

impl Rollback {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let request = RollBackHostRequest {
            force: self.end.force,
            timeout: self.end.timeout(),
            dry_run: self.change.dry_run,
        };
        let call = async |mut slots: Slots, _| slots.roll_back_host(request).await;
        apply(session, &self.change, verb("rollback", "roll back"), call).await
    }
}

impl Reboot {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        restart(session, &self.change, &self.end, verb("reboot", "reboot"), false).await
    }
}

impl Poweroff {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        restart(session, &self.change, &self.end, verb("poweroff", "switch off"), true).await
    }
}

async fn restart(
    session: &Session,
    change: &Change,
    end: &End,
    verb: Verb,
    power_off: bool,
) -> Result<Exit, Failure> {
    let request = RestartHostRequest {
        power_off,
        force: end.force,
        timeout: end.timeout(),
        dry_run: change.dry_run,
    };
    let call = async |mut slots: Slots, _| slots.restart_host(request).await;
    apply(session, change, verb, call).await
}

async fn apply(
    session: &Session,
    change: &Change,
    verb: Verb,
    call: impl AsyncFn(
        Slots,
        String,
    ) -> Result<tonic::Response<xlfs_proto::v1::OperationReply>, tonic::Status>,
) -> Result<Exit, Failure> {
    let client = session.daemon().await?.slots();
    apply_to(session, change, verb, &["host".to_owned()], client, call).await
}

fn table(slots: &[Slot], output: &Output) -> String {
    let mut table = Table::new(&[
        ("SLOT", Align::Left),
        ("STATE", Align::Left),
        ("RUNS", Align::Left),
        ("GOOD", Align::Left),
        ("NEXT", Align::Left),
        ("IMAGE", Align::Elastic),
        ("DIGEST", Align::Left),
        ("WRITTEN", Align::Left),
    ]);
    for slot in slots {
        let mark = |yes: bool| if yes { "yes" } else { "" };
        let came = || "with the disk".to_owned();
        let written = match slot.digest.is_empty() {
            true => "-".to_owned(),
            false => slot.written.as_ref().and_then(time::for_people).unwrap_or_else(came),
        };
        let digest: String = slot.digest.chars().take(12).collect();
        let dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        // An image that was given by its digest is called so.
        let image = if slot.image == slot.digest { "" } else { &slot.image };
        table.row([
            slot.name.as_str().into(),
            state_word(slot.state()).into(),
            mark(slot.running).into(),
            mark(slot.good).into(),
            mark(slot.next).into(),
            dash(image).into(),
            dash(&digest).into(),
            written.into(),
        ]);
    }
    table.render(output.width, output.colour)
}
