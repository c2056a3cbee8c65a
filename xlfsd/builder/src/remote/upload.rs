//! What an action needs, brought to the service as far as it lacks it.

use std::collections::BTreeMap;

use futures::stream;
use prost::Message;
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use super::{Remote, RemoteError};
use crate::action::Action;
use crate::digest::Digest;
use crate::durable::FileError;
use crate::reapi;
use crate::reapi::google::bytestream::WriteRequest;
use crate::store::{Store, StoreError};
use crate::tree::Node;

/// Digests in one question: a digest is 70 bytes, a message may have 4 MiB.
const QUESTION: usize = 20_000;
/// Bytes in one message of a stream.
const CHUNK: usize = 1 << 20;

/// Where the bytes of a blob are.
#[derive(Debug)]
enum Bytes {
    Here(Vec<u8>),
    Store { executable: bool },
}

impl Remote {
    /// Uploads what the service lacks of an action.
    pub(super) async fn upload(&self, store: &Store, action: &Action) -> Result<(), RemoteError> {
        let mut blobs = {
            let (store, action) = (store.clone(), action.clone());
            crate::blocking(move || contents(&store, &action)).await?
        };
        let missing = self.missing(blobs.keys()).await?;
        let mut batch = Vec::new();
        let mut size = 0;
        for digest in missing {
            let Some(bytes) = blobs.remove(&digest) else {
                return Err(self.nonsense(format!("it lacks {digest}, which nobody offered")));
            };
            let length = usize::try_from(digest.size).unwrap_or(usize::MAX);
            if length > self.batch {
                self.stream(store, &digest, bytes).await?;
                continue;
            }
            if size + length > self.batch {
                self.send(std::mem::take(&mut batch)).await?;
                size = 0;
            }
            let data = match bytes {
                Bytes::Here(bytes) => bytes,
                Bytes::Store { executable } => {
                    let path = store.blob(&digest, executable)?;
                    tokio::fs::read(&path).await.map_err(FileError::at("read", &path))?
                }
            };
            // Room for the digest, too.
            size += length + 128;
            batch.push((digest, data));
        }
        self.send(batch).await
    }

    async fn missing(
        &self,
        digests: impl Iterator<Item = &Digest>,
    ) -> Result<Vec<Digest>, RemoteError> {
        let all: Vec<reapi::Digest> = digests.map(Into::into).collect();
        let mut missing = Vec::new();
        for part in all.chunks(QUESTION) {
            let question = || async {
                let request = reapi::FindMissingBlobsRequest {
                    instance_name: self.instance(),
                    blob_digests: part.to_vec(),
                    ..Default::default()
                };
                self.storage().find_missing_blobs(request).await
            };
            let answer = self.ask("say what it lacks", question).await?;
            for wire in &answer.missing_blob_digests {
                let named = reapi::named(wire);
                missing.push(named.ok_or_else(|| self.nonsense("what it lacks is no digest"))?);
            }
        }
        Ok(missing)
    }

    async fn send(&self, batch: Vec<(Digest, Vec<u8>)>) -> Result<(), RemoteError> {
        if batch.is_empty() {
            return Ok(());
        }
        let request =
            |(digest, data): &(Digest, Vec<u8>)| reapi::batch_update_blobs_request::Request {
                digest: Some(digest.into()),
                data: data.clone(),
                ..Default::default()
            };
        let requests: Vec<_> = batch.iter().map(request).collect();
        let question = || async {
            let request = reapi::BatchUpdateBlobsRequest {
                instance_name: self.instance(),
                requests: requests.clone(),
                ..Default::default()
            };
            self.storage().batch_update_blobs(request).await
        };
        let answer = self.ask("take files", question).await?;
        for response in answer.responses {
            let status = response.status.unwrap_or_default();
            if status.code != 0 {
                return Err(self.refused("take a file", from_wire(status)));
            }
        }
        Ok(())
    }

    /// Uploads one large blob.
    async fn stream(
        &self,
        store: &Store,
        digest: &Digest,
        bytes: Bytes,
    ) -> Result<(), RemoteError> {
        let path = match bytes {
            Bytes::Store { executable } => store.blob(digest, executable)?,
            // A folder's message: it goes through the store, so that there is one way.
            Bytes::Here(bytes) => store.blob(&store.put_bytes(&bytes)?, false)?,
        };
        let id = uuid::Uuid::new_v4();
        let name = self.resource(&format!("uploads/{id}/blobs/{}/{}", digest.hash, digest.size));
        let file = File::open(&path).await.map_err(FileError::at("read", &path))?;
        let size = digest.size;
        let requests = stream::unfold((file, 0_u64), move |(mut file, offset)| {
            let name = name.clone();
            async move {
                if offset >= size {
                    return None;
                }
                let mut data = vec![0; CHUNK];
                // A file that cannot be read ends the stream early, which the service
                // notices by the size.
                let count = read_full(&mut file, &mut data).await.unwrap_or(0);
                if count == 0 {
                    return None;
                }
                data.truncate(count);
                let next = offset + count as u64;
                let request = WriteRequest {
                    // The API wants the name in the first message only.
                    resource_name: if offset == 0 { name } else { String::new() },
                    write_offset: i64::try_from(offset).unwrap_or(i64::MAX),
                    finish_write: next >= size,
                    data,
                };
                Some((request, (file, next)))
            }
        });
        let written = self.streams().write(requests).await;
        let written = match written {
            Ok(written) => written.into_inner().committed_size,
            Err(status) => return Err(self.failed("take a large file", status).await),
        };
        if u64::try_from(written) == Ok(size) {
            return Ok(());
        }
        Err(self.nonsense(format!("it took {written} bytes of {size} of {digest}")))
    }
}

async fn read_full(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..)
        && !rest.is_empty()
    {
        match file.read(rest).await? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

/// Every blob of an action: its messages, the folders of its root, the files.
fn contents(store: &Store, action: &Action) -> Result<BTreeMap<Digest, Bytes>, RemoteError> {
    let mut all = BTreeMap::new();
    let lacks = || StoreError::Lacks { hash: action.digest.hash.clone() };
    let bytes = store.read_blob(&action.digest)?;
    let message = reapi::Action::decode(bytes.as_slice()).map_err(|_| lacks())?;
    let command = message.command_digest.as_ref().and_then(reapi::named).ok_or_else(lacks)?;
    all.insert(action.digest.clone(), Bytes::Here(bytes));
    let bytes = store.read_blob(&command)?;
    all.insert(command, Bytes::Here(bytes));
    let (_, folders) = action.root.encode();
    all.extend(folders.into_iter().map(|(digest, bytes)| (digest, Bytes::Here(bytes))));
    for (_, node) in action.root.iter() {
        if let Node::File { digest, executable, .. } = node {
            let executable = *executable;
            all.entry(digest.clone()).or_insert(Bytes::Store { executable });
        }
    }
    Ok(all)
}

/// The status of gRPC that a message carries.
pub(super) fn from_wire(status: reapi::google::rpc::Status) -> tonic::Status {
    tonic::Status::new(status.code.into(), status.message)
}
