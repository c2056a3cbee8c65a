//! xenstore, through the client of xlfs-xen.

use async_trait::async_trait;
use xlfs_xen::hypercall::DomainId;
use xlfs_xen::xenstore::{Client, Error, Perm};

use super::{Store, StoreCounts};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreOp {
    Mkdir(String),
    Write(String, Vec<u8>),
    Perms(String, Vec<Perm>),
    /// Removes a node and all below it; one that is not there is fine.
    Remove(String),
    Introduce {
        domid: DomainId,
        mfn: u64,
        port: u32,
    },
    /// A domain that xenstored does not know (any more) is fine.
    Release(DomainId),
}

/// The real one.
#[derive(Debug, Clone)]
pub struct XenStore {
    client: Client,
}

impl XenStore {
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    pub fn client(&self) -> &Client {
        &self.client
    }
}

#[async_trait]
impl Store for XenStore {
    async fn apply(&self, ops: Vec<StoreOp>) -> Result<(), Error> {
        let mut batch = self.client.batch();
        for op in &ops {
            batch = match op {
                StoreOp::Mkdir(path) => batch.mkdir(path),
                StoreOp::Write(path, value) => batch.write(path, value),
                StoreOp::Perms(path, perms) => batch.set_perms(path, perms),
                StoreOp::Remove(path) => batch.rm(path),
                StoreOp::Introduce { domid, mfn, port } => batch.introduce(domid.0, *mfn, *port),
                StoreOp::Release(domid) => batch.release(domid.0),
            };
        }
        let results = batch.run_each().await?;
        for (op, result) in ops.iter().zip(results) {
            match (op, result) {
                (_, Ok(())) => {}
                (StoreOp::Remove(_), Err(error)) if error.is_not_found() => {}
                (StoreOp::Release(_), Err(error)) if error.code().is_some() => {}
                (_, Err(error)) => return Err(error),
            }
        }
        Ok(())
    }

    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        self.client.read_opt(path).await
    }

    async fn read_many(&self, paths: &[String]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        self.client.read_many(paths).await
    }

    fn counts(&self) -> StoreCounts {
        let stats = self.client.stats();
        StoreCounts {
            operations: stats.operations,
            waits: stats.round_trips,
            transactions: stats.transactions,
        }
    }
}
