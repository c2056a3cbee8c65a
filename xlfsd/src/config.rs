//! What the operator sets: the configuration file and the command line, which
//! wins. Every key is described in docs/configuration.md.

use std::path::{Path, PathBuf};

use clap::Parser;
use serde::Deserialize;
use xlfs_proto::DEFAULT_SOCKET;

use crate::api::ServerLimits;
use crate::build::BuilderConfig;
use crate::console::ConsoleLimits;
use crate::event::EventLimits;
use crate::image::ImageLimits;
use crate::network::NetworkConfig;
use crate::problem::{Problem, ProblemKind};
use crate::size::ByteSize;
use crate::storage::PoolConfig;
use crate::task::TaskLimits;
use crate::toml_file;

/// Read when it is there; when `--config` names another file, that must exist.
pub const DEFAULT_CONFIG: &str = "/etc/xlfs/xlfsd.toml";

/// The xlfs daemon: creates and runs Xen guests from templates.
#[derive(Debug, Parser)]
#[command(name = "xlfsd", version, max_term_width = 100)]
pub struct Args {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The Unix socket to serve on
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Where images, guests and console logs are kept
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Folders with templates; of one name, the later folder's is taken
    #[arg(long, value_name = "DIR", num_args = 1..)]
    pub templates: Option<Vec<PathBuf>>,
    /// What to log: a level, or directives such as "info,xlfsd::api=debug"
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
}

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub socket: PathBuf,
    /// The group that may use the socket.
    pub socket_gid: u32,
    pub state_dir: PathBuf,
    pub templates: Vec<PathBuf>,
    /// None: the environment (XLFSD_LOG, RUST_LOG) or "info".
    pub log: Option<String>,
    /// Whether Xen resets the host when xlfsd hangs. None: where it starts from slots.
    pub watchdog: Option<bool>,
    pub server: ServerConfig,
    pub images: ImagesConfig,
    pub events: EventsConfig,
    pub tasks: TasksConfig,
    pub console: ConsoleConfig,
    pub builder: BuilderConfig,
    /// None: one folder below the state folder.
    pub pools: Option<Vec<PoolConfig>>,
    pub networks: Vec<NetworkConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            socket: DEFAULT_SOCKET.into(),
            socket_gid: 0,
            state_dir: "/var/lib/xlfs".into(),
            templates: vec!["/usr/share/xlfs/templates".into(), "/etc/xlfs/templates".into()],
            log: None,
            watchdog: None,
            server: ServerConfig::default(),
            images: ImagesConfig::default(),
            events: EventsConfig::default(),
            tasks: TasksConfig::default(),
            console: ConsoleConfig::default(),
            builder: BuilderConfig::default(),
            pools: None,
            networks: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    pub connections: usize,
    pub calls_per_connection: u32,
}

impl Default for ServerConfig {
    fn default() -> Self {
        let limits = ServerLimits::default();
        Self { connections: limits.connections, calls_per_connection: limits.calls_per_connection }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImagesConfig {
    pub kernel_max: ByteSize,
    pub ramdisk_max: ByteSize,
    pub disk_max: ByteSize,
    pub imports: usize,
}

impl Default for ImagesConfig {
    fn default() -> Self {
        let ImageLimits { kernel, ramdisk, disk, imports } = ImageLimits::default();
        Self { kernel_max: kernel, ramdisk_max: ramdisk, disk_max: disk, imports }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventsConfig {
    pub keep: usize,
    pub keep_bytes: ByteSize,
}

impl Default for EventsConfig {
    fn default() -> Self {
        let EventLimits { events, bytes } = EventLimits::default();
        Self { keep: events, keep_bytes: ByteSize(bytes as u64) }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TasksConfig {
    pub keep: usize,
    pub log_lines: usize,
}

impl Default for TasksConfig {
    fn default() -> Self {
        let TaskLimits { ended, log_lines, .. } = TaskLimits::default();
        Self { keep: ended, log_lines }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsoleConfig {
    pub first: ByteSize,
    pub recent: ByteSize,
    pub disk_rate: ByteSize,
}

impl Default for ConsoleConfig {
    fn default() -> Self {
        let ConsoleLimits { first, recent, disk_rate } = ConsoleLimits::default();
        Self { first, recent, disk_rate }
    }
}

impl Config {
    /// The configuration file, with what the command line says instead.
    pub fn load(args: &Args) -> Result<Self, Problem> {
        let path = args.config.as_deref().unwrap_or(Path::new(DEFAULT_CONFIG));
        let mut config = match toml_file::read::<Self>(path) {
            Ok(config) => config,
            Err(error) if error.is_not_found() && args.config.is_none() => Self::default(),
            Err(error) => return Err(unusable(path).cause(&error)),
        };
        if let Some(socket) = &args.socket {
            config.socket.clone_from(socket);
        }
        if let Some(state_dir) = &args.state_dir {
            config.state_dir.clone_from(state_dir);
        }
        if let Some(templates) = &args.templates {
            config.templates.clone_from(templates);
        }
        if args.log.is_some() {
            config.log.clone_from(&args.log);
        }
        config.check(path)?;
        Ok(config)
    }

    fn check(&self, path: &Path) -> Result<(), Problem> {
        let positive = [
            ("server.connections", self.server.connections as u64),
            ("server.calls_per_connection", u64::from(self.server.calls_per_connection)),
            ("images.kernel_max", self.images.kernel_max.0),
            ("images.ramdisk_max", self.images.ramdisk_max.0),
            ("images.disk_max", self.images.disk_max.0),
            ("images.imports", self.images.imports as u64),
            ("events.keep", self.events.keep as u64),
            ("events.keep_bytes", self.events.keep_bytes.0),
            ("console.recent", self.console.recent.0),
            ("console.disk_rate", self.console.disk_rate.0),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, value)| *value == 0) {
            let wrong = std::io::Error::other(format!("{key} must be more than 0"));
            return Err(unusable(path).cause(&wrong));
        }
        let paths = [("socket", &self.socket), ("state_dir", &self.state_dir)];
        let templates = self.templates.iter().map(|dir| ("templates", dir));
        // The daemon has no useful working folder, so a relative path has no meaning.
        if let Some((key, path)) =
            paths.into_iter().chain(templates).find(|(_, p)| !p.is_absolute())
        {
            return Err(Problem::invalid_field(
                "BAD_CONFIGURATION",
                key,
                &format!("{} must be an absolute path", path.display()),
            ));
        }
        self.builder.check()?;
        PoolConfig::check(&self.pools())
    }

    /// Where volumes are kept; the first is where one goes that names no pool.
    pub fn pools(&self) -> Vec<PoolConfig> {
        self.pools.clone().unwrap_or_else(|| PoolConfig::default_pools(&self.state_dir))
    }

    pub fn server_limits(&self) -> ServerLimits {
        ServerLimits {
            connections: self.server.connections,
            calls_per_connection: self.server.calls_per_connection,
        }
    }

    pub fn image_limits(&self) -> ImageLimits {
        let ImagesConfig { kernel_max, ramdisk_max, disk_max, imports } = self.images;
        ImageLimits { kernel: kernel_max, ramdisk: ramdisk_max, disk: disk_max, imports }
    }

    pub fn event_limits(&self) -> EventLimits {
        let bytes = usize::try_from(self.events.keep_bytes.0).unwrap_or(usize::MAX);
        EventLimits { events: self.events.keep, bytes }
    }

    pub fn console_limits(&self) -> ConsoleLimits {
        let ConsoleConfig { first, recent, disk_rate } = self.console;
        ConsoleLimits { first, recent, disk_rate }
    }

    pub fn task_limits(&self) -> TaskLimits {
        let TasksConfig { keep, log_lines } = self.tasks;
        TaskLimits { ended: keep, log_lines, ..TaskLimits::default() }
    }
}

fn unusable(path: &Path) -> Problem {
    Problem::new(
        ProblemKind::FailedPrecondition,
        "BAD_CONFIGURATION",
        format!("the configuration {} cannot be used", path.display()),
    )
    .hint("Correct it; xlfsd starts with its defaults when there is no such file.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, given: &[&str]) -> Result<Config, Problem> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("xlfsd.toml");
        std::fs::write(&path, text).unwrap();
        let args = ["xlfsd", "--config", path.to_str().unwrap()];
        let args = args.into_iter().chain(given.iter().copied());
        Config::load(&Args::try_parse_from(args).unwrap())
    }

    #[test]
    fn an_empty_file_means_the_defaults() {
        assert_eq!(load("", &[]).unwrap(), Config::default());
    }

    #[test]
    fn the_command_line_wins() {
        let text = "socket = '/a'\nstate_dir = '/b'\nlog = 'debug'\n[images]\nkernel_max = '1M'";
        let args = ["--socket", "/c", "--templates", "/t1", "/t2", "--log", "warn"];
        let config = load(text, &args).unwrap();
        assert_eq!(config.socket, Path::new("/c"));
        assert_eq!(config.state_dir, Path::new("/b"));
        assert_eq!(config.templates, [Path::new("/t1"), Path::new("/t2")]);
        assert_eq!(config.log.as_deref(), Some("warn"));
        assert_eq!(config.image_limits().kernel, ByteSize::mib(1));
        assert_eq!(config.image_limits().ramdisk, ByteSize::mib(512));
    }

    #[test]
    fn mistakes_name_their_key() {
        for (text, cause) in [
            ("sokcet = '/a'", ":1: unknown key \"sokcet\" (did you mean \"socket\"?)"),
            ("[events]\nkeeep = 1", ":2: unknown key \"keeep\" (did you mean \"keep\"?)"),
            ("[images]\nkernel_max = 'big'", ":2: \"big\" is not a size"),
            ("[server]\nconnections = 0", "server.connections must be more than 0"),
        ] {
            let problem = load(text, &[]).unwrap_err();
            assert!(problem.causes[0].contains(cause), "{problem:#}");
        }
        let problem = load("state_dir = 'here'", &[]).unwrap_err();
        assert_eq!(problem.message, "state_dir: here must be an absolute path");
    }

    #[test]
    fn a_file_that_was_asked_for_must_be_there() {
        let args = Args::try_parse_from(["xlfsd", "--config", "/nonexistent.toml"]).unwrap();
        assert_eq!(Config::load(&args).unwrap_err().reason, "BAD_CONFIGURATION");
    }

    #[test]
    fn the_manual_names_every_key_with_its_default() {
        let manual = include_str!("../../docs/configuration.md");
        let example = manual.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        assert_eq!(load(example, &[]).unwrap(), Config::default());
        // All of them: a default that is left out would go unnoticed above.
        let keys = example.lines().filter(|line| line.contains(" = ")).count();
        assert_eq!(keys, 28, "a new key must be in the manual");
        // Those of pools and networks are examples, which must be good ones.
        let blocks = manual.split("```toml\n").skip(1).map(|b| b.split("```").next().unwrap());
        let more = |block: &&str| block.contains("[[") || block.contains("[builder.remote]");
        let tables: String = blocks.filter(more).collect();
        let config = load(&tables, &[]).unwrap();
        assert_eq!((config.pools().len(), config.networks.len()), (2, 1));
        assert!(config.builder.remote.is_some());
    }
}
