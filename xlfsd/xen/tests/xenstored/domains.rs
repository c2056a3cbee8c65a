//! Introducing domains, and letting them go.

use xlfs_xen::xenstore::{Op, Perm};

use crate::server::Server;
use crate::soon;

#[tokio::test]
async fn a_domain_is_introduced_and_released() {
    let server = Server::start();
    let (client, other) = (server.client().await, server.client().await);
    let mut introduced = other.watch("@introduceDomain").await.unwrap();
    let mut released = other.watch("@releaseDomain").await.unwrap();
    soon("the first event", introduced.next()).await.unwrap();
    soon("the first event", released.next()).await.unwrap();

    assert!(!client.is_introduced(7).await.unwrap());
    assert_eq!(client.domain_path(7).await.unwrap(), "/local/domain/7");
    let before = client.stats().round_trips;
    client
        .batch()
        .mkdir("/local/domain/7")
        .set_perms("/local/domain/7", &[Perm::none(0), Perm::read(7)])
        .write("/local/domain/7/name", "db1")
        .introduce(7, 0x12345, 3)
        .run()
        .await
        .unwrap();
    assert_eq!(client.stats().round_trips - before, 1);
    assert!(client.is_introduced(7).await.unwrap());
    let event = soon("the introduction", introduced.next()).await.unwrap();
    assert_eq!(event.path(), Some("@introduceDomain"));
    let perms = client.get_perms("/local/domain/7/name").await.unwrap();
    assert_eq!(perms, [Perm::none(0), Perm::read(7)]);

    client.release(7).await.unwrap();
    assert!(!client.is_introduced(7).await.unwrap());
    let event = soon("the release", released.next()).await.unwrap();
    assert_eq!(event.path(), Some("@releaseDomain"));
}

#[tokio::test]
async fn refusals_name_the_domain() {
    let server = Server::start();
    let client = server.client().await;
    let error = client.release(77).await.unwrap_err();
    assert_eq!((error.op, error.path.as_str()), (Op::Release, "domain 77"));
    assert!(error.code().is_some(), "{error}");
}
