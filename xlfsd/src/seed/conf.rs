//! `xlfs.conf`: the seed as assignments `NAME='value'` that a POSIX shell reads
//! with `.` and that set variables, and do nothing else, whatever the values.
//!
//! Lists whose items have no blanks are parted by blanks; keys stand one on a
//! line within their value. docs/templates.md tells what each name is.

use super::check::{Routes, variable};
use super::{Addressing, Seed};

/// Grows when a reader must know of a change.
const FORMAT: u32 = 1;

pub(super) fn write(seed: &Seed, routes: &Routes) -> String {
    let mut conf = Conf(String::from("# Made by xlfsd for this guest; holds secrets.\n"));
    conf.set("FORMAT", &FORMAT.to_string());
    conf.set("INSTANCE", &seed.instance.to_string());
    conf.set("FQDN", seed.fqdn.as_str());
    conf.set("HOST", seed.fqdn.host());
    conf.set("DOMAIN", seed.fqdn.domain().unwrap_or_default());
    conf.list("SEARCH", &seed.search());
    conf.list("NAME_SERVERS", &seed.settings.name_servers);
    conf.list("NTP_SERVERS", &seed.settings.ntp_servers);
    conf.set("LOCALE", seed.settings.locale.as_ref().map_or("", |locale| locale.as_str()));
    conf.set("TIME_ZONE", seed.settings.time_zone.as_ref().map_or("", |zone| zone.as_str()));
    interfaces(&mut conf, seed, routes);
    let keys: Vec<_> = seed.settings.ssh_keys.iter().map(|key| key.as_str()).collect();
    conf.set("SSH_KEYS", &keys.join("\n"));
    conf.set("ROOT_HASH", seed.settings.root_password.as_ref().map_or("", |hash| hash.secret()));
    conf.set("PASSWORD_LOGIN", if seed.settings.password_login { "yes" } else { "no" });
    let steps: Vec<_> = seed.steps.iter().map(|step| step.name()).collect();
    conf.list("STEPS", &steps);
    let parameters: Vec<_> = seed
        .parameters
        .iter()
        .filter_map(|(name, value)| variable(name).map(|variable| (variable, value)))
        .collect();
    let names: Vec<_> = parameters.iter().map(|(variable, _)| variable).collect();
    conf.list("PARAMS", &names);
    for (variable, value) in &parameters {
        conf.set(&format!("PARAM_{variable}"), value);
    }
    conf.0
}

fn interfaces(conf: &mut Conf, seed: &Seed, routes: &Routes) {
    let indices: Vec<_> = seed.interfaces.iter().map(|interface| interface.index).collect();
    conf.list("INTERFACES", &indices);
    // Steps want to know the guest's addresses, whatever interface has them.
    let addresses = seed.interfaces.iter().flat_map(|interface| interface.addresses());
    let addresses: Vec<_> = addresses.map(|address| address.address()).collect();
    conf.list("ADDRESSES", &addresses);
    for interface in &seed.interfaces {
        let key = |name: &str| format!("IF{}_{name}", interface.index);
        let method = match interface.addressing {
            Addressing::Static(_) => "static",
            Addressing::Dhcp => "dhcp",
            Addressing::None => "none",
        };
        conf.set(&key("MAC"), &interface.mac.to_string());
        conf.set(&key("METHOD"), method);
        conf.list(&key("ADDRESSES"), interface.addresses());
        let gateways = routes.get(&interface.index).map(Vec::as_slice).unwrap_or_default();
        conf.list(&key("GATEWAYS"), gateways);
    }
}

struct Conf(String);

impl Conf {
    /// `name` is ours or from [`variable`]; `value` is anything without a NUL.
    fn set(&mut self, name: &str, value: &str) {
        self.0.push_str("XLFS_");
        self.0.push_str(name);
        self.0.push('=');
        self.0.push_str(&quote(value));
        self.0.push('\n');
    }

    /// Items without blanks.
    fn list(&mut self, name: &str, items: &[impl ToString]) {
        let items: Vec<_> = items.iter().map(ToString::to_string).collect();
        self.set(name, &items.join(" "));
    }
}

/// Between single quotes a shell sees nothing but the closing quote.
fn quote(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}
