//! What a slot must do to be called good: what one needs to run guests on this host,
//! and to get in when something is wrong.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::api::blocking;
use crate::host::Reach;
use crate::network::{Net, Readiness};
use crate::storage::Volumes;

/// How long each check may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where /etc/rc notes that /var is not the data partition.
const NO_DATA: &str = "/run/xlfs/no-data";

/// Says what does not work; nothing, when all does.
#[async_trait]
pub trait Checks: Send + Sync {
    async fn failures(&self) -> Vec<String>;
}

/// The checks of a host: xenstore, networks, storage, sshd.
#[derive(Debug)]
pub struct HostChecks {
    pub reach: Arc<dyn Reach>,
    pub net: Arc<Net>,
    pub volumes: Arc<Volumes>,
    /// Where sshd listens.
    pub sshd: (&'static str, u16),
    pub no_data: PathBuf,
}

impl HostChecks {
    pub fn new(reach: Arc<dyn Reach>, net: Arc<Net>, volumes: Arc<Volumes>) -> Self {
        Self { reach, net, volumes, sshd: ("127.0.0.1", 22), no_data: NO_DATA.into() }
    }

    async fn xenstore(&self) -> Result<(), String> {
        let host = self.reach.reach().await.map_err(|problem| format!("{problem:#}"))?;
        match host.store.read("/local/domain/0/name").await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err("xenstore does not know Dom0".into()),
            Err(error) => Err(format!("xenstore does not answer: {error}")),
        }
    }

    fn networks(&self) -> Result<(), String> {
        for network in self.net.networks.all() {
            match self.net.networks.readiness(&network.name) {
                Readiness::Ready => {}
                Readiness::Unknown => {
                    return Err(format!("network {}: not set up yet", network.name));
                }
                Readiness::Failed(problem) => {
                    return Err(format!("network {}: {problem:#}", network.name));
                }
            }
        }
        Ok(())
    }

    async fn storage(&self) -> Result<(), String> {
        if let Ok(why) = tokio::fs::read_to_string(&self.no_data).await {
            return Err(format!("the data partition is not mounted: {}", why.trim()));
        }
        let volumes = self.volumes.clone();
        let pools = move || {
            let broken = |(name, problem): (&str, &_)| format!("pool {name}: {problem:#}");
            for (name, pool) in volumes.pools().iter() {
                match pool {
                    Ok(pool) => {
                        pool.list().map(drop).map_err(|problem| broken((name, &problem)))?
                    }
                    Err(problem) => return Err(broken((name, problem))),
                }
            }
            Ok(())
        };
        blocking(pools).await.unwrap_or_else(|problem| Err(problem.to_string()))
    }

    /// RFC 4253, 4.2: the server begins with its identification.
    async fn sshd(&self) -> Result<(), String> {
        let told = |error: std::io::Error| format!("sshd does not answer: {error}");
        let mut stream = TcpStream::connect(self.sshd).await.map_err(told)?;
        let mut greeting = [0; 4];
        stream.read_exact(&mut greeting).await.map_err(told)?;
        match &greeting {
            b"SSH-" => Ok(()),
            _ => Err("what answers on sshd's port is no sshd".into()),
        }
    }
}

#[async_trait]
impl Checks for HostChecks {
    async fn failures(&self) -> Vec<String> {
        let (xenstore, storage, sshd) = tokio::join!(
            timeout(PATIENCE, self.xenstore()),
            timeout(PATIENCE, self.storage()),
            timeout(PATIENCE, self.sshd()),
        );
        let late = |what: &str| format!("{what}: no answer within {} s", PATIENCE.as_secs());
        let results = [
            xenstore.unwrap_or_else(|_| Err(late("xenstore"))),
            self.networks(),
            storage.unwrap_or_else(|_| Err(late("storage"))),
            sshd.unwrap_or_else(|_| Err(late("sshd"))),
        ];
        results.into_iter().filter_map(Result::err).collect()
    }
}
