//! `build gc`: results that nobody needs any more.

use clap::Args;
use xlfs_proto::v1::CollectStoreRequest;

use crate::commands::Session;
use crate::commands::image::size;
use crate::complete;
use crate::errors::{Context as _, Failure};
use crate::exit::Exit;
use crate::output::view::result::CollectedView;

/// Remove results that no recipe leads to any more.
///
/// The newest result of each package stays, with each toolchain; so do the images, the logs
/// of failures, and the sources of the set.
#[derive(Debug, Args)]
pub(crate) struct Gc {
    /// The release set; default: the configured one, or the only one.
    #[arg(long, value_name = "SET", add = complete::sets())]
    set: Option<String>,
    /// Only tell what would go.
    #[arg(long)]
    dry_run: bool,
}

impl Gc {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let output = &session.output;
        let dry_run = self.dry_run;
        let request = CollectStoreRequest { set: self.set.unwrap_or_default(), dry_run };
        let mut service = session.daemon().await?.builds();
        let done = service.collect_store(request).await;
        let done = done.context(|| "cannot collect the store".to_owned())?.into_inner();
        if !output.is_table() {
            output.document(&CollectedView::new(&done, dry_run))?;
            return Ok(Exit::Ok);
        }
        let verb = if dry_run { "would remove" } else { "removed" };
        output.text(&format!(
            "{verb} {} results and {} files ({}); {} files stay\n",
            done.results,
            done.files,
            size(done.bytes),
            done.kept
        ))?;
        Ok(Exit::Ok)
    }
}
