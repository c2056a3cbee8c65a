//! A configuration disk read back: what a guest was told, for a copy of that
//! guest. Only xlfsd writes these disks, and guests cannot; all the same, what
//! is not as it was written is an error, and no value is taken unchecked.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Cursor, Read};
use std::str::FromStr;

use fatfs::{FileSystem, FsOptions};

use super::{MAX_CONTENT, Settings};
use crate::value::ServerAddress;

/// What a guest was told beside its name and its interfaces.
#[derive(Clone, Default)]
pub struct Told {
    pub settings: Settings,
    /// The template's parameters by their variables, secrets too.
    pub parameters: BTreeMap<String, String>,
}

/// Why a disk cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the disk has no file xlfs.conf that can be read")]
    Disk(#[source] io::Error),
    #[error("line {line} of xlfs.conf is no assignment")]
    Line { line: usize },
    #[error("{name} in xlfs.conf: {why}")]
    Value { name: String, why: String },
}

impl Told {
    /// Reads the bytes of a disk.
    pub fn read(image: &[u8]) -> Result<Self, ReadError> {
        let values = parse(&conf(image).map_err(ReadError::Disk)?)?;
        let text = |name: &str| values.get(name).map(String::as_str).unwrap_or_default();
        let mut gateways = Vec::new();
        for index in text("INTERFACES").split_whitespace() {
            let more: Vec<ServerAddress> = list(&values, &format!("IF{index}_GATEWAYS"))?;
            gateways.extend(more);
        }
        let search = match text("SEARCH") == text("DOMAIN") {
            // It followed the guest's name.
            true => Vec::new(),
            false => list(&values, "SEARCH")?,
        };
        let keys = text("SSH_KEYS").lines().filter(|line| !line.is_empty());
        let settings = Settings {
            gateways,
            name_servers: list(&values, "NAME_SERVERS")?,
            search,
            ntp_servers: list(&values, "NTP_SERVERS")?,
            locale: optional("LOCALE", text("LOCALE"))?,
            time_zone: optional("TIME_ZONE", text("TIME_ZONE"))?,
            ssh_keys: keys.map(|key| value("SSH_KEYS", key)).collect::<Result<_, _>>()?,
            root_password: optional("ROOT_HASH", text("ROOT_HASH"))?,
            password_login: text("PASSWORD_LOGIN") == "yes",
        };
        let parameter = |name: &str| {
            let value = values.get(&format!("PARAM_{name}"))?;
            Some((name.to_owned(), value.clone()))
        };
        let parameters = text("PARAMS").split_whitespace().filter_map(parameter).collect();
        Ok(Self { settings, parameters })
    }
}

fn conf(image: &[u8]) -> io::Result<String> {
    let volume = FileSystem::new(Cursor::new(image.to_vec()), FsOptions::new())?;
    let mut text = String::new();
    let file = volume.root_dir().open_file("xlfs.conf")?;
    file.take(MAX_CONTENT as u64).read_to_string(&mut text)?;
    Ok(text)
}

/// The assignments `XLFS_NAME='value'`, where a value can have several lines and
/// `'\''` stands for a quote.
fn parse(text: &str) -> Result<BTreeMap<String, String>, ReadError> {
    let mut values = BTreeMap::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some((_, after)) = rest.strip_prefix('#').map(|_| line(rest)) {
            rest = after;
            continue;
        }
        let wrong =
            || ReadError::Line { line: text[..text.len() - rest.len()].lines().count() + 1 };
        let (name, after) = rest.split_once("='").ok_or_else(wrong)?;
        let name = name.strip_prefix("XLFS_").ok_or_else(wrong)?;
        let (value, after) = quoted(after).ok_or_else(wrong)?;
        values.insert(name.to_owned(), value);
        rest = after;
    }
    Ok(values)
}

fn line(text: &str) -> (&str, &str) {
    text.split_once('\n').unwrap_or((text, ""))
}

/// Up to the closing quote, and what follows the end of its line.
fn quoted(mut text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    loop {
        let (part, after) = text.split_once('\'')?;
        value.push_str(part);
        if let Some(after) = after.strip_prefix("\\''") {
            value.push('\'');
            text = after;
        } else if let Some(after) = after.strip_prefix('\n') {
            return Some((value, after));
        } else {
            return after.is_empty().then_some((value, after));
        }
    }
}

fn list<T: FromStr>(values: &BTreeMap<String, String>, name: &str) -> Result<Vec<T>, ReadError>
where
    T::Err: fmt::Display,
{
    let text = values.get(name).map(String::as_str).unwrap_or_default();
    text.split_whitespace().map(|item| value(name, item)).collect()
}

fn optional<T: FromStr>(name: &str, text: &str) -> Result<Option<T>, ReadError>
where
    T::Err: fmt::Display,
{
    (!text.is_empty()).then(|| value(name, text)).transpose()
}

fn value<T: FromStr>(name: &str, text: &str) -> Result<T, ReadError>
where
    T::Err: fmt::Display,
{
    text.parse()
        .map_err(|error: T::Err| ReadError::Value { name: name.to_owned(), why: error.to_string() })
}

/// Secrets must not get into logs.
impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told").field("parameters", &self.parameters.keys()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::seed::{Addressing, Interface, Seed};

    #[test]
    fn what_was_written_comes_back() {
        let mut seed = Seed::new(Uuid::from_u128(7), "web.example.org".parse().unwrap());
        seed.interfaces.push(Interface {
            index: 0,
            mac: "00:16:3e:00:00:01".parse().unwrap(),
            addressing: Addressing::Static(vec!["10.0.0.2/24".parse().unwrap()]),
        });
        seed.settings = Settings {
            gateways: vec!["10.0.0.1".parse().unwrap()],
            name_servers: vec!["10.0.0.3".parse().unwrap(), "fd00::3".parse().unwrap()],
            search: vec!["a.org".parse().unwrap(), "b.org".parse().unwrap()],
            ntp_servers: vec!["pool.ntp.org".parse().unwrap()],
            locale: Some("C.UTF-8".parse().unwrap()),
            time_zone: Some("Europe/Zurich".parse().unwrap()),
            ssh_keys: Vec::new(),
            root_password: None,
            password_login: false,
        };
        let secret = "it's\n'quoted'\n\\'' XLFS_X='1'\n# no comment";
        seed.parameters.insert("db-password".into(), secret.into());
        seed.parameters.insert("empty".into(), String::new());
        let told = Told::read(&seed.image().unwrap()).unwrap();
        assert_eq!(told.settings, seed.settings);
        assert_eq!(told.parameters["DB_PASSWORD"], secret);
        assert_eq!(told.parameters["EMPTY"], "");
        assert!(!format!("{told:?}").contains("quoted"));
    }

    #[test]
    fn a_search_that_follows_the_name_is_nobodys_word() {
        let seed = Seed::new(Uuid::from_u128(7), "web.example.org".parse().unwrap());
        let told = Told::read(&seed.image().unwrap()).unwrap();
        assert_eq!(told.settings, Settings::default());
    }

    #[test]
    fn garbage_is_an_error() {
        for bad in ["", "x", "XLFS_A='", "XLFS_A=1\n", "A='1'\n", "XLFS_A='1'x\n"] {
            assert!(bad.is_empty() || parse(bad).is_err(), "{bad:?}");
        }
        assert!(matches!(Told::read(&[0; 4096]), Err(ReadError::Disk(_))));
    }
}
