//! Answers of real form, and every kind of broken one.

use std::net::Ipv4Addr;

use super::*;
use crate::health::probe::tests::{check, loopback};
use crate::template::HealthKind;

/// The answer to `question`: flags, then one SOA whose names point back.
fn answer(question: &[u8], flags: [u8; 2]) -> Vec<u8> {
    let mut packet = question.to_vec();
    packet[2..4].copy_from_slice(&flags);
    packet[6..8].copy_from_slice(&[0, 1]);
    let mut soa = vec![2, b'n', b's', 0xc0, 12, 4, b'r', b'o', b'o', b't', 0xc0, 12];
    for number in [2026_u32, 3600, 600, 86400, 300] {
        soa.extend(number.to_be_bytes());
    }
    packet.extend([0xc0, 12, 0, 6, 0, 1, 0, 0, 1, 0]);
    packet.extend((soa.len() as u16).to_be_bytes());
    packet.extend(soa);
    packet
}

#[test]
fn an_answer_is_read() {
    let question = question(7, "Example.org");
    let told = read(&answer(&question, [0x84, 0]), &question).unwrap().unwrap();
    assert_eq!(told, "ns.Example.org root.Example.org 2026 3600 600 86400 300");
    let wrong = |flags| read(&answer(&question, flags), &question).unwrap().unwrap_err();
    assert_eq!(wrong([0x80, 0]), "it answers without authority");
    assert_eq!(wrong([0x84, 3]), "it answers that there is no such name (NXDOMAIN)");
    assert_eq!(wrong([0x80, 5]), "it answers that it refuses (REFUSED)");
    assert!(read(&answer(&question, [0x04, 0]), &question).is_none(), "a question is no answer");
    let other = self::question(8, "example.org");
    assert!(read(&answer(&other, [0x84, 0]), &question).is_none(), "another's number");
    let other = self::question(7, "example.com");
    assert!(read(&answer(&other, [0x84, 0]), &question).is_none(), "another's name");
}

/// Cut at every place, and every byte changed: it is read without a panic and
/// without going round in circles.
#[test]
fn broken_answers_are_refused() {
    let question = question(7, "example.org");
    let whole = answer(&question, [0x84, 0]);
    for end in 0..whole.len() {
        let read = read(&whole[..end], &question);
        assert!(!matches!(read, Some(Ok(_))), "{end}");
    }
    for at in 0..whole.len() {
        for byte in 0..=255 {
            let mut broken = whole.clone();
            broken[at] = byte;
            let _ = read(&broken, &question);
        }
    }
    let mut at = 0;
    assert_eq!(read_name(&[0xc0, 0], &mut at), None, "it points to itself");
    let mut at = 2;
    assert_eq!(read_name(&[1, b'a', 0xc0, 0, 0], &mut at), None, "round in a circle");
}

#[tokio::test]
async fn a_name_server_is_asked() {
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = server.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut packet = [0; 512];
        let mut lost = true;
        while let Ok((length, from)) = server.recv_from(&mut packet).await {
            // The first question is lost, and strays come before each answer.
            if std::mem::take(&mut lost) {
                continue;
            }
            let _ = server.send_to(b"stray", from).await;
            let _ = server.send_to(&answer(&packet[..length], [0x84, 0]), from).await;
        }
    });
    let check = HealthCheck {
        query: Some("example.org".into()),
        expect: Some("root.example.org 2026".into()),
        ..check(HealthKind::Dns, port)
    };
    ask(&check, &loopback()).await.unwrap();
    let other = HealthCheck { expect: Some("2027".into()), ..check };
    ask(&other, &loopback()).await.unwrap_err();
}
