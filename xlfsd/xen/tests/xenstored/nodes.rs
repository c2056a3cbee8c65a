//! Nodes: values, directories, permissions, batches, limits.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use xlfs_xen::xenstore::wire::{HEADER_LEN, Header, Kind, PAYLOAD_MAX, encode};
use xlfs_xen::xenstore::{Code, ErrorKind, Op, Perm};

use crate::server::Server;

#[tokio::test]
async fn values_are_bytes() {
    let server = Server::start();
    let client = server.client().await;
    for value in [&b""[..], b"text", b"\0\0", b"a\0b\xff\n", &[7; 2000]] {
        client.write("/test/value", value).await.unwrap();
        assert_eq!(client.read("/test/value").await.unwrap(), value);
    }
    client.write("/test/text", "héllo").await.unwrap();
    assert_eq!(client.read_str("/test/text", 6).await.unwrap(), "héllo");
    let error = client.read_str("/test/text", 5).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::ValueTooLong { len: 6, limit: 5 });
    client.write("/test/text", b"\xff").await.unwrap();
    assert_eq!(client.read_str("/test/text", 5).await.unwrap_err().kind, ErrorKind::NotText);
}

#[tokio::test]
async fn what_does_not_exist_is_said_so() {
    let server = Server::start();
    let client = server.client().await;
    let error = client.read("/none").await.unwrap_err();
    assert!(error.is_not_found() && !error.may_have_happened());
    assert_eq!(error.to_string(), "xenstore: cannot read /none: it does not exist (ENOENT)");
    assert_eq!(client.read_opt("/none").await.unwrap(), None);
    assert!(client.directory("/none").await.unwrap_err().is_not_found());
    assert!(client.get_perms("/none").await.unwrap_err().is_not_found());
    assert!(!client.rm("/none/of/this").await.unwrap());
    client.batch().rm("/none/of/this").run().await.unwrap();
}

#[tokio::test]
async fn writing_makes_parents_and_removing_takes_children() {
    let server = Server::start();
    let client = server.client().await;
    client.write("/a/b/c", "x").await.unwrap();
    assert_eq!(client.read("/a/b").await.unwrap(), b"");
    assert_eq!(client.directory("/a").await.unwrap(), ["b"]);
    assert_eq!(client.directory("/a/b/c").await.unwrap(), [""; 0]);
    client.mkdir("/a/b").await.unwrap();
    client.mkdir("/a/b/d").await.unwrap();
    assert_eq!(client.read("/a/b/c").await.unwrap(), b"x", "mkdir changes nothing that exists");
    let mut children = client.directory("/a/b").await.unwrap();
    children.sort();
    assert_eq!(children, ["c", "d"]);
    assert!(client.rm("/a").await.unwrap());
    assert_eq!(client.read_opt("/a/b/c").await.unwrap(), None);
    assert!(client.directory("/").await.unwrap().contains(&"tool".to_owned()));
}

#[tokio::test]
async fn permissions_are_kept_and_inherited() {
    let server = Server::start();
    let client = server.client().await;
    let perms = [Perm::none(0), Perm::read(3), Perm::both(4), Perm::write(5)];
    client.mkdir("/p").await.unwrap();
    client.set_perms("/p", &perms).await.unwrap();
    assert_eq!(client.get_perms("/p").await.unwrap(), perms);
    client.write("/p/child/grandchild", "").await.unwrap();
    assert_eq!(client.get_perms("/p/child/grandchild").await.unwrap(), perms);
    let error = client.set_perms("/p", &[]).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::BadArgument { .. }));
    let error = client.set_perms("/none/of/this", &perms).await.unwrap_err();
    assert_eq!((error.op, error.path.as_str()), (Op::SetPerms, "/none/of/this"));
}

/// Whether xenstored can list a directory in parts (C xenstored since 4.9), asked without the
/// client.
fn lists_in_parts(server: &Server) -> bool {
    let mut message = Vec::new();
    encode(&mut message, Kind::DirectoryPart, 1, 0, b"/\x000\0").unwrap();
    let mut socket = UnixStream::connect(server.socket()).unwrap();
    socket.write_all(&message).unwrap();
    let mut header = [0; HEADER_LEN];
    socket.read_exact(&mut header).unwrap();
    Kind::from_raw(Header::decode(&header).kind) == Some(Kind::DirectoryPart)
}

#[tokio::test]
async fn directories_longer_than_a_message() {
    let server = Server::start();
    let client = server.client().await;
    let mut wanted: Vec<String> =
        (0..600).map(|n| format!("child-with-a-long-name-{n:04}")).collect();
    let values = wanted.iter().map(|name| (format!("/big/{name}"), "v"));
    client.write_many(values).await.unwrap();
    let mut children = match client.directory("/big").await {
        Ok(children) => children,
        Err(error) => {
            assert_eq!(error.code(), Some(&Code::TooBig));
            assert!(!lists_in_parts(&server), "this xenstored could have told");
            return;
        }
    };
    children.sort();
    wanted.sort();
    assert_eq!(children, wanted);
    // Lists around the size at which one message stops to be enough.
    for count in [511, 512, 513, 1023, 1024] {
        client.rm("/edge").await.unwrap();
        client.write_many((0..count).map(|n| (format!("/edge/n{n:06}"), ""))).await.unwrap();
        assert_eq!(client.directory("/edge").await.unwrap().len(), count);
    }
}

#[tokio::test]
async fn a_thousand_writes_are_one_round_trip() {
    let server = Server::start();
    let client = server.client().await;
    let before = client.stats();
    client.write_many((0..1000).map(|n| (format!("/many/{n}"), n.to_string()))).await.unwrap();
    let after = client.stats();
    assert_eq!(after.operations - before.operations, 1000);
    assert_eq!(after.round_trips - before.round_trips, 1);
    assert_eq!(after.transactions, 0);
    let values = client.read_many((0..1001).map(|n| format!("/many/{n}"))).await.unwrap();
    for (n, value) in values.iter().enumerate() {
        let wanted = (n < 1000).then(|| n.to_string().into_bytes());
        assert_eq!(*value, wanted, "{n}");
    }
}

#[tokio::test]
async fn large_answers_to_a_long_batch_do_not_block() {
    let server = Server::start();
    let client = server.client().await;
    client.write("/large", vec![b'x'; 2000]).await.unwrap();
    let values = client.read_many(vec!["/large"; 2000]).await.unwrap();
    assert!(values.iter().all(|value| value.as_ref().is_some_and(|value| value.len() == 2000)));
}

#[tokio::test]
async fn a_batch_is_carried_out_in_order() {
    let server = Server::start();
    let client = server.client().await;
    let mut batch = client.batch();
    for n in 0..300 {
        batch = batch.write("/order", n.to_string());
        if n % 7 == 0 {
            batch = batch.rm("/order");
        }
    }
    batch = batch.rm("/order").mkdir("/order/a").write("/order", "last");
    batch.run().await.unwrap();
    assert_eq!(client.read("/order").await.unwrap(), b"last");
    assert_eq!(client.directory("/order").await.unwrap(), ["a"]);
}

#[tokio::test]
async fn a_batch_names_what_failed_and_does_the_rest() {
    let server = Server::start();
    let client = server.client().await;
    let perms = [Perm::none(0)];
    let batch = client.batch().write("/x/1", "a").set_perms("/x/none", &perms).write("/x/2", "b");
    let error = batch.run().await.unwrap_err();
    assert_eq!((error.op, error.path.as_str()), (Op::SetPerms, "/x/none"));
    assert!(error.is_not_found());
    assert_eq!(client.read("/x/2").await.unwrap(), b"b");

    let batch = client.batch().write("/y/1", "a").write("y/2", "b").write("/y/3", "c");
    let error = batch.run().await.unwrap_err();
    assert_eq!(error.path, "y/2");
    assert_eq!(client.read_opt("/y/1").await.unwrap(), None, "nothing was sent");
    client.batch().run().await.unwrap();
}

#[tokio::test]
async fn a_request_just_fits_or_is_refused_here() {
    let server = Server::start();
    let client = server.client().await;
    let path = "/limit";
    let room = PAYLOAD_MAX - path.len() - 1;
    let mut kept = room;
    if let Err(error) = client.write(path, vec![b'v'; room]).await {
        // oxenstored has a quota for values, for Dom0 too.
        assert_eq!(error.code(), Some(&Code::TooBig));
        kept = 2000;
        client.write(path, vec![b'v'; kept]).await.unwrap();
    }
    assert_eq!(client.read(path).await.unwrap().len(), kept);
    let error = client.write(path, vec![b'w'; room + 1]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLong { len: PAYLOAD_MAX + 1, limit: PAYLOAD_MAX });
    assert_eq!(client.read(path).await.unwrap().first(), Some(&b'v'), "the connection lives");
    assert_eq!(client.stats().reconnects, 0);
}

#[tokio::test]
async fn long_paths() {
    let server = Server::start();
    let client = server.client().await;
    let path = format!("/{}", "p".repeat(1000));
    client.write(&path, "x").await.unwrap();
    assert_eq!(client.read(&path).await.unwrap(), b"x");
    let error = client.write(&format!("/{}", "p".repeat(3072)), "x").await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::BadPath { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clones_and_clients_work_side_by_side() {
    let server = Server::start();
    let one = server.client().await;
    let two = server.client().await;
    let tasks: Vec<_> = (0..20)
        .map(|task| {
            let client = if task % 2 == 0 { one.clone() } else { two.clone() };
            tokio::spawn(async move {
                for n in 0..50 {
                    let path = format!("/side/{task}/{n}");
                    client.write(&path, n.to_string()).await.unwrap();
                    assert_eq!(client.read(&path).await.unwrap(), n.to_string().as_bytes());
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(one.directory("/side").await.unwrap().len(), 20);
}

#[tokio::test]
async fn a_dropped_call_leaves_the_others_alone() {
    let server = Server::start();
    let client = server.client().await;
    for n in 0..200u64 {
        let writes = client.write_many((0..200).map(|n| (format!("/drop/{n}"), "x")));
        let _ = tokio::time::timeout(Duration::from_micros(n * 10), writes).await;
        client.write("/drop/after", n.to_string()).await.unwrap();
        assert_eq!(client.read("/drop/after").await.unwrap(), n.to_string().as_bytes());
    }
    assert_eq!(client.stats().reconnects, 0);
    assert_eq!(client.stats().unknown_replies, 0);
}
