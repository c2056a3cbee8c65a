//! Tries every operation of the xenstore client on this host, and says what came of it.
//!
//! The tests of this crate run a xenstored of their own; the kernel's device exists only in a
//! domain of Xen. Run this in Dom0 to see that both ways work there:
//!
//! `xenstore_tour [SOCKET OR DEVICE]...`; without arguments, all that exist.
//!
//! It writes below `/xlfs-tour` only, and removes that. The status is 1 when anything was not as
//! it should be.

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use xlfs_xen::xenstore::{Client, Code, Config, Endpoint, Perm, Watch};

const ROOT: &str = "/xlfs-tour";

type Outcome = Result<(), Box<dyn Error>>;

#[tokio::main]
async fn main() -> ExitCode {
    let mut endpoints = Vec::new();
    for path in std::env::args().skip(1) {
        match Endpoint::at(&path) {
            Ok(endpoint) => endpoints.push(endpoint),
            Err(error) => {
                eprintln!("{path}: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    if endpoints.is_empty() {
        endpoints = Endpoint::candidates();
        endpoints.retain(|endpoint| endpoint.path().exists());
        match Endpoint::discover().await {
            Ok(found) => println!("the client would choose {found:?}"),
            Err(error) => println!("{error}"),
        }
    }
    let mut status = ExitCode::SUCCESS;
    for endpoint in endpoints {
        println!("{endpoint:?}");
        if let Err(error) = visit(endpoint).await {
            println!("  FAILED: {error}");
            status = ExitCode::FAILURE;
        }
    }
    status
}

async fn visit(endpoint: Endpoint) -> Outcome {
    let limit = endpoint.payload_max();
    let client = Client::connect(endpoint, Config::default()).await?;
    client.rm(ROOT).await?;
    step("nodes", nodes(&client, limit)).await?;
    step("batches", batches(&client)).await?;
    step("long directories", long_directories(&client)).await?;
    step("watches", watches(&client)).await?;
    step("transactions", transactions(&client)).await?;
    step("domains", domains(&client)).await?;
    client.rm(ROOT).await?;
    println!("  {:?}", client.stats());
    same("lost connections", client.stats().reconnects, 0)?;
    same("late replies", client.stats().late_replies, 0)?;
    same("strange replies", client.stats().unknown_replies, 0)
}

async fn step(name: &str, work: impl Future<Output = Outcome>) -> Outcome {
    let start = Instant::now();
    let outcome = timeout(Duration::from_secs(180), work).await.map_err(|_| "it hangs".into());
    outcome.flatten().map_err(|error| format!("{name}: {error}"))?;
    println!("  {name}: fine ({:.1?})", start.elapsed());
    Ok(())
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, wanted: T) -> Outcome {
    if found == wanted {
        return Ok(());
    }
    Err(format!("{what}: {found:?} instead of {wanted:?}").into())
}

async fn nodes(client: &Client, limit: usize) -> Outcome {
    let path = format!("{ROOT}/a/b");
    client.write(&path, b"a\0value\xff").await?;
    same("a value", client.read(&path).await?, b"a\0value\xff".to_vec())?;
    same("no value", client.read_opt(&format!("{ROOT}/none")).await?, None)?;
    same("children", client.directory(ROOT).await?, vec!["a".to_owned()])?;
    let perms = [Perm::none(0), Perm::read(1), Perm::both(2)];
    client.set_perms(&path, &perms).await?;
    same("permissions", client.get_perms(&path).await?, perms.to_vec())?;
    let room = limit - path.len() - 1;
    if let Err(error) = client.write(&path, vec![b'x'; room]).await {
        // The quota of oxenstored.
        same("the longest value", error.code(), Some(&Code::TooBig))?;
    } else {
        same("the longest value", client.read(&path).await?.len(), room)?;
    }
    let error = client.write(&path, vec![b'x'; room + 1]).await.err();
    same("one byte more", error.is_some_and(|error| !error.may_have_happened()), true)?;
    same("removing", client.rm(&path).await?, true)?;
    same("removing nothing", client.rm(&format!("{path}/none/none")).await?, false)
}

async fn batches(client: &Client) -> Outcome {
    let path = |n: u32| format!("{ROOT}/batch/{n}");
    let before = client.stats().round_trips;
    client.write_many((0..500).map(|n| (path(n), n.to_string()))).await?;
    same("round trips", client.stats().round_trips - before, 1)?;
    for (n, value) in (0..).zip(client.read_many((0..501).map(path)).await?) {
        same("a value", value, (n < 500).then(|| n.to_string().into_bytes()))?;
    }
    let order = format!("{ROOT}/order");
    let mut batch = client.batch();
    for n in 0..200 {
        batch = batch.write(&order, n.to_string()).rm(&order);
    }
    batch.write(&order, "last").run().await?;
    same("the order", client.read(&order).await?, b"last".to_vec())
}

async fn long_directories(client: &Client) -> Outcome {
    let names: Vec<String> = (0..400).map(|n| format!("child-with-a-long-name-{n}")).collect();
    let nodes = names.iter().map(|name| (format!("{ROOT}/long/{name}"), ""));
    client.write_many(nodes).await?;
    match client.directory(&format!("{ROOT}/long")).await {
        Ok(children) => same("children", children.len(), names.len()),
        Err(error) => same("an old xenstored's answer", error.code(), Some(&Code::TooBig)),
    }
}

async fn expect(watch: &mut Watch, path: &str) -> Outcome {
    let event = timeout(Duration::from_secs(20), watch.next()).await??;
    same("an event's path", event.path(), Some(path))
}

async fn watches(client: &Client) -> Outcome {
    let root = format!("{ROOT}/watch");
    let node = format!("{root}/node");
    let mut one = client.watch(&root).await?;
    let mut two = client.watch(&root).await?;
    let mut special = client.watch("@releaseDomain").await?;
    expect(&mut one, &root).await?;
    expect(&mut two, &root).await?;
    expect(&mut special, "@releaseDomain").await?;
    client.write(&node, "1").await?;
    expect(&mut one, &node).await?;
    expect(&mut two, &node).await?;
    drop(one);
    client.read(&node).await?;
    client.write(&root, "2").await?;
    expect(&mut two, &root).await?;
    for n in 0..100 {
        let path = format!("{root}/many/{n}");
        let mut watch = client.watch(&path).await?;
        expect(&mut watch, &path).await?;
        client.write(&path, "x").await?;
        expect(&mut watch, &path).await?;
    }
    Ok(())
}

async fn transactions(client: &Client) -> Outcome {
    let (a, b) = (format!("{ROOT}/tx/a"), format!("{ROOT}/tx/b"));
    client
        .transaction(|tx| {
            let (a, b) = (a.clone(), b.clone());
            async move { tx.batch().write(&a, "1").write(&b, "2").run().await }
        })
        .await?;
    same("a committed value", client.read(&b).await?, b"2".to_vec())?;
    let open = client.begin().await?;
    open.write(&a, "aborted").await?;
    drop(open);
    same("an aborted value", client.read(&a).await?, b"1".to_vec())?;
    let open = client.begin().await?;
    open.read(&a).await?;
    open.write(&b, "late").await?;
    client.write(&a, "first").await?;
    let error = open.commit().await.err();
    same("a conflict", error.as_ref().and_then(|error| error.code()), Some(&Code::Again))
}

async fn domains(client: &Client) -> Outcome {
    same("Dom0's path", client.domain_path(0).await?, "/local/domain/0".to_owned())?;
    same("domain 30000 is there", client.is_introduced(30_000).await?, false)
}
