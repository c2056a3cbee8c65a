//! The declared networks, and whether their bridges stand.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::config::check;
use super::{Ensured, Links, NetworkConfig};
use crate::event::EventBus;
use crate::problem::Problem;
use xlfs_mistakes::suggest::did_you_mean;

/// Whether guests can be connected to a network now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// Its bridge has not been looked at yet.
    Unknown,
    Ready,
    /// Its bridge could not be set up.
    Failed(Problem),
}

/// All networks of this host. A clone is the same networks.
#[derive(Debug, Clone)]
pub struct Networks {
    configs: Arc<[NetworkConfig]>,
    readiness: Arc<Mutex<BTreeMap<String, Readiness>>>,
}

impl Networks {
    /// Refuses networks that contradict each other, with every mistake.
    pub fn new(configs: Vec<NetworkConfig>) -> Result<Self, Problem> {
        check(&configs)?;
        Ok(Self { configs: configs.into(), readiness: Arc::default() })
    }

    /// In the order of the configuration.
    pub fn all(&self) -> impl Iterator<Item = &NetworkConfig> {
        self.configs.iter()
    }

    /// The network of that name. NO_SUCH_NETWORK names those there are.
    pub fn get(&self, name: &str) -> Result<&NetworkConfig, Problem> {
        if let Some(config) = self.configs.iter().find(|config| config.name == name) {
            return Ok(config);
        }
        let names: Vec<&str> = self.configs.iter().map(|config| config.name.as_str()).collect();
        let (meant, hint) = match &names[..] {
            [] => (String::new(), "This host has none: declare one in xlfsd's configuration."),
            _ => (did_you_mean(name, names.iter().copied()), ""),
        };
        let shown: String = name.chars().take(40).collect();
        let problem =
            Problem::not_found("NO_SUCH_NETWORK", format!("there is no network {shown:?}{meant}"));
        Err(match hint {
            "" => problem.hint(format!("The networks of this host are {}.", names.join(", "))),
            hint => problem.hint(hint),
        })
    }

    /// How the network of that name is; `Unknown` also when there is none.
    pub fn readiness(&self, name: &str) -> Readiness {
        self.readiness.lock().get(name).cloned().unwrap_or(Readiness::Unknown)
    }

    /// Sets up the bridge of every network, as at each start of the daemon. One
    /// that fails is reported, and keeps neither the others nor the daemon from
    /// working; it can be tried again ([`Networks::ensure`]).
    pub async fn ensure_all(&self, links: &dyn Links, events: &EventBus) {
        for config in self.configs.iter() {
            if let Err(problem) = self.ensure(config, links).await {
                let text = format!("guests cannot be connected to it: {problem:#}");
                events.warn(format!("network {}", config.name), problem.reason, text);
            }
        }
    }

    /// Sets up the bridge of one network, and remembers how that went.
    pub async fn ensure(
        &self,
        config: &NetworkConfig,
        links: &dyn Links,
    ) -> Result<Ensured, Problem> {
        let result = links
            .ensure_bridge(&config.wanted())
            .await
            .map_err(|problem| problem.object(format!("network {}", config.name)));
        let readiness = match &result {
            Ok(ensured) => {
                tracing::info!(network = config.name, bridge = %config.bridge, ?ensured);
                Readiness::Ready
            }
            Err(problem) => Readiness::Failed(problem.clone()),
        };
        self.readiness.lock().insert(config.name.clone(), readiness);
        result
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use async_trait::async_trait;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::event::{EventLimits, Numbering};
    use crate::network::{Attachment, Bridge, Counters, LinkName, Port};

    /// Has every bridge but one.
    #[derive(Debug, Default)]
    struct AllBut {
        broken: Mutex<Option<&'static str>>,
    }

    #[async_trait]
    impl Links for AllBut {
        async fn ensure_bridge(&self, wanted: &Bridge) -> Result<Ensured, Problem> {
            match *self.broken.lock() {
                Some(broken) if wanted.name.as_str() == broken => {
                    Err(Problem::failed_precondition("NOT_A_BRIDGE", "it is none"))
                }
                _ => Ok(Ensured::Made),
            }
        }

        async fn bridge_mtu(&self, _: &LinkName) -> Result<u32, Problem> {
            Ok(1500)
        }

        async fn wait_for(
            &self,
            _: &LinkName,
            _: Duration,
            _: &CancellationToken,
        ) -> Result<(), Problem> {
            Ok(())
        }

        async fn attach(&self, _: &LinkName, _: &Attachment) -> Result<(), Problem> {
            Ok(())
        }

        async fn detach(&self, _: &LinkName) -> Result<bool, Problem> {
            Ok(false)
        }

        async fn ports(&self, _: &LinkName) -> Result<Vec<Port>, Problem> {
            Ok(Vec::new())
        }

        async fn counters(&self, _: &LinkName) -> Result<Option<Counters>, Problem> {
            Ok(None)
        }
    }

    fn networks(names: &[&str]) -> Networks {
        let configs = names.iter().map(|name| NetworkConfig {
            name: (*name).to_owned(),
            bridge: format!("br-{name}").parse().unwrap(),
            addresses: Vec::new(),
            uplinks: Vec::new(),
            mtu: None,
            isolated: false,
        });
        Networks::new(configs.collect()).unwrap()
    }

    #[tokio::test]
    async fn a_bridge_that_fails_is_reported_and_the_others_stand() {
        let events = EventBus::new(Numbering::starting_at(0), EventLimits::default());
        let networks = networks(&["lan", "dmz", "wan"]);
        let links = AllBut { broken: Mutex::new(Some("br-dmz")) };
        assert_eq!(networks.readiness("lan"), Readiness::Unknown);
        let before = events.latest();
        networks.ensure_all(&links, &events).await;
        assert_eq!(events.latest(), before + 1);
        for ready in ["lan", "wan"] {
            assert_eq!(networks.readiness(ready), Readiness::Ready);
        }
        let Readiness::Failed(problem) = networks.readiness("dmz") else { panic!("it failed") };
        assert_eq!(problem.object.as_deref(), Some("network dmz"));

        *links.broken.lock() = None;
        let dmz = networks.get("dmz").unwrap();
        networks.ensure(dmz, &links).await.unwrap();
        assert_eq!(networks.readiness("dmz"), Readiness::Ready);
    }

    #[test]
    fn an_unknown_network_is_told_with_those_there_are() {
        let problem = networks(&["lan", "dmz"]).get("lam").unwrap_err();
        assert_eq!(problem.message, "there is no network \"lam\" (did you mean \"lan\"?)");
        assert_eq!(problem.hint.as_deref(), Some("The networks of this host are lan, dmz."));
        let problem = networks(&[]).get("lan").unwrap_err();
        assert!(problem.hint.as_deref().unwrap().contains("declare one"));
    }
}
