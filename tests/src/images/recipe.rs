//! What goes into an image: packages, files, and the scripts that put them
//! together, with a key that changes when any of them does.

use std::fs;

use sha2::{Digest, Sha256};

use super::{ImageError, Kind};

/// One of our files, and where it is put in the image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed {
    pub(super) to: &'static str,
    pub(super) text: &'static str,
}

/// xlfs-first-boot and what starts it. In this program, not read at run time:
/// the key then always belongs to what is put in.
pub(super) const FILES: [Placed; 3] = [
    Placed {
        to: "/usr/sbin/xlfs-first-boot",
        text: include_str!("../../../vm-templates/first-boot/xlfs-first-boot"),
    },
    Placed {
        to: "/etc/init.d/xlfs-first-boot",
        text: include_str!("../../../vm-templates/first-boot/xlfs-first-boot.init"),
    },
    Placed {
        to: "/etc/init.d/xlfs-first-boot-steps",
        text: include_str!("../../images/xlfs-first-boot-steps"),
    },
];
/// Run in the new root.
pub(super) const FINISH: &str = include_str!("../../images/finish");
/// Makes an image of the root's archive.
pub(super) const PACK: &str = include_str!("../../images/pack");

/// A system that boots with sysvinit, which is light and quick under emulation.
const BASE: &[&str] = &[
    "sysvinit-core",
    "ifupdown",
    "iproute2",
    "e2fsprogs",
    "openssh-server",
    "kmod",
    "procps",
    "netbase",
    "tzdata",
];

/// What asks guests from Dom0. Unpacked and not installed, nothing of it boots.
const CLIENTS: &[&str] = &[
    "dash",
    "python3-minimal",
    "libpython3-stdlib",
    "swaks",
    "libnet-ssleay-perl",
    "libauthen-sasl-perl",
    "bind9-dnsutils",
    "openssl",
    "openssh-client",
];

/// What nobody reads in a test guest. PostgreSQL's maintainer scripts link
/// manual pages by alternatives, for which their folders must be there.
pub(super) const DPKG_OPTIONS: &[&str] = &[
    "path-exclude=/usr/share/doc/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/man/*",
    "path-include=/usr/share/man/man[1-9]",
    "path-exclude=/usr/share/locale/*",
    "path-include=/usr/share/locale/locale.alias",
    "path-exclude=/usr/share/bug/*",
    "path-exclude=/usr/share/lintian/*",
];

/// All that an image is made of.
#[derive(Debug, Clone)]
pub(super) struct Recipe {
    pub(super) kind: Kind,
    /// Debian's release, such as `bookworm`.
    pub(super) suite: String,
    pub(super) packages: Vec<&'static str>,
}

impl Recipe {
    /// With the packages of this machine's own release.
    pub(super) fn of(kind: Kind) -> Result<Self, ImageError> {
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let suite = codename(&release).ok_or(ImageError::NoRelease)?;
        let packages = match kind {
            Kind::Clients => CLIENTS.to_vec(),
            guest => [BASE, services(guest)].concat(),
        };
        Ok(Self { kind, suite, packages })
    }

    /// Whether it is a system of its own, or only programs.
    pub(super) fn boots(&self) -> bool {
        self.kind != Kind::Clients
    }

    pub(super) fn key(&self) -> String {
        let mut hash = Sha256::new();
        let files: &[Placed] = if self.boots() { &FILES } else { &[] };
        let files = files.iter().flat_map(|file| [file.to, file.text]);
        let finish = if self.boots() { FINISH } else { "" };
        let parts = [self.kind.name(), &self.suite, finish, PACK].into_iter().chain(files);
        for part in parts.chain(self.packages.iter().copied()).chain(DPKG_OPTIONS.iter().copied()) {
            // The NUL keeps "ab", "c" apart from "a", "bc".
            hash.update(part);
            hash.update([0]);
        }
        hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The packages whose programs a template's steps set up.
fn services(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Lapp => &["apache2", "libapache2-mod-php", "php-pgsql", "postgresql"],
        // rsyslog has left its sysvinit script to the package of orphans.
        Kind::Mail => &[
            "postfix",
            "dovecot-imapd",
            "dovecot-lmtpd",
            "opendkim",
            "opendkim-tools",
            "openssl",
            "ca-certificates",
            "rsyslog",
            "orphan-sysvinit-scripts",
        ],
        Kind::Dns => &["bind9", "bind9-utils", "bind9-dnsutils"],
        Kind::Clients => &[],
    }
}

fn codename(os_release: &str) -> Option<String> {
    let field = |name: &str| os_release.lines().find_map(|line| line.strip_prefix(name));
    let plain = |value: &str| value.trim().trim_matches('"').to_owned();
    let debian = field("ID=").map(plain).is_some_and(|id| id == "debian");
    field("VERSION_CODENAME=").map(plain).filter(|name| debian && !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_debians_or_none() {
        let debian = "NAME=\"Debian GNU/Linux\"\nVERSION_CODENAME=bookworm\nID=debian\n";
        assert_eq!(codename(debian).as_deref(), Some("bookworm"));
        assert_eq!(codename("ID=ubuntu\nVERSION_CODENAME=noble\n"), None);
        assert_eq!(codename("ID=debian\n"), None);
        assert_eq!(codename(""), None);
    }

    #[test]
    fn the_key_tells_what_is_in_the_image() {
        let recipe = |kind, packages: &[&'static str]| {
            Recipe { kind, suite: "bookworm".to_owned(), packages: packages.to_vec() }.key()
        };
        let key = recipe(Kind::Dns, &["bind9"]);
        assert_eq!(key.len(), 16);
        assert_eq!(key, recipe(Kind::Dns, &["bind9"]));
        assert_ne!(key, recipe(Kind::Mail, &["bind9"]));
        assert_ne!(key, recipe(Kind::Dns, &["bind9", "kmod"]));
        assert_ne!(recipe(Kind::Dns, &["ab", "c"]), recipe(Kind::Dns, &["a", "bc"]));
    }
}
