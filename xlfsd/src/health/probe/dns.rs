//! DNS: a question for a name's SOA by UDP (RFC 1035), which must be answered
//! with authority.
//!
//! An answer is a hostile packet: every length is checked, and a name's pointers
//! only lead backwards.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;

use super::{Answer, Target, Wrong, unreachable};
use crate::template::HealthCheck;

/// Bytes of an answer by UDP without EDNS; a longer one is cut by its sender.
const MAX_PACKET: usize = 512;
/// Packets that are not the answer and are passed over.
const MAX_STRAY: usize = 64;
/// A question that is lost is asked again after this time.
const AGAIN: Duration = Duration::from_secs(1);
const TYPE_SOA: u16 = 6;
const CLASS_IN: u16 = 1;

pub(super) async fn ask(check: &HealthCheck, target: &Target) -> Result<(), Wrong> {
    let name = check.query.as_deref().unwrap_or_default();
    let id = random();
    let question = question(id, name);
    let socket = connect(target, check.port).await.map_err(|error| unreachable(&error))?;
    let mut packet = [0; MAX_PACKET];
    socket.send(&question).await.map_err(|error| unreachable(&error))?;
    let mut stray = 0;
    while stray < MAX_STRAY {
        let received = tokio::time::timeout(AGAIN, socket.recv(&mut packet)).await;
        let Ok(received) = received else {
            socket.send(&question).await.map_err(|error| unreachable(&error))?;
            continue;
        };
        let length = received.map_err(|error| unreachable(&error))?;
        match read(&packet[..length], &question) {
            Some(Ok(answer)) => {
                let expect = check.expect.as_deref().unwrap_or_default();
                return match answer.contains(expect) {
                    true => Ok(()),
                    false => Err(Answer::Bad("its SOA does not hold what is expected".into())),
                };
            }
            Some(Err(wrong)) => return Err(Answer::Bad(wrong)),
            None => stray += 1,
        }
    }
    Err(Answer::Bad("it answers what was not asked".into()))
}

async fn connect(target: &Target, port: u16) -> std::io::Result<UdpSocket> {
    let any: IpAddr = match target.address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    if let Some(bridge) = &target.bridge {
        socket.bind_device(Some(bridge.as_bytes()))?;
    }
    socket.connect(SocketAddr::new(target.address, port)).await?;
    Ok(socket)
}

/// Without random numbers the check still works: only this guest can answer it.
fn random() -> u16 {
    let mut bytes = [0x58, 0x4c];
    let _ = getrandom::fill(&mut bytes);
    u16::from_be_bytes(bytes)
}

fn question(id: u16, name: &str) -> Vec<u8> {
    let mut packet = id.to_be_bytes().to_vec();
    // No flags, one question, nothing else.
    packet.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.trim_end_matches('.').split('.').filter(|label| !label.is_empty()) {
        // The name was checked when it was given: labels of 63 bytes at most.
        packet.push(label.len().min(63) as u8);
        packet.extend(label.bytes().take(63));
    }
    packet.push(0);
    packet.extend(TYPE_SOA.to_be_bytes());
    packet.extend(CLASS_IN.to_be_bytes());
    packet
}

/// The SOA's text; why it is not there; or None for a packet that is no answer
/// to this question.
fn read(packet: &[u8], question: &[u8]) -> Option<Result<String, String>> {
    let head = packet.get(..12)?;
    let answers = u16::from_be_bytes([head[6], head[7]]);
    let is_answer = head[2] & 0x80 != 0;
    if head[..2] != question[..2] || !is_answer {
        return None;
    }
    let code = head[3] & 0x0f;
    let told = |code: u8| match code {
        1 => "that the question has a wrong form".to_owned(),
        2 => "that it failed (SERVFAIL)".to_owned(),
        3 => "that there is no such name (NXDOMAIN)".to_owned(),
        5 => "that it refuses (REFUSED)".to_owned(),
        other => format!("with the code {other}"),
    };
    if code != 0 {
        return Some(Err(format!("it answers {}", told(code))));
    }
    let asked = packet.get(12..question.len())?;
    if !asked.eq_ignore_ascii_case(&question[12..]) {
        return None;
    }
    if head[2] & 0x04 == 0 {
        return Some(Err("it answers without authority".into()));
    }
    let mut at = question.len();
    // Each record moves on by 11 bytes at least: the packet's size is the bound.
    for _ in 0..answers {
        match record(packet, &mut at) {
            None => break,
            Some(None) => {}
            Some(Some(text)) => return Some(Ok(text)),
        }
    }
    Some(Err("its answer has no SOA".into()))
}

/// Reads a record and moves on; None when it does not fit, Some(None) when it is
/// no SOA.
fn record(packet: &[u8], at: &mut usize) -> Option<Option<String>> {
    read_name(packet, at)?;
    let kind = number(packet, at, 2)?;
    let class = number(packet, at, 2)?;
    number(packet, at, 4)?;
    let length = usize::try_from(number(packet, at, 2)?).ok()?;
    let (begin, end) = (*at, at.checked_add(length)?);
    packet.get(begin..end)?;
    *at = end;
    if kind != u32::from(TYPE_SOA) || class != u32::from(CLASS_IN) {
        return Some(None);
    }
    let mut inner = begin;
    let server = read_name(packet, &mut inner)?;
    let person = read_name(packet, &mut inner)?;
    let mut text = format!("{server} {person}");
    for _ in 0..5 {
        text.push_str(&format!(" {}", number(packet, &mut inner, 4)?));
    }
    (inner == end).then_some(Some(text))
}

fn number(packet: &[u8], at: &mut usize, bytes: usize) -> Option<u32> {
    let end = at.checked_add(bytes)?;
    let value = packet.get(*at..end)?.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
    *at = end;
    Some(value)
}

/// A name with its dots and without the last one.
fn read_name(packet: &[u8], at: &mut usize) -> Option<String> {
    let mut name = String::new();
    let (mut here, mut returned) = (*at, None);
    loop {
        let length = usize::from(*packet.get(here)?);
        match length {
            0 => break,
            1..64 => {
                let label = packet.get(here + 1..here + 1 + length)?;
                if !name.is_empty() {
                    name.push('.');
                }
                let shown = |b: &u8| if b.is_ascii_graphic() { char::from(*b) } else { '?' };
                name.extend(label.iter().map(shown));
                if name.len() > 255 {
                    return None;
                }
                here += 1 + length;
            }
            192..256 => {
                let low = usize::from(*packet.get(here + 1)?);
                let place = (length & 0x3f) << 8 | low;
                returned.get_or_insert(here + 2);
                // Only backwards, so that it ends.
                if place >= here {
                    return None;
                }
                here = place;
            }
            _ => return None,
        }
    }
    *at = returned.unwrap_or(here + 1);
    Some(name)
}

#[cfg(test)]
pub(super) mod tests;
