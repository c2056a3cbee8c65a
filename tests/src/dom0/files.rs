//! Files between the host and a running Dom0. Large ones are better given at
//! boot ([`crate::lab::Config::file`]) or on a disk.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::link::Link;
use super::{Dom0, Dom0Error};
use crate::wire::{CHUNK, Reply, Request};

/// For one chunk; a busy machine is slow, a dead one never answers.
const PATIENCE: Duration = Duration::from_secs(60);

impl Dom0 {
    /// Copies a file of the host into Dom0, with its permissions.
    pub fn put(&self, from: &Path, to: &str) -> Result<(), Dom0Error> {
        let read = |source| Dom0Error::Host { doing: "read", path: from.to_owned(), source };
        let mode = fs::metadata(from).map_err(read)?.permissions().mode() & 0o7777;
        self.shared.link.put(&mut File::open(from).map_err(read)?, mode, to).map_err(|error| {
            match error {
                Put::Read(source) => read(source),
                Put::Dom0(error) => error,
            }
        })
    }

    /// Writes a file in Dom0 (permissions 0644).
    pub fn write(&self, to: &str, contents: impl AsRef<[u8]>) -> Result<(), Dom0Error> {
        self.shared.link.put(&mut contents.as_ref(), 0o644, to).map_err(|error| match error {
            // Reading from memory does not fail; keep the reason if it does.
            Put::Read(source) => Dom0Error::Host { doing: "read", path: to.into(), source },
            Put::Dom0(error) => error,
        })
    }

    /// Reads a file of Dom0.
    pub fn read(&self, from: &str) -> Result<Vec<u8>, Dom0Error> {
        self.shared.link.get(from)
    }

    /// Copies a file of Dom0 to the host.
    pub fn get(&self, from: &str, to: &Path) -> Result<(), Dom0Error> {
        let contents = self.read(from)?;
        let failed = |source| Dom0Error::Host { doing: "write", path: to.to_owned(), source };
        File::create(to).and_then(|mut file| file.write_all(&contents)).map_err(failed)
    }
}

impl Link {
    pub(super) fn get(&self, from: &str) -> Result<Vec<u8>, Dom0Error> {
        let request = Request::Get { path: from.to_owned() };
        let conversation = self.ask(request, Vec::new())?;
        let mut contents = Vec::new();
        loop {
            match conversation.next(Instant::now() + PATIENCE)? {
                Some((Reply::Data { last }, body)) => {
                    contents.extend_from_slice(&body);
                    if last {
                        return Ok(contents);
                    }
                }
                Some((other, _)) => {
                    return Err(Dom0Error::Unexpected { got: format!("{other:?}") });
                }
                None => return Err(Dom0Error::NoAnswer),
            }
        }
    }

    pub(super) fn put(&self, from: &mut impl Read, mode: u32, to: &str) -> Result<(), Put> {
        let mut append = false;
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            from.take(CHUNK as u64).read_to_end(&mut chunk).map_err(Put::Read)?;
            // An empty file still has to be made.
            if chunk.is_empty() && append {
                return Ok(());
            }
            let request = Request::Put { path: to.to_owned(), mode, append };
            let conversation = self.ask(request, chunk).map_err(Put::Dom0)?;
            conversation.done(Instant::now() + PATIENCE).map_err(Put::Dom0)?;
            append = true;
        }
    }
}

/// Which side a copy failed on.
#[derive(Debug)]
pub(super) enum Put {
    Read(std::io::Error),
    Dom0(Dom0Error),
}
