//! `clone`: a guest like another one.

use clap::Args;
use xlfs_proto::v1::{CloneDomainRequest, Operation};

use super::Session;
use super::change::{Domains, Verb, apply};
use super::create::configuration::Configuration;
use super::create::parameters;
use crate::cli::Change;
use crate::complete;
use crate::errors::Failure;
use crate::exit::Exit;
use crate::words::{Setting, memory_mib, setting};

/// Make a copy of a stopped or paused guest, disks and all.
///
/// It has a name, a UUID and MAC addresses of its own, and is not started unless
/// asked for. What is not given is as the other guest has it: memory, parameters
/// (secrets too), networks and configuration. A guest with static addresses is
/// cloned with --ip, as no two guests can have the same.
#[derive(Debug, Args)]
pub(crate) struct Clone {
    /// The guest that is copied.
    #[arg(value_name = "GUEST", add = complete::guests_for(Operation::Clone))]
    source: String,
    /// The new guest's name, as a host name: a-z, 0-9, '-', '.'.
    #[arg(value_name = "NEW")]
    name: String,
    /// A parameter of the template; once for each.
    #[arg(short, long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<Setting>,
    /// The same, read from a file ("-": standard input); for secrets.
    #[arg(long = "set-file", value_name = "NAME=FILE", value_parser = setting)]
    setting_files: Vec<Setting>,
    /// Memory: 256M, 1G, or a number of MiB.
    #[arg(short, long, value_name = "SIZE", value_parser = memory_mib)]
    memory: Option<u64>,
    /// Virtual CPUs.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    vcpus: Option<u32>,
    /// Start it.
    #[arg(long)]
    start: bool,
    #[command(flatten)]
    configuration: Configuration,
    #[command(flatten)]
    change: Change,
}

impl Clone {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let (nics, configuration) = self.configuration.into_request();
        let request = CloneDomainRequest {
            name: self.source.clone(),
            new_name: self.name,
            parameters: parameters(self.settings, self.setting_files)?,
            memory_mib: self.memory,
            vcpus: self.vcpus,
            nics,
            configuration,
            start: self.start,
            dry_run: self.change.dry_run,
        };
        let call = async |mut domains: Domains, _| domains.clone_domain(request.clone()).await;
        apply(session, &self.change, Verb::of(Operation::Clone), &[self.source], call).await
    }
}
