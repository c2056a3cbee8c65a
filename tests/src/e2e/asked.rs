//! A guest that serves, made with the parameters of `tests/chroot/KIND.py`, and
//! asked by that script from Dom0: the same questions as without Xen, by the
//! programs of the image `clients`. What a reboot keeps is for
//! `tests/templates-in-chroot`, and for the scenario `lapp`.

use std::time::Duration;

use super::documents::Results;
use super::guests::one;
use super::host::{Host, Setup, parse, succeeded};
use super::services::host_for;
use super::{Outcome, ScenarioError, check};
use crate::dom0::Output;
use crate::images::{self, Kind};
use crate::pieces::{self, Choice};
use crate::qemu::Disk;

/// The guest's address in tests/e2e/services.toml and in the scripts.
pub(super) const GUEST: &str = "10.77.0.2";
/// How Dom0 logs in to the guest; all log-ins share a connection.
const SSH: &str = "ssh -n -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
                   -o ControlMaster=auto -o ControlPath=/tmp/ssh -o ControlPersist=1h root@10.77.0.2";
/// For the first boot, and for all questions together.
const DEADLINE: Duration = Duration::from_secs(900);
/// Where the scripts have their files, as clients see it.
const WORK: &str = "/check/work";
const SCRIPTS: [(&str, &str); 4] = [
    ("guest.py", include_str!("../../chroot/guest.py")),
    ("dkim.py", include_str!("../../chroot/dkim.py")),
    ("mail.py", include_str!("../../chroot/mail.py")),
    ("dns.py", include_str!("../../chroot/dns.py")),
];

/// A guest and its host.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) host: Host,
    /// The guest's name.
    pub(super) guest: String,
    kind: Kind,
}

impl Asked {
    /// Makes the guest, with MiB of memory, and waits until it is set up.
    pub(super) fn make(kind: Kind, memory: &str) -> Outcome<Self> {
        let pieces = pieces::gather(&Choice::from_env(), false)?;
        let clients = images::root(&pieces.cache, Kind::Clients)?;
        let setup = Setup {
            disks: vec![Disk { path: clients, read_only: true }],
            prepare: include_str!("../../e2e/clients-prepare"),
            config: include_str!("../../e2e/services.toml"),
            ..Setup::default()
        };
        let host = host_for(kind, setup)?;
        host.dom0().sh(&format!("mkdir -p /clients{WORK}"))?;
        for (name, text) in SCRIPTS {
            host.dom0().write(&format!("/clients/check/{name}"), text)?;
        }
        let asked = Self { host, guest: format!("{kind}.example.org"), kind };
        asked.create(memory)?;
        asked.is_up()?;
        Ok(asked)
    }

    fn create(&self, memory: &str) -> Outcome {
        let host = &self.host;
        let parameters = self.script("parameters")?;
        check(parameters.success(), "the guest's parameters", &parameters)?;
        let key = host.dom0().sh("cat /clients/root/.ssh/id_ed25519.pub")?.stdout;
        let address = format!("{GUEST}/24");
        let mut words = vec!["xlfsctl", "-o", "json", "create", &self.guest];
        words.extend(["--template", self.kind.name(), "--memory", memory, "--ip", &address]);
        words.extend(["--ssh-key", key.trim()]);
        // Each gigabyte to grow by is 15 s for an emulated guest.
        words.extend(["--disk", "xvda,size=1G"]);
        let options: Vec<_> = parameters
            .stdout
            .lines()
            .map(|line| match line.split_once("=@") {
                Some((name, path)) => ("--set-file", format!("{name}=/clients{path}")),
                None => ("--set", line.to_owned()),
            })
            .collect();
        for (option, value) in &options {
            words.extend([*option, value]);
        }
        let line = words[3..].join(" ");
        let output = host.dom0().command(words).run()?;
        succeeded(&line, &output)?;
        let made = one(parse::<Results>(&line, &output.stdout)?)?;
        let secrets = made.generated.iter().map(|(name, value)| format!("{name}={value}\n"));
        Ok(host.dom0().write(&format!("/clients{WORK}/generated"), secrets.collect::<String>())?)
    }

    /// Waits until the guest is set up, and puts its configuration disk where
    /// the scripts look for it.
    fn is_up(&self) -> Outcome {
        self.host.printed_within(&self.guest, "xlfs-first-boot: done", DEADLINE)?;
        let console = self.host.console_of(&self.guest)?;
        self.host.dom0().write(&format!("/clients{WORK}/console"), console)?;
        let mount = "mkdir -p /xlfs-seed && mount -o ro $(blkid -L CIDATA) /xlfs-seed";
        let mounted = self.client(SSH.split_whitespace().chain([mount]))?;
        check(mounted.success(), "the configuration disk in the guest, by ssh", &mounted)
    }

    /// Runs a program of the image `clients` to its end.
    pub(super) fn client<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Outcome<Output> {
        let words = ["chroot", "/clients"].into_iter().chain(words);
        let command = self.host.dom0().command(words).deadline(DEADLINE);
        Ok(command.env("XLFS_IN_GUEST", SSH).env("XLFS_WORK", WORK).run()?)
    }

    /// Has the script ask, and holds that all is as it should be.
    pub(super) fn check(&self, what: &str) -> Outcome {
        let output = self.script(what)?;
        if output.success() {
            return Ok(());
        }
        let logs = "tail -n 15 /var/log/mail.log /var/log/syslog /var/log/xlfs-first-boot.log";
        let logs = self.client(SSH.split_whitespace().chain([logs]))?;
        Err(ScenarioError::Broken {
            expected: format!("{what} of {}.py to find all as it should be", self.kind),
            observed: format!("{output}\nlogs: {}", logs.stdout),
        })
    }

    fn script(&self, what: &str) -> Outcome<Output> {
        let script = format!("/check/{}.py", self.kind);
        self.client(["python3", "-B", &script, what])
    }
}
