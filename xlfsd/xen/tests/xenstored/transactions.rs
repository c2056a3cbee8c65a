//! Transactions: isolation, conflicts, aborts.

use std::sync::atomic::{AtomicU32, Ordering};

use xlfs_xen::xenstore::{Code, Config, Error, ErrorKind};

use crate::server::Server;

#[tokio::test]
async fn changes_are_seen_when_committed() {
    let server = Server::start();
    let (client, other) = (server.client().await, server.client().await);
    client.write("/t/a", "old").await.unwrap();
    let transaction = client.begin().await.unwrap();
    transaction.write("/t/a", "new").await.unwrap();
    transaction.write("/t/b", "new").await.unwrap();
    assert_eq!(transaction.read("/t/a").await.unwrap(), b"new");
    assert_eq!(other.read("/t/a").await.unwrap(), b"old");
    assert_eq!(client.read_opt("/t/b").await.unwrap(), None);
    transaction.commit().await.unwrap();
    assert_eq!(other.read("/t/a").await.unwrap(), b"new");
    assert_eq!(other.directory("/t").await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_conflict_is_reported_and_changes_nothing() {
    let server = Server::start();
    let (client, other) = (server.client().await, server.client().await);
    client.write("/t", "1").await.unwrap();
    let transaction = client.begin().await.unwrap();
    transaction.read("/t").await.unwrap();
    transaction.write("/t", "mine").await.unwrap();
    other.write("/t", "theirs").await.unwrap();
    let error = transaction.commit().await.unwrap_err();
    assert_eq!(error.code(), Some(&Code::Again));
    assert_eq!(client.read("/t").await.unwrap(), b"theirs");
}

#[tokio::test]
async fn a_loop_of_transactions_loses_no_update() {
    let server = Server::start();
    let setup = server.client().await;
    setup.write("/counter", "0").await.unwrap();
    let mut tasks = Vec::new();
    for _ in 0..3 {
        let client =
            server.client_with(Config { transaction_attempts: 10_000, ..Config::default() }).await;
        tasks.push(tokio::spawn(async move {
            for _ in 0..20 {
                client
                    .transaction(|tx| async move {
                        let value: u32 = tx.read_str("/counter", 10).await?.parse().unwrap();
                        tx.write("/counter", (value + 1).to_string()).await
                    })
                    .await
                    .unwrap();
            }
            client.stats().transaction_conflicts
        }));
    }
    let mut conflicts = 0;
    for task in tasks {
        conflicts += task.await.unwrap();
    }
    assert_eq!(setup.read("/counter").await.unwrap(), b"60");
    println!("{conflicts} conflicts");
}

#[tokio::test]
async fn attempts_are_limited() {
    let server = Server::start();
    let config = Config { transaction_attempts: 4, ..Config::default() };
    let (client, other) = (server.client_with(config).await, server.client().await);
    client.write("/t", "0").await.unwrap();
    let attempts = AtomicU32::new(0);
    let result: Result<(), Error> = client
        .transaction(|tx| {
            let (attempts, other) = (&attempts, &other);
            async move {
                let attempt = attempts.fetch_add(1, Ordering::Relaxed);
                tx.read("/t").await?;
                tx.write("/t", "mine").await?;
                other.write("/t", format!("theirs {attempt}")).await
            }
        })
        .await;
    assert_eq!(result.unwrap_err().kind, ErrorKind::Conflict { attempts: 4 });
    assert_eq!(attempts.into_inner(), 4);
    assert_eq!(client.stats().transaction_conflicts, 4);
    assert_eq!(client.read("/t").await.unwrap(), b"theirs 3");
}

#[tokio::test]
async fn a_failed_body_aborts() {
    let server = Server::start();
    let client = server.client().await;
    let result: Result<(), Error> = client
        .transaction(|tx| async move {
            tx.write("/t/half", "x").await?;
            tx.read("/t/none").await.map(drop)
        })
        .await;
    assert!(result.unwrap_err().is_not_found());
    assert_eq!(client.read_opt("/t/half").await.unwrap(), None);
    // A thousand more: aborted transactions do not pile up in xenstored.
    for _ in 0..1000 {
        drop(client.begin().await.unwrap());
    }
    client.begin().await.unwrap().commit().await.unwrap();
    assert_eq!(client.stats().reconnects, 0);
}

#[tokio::test]
async fn watches_see_a_transaction_only_when_committed() {
    let server = Server::start();
    let client = server.client().await;
    client.mkdir("/w").await.unwrap();
    let mut watch = client.watch("/w").await.unwrap();
    assert_eq!(crate::soon("first event", watch.next()).await.unwrap().path(), Some("/w"));
    let transaction = client.begin().await.unwrap();
    transaction.batch().write("/w/a", "1").write("/w/b", "2").run().await.unwrap();
    client.write("/w/before", "").await.unwrap();
    assert_eq!(crate::soon("a write", watch.next()).await.unwrap().path(), Some("/w/before"));
    // The write above is a conflict on 4.2.5 (anything is); try again until it goes through.
    if transaction.commit().await.is_err() {
        let transaction = client.begin().await.unwrap();
        transaction.batch().write("/w/a", "1").write("/w/b", "2").run().await.unwrap();
        transaction.commit().await.unwrap();
    }
    let mut paths = Vec::new();
    for _ in 0..2 {
        paths.push(
            crate::soon("the commit", watch.next()).await.unwrap().path().unwrap().to_owned(),
        );
    }
    paths.sort();
    assert_eq!(paths, ["/w/a", "/w/b"]);
}
