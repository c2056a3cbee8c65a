//! A network namespace for one test, and what is put in it.

use std::panic::resume_unwind;
use std::path::Path;

use futures::TryStreamExt;
use nix::sched::{CloneFlags, unshare};
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};
use rtnetlink::{Handle, LinkUnspec, LinkVeth, new_connection};
use xlfsd::network::LinkName;

/// Runs a test on a thread that has a network of its own. Everything that the
/// test starts (sockets, processes) is in it too.
pub(crate) fn in_own_network<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET)
            .expect("tests of the network need a network namespace: run them as root");
        // Where br_netfilter is loaded, the bridge drops malformed packets by itself.
        for key in ["iptables", "ip6tables", "arptables"] {
            let path = format!("/proc/sys/net/bridge/bridge-nf-call-{key}");
            if Path::new(&path).exists() {
                std::fs::write(path, "0").unwrap();
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test());
    });
    if let Err(panic) = thread.join() {
        resume_unwind(panic);
    }
}

pub(crate) fn name(text: &str) -> LinkName {
    text.parse().unwrap()
}

pub(crate) fn sysctl(link: &str, key: &str) -> String {
    // Of this thread's namespace; /proc/sys/net is that of who looks.
    let path = format!("/proc/sys/net/ipv6/conf/{link}/{key}");
    std::fs::read_to_string(path).unwrap().trim().to_owned()
}

/// The kernel's own view, by other means than the code under test.
#[derive(Clone)]
pub(crate) struct Space(pub(crate) Handle);

impl Space {
    pub(crate) fn open() -> Self {
        let (driver, handle, _) = new_connection().unwrap();
        tokio::spawn(driver);
        Self(handle)
    }

    /// Two interfaces joined by a wire: Dom0's end, and the guest's, which is up.
    pub(crate) async fn wire(&self, dom0: &str, guest: &str) {
        self.0.link().add(LinkVeth::new(dom0, guest).build()).execute().await.unwrap();
        let index = self.index(dom0).await;
        let down = LinkUnspec::new_with_index(index).down().build();
        self.0.link().change(down).execute().await.unwrap();
        let index = self.index(guest).await;
        let up = LinkUnspec::new_with_index(index).up().build();
        self.0.link().change(up).execute().await.unwrap();
    }

    pub(crate) async fn look(&self, link: &str) -> Option<LinkMessage> {
        self.0.link().get().match_name(link).execute().try_next().await.ok().flatten()
    }

    pub(crate) async fn index(&self, link: &str) -> u32 {
        self.look(link).await.unwrap_or_else(|| panic!("{link} is not there")).header.index
    }

    pub(crate) async fn delete(&self, link: &str) {
        self.0.link().del(self.index(link).await).execute().await.unwrap();
    }

    pub(crate) async fn attribute<T>(
        &self,
        link: &str,
        take: impl Fn(&LinkAttribute) -> Option<T>,
    ) -> Option<T> {
        self.look(link).await.unwrap().attributes.iter().find_map(take)
    }

    pub(crate) async fn mtu(&self, link: &str) -> u32 {
        let mtu = |attribute: &LinkAttribute| match attribute {
            LinkAttribute::Mtu(mtu) => Some(*mtu),
            _ => None,
        };
        self.attribute(link, mtu).await.unwrap()
    }

    pub(crate) async fn mac(&self, link: &str) -> Vec<u8> {
        let address = |attribute: &LinkAttribute| match attribute {
            LinkAttribute::Address(address) => Some(address.clone()),
            _ => None,
        };
        self.attribute(link, address).await.unwrap()
    }

    /// As "10.0.0.1/24", without the kernel's own link-local ones.
    pub(crate) async fn addresses(&self, link: &str) -> Vec<String> {
        let get = self.0.address().get().set_link_index_filter(self.index(link).await);
        let messages: Vec<_> = get.execute().try_collect().await.unwrap();
        let mut found: Vec<String> = messages
            .iter()
            .flat_map(|message| {
                message.attributes.iter().filter_map(|attribute| match attribute {
                    AddressAttribute::Address(ip) if !ip.to_string().starts_with("fe80") => {
                        Some(format!("{ip}/{}", message.header.prefix_len))
                    }
                    _ => None,
                })
            })
            .collect();
        found.sort();
        found
    }
}
