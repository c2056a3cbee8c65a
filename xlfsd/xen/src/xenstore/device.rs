//! The kernel's xenbus device, `/dev/xen/xenbus` (`drivers/xen/xenbus/xenbus_dev_frontend.c`).
//!
//! It is not quite a stream of messages, and each of its ways has a line of code here:
//!
//! - One request at a time. The kernel (4.11 and later) sends a request from the one buffer of
//!   the open file, some time after the write returned; a second write before that puts its own
//!   bytes behind the first one's header, and another node is removed than the one that was
//!   meant. A reply is the only proof that the buffer is free, so a request without one blocks
//!   all others, and after [`PATIENCE`] the device is opened anew, for another buffer.
//! - One write, one message: what follows the first whole message in a write is thrown away.
//! - Its buffer holds 4096 bytes *with* the header, so a payload has 16 bytes less.
//! - It never reports that it can be written to, so nobody may wait for that.
//! - A write may block: kernels before 4.11 wait in it for xenstored's reply, all kernels do for
//!   WATCH and UNWATCH. Writes therefore have a thread of their own.
//! - The error of a WATCH, or of a request the kernel cannot take, is the error of the write.
//! - The reply to WATCH and UNWATCH is the kernel's own and has req_id 0 (the driver matches
//!   these by order); the other words of a watch event's header mean nothing.
//! - Old kernels panic on a TRANSACTION_END without a start, so only transactions of the same
//!   connection are ever ended.
//! - RESET_WATCHES would end the kernel's own watches. xlfs never sends it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use bytes::BytesMut;
use nix::errno::Errno;
use nix::libc::O_NONBLOCK;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc as channel;

use super::error::Code;
use super::transport::{Step, closed};
use super::wire::{self, HEADER_LEN};

/// How long a request may hold the device before it is opened anew.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// Most bytes of payload the device takes.
pub(super) const PAYLOAD_MAX: usize = wire::PAYLOAD_MAX - HEADER_LEN;

/// The open device.
#[derive(Debug)]
pub(super) struct Device {
    file: AsyncFd<Arc<File>>,
    messages: mpsc::Sender<(u32, Vec<u8>)>,
    refused: channel::UnboundedReceiver<(u32, Code)>,
    chunk: Box<[u8]>,
}

impl Device {
    pub(super) fn open(path: &Path) -> io::Result<Device> {
        let file = OpenOptions::new().read(true).write(true).custom_flags(O_NONBLOCK).open(path)?;
        Device::new(file)
    }

    /// Takes a file that behaves like the device and does not block on reading.
    pub(super) fn new(file: File) -> io::Result<Device> {
        let file = Arc::new(file);
        let writer = Arc::clone(&file);
        let (messages, queue) = mpsc::channel();
        let (refuse, refused) = channel::unbounded_channel();
        thread::Builder::new()
            .name("xenbus-writer".into())
            .spawn(move || write_each(&writer, &queue, &refuse))?;
        Ok(Device {
            file: watch_for_reading(file)?,
            messages,
            refused,
            chunk: vec![0; HEADER_LEN + wire::PAYLOAD_MAX].into(),
        })
    }

    pub(super) fn push(&mut self, req_id: u32, message: Vec<u8>) {
        // Without a thread to take it, `drive` finds the other channel closed and says so.
        let _ = self.messages.send((req_id, message));
    }

    pub(super) async fn drive(&mut self, buffer: &mut BytesMut) -> io::Result<Step> {
        let Device { file, refused, chunk, .. } = self;
        loop {
            tokio::select! {
                ready = file.readable() => match ready?.try_io(|file| file.get_ref().as_ref().read(chunk)) {
                    Ok(Ok(0)) => return Err(closed()),
                    Ok(Ok(read)) => {
                        buffer.extend_from_slice(chunk.get(..read).unwrap_or_default());
                        return Ok(Step::Received);
                    }
                    Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                    Ok(Err(error)) => return Err(error),
                    Err(_not_ready) => {}
                },
                refusal = refused.recv() => return match refusal {
                    Some((req_id, code)) => Ok(Step::Refused { req_id, code }),
                    None => Err(io::Error::other("the thread that writes to the device ended")),
                },
            }
        }
    }
}

/// Registers the device with tokio, for reading only: it never says that it can be written to.
#[allow(unsafe_code, reason = "tokio's registration of a file descriptor is unsafe")]
fn watch_for_reading(file: Arc<File>) -> io::Result<AsyncFd<Arc<File>>> {
    // SAFETY: `file` owns its descriptor, which stays open and the same for as long as any
    // `Arc` of it lives; the `AsyncFd` holds one until it is dropped.
    unsafe { AsyncFd::register_with_interest(file, Interest::READABLE) }.map_err(io::Error::from)
}

/// The writing thread: ends when the device is dropped, or has nobody to report to.
fn write_each(
    file: &File,
    queue: &mpsc::Receiver<(u32, Vec<u8>)>,
    refuse: &channel::UnboundedSender<(u32, Code)>,
) {
    for (req_id, message) in queue {
        let mut file = file;
        let code = loop {
            match file.write(&message) {
                Ok(written) if written == message.len() => break None,
                Ok(_) => break Some(Code::Io),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let errno = Errno::from_raw(error.raw_os_error().unwrap_or_default());
                    break Some(Code::parse(format!("{errno:?}").as_bytes()));
                }
            }
        };
        if let Some(code) = code
            && refuse.send((req_id, code)).is_err()
        {
            return;
        }
    }
}
