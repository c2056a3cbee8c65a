//! Raw frames on the guest's end of a wire (`packet(7)`).

use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, send, socket,
};

/// What a frame that shall arrive is given, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// An end of a wire that sends and sees everything.
pub(crate) struct Wire(OwnedFd);

impl Wire {
    pub(crate) fn on(link: &str) -> Self {
        let socket = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
            SockProtocol::EthAll,
        )
        .unwrap();
        let address = getifaddrs()
            .unwrap()
            .filter(|found| found.interface_name == link)
            .find_map(|found| found.address?.as_link_addr().copied())
            .unwrap_or_else(|| panic!("{link} is not there"));
        bind(socket.as_raw_fd(), &address).unwrap();
        Self(socket)
    }

    pub(crate) fn send(&mut self, frame: &[u8]) {
        let sent = send(self.0.as_raw_fd(), frame, MsgFlags::empty()).unwrap();
        assert_eq!(sent, frame.len());
    }

    fn receive(&self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 2048];
        match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(len) => {
                buffer.truncate(len);
                Some(buffer)
            }
            Err(Errno::EAGAIN) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Whether a frame comes within a time; others before it are thrown away.
    pub(crate) fn hears(&self, wanted: &[u8], within: Duration) -> bool {
        let began = Instant::now();
        while began.elapsed() < within {
            match self.receive() {
                Some(frame) if frame == wanted => return true,
                Some(_) => {}
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        false
    }

    /// Everything that came, up to and with `last`, which must come.
    pub(crate) fn receive_until(&self, last: &[u8]) -> Vec<Vec<u8>> {
        let began = Instant::now();
        let mut seen = Vec::new();
        loop {
            match self.receive() {
                Some(frame) => {
                    let done = frame == last;
                    seen.push(frame);
                    if done {
                        return seen;
                    }
                }
                None => {
                    assert!(began.elapsed() < PATIENCE, "the last frame never came");
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
    }
}

/// An Ethernet frame.
pub(crate) fn frame(to: [u8; 6], from: [u8; 6], kind: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from[..], &kind.to_be_bytes(), payload].concat()
}
