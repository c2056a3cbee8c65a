//! Event channels of Dom0: `/dev/xen/evtchn`.
//!
//! One open device serves every guest's console: ports are told apart by
//! number. A port that fired is masked until it is unmasked again, so that a
//! guest that fires all the time costs one wake-up for each time it is looked
//! at. Source: Linux include/uapi/xen/evtchn.h.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::hypercall::DomainId;

/// Where the device is.
pub const PATH: &str = "/dev/xen/evtchn";

/// A port of Dom0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Port(pub u32);

/// Why an event channel call failed.
#[derive(Debug, thiserror::Error)]
pub enum EvtchnError {
    /// The device is missing or refuses.
    #[error("cannot open {PATH}")]
    Open(#[source] io::Error),
    /// A port could not be bound.
    #[error("cannot bind to event channel port {port} of domain {domid}: {errno}")]
    Bind {
        /// The other side.
        domid: DomainId,
        /// Its port.
        port: u32,
        /// Why.
        errno: Errno,
    },
    /// Reading or writing the device failed.
    #[error("event channel device {PATH} failed")]
    Device(#[source] io::Error),
}

#[repr(C)]
struct BindInterdomain {
    remote_domain: u32,
    remote_port: u32,
}

#[repr(C)]
struct OnePort {
    port: u32,
}

const fn request(number: u8, size: usize) -> u64 {
    ((size as u64) << 16) | ((b'E' as u64) << 8) | number as u64
}

/// The device's ioctls; the macro makes them public, so they get a room of their own.
mod ioctl {
    #![allow(missing_docs)]
    use super::*;

    nix::ioctl_write_ptr_bad!(
        bind_interdomain,
        request(1, size_of::<BindInterdomain>()),
        BindInterdomain
    );
    nix::ioctl_write_ptr_bad!(unbind, request(3, size_of::<OnePort>()), OnePort);
    nix::ioctl_write_ptr_bad!(notify, request(4, size_of::<OnePort>()), OnePort);
}

/// The open device. Ports are bound, notified and unbound through `&self`.
#[derive(Debug)]
pub struct Evtchn {
    device: AsyncFd<File>,
}

impl Evtchn {
    /// Opens the device. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// [`EvtchnError::Open`].
    pub fn open() -> Result<Self, EvtchnError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
            .open(PATH)
            .map_err(EvtchnError::Open)?;
        // SAFETY: the file owns its descriptor, and always answers with the same one.
        let device = unsafe { AsyncFd::register_with_interest(file, Interest::READABLE) }
            .map_err(|e| EvtchnError::Open(e.into()))?;
        Ok(Self { device })
    }

    /// Binds a new port of ours to a port of another domain.
    ///
    /// # Errors
    /// [`EvtchnError::Bind`], for example when the port is bound to another domain.
    pub fn bind_interdomain(&self, domid: DomainId, port: u32) -> Result<Port, EvtchnError> {
        let bind = BindInterdomain { remote_domain: u32::from(domid.0), remote_port: port };
        // SAFETY: the ioctl reads the struct, which lives until it returns.
        unsafe { ioctl::bind_interdomain(self.device.as_raw_fd(), &raw const bind) }
            .map(|port| Port(port.unsigned_abs()))
            .map_err(|errno| EvtchnError::Bind { domid, port, errno })
    }

    /// Unbinds a port of ours. One that is gone already is no error.
    pub fn unbind(&self, port: Port) {
        let port = OnePort { port: port.0 };
        // SAFETY: the ioctl reads the struct, which lives until it returns.
        let _ = unsafe { ioctl::unbind(self.device.as_raw_fd(), &raw const port) };
    }

    /// Fires a port of ours at the other side. A side that is gone is no error.
    pub fn notify(&self, port: Port) {
        let port = OnePort { port: port.0 };
        // SAFETY: the ioctl reads the struct, which lives until it returns.
        let _ = unsafe { ioctl::notify(self.device.as_raw_fd(), &raw const port) };
    }

    /// Waits until ports have fired, and returns them. They are masked until
    /// [`Self::unmask`].
    ///
    /// # Errors
    /// [`EvtchnError::Device`].
    pub async fn fired(&self) -> Result<Vec<Port>, EvtchnError> {
        let mut buffer = [0; 4 * 256];
        let read = |mut file: &File| file.read(&mut buffer);
        let count =
            self.device.async_io(Interest::READABLE, read).await.map_err(EvtchnError::Device)?;
        let ports = buffer[..count].as_chunks().0.iter();
        Ok(ports.map(|c| Port(u32::from_le_bytes(*c))).collect())
    }

    /// Lets ports fire again.
    ///
    /// # Errors
    /// [`EvtchnError::Device`].
    pub fn unmask(&self, ports: &[Port]) -> Result<(), EvtchnError> {
        let bytes: Vec<u8> = ports.iter().flat_map(|p| p.0.to_le_bytes()).collect();
        self.device.get_ref().write_all(&bytes).map_err(EvtchnError::Device)
    }
}
