//! Rules in the kernel, by the program `nft`.
//!
//! It is run without a shell and without an environment, by an absolute path
//! that is found and checked when the daemon starts; rules reach it on its
//! standard input. Its JSON (`libnftables-json(5)`) says what is in the kernel.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::rules::{HOOKS, PRIORITY, RULES, Ruleset, removal, table, vif_of};
use super::{Filters, Identity};
use crate::network::LinkName;
use crate::problem::Problem;

/// Where distributions have it.
const PLACES: [&str; 3] = ["/usr/sbin/nft", "/sbin/nft", "/usr/local/sbin/nft"];
/// It only waits for other changes of the firewall.
const DEADLINE: Duration = Duration::from_secs(30);
/// All tables of a host with ten thousand vifs are listed in less.
const MAX_OUTPUT: u64 = 8 << 20;

/// Why `nft` cannot be used, or did not do it.
#[derive(Debug, thiserror::Error)]
enum NftError {
    #[error("there is no program nft in {}", PLACES.join(", "))]
    Missing,
    #[error("{} cannot be looked at", path.display())]
    Look {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is not used: {why}", path.display())]
    Unsafe { path: PathBuf, why: &'static str },
    #[error("{} cannot be run", path.display())]
    Run {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("nft did not end within {} s", DEADLINE.as_secs())]
    TooSlow,
    #[error("nft says: {text}")]
    Failed { text: String },
    #[error("nft's list makes no sense: {why}")]
    Senseless { why: String },
}

/// The real firewall; `Err` inside: there is none, and this is why.
#[derive(Debug)]
pub struct Nft {
    program: Result<PathBuf, NftError>,
}

impl Nft {
    /// Looks for the program. A host without one is fine as long as no guest
    /// asks for anti-spoofing: then FIREWALL_MISSING says why.
    pub fn find() -> Self {
        let place = PLACES.iter().map(Path::new).find(|path| path.exists());
        Self { program: place.ok_or(NftError::Missing).and_then(check) }
    }

    /// A program at a certain place, checked as well.
    pub fn at(path: &Path) -> Self {
        Self { program: check(path) }
    }

    fn program(&self) -> Result<&Path, Problem> {
        self.program.as_deref().map_err(|error| {
            Problem::failed_precondition(
                "FIREWALL_MISSING",
                "anti-spoofing needs the program nft, which this host does not have",
            )
            .cause(error)
            .hint(
                "Install nftables in Dom0 and restart xlfsd, or create the guest without \
                 anti-spoofing.",
            )
        })
    }

    /// Names of all tables of family bridge.
    async fn tables(&self, program: &Path) -> Result<Vec<String>, NftError> {
        let list = list(program, &["-j", "list", "tables", "bridge"]).await?;
        let names = list.iter().filter_map(|item| item["table"]["name"].as_str());
        Ok(names.map(str::to_owned).collect())
    }
}

/// What it links to, if nobody but root (or who we are) can change it.
fn check(path: &Path) -> Result<PathBuf, NftError> {
    let look = |source| NftError::Look { path: path.to_owned(), source };
    let real = path.canonicalize().map_err(look)?;
    let about = real.metadata().map_err(look)?;
    let me = nix::unistd::geteuid().as_raw();
    let why = match about.mode() {
        _ if !about.is_file() => "it is no file",
        _ if about.uid() != 0 && about.uid() != me => "it belongs to somebody else",
        mode if mode & 0o022 != 0 => "others may write to it",
        mode if mode & 0o111 == 0 => "it cannot be executed",
        _ => return Ok(real),
    };
    Err(NftError::Unsafe { path: real, why })
}

/// Runs it to its end and gives what it printed.
async fn run(program: &Path, args: &[&str], input: &str) -> Result<Vec<u8>, NftError> {
    let failed = |source| NftError::Run { path: program.to_owned(), source };
    let mut child = Command::new(program)
        .args(args)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        match stdin {
            // One that ended already says on its standard error why.
            Some(mut stdin) => match stdin.write_all(input.as_bytes()).await {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
                _ => Ok(()),
            },
            None => Ok(()),
        }
    };
    let work = async { tokio::try_join!(feed, read(stdout), read(stderr), child.wait()) };
    let ended = tokio::time::timeout(DEADLINE, work).await.map_err(|_| NftError::TooSlow)?;
    let ((), printed, complaints, status) = ended.map_err(failed)?;
    if status.success() {
        return Ok(printed);
    }
    let text = String::from_utf8_lossy(&complaints);
    // The first line says what is wrong, the others show where.
    let text = text.lines().next().filter(|line| !line.is_empty());
    let text = text.map_or_else(|| status.to_string(), |line| line.chars().take(300).collect());
    Err(NftError::Failed { text })
}

async fn read(pipe: Option<impl tokio::io::AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(MAX_OUTPUT).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// Runs it, and gives the items of the list that it prints.
async fn list(program: &Path, args: &[&str]) -> Result<Vec<Value>, NftError> {
    let printed = run(program, args, "").await?;
    let mut list: Value = serde_json::from_slice(&printed)
        .map_err(|error| NftError::Senseless { why: error.to_string() })?;
    match list["nftables"].take() {
        Value::Array(items) => Ok(items),
        _ => Err(NftError::Senseless { why: "it has no items".into() }),
    }
}

/// What is not as it should be in the list of a table.
fn mistake(items: &[Value], wanted: &Ruleset) -> Option<String> {
    let rules = |chain: &str| -> Vec<&Value> {
        let all = items.iter().map(|item| &item["rule"]);
        all.filter(|rule| rule["chain"] == chain).collect()
    };
    let (found, wanted_rules) = (rules(RULES).len(), wanted.rules.len());
    if found != wanted_rules {
        return Some(format!("{found} of {wanted_rules} rules are there"));
    }
    for (chain, hook) in HOOKS {
        let is_hooked = items.iter().map(|item| &item["chain"]).any(|found| {
            found["name"] == chain && found["hook"] == hook && found["prio"] == PRIORITY
        });
        let jumps = matches!(rules(chain)[..], [rule]
            if rule["expr"][0]["match"]["right"] == wanted.vif.as_str()
                && rule["expr"][1]["jump"]["target"] == RULES);
        if !is_hooked || !jumps {
            return Some(format!("nothing passes through the chain {chain}"));
        }
    }
    None
}

#[async_trait]
impl Filters for Nft {
    async fn guard(&self, vif: &LinkName, identity: &Identity) -> Result<(), Problem> {
        let program = self.program()?;
        let failed = |error: NftError| {
            Problem::failed_precondition(
                "FIREWALL_FAILED",
                format!("cannot hold {vif} to its guest's addresses"),
            )
            .cause(&error)
            .hint(
                "Anti-spoofing needs a kernel with nf_tables for bridges (CONFIG_NF_TABLES_BRIDGE), \
                 and xlfsd needs CAP_NET_ADMIN.",
            )
        };
        let ruleset = Ruleset::new(vif, identity);
        run(program, &["-f", "-"], &ruleset.script()).await.map_err(failed)?;
        let name = table(vif);
        let items =
            list(program, &["-j", "list", "table", "bridge", &name]).await.map_err(failed)?;
        match mistake(&items, &ruleset) {
            None => Ok(()),
            Some(why) => Err(failed(NftError::Senseless { why })),
        }
    }

    async fn release(&self, vif: &LinkName) -> Result<(), Problem> {
        // Without the program, nothing was ever put there.
        let Ok(program) = &self.program else { return Ok(()) };
        let failed = |error: NftError| {
            Problem::internal(format!("cannot remove the firewall's rules of {vif}"))
                .cause(&error)
                .leftover(format!("nftables: table bridge {}", table(vif)))
        };
        run(program, &["-f", "-"], &removal(vif)).await.map_err(failed)?;
        if self.tables(program).await.map_err(failed)?.contains(&table(vif)) {
            return Err(failed(NftError::Senseless { why: "the table is still there".into() }));
        }
        Ok(())
    }

    async fn guarded(&self) -> Result<Vec<LinkName>, Problem> {
        let Ok(program) = &self.program else { return Ok(Vec::new()) };
        let tables = self.tables(program).await.map_err(|error| {
            Problem::internal("cannot list the firewall's tables").cause(&error)
        })?;
        let mut vifs: Vec<LinkName> = tables.iter().filter_map(|name| vif_of(name)).collect();
        vifs.sort();
        Ok(vifs)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_program_that_others_can_change_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nft");
        assert!(matches!(check(&path), Err(NftError::Look { .. })));
        assert!(matches!(check(dir.path()), Err(NftError::Unsafe { why: "it is no file", .. })));
        std::fs::write(&path, "").unwrap();
        for (mode, wanted) in [
            (0o755, None),
            (0o775, Some("others may write to it")),
            (0o757, Some("others may write to it")),
            (0o644, Some("it cannot be executed")),
        ] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let why = check(&path).err().map(|error| match error {
                NftError::Unsafe { why, .. } => why,
                other => panic!("{other}"),
            });
            assert_eq!(why, wanted, "{mode:o}");
        }
    }

    #[tokio::test]
    async fn without_the_program_only_who_asks_for_it_is_refused() {
        let nft = Nft::at(Path::new("/nonexistent/nft"));
        let vif: LinkName = "vif7.0".parse().unwrap();
        let identity =
            Identity { mac: "00:16:3e:00:00:01".parse().unwrap(), addresses: Vec::new() };
        let problem = nft.guard(&vif, &identity).await.unwrap_err();
        assert_eq!(problem.reason, "FIREWALL_MISSING");
        assert!(problem.hint.is_some() && !problem.causes.is_empty(), "{problem:#}");
        nft.release(&vif).await.unwrap();
        assert!(nft.guarded().await.unwrap().is_empty());
    }

    /// As nft 1.0.6 lists it.
    fn listed(vif: &str, rules: usize) -> Vec<Value> {
        let chain = |name: &str, hook: &str| serde_json::json!({"chain": {"name": name, "hook": hook, "prio": -300}});
        let jump = |chain: &str| {
            serde_json::json!({"rule": {"chain": chain, "expr": [
                {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": vif}},
                {"jump": {"target": "from-guest"}},
            ]}})
        };
        let mut items = vec![chain("bridged", "prerouting"), chain("to-dom0", "input")];
        items.extend([jump("bridged"), jump("to-dom0")]);
        items.extend((0..rules).map(|_| serde_json::json!({"rule": {"chain": "from-guest"}})));
        items
    }

    #[test]
    fn what_is_missing_in_the_kernel_is_seen() {
        let identity =
            Identity { mac: "00:16:3e:00:00:01".parse().unwrap(), addresses: Vec::new() };
        let wanted = Ruleset::new(&"vif7.0".parse().unwrap(), &identity);
        let all = wanted.rules.len();
        assert_eq!(mistake(&listed("vif7.0", all), &wanted), None);
        assert!(mistake(&[], &wanted).is_some());
        assert!(mistake(&listed("vif7.0", all - 1), &wanted).is_some());
        assert!(mistake(&listed("vif7.1", all), &wanted).is_some());
        for missing in 0..4 {
            let mut items = listed("vif7.0", all);
            items.remove(missing);
            assert!(mistake(&items, &wanted).is_some(), "{missing}");
        }
    }
}
