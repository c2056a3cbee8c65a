//! A daemon of its own, from the binary as it is shipped.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tonic::transport::{Channel, Endpoint};

/// Killed when it is dropped.
pub(crate) struct Daemon {
    pub(crate) process: Child,
    pub(crate) socket: PathBuf,
}

impl Daemon {
    /// Starts in `dir` and waits until it serves.
    pub(crate) async fn start(dir: &Path) -> (Self, Channel) {
        let socket = dir.join("run/xlfsd.sock");
        let config = dir.join("xlfsd.toml");
        // Only root may give files away, and the tests run as anybody.
        let gid = nix::unistd::getgid();
        let text =
            format!("socket_gid = {gid}\n[builder]\nrecipes = [{:?}]\n", dir.join("recipes"));
        std::fs::write(&config, text).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_xlfsd"))
            .args(["--config", config.to_str().unwrap(), "--socket", socket.to_str().unwrap()])
            .args(["--state-dir", dir.join("state").to_str().unwrap(), "--log", "warn"])
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let daemon = Self { process, socket };
        let address = format!("unix://{}", daemon.socket.display());
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            // What a killed daemon left refuses connections until the new one serves.
            match Endpoint::try_from(address.clone()).unwrap().connect().await {
                Ok(channel) => return (daemon, channel),
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        self.process.wait().unwrap();
    }
}
