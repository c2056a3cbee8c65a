//! The connection to a service, and what the service can do.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};

use super::{Config, RemoteError};
use crate::digest::Digest;
use crate::reapi;
use crate::reapi::capabilities_client::CapabilitiesClient;
use crate::reapi::content_addressable_storage_client::ContentAddressableStorageClient;
use crate::reapi::google::bytestream::byte_stream_client::ByteStreamClient;

/// A question and its answer may take so long; what streams has other bounds.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// A service that does not answer the first question by then is not there.
const FIRST_PATIENCE: Duration = Duration::from_secs(10);
/// So many bytes of blobs go into one message: gRPC's usual limit is 4 MiB, and the
/// rest of the message needs room.
const BATCH: usize = 3 << 20;

/// A service that was there when it was asked.
#[derive(Debug)]
pub(crate) struct Remote {
    config: Config,
    channel: Channel,
    /// Bytes of blobs in one message.
    pub(super) batch: usize,
    /// Whether it is there no more.
    gone: AtomicBool,
    /// Operations under way, by action, so that they can be cancelled.
    pub(super) operations: Mutex<HashMap<Digest, String>>,
}

impl Remote {
    /// Whether the address can be one at all.
    pub(crate) fn check(config: &Config) -> Result<(), RemoteError> {
        endpoint(config).map(drop)
    }

    /// Connects, and asks whether the service is fit.
    pub(crate) async fn connect(config: &Config) -> Result<Self, RemoteError> {
        let channel = endpoint(config)?.connect_lazy();
        let (gone, operations) = Default::default();
        let (config, batch) = (config.clone(), BATCH);
        let mut remote = Self { config, channel, batch, gone, operations };
        let fit = remote.capabilities().await?;
        let remote_address = remote.config.address.clone();
        let unfit = |lacks: &str| RemoteError::Unfit {
            address: remote_address.clone(),
            lacks: lacks.to_owned(),
        };
        let sha256 = reapi::digest_function::Value::Sha256 as i32;
        let cache = fit.cache_capabilities.ok_or_else(|| unfit("it has no storage"))?;
        if !cache.digest_functions.contains(&sha256) {
            return Err(unfit("its storage does not name blobs by SHA-256"));
        }
        let execution = fit.execution_capabilities.unwrap_or_default();
        if !execution.exec_enabled {
            return Err(unfit("it executes nothing"));
        }
        match usize::try_from(cache.max_batch_total_size_bytes) {
            Ok(0) | Err(_) => {}
            Ok(most) => remote.batch = most.min(BATCH),
        }
        Ok(remote)
    }

    async fn capabilities(&self) -> Result<reapi::ServerCapabilities, RemoteError> {
        let mut client = CapabilitiesClient::new(self.channel.clone());
        let instance_name = self.config.instance.clone();
        let asked = client.get_capabilities(reapi::GetCapabilitiesRequest { instance_name });
        let unreachable = |reason: String| RemoteError::Unreachable {
            address: self.config.address.clone(),
            reason,
        };
        match tokio::time::timeout(FIRST_PATIENCE, asked).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) if status.code() == Code::Unavailable => {
                Err(unreachable(crate::with_causes(&status)))
            }
            Ok(Err(status)) => Err(self.refused("tell what it can do", status)),
            Err(_) => {
                let seconds = FIRST_PATIENCE.as_secs();
                Err(unreachable(format!("it does not answer within {seconds} s")))
            }
        }
    }

    /// Its address.
    pub(crate) fn address(&self) -> &str {
        &self.config.address
    }

    /// Whether it was there and is not any more, so that there is no use in asking it.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Whether the package is for it.
    pub(crate) fn takes(&self, package: &str) -> bool {
        !self.is_gone() && self.config.takes(package)
    }

    /// How many actions it is given at a time.
    pub(crate) fn at_once(&self) -> usize {
        self.config.at_once()
    }

    pub(super) fn instance(&self) -> String {
        self.config.instance.clone()
    }

    /// The name of something below the instance, as resources of ByteStream have it.
    pub(super) fn resource(&self, name: &str) -> String {
        match self.config.instance.as_str() {
            "" => name.to_owned(),
            instance => format!("{instance}/{name}"),
        }
    }

    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(super) fn storage(&self) -> ContentAddressableStorageClient<Channel> {
        ContentAddressableStorageClient::new(self.channel()).max_decoding_message_size(16 << 20)
    }

    pub(super) fn streams(&self) -> ByteStreamClient<Channel> {
        ByteStreamClient::new(self.channel()).max_decoding_message_size(16 << 20)
    }

    /// Asks, with patience, and once more if the service was away for a moment.
    pub(super) async fn ask<T, F>(
        &self,
        what: &'static str,
        mut question: impl FnMut() -> F,
    ) -> Result<T, RemoteError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut tries = 0;
        loop {
            let status = match tokio::time::timeout(PATIENCE, question()).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded("no answer"),
            };
            if tries == 1 || !passing(&status) {
                return Err(self.failed(what, status).await);
            }
            tries += 1;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// What a status means: that the service is gone, if it is.
    pub(super) async fn failed(&self, what: &'static str, status: Status) -> RemoteError {
        if passing(&status)
            && let Err(gone) = self.capabilities().await
        {
            self.gone.store(true, Ordering::Relaxed);
            return gone;
        }
        self.refused(what, status)
    }

    pub(super) fn refused(&self, what: &'static str, status: Status) -> RemoteError {
        let (code, message) = (status.code(), crate::with_causes(&status));
        RemoteError::Refused { address: self.config.address.clone(), what, code, message }
    }

    pub(super) fn nonsense(&self, what: impl Into<String>) -> RemoteError {
        RemoteError::Nonsense { address: self.config.address.clone(), what: what.into() }
    }
}

/// Whether it may be different in a moment. A connection that breaks has one of
/// several codes.
pub(super) fn passing(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled)
}

fn endpoint(config: &Config) -> Result<Endpoint, RemoteError> {
    let address = &config.address;
    let wrong = || RemoteError::Address { address: address.clone() };
    // https is not among them: there is no TLS in this program.
    let scheme = ["http://", "unix:/"].iter().find(|it| address.starts_with(**it));
    if scheme.is_none_or(|scheme| scheme.len() == address.len()) {
        return Err(wrong());
    }
    let endpoint = Endpoint::from_shared(address.clone()).map_err(|_| wrong())?;
    // A machine that vanished without a word is noticed by TCP.
    let endpoint = endpoint.connect_timeout(FIRST_PATIENCE);
    let endpoint = endpoint.tcp_keepalive(Some(Duration::from_secs(30)));
    // Sources are large, and the usual 64 KiB on the way are few for a distant machine.
    Ok(endpoint.initial_stream_window_size(4 << 20).initial_connection_window_size(8 << 20))
}
