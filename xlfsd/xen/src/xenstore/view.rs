//! The operations on nodes, the same outside and inside of a transaction.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::batch::Batch;
use super::call::{Answer, Call, Request};
use super::client::Shared;
use super::error::{Code, Error, ErrorKind, Op};
use super::path::check_node;
use super::perm::Perm;
use super::wire::{Kind, PAYLOAD_MAX, REPLY_MAX, strings};

/// How often a directory that changes while it is read is read again.
const LISTINGS_MAX: u32 = 8;

/// The tree: as everybody sees it, or as it is inside of a transaction.
///
/// Paths are absolute. Values are bytes: what a guest may write is read with a limit
/// ([`View::read_str`]) and believed by nobody. Every operation ends within the deadline of
/// [`Config`](super::Config). Futures can be dropped at any time; what was not handed to the
/// connection by then is never sent.
#[derive(Clone, Debug)]
pub struct View {
    pub(super) shared: Arc<Shared>,
    pub(super) deadline: Duration,
    /// Number and connection of the transaction.
    pub(super) transaction: Option<(u32, u64)>,
}

impl View {
    /// Sends requests in order and waits for all their answers: one round trip.
    pub(super) async fn run(
        &self,
        mut requests: Vec<Request>,
    ) -> Result<(Arc<Call>, Vec<Answer>), Error> {
        let (tx_id, generation) = self.transaction.unzip();
        for request in &mut requests {
            // INTRODUCE and its kind have no business in a transaction, even from a batch.
            if request.kind.is_about_nodes() {
                request.tx_id = tx_id.unwrap_or(0);
            }
        }
        self.shared.run(requests, generation, self.deadline).await
    }

    /// Sends one request and waits for its answer.
    pub(super) async fn one(&self, request: Request) -> Result<(Arc<Call>, Bytes), Error> {
        let (call, answers) = self.run(vec![request]).await?;
        match answers.into_iter().next().unwrap_or(Err(ErrorKind::Closed)) {
            Ok(payload) => Ok((call, payload)),
            Err(kind) => Err(call.error(|_| kind)),
        }
    }

    async fn node(&self, op: Op, kind: Kind, path: &str) -> Result<Bytes, Error> {
        check(op, path)?;
        Ok(self.one(Request::new(op, kind, path, [path])).await?.1)
    }

    /// The value of a node, at most 4096 bytes.
    pub async fn read(&self, path: &str) -> Result<Vec<u8>, Error> {
        let value = self.node(Op::Read, Kind::Read, path).await?;
        limit(value).map_err(|kind| Error { op: Op::Read, path: path.to_owned(), kind })
    }

    /// The value of a node, or `None` when it does not exist.
    pub async fn read_opt(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        match self.read(path).await {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The value of a node that has to be text of at most `limit` bytes.
    pub async fn read_str(&self, path: &str, limit: usize) -> Result<String, Error> {
        let fail = |kind| Error { op: Op::Read, path: path.to_owned(), kind };
        let value = self.read(path).await?;
        if value.len() > limit {
            return Err(fail(ErrorKind::ValueTooLong { len: value.len(), limit }));
        }
        String::from_utf8(value).map_err(|_| fail(ErrorKind::NotText))
    }

    /// The values of several nodes in one round trip; `None` for each that does not exist.
    pub async fn read_many<S: AsRef<str>>(
        &self,
        paths: impl IntoIterator<Item = S>,
    ) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let mut requests = Vec::new();
        for path in paths {
            let path = path.as_ref();
            check(Op::Read, path)?;
            requests.push(Request::new(Op::Read, Kind::Read, path, [path]));
        }
        let (call, answers) = self.run(requests).await?;
        let each = call.requests.iter().zip(answers).map(|(request, answer)| match answer {
            Ok(value) => limit(value).map(Some).map_err(|kind| request.error(kind)),
            Err(ErrorKind::Refused(Code::NoEntry)) => Ok(None),
            Err(kind) => Err(request.error(kind)),
        });
        each.collect()
    }

    /// The names of a node's children, in xenstored's order. Lists of more than 4096 bytes are
    /// fetched in parts from C xenstored 4.9 and later; older ones answer E2BIG. oxenstored
    /// sends them in one piece.
    pub async fn directory(&self, path: &str) -> Result<Vec<String>, Error> {
        match self.node(Op::Directory, Kind::Directory, path).await {
            Ok(payload) => names(path, &payload),
            Err(error) if error.code() == Some(&Code::TooBig) => {
                match self.directory_in_parts(path).await {
                    Err(other) if other.code() == Some(&Code::NotSupported) => Err(error),
                    parts => parts,
                }
            }
            Err(error) => Err(error),
        }
    }

    async fn directory_in_parts(&self, path: &str) -> Result<Vec<String>, Error> {
        for _ in 0..LISTINGS_MAX {
            if let Some(list) = self.list_once(path).await? {
                return names(path, &list);
            }
        }
        let kind = ErrorKind::Unstable { attempts: LISTINGS_MAX };
        Err(Error { op: Op::Directory, path: path.to_owned(), kind })
    }

    /// Fetches the parts of a directory. Each comes with the node's generation count; `None`
    /// when it changed in between.
    async fn list_once(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let bad = |why: &str| Error {
            op: Op::Directory,
            path: path.to_owned(),
            kind: ErrorKind::BadReply { why: why.to_owned() },
        };
        let mut list: Vec<u8> = Vec::new();
        let mut first_count: Option<Bytes> = None;
        loop {
            let offset = list.len().to_string();
            let arguments = [path, offset.as_str()];
            let request = Request::new(Op::Directory, Kind::DirectoryPart, path, arguments);
            let mut count = self.one(request).await?.1;
            let end = count
                .iter()
                .position(|byte| *byte == 0)
                .ok_or_else(|| bad("a part without a generation count"))?;
            let part = count.split_off(end + 1);
            if first_count.get_or_insert_with(|| count.clone()) != &count {
                return Ok(None);
            }
            // An empty name ends the list. Names are never empty, so this is the last part if
            // it ends with two nuls, or is one nul.
            if part.last() != Some(&0) {
                return Err(bad("a part that ends within a name"));
            }
            let last = part.len() == 1 || part.ends_with(&[0, 0]);
            list.extend_from_slice(if last {
                part.get(..part.len() - 1).unwrap_or_default()
            } else {
                &part
            });
            if last {
                return Ok(Some(list));
            }
            if list.len() > REPLY_MAX {
                return Err(bad("the list does not end"));
            }
        }
    }

    /// Sets a node's value. Creates it, and any parent that is missing; a new node has its
    /// parent's permissions.
    pub async fn write(&self, path: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        self.batch().write(path, value).run().await
    }

    /// Sets several values in one round trip. All are tried; the error is that of the first
    /// that failed.
    pub async fn write_many<P: AsRef<str>, V: AsRef<[u8]>>(
        &self,
        values: impl IntoIterator<Item = (P, V)>,
    ) -> Result<(), Error> {
        let mut batch = self.batch();
        for (path, value) in values {
            batch = batch.write(path.as_ref(), value);
        }
        batch.run().await
    }

    /// Makes sure that a node exists. A new one is empty and has its parent's permissions.
    pub async fn mkdir(&self, path: &str) -> Result<(), Error> {
        self.batch().mkdir(path).run().await
    }

    /// Removes a node and all below it. `false` when xenstored says that neither the node nor
    /// its parent existed; for a node that did not exist while its parent did, xenstored says
    /// the same as for one that it removed.
    pub async fn rm(&self, path: &str) -> Result<bool, Error> {
        match self.node(Op::Rm, Kind::Rm, path).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A node's permissions; the first entry is its owner and everybody else's access.
    pub async fn get_perms(&self, path: &str) -> Result<Vec<Perm>, Error> {
        let payload = self.node(Op::GetPerms, Kind::GetPerms, path).await?;
        Perm::parse_all(&payload).map_err(|kind| Error {
            op: Op::GetPerms,
            path: path.to_owned(),
            kind,
        })
    }

    /// Sets a node's permissions; there must be at least one, the owner's.
    pub async fn set_perms(&self, path: &str, perms: &[Perm]) -> Result<(), Error> {
        self.batch().set_perms(path, perms).run().await
    }

    /// Collects changes that are sent in order, without waiting in between.
    pub fn batch(&self) -> Batch<'_> {
        Batch::new(self)
    }
}

pub(super) fn check(op: Op, path: &str) -> Result<(), Error> {
    check_node(path).map_err(|kind| Error { op, path: path.to_owned(), kind })
}

fn limit(value: Bytes) -> Result<Vec<u8>, ErrorKind> {
    match value.len() {
        0..=PAYLOAD_MAX => Ok(value.into()),
        len => Err(ErrorKind::ValueTooLong { len, limit: PAYLOAD_MAX }),
    }
}

fn names(path: &str, payload: &[u8]) -> Result<Vec<String>, Error> {
    let name = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let names = strings(payload).filter(|name| !name.is_empty()).map(name);
    names.collect::<Option<_>>().ok_or_else(|| Error {
        op: Op::Directory,
        path: path.to_owned(),
        kind: ErrorKind::BadReply { why: "a child's name is not UTF-8".to_owned() },
    })
}
