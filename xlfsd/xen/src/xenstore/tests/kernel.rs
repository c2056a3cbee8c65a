//! The kernel's device, played by a socket that keeps the limits of messages: what is written
//! at once is read at once, as the device demands.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::Duration;

use bytes::BytesMut;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::{read, write};

use super::super::device::Device;
use super::super::error::Code;
use super::super::transport::{Step, Transport};
use super::super::wire::{Decoder, Frame, Kind, encode};
use super::super::{Client, Config, Endpoint, ErrorKind};
use super::{SHORT, argument, soon};

/// The kernel's end of a device.
struct Kernel(OwnedFd);

fn device() -> (Device, Kernel) {
    let (ours, theirs) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
    )
    .unwrap();
    (Device::new(File::from(ours)).unwrap(), Kernel(theirs))
}

impl Kernel {
    /// What one write brought: exactly one message.
    async fn message(&mut self) -> Frame {
        let mut bytes = [0; 8192];
        let len = soon("a write", async {
            loop {
                match read(&self.0, &mut bytes) {
                    Ok(len) => return len,
                    Err(Errno::EAGAIN) => tokio::time::sleep(Duration::from_millis(1)).await,
                    Err(error) => panic!("{error}"),
                }
            }
        })
        .await;
        let mut decoder = Decoder::default();
        decoder.buffer().extend_from_slice(&bytes[..len]);
        let frame = decoder.next_frame().unwrap().expect("a whole message in one write");
        assert!(decoder.buffer().is_empty(), "only one message in one write");
        frame
    }

    fn has_nothing(&self) {
        assert_eq!(read(&self.0, &mut [0; 16]), Err(Errno::EAGAIN), "another message");
    }

    fn send(&mut self, kind: Kind, req_id: u32, payload: &[u8]) {
        let mut message = Vec::new();
        encode(&mut message, kind, req_id, 0, payload).unwrap();
        assert_eq!(write(&self.0, &message), Ok(message.len()));
    }
}

fn client() -> (Client, Kernel) {
    let (device, kernel) = device();
    let endpoint = Endpoint::Device("/dev/xen/xenbus".into());
    (Client::start(endpoint, Config::default(), Transport::Device(device)), kernel)
}

#[tokio::test]
async fn one_request_at_a_time_and_each_is_one_write() {
    let (client, mut kernel) = client();
    let play = async {
        for n in 0..100 {
            let request = kernel.message().await;
            assert_eq!(argument(&request, 0), format!("/{n}"));
            if n % 10 == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            kernel.has_nothing();
            kernel.send(Kind::Write, request.req_id, b"OK\0");
        }
    };
    let writes = client.write_many((0..100).map(|n| (format!("/{n}"), "x")));
    let (result, ()) = tokio::join!(writes, play);
    result.unwrap();
}

#[tokio::test]
async fn a_request_without_an_answer_keeps_the_buffer() {
    let (client, mut kernel) = client();
    assert!(client.with_deadline(SHORT).rm("/slow").await.unwrap_err().may_have_happened());
    let slow = kernel.message().await;
    // The kernel may not have sent it yet: nothing may be written over it.
    let error = client.with_deadline(SHORT).read("/next").await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::TimedOut { sent: false, .. }), "{error}");
    kernel.has_nothing();
    kernel.send(Kind::Rm, slow.req_id, b"OK\0");
    let (value, ()) = tokio::join!(client.read("/later"), async {
        let request = kernel.message().await;
        assert_eq!(argument(&request, 0), "/later");
        kernel.send(Kind::Read, request.req_id, b"v");
    });
    assert_eq!(value.unwrap(), b"v");
}

#[tokio::test]
async fn the_kernels_own_replies_have_no_number() {
    let (client, mut kernel) = client();
    let play = async {
        let first = kernel.message().await;
        // The first event may come before the reply, and with anything in its header.
        let event = format!("/1\0{}\0", argument(&first, 1));
        kernel.send(Kind::WatchEvent, 0xdead, event.as_bytes());
        kernel.send(Kind::Watch, 0, b"OK\0");
        let second = kernel.message().await;
        kernel.send(Kind::Watch, 0, b"OK\0");
        let event = format!("/2\0{}\0", argument(&second, 1));
        kernel.send(Kind::WatchEvent, second.req_id, event.as_bytes());
    };
    let (one, two, ()) = tokio::join!(client.watch("/1"), client.watch("/2"), play);
    let (mut one, mut two) = (one.unwrap(), two.unwrap());
    assert_eq!(soon("1", one.next()).await.unwrap().path(), Some("/1"));
    assert_eq!(soon("2", two.next()).await.unwrap().path(), Some("/2"));
    drop(one);
    let back = kernel.message().await;
    assert_eq!((back.kind, argument(&back, 1).as_str()), (Kind::Unwatch, "1"));
    kernel.send(Kind::Unwatch, 0, b"OK\0");
    // Later kernels do send the number.
    drop(two);
    let back = kernel.message().await;
    kernel.send(Kind::Unwatch, back.req_id, b"OK\0");
    let (_, ()) = tokio::join!(client.read("/a"), async {
        let request = kernel.message().await;
        kernel.send(Kind::Read, request.req_id, b"");
    });
    assert_eq!(client.stats().unknown_replies, 0);
}

#[tokio::test]
async fn a_payload_has_sixteen_bytes_less() {
    let (client, mut kernel) = client();
    let error = client.write("/a", vec![0; 4080 - 3 + 1]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLong { len: 4081, limit: 4080 });
    let (result, ()) = tokio::join!(client.write("/a", vec![0; 4080 - 3]), async {
        let request = kernel.message().await;
        assert_eq!(request.payload.len(), 4080);
        kernel.send(Kind::Write, request.req_id, b"OK\0");
    });
    result.unwrap();
}

#[tokio::test]
async fn the_error_of_a_write_is_that_of_its_request() {
    let (mut device, kernel) = device();
    drop(kernel);
    device.push(42, b"a message for nobody".to_vec());
    let mut buffer = BytesMut::new();
    let mut transport = Transport::Device(device);
    // The end of the stream and the failed write are both there; either may come first.
    match soon("a step", transport.drive(&mut buffer)).await {
        Ok(step) => {
            let code = Code::Other("EPIPE".into());
            assert_eq!(step, Step::Refused { req_id: 42, code });
        }
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof),
    }
}
