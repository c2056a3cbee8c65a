//! `logs`: what a guest's console has printed.

use std::io::IsTerminal as _;

use clap::Args;
use xlfs_proto::v1::ReadConsoleLogRequest;
use xlfs_proto::v1::console_output::Part;

use super::Session;
use crate::complete;
use crate::errors::{Context as _, Failure};
use crate::exit::Exit;
use crate::output::guest_text::GuestText;
use crate::output::text::plain;
use crate::output::to_stderr;

/// Print what a guest's console log holds.
///
/// On a terminal, control sequences other than colours are shown and not acted
/// upon; elsewhere the bytes come as the guest wrote them.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The guest.
    #[arg(add = complete::guests())]
    name: String,
    /// Go on with new output.
    #[arg(long)]
    follow: bool,
    /// Only about this many of the last bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 0, hide_default_value = true)]
    tail: u64,
    /// Let control sequences through to the terminal.
    #[arg(long)]
    raw: bool,
}

impl Logs {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let tried = || format!("cannot read the console log of guest \"{}\"", self.name);
        let request =
            ReadConsoleLogRequest { name: self.name.clone(), follow: self.follow, tail: self.tail };
        let reply = session.daemon().await?.consoles().read_log(request).await.context(tried)?;
        let mut stream = reply.into_inner();
        let mut filter = (std::io::stdout().is_terminal() && !self.raw).then(GuestText::default);
        while let Some(output) = stream.message().await.context(tried)? {
            match output.part {
                Some(Part::Data(bytes)) => {
                    let bytes = filter.as_mut().map_or_else(|| bytes.clone(), |f| f.pass(&bytes));
                    session.output.bytes(&bytes)?;
                }
                Some(Part::Gap(missing)) => {
                    to_stderr(&format!("\n[xlfsctl: {missing} bytes are missing here]\n"));
                }
                Some(Part::Notice(text)) => {
                    to_stderr(&format!("\n[xlfsctl: {}]\n", plain(&text)));
                }
                None => {}
            }
        }
        if let Some(end) = filter.as_ref().and_then(GuestText::end) {
            session.output.text(end)?;
        }
        Ok(Exit::Ok)
    }
}
