//! What does waiting for each write cost? Writes the nodes of a domain three ways and prints
//! the time of each:
//!
//! - one after the other, as libxl does;
//! - as one batch, as xlfs does;
//! - one after the other in a transaction.
//!
//! `cargo run --release --example xenstore_pipeline -- [SOCKET OR DEVICE [WRITES [ROUNDS]]]`; without
//! arguments, the xenstored of this host. It writes below `/xlfs-benchmark`, and removes that.

use std::error::Error;
use std::time::{Duration, Instant};

use xlfs_xen::xenstore::{Client, Config, Endpoint};

const ROOT: &str = "/xlfs-benchmark";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let endpoint = match arguments.next() {
        Some(path) => Endpoint::at(path)?,
        None => Endpoint::discover().await?,
    };
    let writes: usize = arguments.next().map_or(Ok(60), |text| text.parse())?;
    let rounds: usize = arguments.next().map_or(Ok(200), |text| text.parse())?;
    let client = Client::connect(endpoint, Config::default()).await?;
    println!(
        "{} via {:?}, {rounds} rounds of {writes} writes",
        client.endpoint().path().display(),
        client.endpoint()
    );

    let nodes: Vec<(String, String)> =
        (0..writes).map(|n| (format!("{ROOT}/device/{n}"), format!("value {n}"))).collect();
    let (mut sequential, mut pipelined, mut transaction) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        client.rm(ROOT).await?;
        let start = Instant::now();
        for (path, value) in &nodes {
            client.write(path, value).await?;
        }
        sequential.push(start.elapsed());

        client.rm(ROOT).await?;
        let start = Instant::now();
        client.write_many(nodes.iter().map(|(path, value)| (path, value))).await?;
        pipelined.push(start.elapsed());

        client.rm(ROOT).await?;
        let start = Instant::now();
        let open = client.begin().await?;
        for (path, value) in &nodes {
            open.write(path, value).await?;
        }
        open.commit().await?;
        transaction.push(start.elapsed());
    }
    client.rm(ROOT).await?;
    report("one by one", &mut sequential, writes);
    report("one batch", &mut pipelined, writes);
    report("transaction", &mut transaction, writes);
    println!("{:?}", client.stats());
    Ok(())
}

fn report(name: &str, times: &mut [Duration], writes: usize) {
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
    let each = at(50).as_secs_f64() * 1e6 / writes.max(1) as f64;
    println!("{name:12} p50 {:>9.3?}  p99 {:>9.3?}  ({each:.1} us a write)", at(50), at(99));
}
