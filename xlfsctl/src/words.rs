//! What a user may type for a size, a time, a setting, a digest, and what is
//! said when it makes no sense. clap calls these as value parsers.

use std::path::PathBuf;
use std::time::Duration;

use xlfs_proto::DEFAULT_SOCKET;
use xlfs_proto::v1::{DiskRequest, NicRequest};

/// A template's parameter, as `--set NAME=VALUE` gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// The path of a socket; `unix:` before it, as gRPC writes it, does no harm.
/// An empty one is none: the default.
pub(crate) fn socket(text: &str) -> Result<PathBuf, String> {
    let path = text.strip_prefix("unix:").unwrap_or(text);
    let path = path.strip_prefix("//").map_or(path, |rest| rest);
    if text.contains("://") && !text.starts_with("unix:") {
        return Err("xlfsd listens on a Unix socket; give its path".to_owned());
    }
    Ok(PathBuf::from(if path.is_empty() { DEFAULT_SOCKET } else { path }))
}

/// MiB: a bare number, or one with M, G or T (also MiB, MB, ...), always in
/// powers of 1024.
pub(crate) fn memory_mib(text: &str) -> Result<u64, String> {
    let example = "write MiB as 256 or 256M, or GiB as 1G";
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let per_unit: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "m" | "mb" | "mib" => 1,
        "g" | "gb" | "gib" => 1024,
        "t" | "tb" | "tib" => 1024 * 1024,
        "k" | "kb" | "kib" | "b" => return Err(format!("memory is given in whole MiB; {example}")),
        _ => return Err(format!("this is no size; {example}")),
    };
    let value: f64 = number.parse().map_err(|_| format!("this is no size; {example}"))?;
    let mib = value * per_unit as f64;
    if !mib.is_finite() || mib > f64::from(u32::MAX) {
        return Err(format!("this is more than any host has; {example}"));
    }
    if mib.fract() != 0.0 || mib < 1.0 {
        return Err(format!("memory is given in whole MiB, at least one; {example}"));
    }
    Ok(mib as u64)
}

/// A time span: `90s`, `2m`, `1h 30m`; a bare number counts seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write seconds as 90 or 90s, minutes as 2m, hours as 1h"))
}

/// `NAME=VALUE`; the value may be empty and may hold more `=`.
pub(crate) fn setting(text: &str) -> Result<Setting, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok(Setting { name: name.trim().to_owned(), value: value.to_owned() })
        }
        Some(_) => Err("there is no name before the '='; write NAME=VALUE".to_owned()),
        None => Err(format!("there is no '='; write {text}=VALUE")),
    }
}

/// A disk: its name or nothing first, then what is known of it, with commas
/// between: `xvdb,size=10G,pool=fast,image=data,ro,keep`, `xvdb,volume=data`.
pub(crate) fn disk(text: &str) -> Result<DiskRequest, String> {
    let mut disk = DiskRequest::default();
    for (position, part) in text.split(',').enumerate() {
        match part.split_once('=') {
            Some(("name", name)) => disk.name = name.to_owned(),
            Some(("size", size)) => disk.size_bytes = memory_mib(size)? << 20,
            Some(("image", image)) if !image.is_empty() => disk.image = image.to_owned(),
            Some(("volume", volume)) if !volume.is_empty() => disk.volume = volume.to_owned(),
            Some(("pool", pool)) if !pool.is_empty() => disk.pool = pool.to_owned(),
            None if part == "ro" => disk.read_only = true,
            None if part == "keep" => disk.keep = true,
            None if position == 0 => disk.name = part.to_owned(),
            _ => {
                let known = "name, size=, image=, pool=, volume=, ro and keep";
                return Err(format!("{part:?} is not understood; there are {known}"));
            }
        }
    }
    Ok(disk)
}

/// A network interface: `network=lan,ip=10.0.0.2/24,mac=...,rate=...,anti-spoofing`.
pub(crate) fn nic(text: &str) -> Result<NicRequest, String> {
    let mut nic = NicRequest::default();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some(("network", network)) => nic.network = network.to_owned(),
            Some(("ip", address)) => nic.addresses.push(address.to_owned()),
            Some(("mac", mac)) => nic.mac = mac.to_owned(),
            Some(("rate", rate)) => nic.rate = rate.to_owned(),
            None if part == "anti-spoofing" => nic.anti_spoofing = true,
            _ => {
                let known = "network=, ip=, mac=, rate= and anti-spoofing";
                return Err(format!("{part:?} is not understood; there are {known}"));
            }
        }
    }
    Ok(nic)
}

/// The number of an interface, of its name inside the guest: `eth1`.
pub(crate) fn interface(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("eth").unwrap_or(text);
    match digits.parse::<u8>() {
        Ok(index) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Ok(index.into()),
        _ => Err("an interface is eth0, eth1, ...".to_owned()),
    }
}

/// A SHA-256 in hexadecimal, made lower-case.
pub(crate) fn sha256(text: &str) -> Result<String, String> {
    let digest = text.trim().trim_start_matches("sha256:").to_ascii_lowercase();
    if digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(digest);
    }
    Err("a SHA-256 is 64 hexadecimal digits, as sha256sum prints them".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces() {
        assert_eq!((interface("eth1"), interface("12")), (Ok(1), Ok(12)));
        for bad in ["", "eth", "eth-1", "eth+1", "eth256", "vif1"] {
            assert!(interface(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nics() {
        let read = nic("network=lan,ip=10.0.0.2/24,ip=fd00::2/64,anti-spoofing").expect("a nic");
        assert_eq!((read.network.as_str(), read.addresses.len()), ("lan", 2));
        assert!(read.anti_spoofing && read.mac.is_empty());
        assert!(nic("bridge=br0").is_err());
        assert!(nic("lan").is_err());
    }

    #[test]
    fn disks() {
        let read = disk("xvdb,size=10G,pool=fast,image=data,ro,keep").expect("a disk");
        assert_eq!((read.name.as_str(), read.size_bytes), ("xvdb", 10 << 30));
        assert_eq!((read.pool.as_str(), read.image.as_str()), ("fast", "data"));
        assert!(read.read_only && read.keep);
        assert_eq!(disk("size=1G").expect("a disk without a name").name, "");
        let kept = disk("xvdb,volume=data,ro").expect("a volume");
        assert_eq!((kept.volume.as_str(), kept.size_bytes, kept.read_only), ("data", 0, true));
        for bad in ["xvdb,xvdc", "size=", "size=x", "xvda,image=", "xvda,rw", "xvda,size"] {
            assert!(disk(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes() {
        for (text, mib) in [
            ("256", 256),
            ("256M", 256),
            ("256 MiB", 256),
            ("1G", 1024),
            ("1.5g", 1536),
            ("2GB", 2048),
            ("1T", 1_048_576),
        ] {
            assert_eq!(memory_mib(text), Ok(mib), "{text}");
        }
        for text in ["", "0", "M", "-1", "1.3M", "512K", "1X", "9999999T", "1e3", "12 34"] {
            let error = memory_mib(text).expect_err(text);
            assert!(error.contains("256M"), "{text}: {error}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5400)));
        assert!(duration("soon").expect_err("no span").contains("2m"));
        assert!(duration("-5").is_err());
    }

    #[test]
    fn settings() {
        let pair = |name: &str, value: &str| {
            Ok(Setting { name: name.to_owned(), value: value.to_owned() })
        };
        assert_eq!(setting("a=b"), pair("a", "b"));
        assert_eq!(setting("a="), pair("a", ""));
        assert_eq!(setting("a=b=c"), pair("a", "b=c"));
        assert!(setting("hostname").expect_err("no =").contains("write hostname=VALUE"));
        assert!(setting("=b").is_err());
    }

    #[test]
    fn sockets() {
        assert_eq!(socket("/run/a.sock"), Ok(PathBuf::from("/run/a.sock")));
        assert_eq!(socket("unix:///run/a.sock"), Ok(PathBuf::from("/run/a.sock")));
        assert_eq!(socket("unix:a.sock"), Ok(PathBuf::from("a.sock")));
        assert_eq!(socket(""), Ok(PathBuf::from(DEFAULT_SOCKET)));
        assert!(socket("http://host:1234").is_err());
    }

    #[test]
    fn digests() {
        let upper = "AB".repeat(32);
        assert_eq!(sha256(&upper), Ok("ab".repeat(32)));
        assert!(sha256("abc").is_err());
        assert!(sha256(&"zz".repeat(32)).is_err());
    }
}
