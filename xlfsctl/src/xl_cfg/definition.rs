//! What `xlfsctl create` would be given for a guest of xl, and the images that
//! must be there for it.

use std::collections::BTreeMap;

use xlfs_proto::v1::ImageKind;

use super::shell;
use crate::commands::create::Action;
use crate::output::view::image::kind_word;

/// A guest to be made. What is None or empty is as the template says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Definition {
    pub(crate) name: String,
    pub(crate) template: String,
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) memory_mib: Option<u64>,
    pub(crate) vcpus: Option<u32>,
    pub(crate) on_poweroff: Option<Action>,
    pub(crate) on_reboot: Option<Action>,
    pub(crate) on_crash: Option<Action>,
    pub(crate) disks: Vec<Disk>,
    /// The first is eth0.
    pub(crate) nics: Vec<Nic>,
    pub(crate) start: bool,
}

/// A disk, made from an image; as large as that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Disk {
    /// As the guest's kernel knows it.
    pub(crate) name: String,
    /// The alias of its image.
    pub(crate) image: String,
    pub(crate) read_only: bool,
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Nic {
    /// The network of xlfsd's configuration: it has the name of the bridge.
    /// Empty where the file names no bridge.
    pub(crate) network: String,
    /// In lower case, with colons. Empty: xlfsd makes one.
    pub(crate) mac: String,
    /// With the length of their network, as in `10.0.0.2/24`.
    pub(crate) addresses: Vec<String>,
    /// As in xl: `10Mb/s`. Empty: no limit.
    pub(crate) rate: String,
    pub(crate) anti_spoofing: bool,
}

/// An image that must be in the store before the guest can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageStep {
    pub(crate) kind: ImageKind,
    /// The key and the line that ask for it.
    pub(crate) key: &'static str,
    pub(crate) line: u32,
    /// The file to import.
    pub(crate) file: String,
    pub(crate) alias: String,
    /// What makes that file of the one in the configuration, if it is another.
    pub(crate) prepare: Option<Vec<String>>,
}

impl ImageStep {
    /// The command that imports it.
    pub(crate) fn command(&self) -> String {
        let kind = kind_word(self.kind);
        let file = shell::path(&self.file);
        let words = ["xlfsctl", "image", "import", &file, "--kind", kind, "--alias", &self.alias];
        shell::line(&words.map(str::to_owned))
    }
}
