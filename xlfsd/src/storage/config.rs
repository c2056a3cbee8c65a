//! The pools in the configuration file: its sections `[[pools]]`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::problem::{FieldProblem, Problem};

/// Most characters of a pool's name.
const MAX_NAME: usize = 32;
/// Most characters of a name that LVM takes.
const MAX_LVM_NAME: usize = 127;

/// What a pool is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PoolKind {
    Folder,
    Lvm,
}

impl PoolKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::Lvm => "lvm",
        }
    }
}

/// A section `[[pools]]` as it is written:
///
/// ```toml
/// [[pools]]
/// name = "default"
/// kind = "folder"                # sparse files
/// path = "/var/lib/xlfs/volumes"
///
/// [[pools]]
/// name = "fast"
/// kind = "lvm"
/// volume_group = "vg0"
/// thin_pool = "guests"           # without it, each volume takes its full size
/// ```
///
/// The first one is where a volume goes that names no pool. Without any
/// section there is one folder pool, `default`, at `volumes` below the state
/// folder.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolConfig {
    pub name: String,
    pub kind: PoolKind,
    /// Of a folder pool; made when it is not there.
    pub path: Option<PathBuf>,
    /// Of an lvm pool; it exists already.
    pub volume_group: Option<String>,
    /// Of an lvm pool; it exists in the volume group already, and zeros new blocks.
    pub thin_pool: Option<String>,
}

/// Where a pool is: what its section says, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolPlace {
    Folder { path: PathBuf },
    Lvm { volume_group: String, thin_pool: Option<String> },
}

impl PoolConfig {
    /// What there is when the configuration says nothing.
    pub fn default_pools(state_dir: &Path) -> Vec<Self> {
        vec![Self {
            name: "default".into(),
            kind: PoolKind::Folder,
            path: Some(state_dir.join("volumes")),
            volume_group: None,
            thin_pool: None,
        }]
    }

    /// Checks all sections together; names every field that is wrong, such as
    /// `pools[1].path`. Looks at the words only, not at the disks.
    pub fn check(pools: &[Self]) -> Result<(), Problem> {
        let mut wrong = Vec::new();
        for (index, pool) in pools.iter().enumerate() {
            let mut add = |field: &str, text: String| {
                wrong.push(FieldProblem::new(format!("pools[{index}].{field}"), text));
            };
            if !is_name(&pool.name) {
                add("name", format!("must have 1 to {MAX_NAME} of a-z, 0-9 and inner '-'"));
            } else if pools[..index].iter().any(|other| other.name == pool.name) {
                add("name", format!("there is another pool {:?}", pool.name));
            }
            match pool.place() {
                Err((field, text)) => add(field, text),
                Ok(place) => {
                    let same = |other: &&Self| other.place().is_ok_and(|other| other == place);
                    if let Some(other) = pools[..index].iter().find(same) {
                        add("kind", format!("this is the place of the pool {:?}", other.name));
                    }
                }
            }
        }
        match wrong.as_slice() {
            [] => Ok(()),
            [first, ..] => {
                let message = format!("{}: {}", first.field, first.description);
                Err(Problem::invalid("BAD_CONFIGURATION", message, wrong))
            }
        }
    }

    /// The place, or the field that is wrong and why.
    pub fn place(&self) -> Result<PoolPlace, (&'static str, String)> {
        let stray = |field: &'static str| {
            Err((field, format!("a pool of kind {:?} has none", self.kind.as_str())))
        };
        match self.kind {
            PoolKind::Folder if self.volume_group.is_some() => stray("volume_group"),
            PoolKind::Folder if self.thin_pool.is_some() => stray("thin_pool"),
            PoolKind::Lvm if self.path.is_some() => stray("path"),
            PoolKind::Folder => match &self.path {
                Some(path) if path.is_absolute() => Ok(PoolPlace::Folder { path: path.clone() }),
                Some(_) => Err(("path", "must be an absolute path".into())),
                None => Err(("path", "a folder pool needs the path of its folder".into())),
            },
            PoolKind::Lvm => {
                let Some(volume_group) = &self.volume_group else {
                    return Err(("volume_group", "an lvm pool needs its volume group".into()));
                };
                for (field, name) in
                    [("volume_group", Some(volume_group)), ("thin_pool", self.thin_pool.as_ref())]
                {
                    if name.is_some_and(|name| !is_lvm_name(name)) {
                        return Err((field, "is no name that LVM takes".into()));
                    }
                }
                let (volume_group, thin_pool) = (volume_group.clone(), self.thin_pool.clone());
                Ok(PoolPlace::Lvm { volume_group, thin_pool })
            }
        }
    }
}

fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(plain)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// As lvm(8) has it. It becomes an argument and a part of a path.
fn is_lvm_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"+_.-".contains(&b);
    (1..=MAX_LVM_NAME).contains(&name.len())
        && name.bytes().all(plain)
        && !name.starts_with('-')
        && !matches!(name, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toml_file;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        pools: Vec<PoolConfig>,
    }

    fn pools(text: &str) -> Vec<PoolConfig> {
        toml_file::parse::<File>(Path::new("xlfsd.toml"), text).unwrap().pools
    }

    #[test]
    fn each_kind_has_its_place() {
        let pools = pools(
            "[[pools]]\nname = 'default'\nkind = 'folder'\npath = '/srv/v'\n\
             [[pools]]\nname = 'fast'\nkind = 'lvm'\nvolume_group = 'vg0'\nthin_pool = 'tp'\n\
             [[pools]]\nname = 'thick'\nkind = 'lvm'\nvolume_group = 'vg0'\n",
        );
        PoolConfig::check(&pools).unwrap();
        assert_eq!(pools[0].place(), Ok(PoolPlace::Folder { path: "/srv/v".into() }));
        let (volume_group, thin_pool) = ("vg0".to_owned(), Some("tp".to_owned()));
        assert_eq!(pools[1].place(), Ok(PoolPlace::Lvm { volume_group, thin_pool }));
        let default = PoolConfig::default_pools(Path::new("/var/lib/xlfs"));
        PoolConfig::check(&default).unwrap();
        assert_eq!(default[0].path.as_deref(), Some(Path::new("/var/lib/xlfs/volumes")));
    }

    #[test]
    fn every_mistake_is_named_with_its_field() {
        for (text, field) in [
            ("name = 'A'\nkind = 'folder'\npath = '/a'", "name"),
            ("name = ''\nkind = 'folder'\npath = '/a'", "name"),
            ("name = 'a-'\nkind = 'folder'\npath = '/a'", "name"),
            ("name = 'a'\nkind = 'folder'\npath = 'a'", "path"),
            ("name = 'a'\nkind = 'folder'", "path"),
            ("name = 'a'\nkind = 'folder'\npath = '/a'\nthin_pool = 'x'", "thin_pool"),
            ("name = 'a'\nkind = 'lvm'", "volume_group"),
            ("name = 'a'\nkind = 'lvm'\nvolume_group = 'v'\npath = '/a'", "path"),
            ("name = 'a'\nkind = 'lvm'\nvolume_group = '-v'", "volume_group"),
            ("name = 'a'\nkind = 'lvm'\nvolume_group = '..'", "volume_group"),
            ("name = 'a'\nkind = 'lvm'\nvolume_group = 'v/../w'", "volume_group"),
            ("name = 'a'\nkind = 'lvm'\nvolume_group = 'v'\nthin_pool = ''", "thin_pool"),
        ] {
            let problem = PoolConfig::check(&pools(&format!("[[pools]]\n{text}\n"))).unwrap_err();
            let fields: Vec<_> = problem.fields().iter().map(|f| f.field.as_str()).collect();
            assert_eq!(fields, [format!("pools[0].{field}")], "{text}");
        }
        let one = "[[pools]]\nname = 'a'\nkind = 'folder'\npath = '/a'\n";
        let problem = PoolConfig::check(&pools(&one.repeat(2))).unwrap_err();
        let fields: Vec<_> = problem.fields().iter().map(|f| f.field.as_str()).collect();
        assert_eq!(fields, ["pools[1].name", "pools[1].kind"]);
    }
}
