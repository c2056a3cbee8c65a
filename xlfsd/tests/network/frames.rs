//! Frames that a guest sends, honest and forged. Each ends with a number of its
//! own, by which it is known again.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::wire::frame;

pub(crate) const EVERYBODY: [u8; 6] = [0xff; 6];
pub(crate) const ARP: u16 = 0x0806;
pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const IPV6: u16 = 0x86dd;

/// A frame, and the number at its end.
#[derive(Clone)]
pub(crate) struct Marked {
    pub(crate) bytes: Vec<u8>,
    number: [u8; 8],
}

impl Marked {
    /// To everybody.
    pub(crate) fn new(from: [u8; 6], kind: u16, payload: Vec<u8>) -> Self {
        Self::to(EVERYBODY, from, kind, payload)
    }

    pub(crate) fn to(to: [u8; 6], from: [u8; 6], kind: u16, mut payload: Vec<u8>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0x5aa5_0ff0_0000_0000);
        let number = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        payload.extend(number);
        Self { bytes: frame(to, from, kind, &payload), number }
    }

    /// Whether it is among `seen`; a VLAN's tag may be lost on the way.
    pub(crate) fn is_in(&self, seen: &[Vec<u8>]) -> bool {
        seen.iter().any(|frame| frame.ends_with(&self.number))
    }
}

/// A question (1) or answer (2) about addresses.
pub(crate) fn arp(operation: u8, mac: [u8; 6], from: Ipv4Addr, about: Ipv4Addr) -> Vec<u8> {
    let head = [0, 1, 8, 0, 6, 4, 0, operation];
    [&head[..], &mac, &from.octets(), &[0; 6], &about.octets()].concat()
}

pub(crate) fn udp4(from: Ipv4Addr, port: u16) -> Vec<u8> {
    let mut head = [0x45, 0, 0, 36, 0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 10, 0, 0, 9];
    head[12..16].copy_from_slice(&from.octets());
    let sum = checksum(&head);
    head[10..12].copy_from_slice(&sum.to_be_bytes());
    [&head[..], &port.to_be_bytes(), &[0, 9, 0, 16, 0, 0]].concat()
}

/// Of an IPv4 header (RFC 1071).
fn checksum(header: &[u8]) -> u16 {
    let words = header.chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap()
}

/// An IPv6 packet; its payload is followed by the frame's number, eight bytes.
pub(crate) fn ipv6(from: Ipv6Addr, next: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len() + 8).unwrap().to_be_bytes();
    let to = "ff02::1".parse::<Ipv6Addr>().unwrap().octets();
    [&[0x60, 0, 0, 0][..], &len, &[next, 255], &from.octets(), &to, payload].concat()
}

pub(crate) fn udp6(from: Ipv6Addr, port: u16) -> Vec<u8> {
    ipv6(from, 17, &[&port.to_be_bytes()[..], &[0, 9, 0, 16, 0, 0]].concat())
}

/// ICMPv6 with an address after its first eight bytes, as neighbour discovery has it.
pub(crate) fn icmp6(from: Ipv6Addr, kind: u8, target: Ipv6Addr) -> Vec<u8> {
    ipv6(from, 58, &[&[kind, 0, 0, 0, 0, 0, 0, 0][..], &target.octets()].concat())
}
