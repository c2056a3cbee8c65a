//! Guests on the loopback that are followed, and one that comes and goes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::StreamExt;

use super::*;
use crate::event::{EventFilter, EventLimits, Numbering};
use crate::health::probe::tests::{check, loopback, server};
use crate::template::HealthKind;

const LONG: Duration = Duration::from_secs(60);

fn bus() -> EventBus {
    EventBus::new(Numbering::starting_at(0), EventLimits::default())
}

fn subject(port: u16) -> Subject {
    let interval = Duration::from_millis(20);
    Subject {
        uuid: Uuid::new_v4(),
        name: "web".into(),
        domid: 5,
        started: Some(SystemTime::now()),
        target: Ok(loopback()),
        checks: vec![HealthCheck { interval, ..check(HealthKind::Tcp, port) }],
    }
}

async fn until(mut reached: impl FnMut() -> bool) {
    let wait = async {
        while !reached() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.expect("it did not come");
}

/// A server whose service can be switched off: then it does not greet.
async fn switched(on: Arc<AtomicBool>) -> u16 {
    server(move |mut stream| {
        let on = on.clone();
        async move {
            if on.load(Ordering::SeqCst) {
                let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"220 mx\r\n").await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_service_that_ends_and_comes_back_is_seen_and_told() {
    let on = Arc::new(AtomicBool::new(true));
    let port = switched(on.clone()).await;
    let events = bus();
    let mut stream = events.subscribe(Some(0), EventFilter::all());
    let health = Health::new(events);
    let mut subject = subject(port);
    subject.checks[0].kind = HealthKind::Smtp;
    health.follow(subject.clone());
    let state = || health.of(subject.uuid).unwrap().state();
    assert_eq!(state(), HealthState::Starting);
    until(|| state() == HealthState::Healthy).await;
    on.store(false, Ordering::SeqCst);
    until(|| state() == HealthState::Unhealthy).await;
    let told = health.of(subject.uuid).unwrap();
    let reason = format!("smtp port {port}: it closes the connection without a greeting");
    assert_eq!(told.reason, reason);
    assert!(told.checks[0].failures >= 3);
    // Followed again as the supervisor does it: nothing is forgotten.
    health.follow(subject.clone());
    assert_eq!(state(), HealthState::Unhealthy);
    on.store(true, Ordering::SeqCst);
    until(|| state() == HealthState::Healthy).await;
    let mut texts = Vec::new();
    for _ in 0..3 {
        texts.push(stream.next().await.unwrap().text.clone());
    }
    let ill = format!("the guest web is unhealthy: {reason}");
    assert_eq!(texts, ["the guest web is healthy", &ill, "the guest web is healthy"]);

    // Another domain of the guest starts anew.
    on.store(false, Ordering::SeqCst);
    health.follow(Subject { domid: 6, ..subject.clone() });
    assert_eq!(state(), HealthState::Starting);
    health.leave(subject.uuid);
    assert_eq!(health.of(subject.uuid), None);
}

/// However many guests there are: only so many connections are open, and each
/// guest gets its turn.
#[tokio::test]
async fn many_guests_take_turns() {
    let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let port = {
        let (open, most) = (open.clone(), most.clone());
        server(move |mut stream| {
            let (open, most) = (open.clone(), most.clone());
            async move {
                let now = open.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(2)).await;
                open.fetch_sub(1, Ordering::SeqCst);
                let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"220 mx\r\n").await;
            }
        })
        .await
    };
    let health = Health::with_turns(bus(), 4);
    let subjects: Vec<Subject> = (0..300).map(|_| subject(port)).collect();
    for subject in &subjects {
        let mut subject = subject.clone();
        subject.checks[0].kind = HealthKind::Smtp;
        subject.checks[0].interval = LONG;
        health.follow(subject);
    }
    let well = |s: &Subject| health.of(s.uuid).unwrap().state() == HealthState::Healthy;
    until(|| subjects.iter().all(well)).await;
    assert!((1..=4).contains(&most.load(Ordering::SeqCst)), "{most:?}");
}

#[tokio::test]
async fn a_guest_that_cannot_be_asked_is_unknown_with_the_reason() {
    let health = Health::new(bus());
    let target = Err("it has its address by DHCP".to_owned());
    let dhcp = Subject { target, ..subject(1) };
    health.follow(dhcp.clone());
    let told = health.of(dhcp.uuid).unwrap();
    assert_eq!(told.state(), HealthState::Unknown);
    assert_eq!(told.reason, "tcp port 1: it has its address by DHCP");

    let target = Ok(Target { bridge: Some("br-away".into()), ..loopback() });
    let away = Subject { target, ..subject(1) };
    health.follow(away.clone());
    let state = || health.of(away.uuid).unwrap();
    until(|| state().state() == HealthState::Unknown).await;
    assert_eq!(state().reason, "tcp port 1: its bridge does not exist");
}
