//! The files that cloud-init reads from a NoCloud disk (cloud-init's
//! reference, "NoCloud" and "Networking config version 2").

use serde_json::{Map, Value, json};

use super::check::Routes;
use super::{Addressing, Seed, SeedError, yaml};

/// The folder in the guest that vm-templates/first-boot has too: a guest with
/// both runs each step once.
const FOLDER: &str = "/var/lib/xlfs-first-boot";

/// Runs the template's steps as vm-templates/first-boot does, for guests that
/// have cloud-init instead of it. `xlfs.conf` is ours, quoted by `conf`.
const RUN_STEPS: &str = "\
cd /var/lib/xlfs-first-boot && . ./xlfs.conf || exit 1
say() { echo \"xlfs-first-boot: $*\" | tee -a /var/log/xlfs-first-boot.log >/dev/console; }
unset XLFS_ROOT_HASH
export XLFS_FQDN XLFS_HOST XLFS_DOMAIN XLFS_ADDRESSES
for name in $XLFS_PARAMS; do export \"XLFS_PARAM_$name\"; done
mkdir -p done
for step in $XLFS_STEPS; do
    [ -e \"done/$step\" ] && continue
    sh \"steps/$step\" </dev/null >>/var/log/xlfs-first-boot.log 2>&1
    code=$?
    if [ $code -ne 0 ]; then say \"step $step failed (exit $code)\"; say \"failed: $step\"; exit 1; fi
    : >\"done/$step\"
done
say done
";

pub(super) fn meta_data(seed: &Seed) -> Result<String, SeedError> {
    let value = json!({
        "instance-id": seed.instance.to_string(),
        "local-hostname": seed.fqdn.as_str(),
    });
    write("meta-data", &value)
}

pub(super) fn user_data(seed: &Seed, conf: &str) -> Result<String, SeedError> {
    let keys: Vec<_> = seed.settings.ssh_keys.iter().map(|key| key.as_str()).collect();
    // Without this list cloud-init would make the image's default user, too; and
    // it locks root's password unless told not to.
    let mut root = json!({ "name": "root", "lock_passwd": false });
    if !keys.is_empty() {
        root["ssh_authorized_keys"] = json!(keys);
    }
    let mut value = json!({
        "hostname": seed.fqdn.host(),
        "fqdn": seed.fqdn.as_str(),
        "manage_etc_hosts": "localhost",
        "users": [root],
        "disable_root": false,
        "ssh_pwauth": seed.settings.password_login,
    });
    if let Some(hash) = &seed.settings.root_password {
        let root = json!({ "name": "root", "password": hash.secret(), "type": "hash" });
        value["chpasswd"] = json!({ "expire": false, "users": [root] });
    }
    if let Some(locale) = &seed.settings.locale {
        value["locale"] = json!(locale.as_str());
    }
    if let Some(zone) = &seed.settings.time_zone {
        value["timezone"] = json!(zone.as_str());
    }
    if !seed.settings.ntp_servers.is_empty() {
        let servers: Vec<_> = seed.settings.ntp_servers.iter().map(ToString::to_string).collect();
        value["ntp"] = json!({ "enabled": true, "servers": servers });
    }
    if !seed.steps.is_empty() {
        let mut files = vec![file("xlfs.conf", "0600", conf)];
        for step in &seed.steps {
            files.push(file(&format!("steps/{}", step.name()), "0700", step.content()));
        }
        value["write_files"] = json!(files);
        value["runcmd"] = json!([["sh", "-c", RUN_STEPS]]);
    }
    // The first line is what makes it a configuration and not a script.
    Ok(format!("#cloud-config\n{}", write("user-data", &value)?))
}

fn file(name: &str, mode: &str, content: &str) -> Value {
    json!({ "path": format!("{FOLDER}/{name}"), "permissions": mode, "content": content })
}

pub(super) fn network_config(seed: &Seed, routes: &Routes) -> Result<String, SeedError> {
    let servers: Vec<_> = seed.settings.name_servers.iter().map(ToString::to_string).collect();
    let mut ethernets = Map::new();
    for interface in &seed.interfaces {
        let dhcp = interface.addressing == Addressing::Dhcp;
        let mut ethernet = json!({
            "match": { "macaddress": interface.mac.to_string() },
            "set-name": interface.name(),
            "dhcp4": dhcp,
            "dhcp6": dhcp,
        });
        let addresses: Vec<_> = interface.addresses().iter().map(ToString::to_string).collect();
        if !addresses.is_empty() {
            ethernet["addresses"] = json!(addresses);
        }
        // Not as routes: cloud-init 22.4 makes ::/64 of the destination ::/0.
        for gateway in routes.get(&interface.index).into_iter().flatten() {
            let key = if gateway.address().is_ipv6() { "gateway6" } else { "gateway4" };
            ethernet[key] = json!(gateway.to_string());
        }
        if !servers.is_empty() && interface.addressing != Addressing::None {
            ethernet["nameservers"] = json!({ "addresses": servers, "search": seed.search() });
        }
        ethernets.insert(interface.name(), ethernet);
    }
    write("network-config", &json!({ "version": 2, "ethernets": ethernets }))
}

fn write(name: &'static str, value: &Value) -> Result<String, SeedError> {
    yaml::write(value).map_err(|source| SeedError::Yaml { name, source })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    #[test]
    fn the_steps_run_in_order_once_and_until_one_fails() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        fs::create_dir_all(path("lib/steps")).unwrap();
        fs::create_dir(path("log")).unwrap();
        let conf = "XLFS_FQDN='a.b' XLFS_HOST='a' XLFS_DOMAIN='b' XLFS_ADDRESSES='' \
                    XLFS_ROOT_HASH='hash' XLFS_PARAMS='X Y' XLFS_PARAM_X='it'\\''s' \
                    XLFS_PARAM_Y='' XLFS_STEPS='2 1 3'\n";
        fs::write(path("lib/xlfs.conf"), conf).unwrap();
        let told = "echo \"$0 $XLFS_FQDN $XLFS_PARAM_X ${XLFS_ROOT_HASH-none}\" >>../ran\n";
        fs::write(path("lib/steps/2"), told).unwrap();
        fs::write(path("lib/steps/1"), "test -e ../allowed || exit 4\n").unwrap();
        fs::write(path("lib/steps/3"), told).unwrap();
        let script = RUN_STEPS
            .replace(FOLDER, path("lib").to_str().unwrap())
            .replace("/var/log", path("log").to_str().unwrap())
            .replace(">/dev/console", &format!(">>{}", path("console").display()));
        let run = || Command::new("sh").args(["-c", &script]).status().unwrap().success();
        assert!(!run());
        fs::write(path("allowed"), "").unwrap();
        assert!(run());
        let ran = fs::read_to_string(path("ran")).unwrap();
        assert_eq!(ran, "steps/2 a.b it's none\nsteps/3 a.b it's none\n");
        let console = fs::read_to_string(path("console")).unwrap();
        let lines: Vec<_> = console.lines().collect();
        assert_eq!(
            lines,
            [
                "xlfs-first-boot: step 1 failed (exit 4)",
                "xlfs-first-boot: failed: 1",
                "xlfs-first-boot: done"
            ]
        );
    }
}
