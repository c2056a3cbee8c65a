//! Disk specs, the strings of `disk = [ ... ]`: positional
//! (`target, format, vdev, access`), by name (`vdev=xvda, target=...`), and as
//! xm had them (`phy:vg0/web,xvda1,w`). xl-disk-configuration(5) describes them.

/// A disk as a configuration asks for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DiskSpec {
    /// The file or block device; absolute unless a script reads it. Empty for
    /// an empty drive.
    pub(crate) target: String,
    pub(crate) format: Format,
    /// As the guest's kernel knows it: `xvda1`, also where the file says `hda1`.
    pub(crate) name: String,
    /// What the file says, where that is another name.
    pub(crate) renamed_from: Option<String>,
    pub(crate) read_only: bool,
    pub(crate) cdrom: bool,
    /// The program that makes a block device of the target.
    pub(crate) script: Option<String>,
    /// Parameters that xlfs has nothing for.
    pub(crate) left: Vec<Left>,
}

/// A parameter that is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) word: String,
    /// Whether xl has it.
    pub(crate) known: bool,
    pub(crate) why: &'static str,
}

/// What is in the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    #[default]
    Raw,
    /// qcow, qcow2, vhd, qed: a container of a device model.
    Container(String),
    /// An empty drive.
    Empty,
}

/// What the parameters gave so far; None while nothing was said.
#[derive(Debug, Default)]
struct Slots {
    target: Option<String>,
    format: Option<Format>,
    vdev: Option<String>,
    access: Option<bool>,
    /// The target had a prefix of old: then no format follows it.
    old: bool,
    spec: DiskSpec,
}

/// Reads a spec; the error says what makes no sense.
pub(crate) fn parse(text: &str) -> Result<DiskSpec, String> {
    let mut slots = Slots::default();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        // The target by name takes all that is left, commas too.
        if let Some(target) = rest.strip_prefix("target=") {
            slots.set_target(target)?;
            break;
        }
        let (word, after) = match rest.split_once(',') {
            Some((word, after)) => (word, Some(after)),
            None => (rest, None),
        };
        match word.trim_end() {
            // A comma at the end begins nothing.
            "" if after.is_none() => {}
            word => slots.word(word)?,
        }
        match after {
            Some(after) => rest = after,
            None => break,
        }
    }
    slots.finish()
}

impl Slots {
    fn word(&mut self, word: &str) -> Result<(), String> {
        let named = word.split_once('=').filter(|(key, _)| is_key(key));
        let mut leave = |word: &str, known, why| {
            self.spec.left.push(Left { word: word.to_owned(), known, why });
        };
        match named {
            Some(("format", value)) => self.set_format(value),
            Some(("vdev", value)) => self.set_vdev(value),
            Some(("access", value)) => self.set_access(value),
            Some(("devtype", "cdrom")) => {
                self.spec.cdrom = true;
                Ok(())
            }
            Some(("devtype", "disk" | "")) => Ok(()),
            Some(("script", value)) => {
                self.spec.script = Some(value.to_owned());
                Ok(())
            }
            Some(("backend", "" | "0" | "Domain-0" | "dom0")) => Ok(()),
            Some(("backend", _)) => {
                leave(word, true, "Dom0 serves all disks");
                Ok(())
            }
            // All of them end in the same thing here: the kernel's blkback.
            Some(("backendtype", "phy" | "tap" | "qdisk" | "")) => Ok(()),
            Some(("specification", "xen" | "")) => Ok(()),
            Some(("backendtype" | "specification", _)) => {
                leave(word, true, "disks are those of Xen (vbd), and not virtio");
                Ok(())
            }
            Some((
                "colo-host" | "colo-port" | "colo-export" | "active-disk" | "hidden-disk",
                _,
            )) => {
                leave(word, true, "guests have no second copy on another host");
                Ok(())
            }
            Some(_) => {
                leave(word, false, "xl knows no such parameter of a disk");
                Ok(())
            }
            None => match word {
                "cdrom" => {
                    self.spec.cdrom = true;
                    Ok(())
                }
                // Hints for other back ends; what they ask for is so, or does
                // no harm where it is not.
                "direct-io-safe" | "discard" | "trusted" | "no-colo" => Ok(()),
                "no-discard" | "untrusted" => {
                    leave(word, true, "there is no such setting");
                    Ok(())
                }
                "colo" => {
                    leave(word, true, "guests have no second copy on another host");
                    Ok(())
                }
                _ => self.position(word),
            },
        }
    }

    /// A parameter without a name takes the first place that is free.
    fn position(&mut self, word: &str) -> Result<(), String> {
        if self.target.is_none() {
            return self.set_target(word);
        }
        // `,hdc:cdrom,r`: an empty drive as xm had it, which has no format either.
        self.old |= self.target.as_deref() == Some("") && word.contains(':');
        if self.format.is_none() && !self.old {
            return self.set_format(word);
        }
        if self.vdev.is_none() {
            return self.set_vdev(word);
        }
        if self.access.is_none() {
            return self.set_access(word);
        }
        Err(format!("{word:?} is one too many: target, format, vdev and access are given"))
    }

    /// The target, without the prefixes that xm wanted.
    fn set_target(&mut self, text: &str) -> Result<(), String> {
        if self.target.as_deref().is_some_and(|known| !known.is_empty()) {
            return Err("the target is given twice".to_owned());
        }
        let mut target = text;
        while let Some((prefix, rest)) = target.split_once(':') {
            match prefix {
                "phy" | "file" | "tap" | "tap2" | "tapdisk" | "aio" | "ioemu" => {}
                "raw" | "qcow" | "qcow2" | "vhd" => self.set_format(prefix)?,
                "iscsi" | "nbd" | "enbd" | "drbd" => {
                    self.spec.script = Some(format!("block-{prefix}"));
                }
                _ => break,
            }
            self.old = true;
            target = rest;
        }
        let script = self.spec.script.is_some();
        let absolute = target.is_empty() || target.starts_with('/') || script;
        self.target = Some(if absolute { target.to_owned() } else { format!("/dev/{target}") });
        Ok(())
    }

    fn set_format(&mut self, text: &str) -> Result<(), String> {
        let format = match text.trim() {
            "" | "raw" => Format::Raw,
            "qcow" | "qcow2" | "vhd" | "qed" => Format::Container(text.trim().to_owned()),
            "empty" => Format::Empty,
            other => {
                return Err(format!(
                    "{other:?} is no format of a disk; the order is target, format, vdev, access"
                ));
            }
        };
        if self.format.as_ref().is_some_and(|known| *known != format) {
            return Err("the format is given twice".to_owned());
        }
        self.format = Some(format);
        Ok(())
    }

    fn set_vdev(&mut self, text: &str) -> Result<(), String> {
        if self.vdev.is_some() {
            return Err("the vdev is given twice".to_owned());
        }
        // xm's way: the kind of the drive after a colon, a prefix before one.
        let text = text.trim();
        let text = text.strip_prefix("ioemu:").unwrap_or(text);
        let (vdev, kind) = text.split_once(':').unwrap_or((text, "disk"));
        match kind {
            "cdrom" => self.spec.cdrom = true,
            "disk" => {}
            other => return Err(format!("{other:?} is no kind of a drive: disk or cdrom")),
        }
        self.vdev = Some(vdev.to_owned());
        Ok(())
    }

    fn set_access(&mut self, text: &str) -> Result<(), String> {
        if self.access.is_some() {
            return Err("the access is given twice".to_owned());
        }
        self.access = Some(match text.trim() {
            "r" | "ro" => true,
            // `w!` was xm's: also when somebody else has the disk.
            "" | "w" | "rw" | "w!" => false,
            other => return Err(format!("{other:?} is no access: r or w")),
        });
        Ok(())
    }

    fn finish(self) -> Result<DiskSpec, String> {
        let Slots { target, format, vdev, access, spec, .. } = self;
        let vdev = vdev.filter(|vdev| !vdev.is_empty()).ok_or(
            "the vdev is missing, the disk's name in the guest, such as xvda1; \
             the order is target, format, vdev, access",
        )?;
        let name = disk_name(&vdev)?;
        let renamed_from = (name != vdev).then_some(vdev);
        let target = target.unwrap_or_default();
        let format = match format {
            _ if target.is_empty() => Format::Empty,
            format => format.unwrap_or_default(),
        };
        if target.is_empty() && !spec.cdrom {
            return Err(format!("the target of {name} is missing: the file or device"));
        }
        let read_only = access.unwrap_or(spec.cdrom) || spec.cdrom;
        Ok(DiskSpec { target, format, name, renamed_from, read_only, ..spec })
    }
}

/// Names of parameters have nothing in common with paths.
fn is_key(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
}

/// The name of a Xen disk for any name that xl takes: the same letter and
/// partition, whatever bus the name speaks of.
fn disk_name(vdev: &str) -> Result<String, String> {
    let wrong =
        || format!("{vdev:?} is no name of a disk in the guest: write xvda, xvdb, ... or xvda1");
    let bare = vdev.strip_prefix("/dev/").unwrap_or(vdev);
    let rest = ["xvd", "hd", "sd", "vd"].iter().find_map(|bus| bare.strip_prefix(bus));
    let (letters, partition) = match rest {
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(rest.len());
            let (letters, partition) = rest.split_at(end);
            (letters.to_owned(), partition.to_owned())
        }
        // d0p1: the first partition of the first disk.
        None => {
            let (disk, partition) =
                bare.strip_prefix('d').and_then(|rest| rest.split_once('p')).ok_or_else(wrong)?;
            let disk: u8 = disk.parse().map_err(|_| wrong())?;
            let letter = (disk < 26).then(|| char::from(b'a' + disk)).ok_or_else(wrong)?;
            let partition = if partition == "0" { "" } else { partition };
            (letter.to_string(), partition.to_owned())
        }
    };
    let digits = partition.is_empty()
        || !partition.starts_with('0') && partition.parse::<u8>().is_ok_and(|number| number > 0);
    let plain = partition.bytes().all(|byte| byte.is_ascii_digit());
    match letters.len() {
        1..=4 if digits && plain => Ok(format!("xvd{letters}{partition}")),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(target: &str, name: &str) -> DiskSpec {
        DiskSpec { target: target.to_owned(), name: name.to_owned(), ..DiskSpec::default() }
    }

    fn renamed(target: &str, name: &str, from: &str) -> DiskSpec {
        DiskSpec { renamed_from: Some(from.to_owned()), ..raw(target, name) }
    }

    #[test]
    fn all_ways_to_write_a_disk() {
        let container = |kind: &str| DiskSpec {
            format: Format::Container(kind.to_owned()),
            ..raw("/srv/web.img", "xvda")
        };
        let cdrom =
            DiskSpec { cdrom: true, read_only: true, ..renamed("/srv/x.iso", "xvdc", "hdc") };
        let drive = DiskSpec {
            cdrom: true,
            read_only: true,
            format: Format::Empty,
            ..renamed("", "xvdc", "hdc")
        };
        let read_only = DiskSpec { read_only: true, ..raw("/dev/vg0/web", "xvda1") };
        for (text, expected) in [
            ("phy:/dev/vg0/web,xvda1,w", raw("/dev/vg0/web", "xvda1")),
            ("phy:vg0/web,xvda1,w", raw("/dev/vg0/web", "xvda1")),
            ("phy:vg0/web,xvda1,r", read_only.clone()),
            ("phy:vg0/web,xvda1,w!", raw("/dev/vg0/web", "xvda1")),
            ("phy:vg0/web,xvda1", raw("/dev/vg0/web", "xvda1")),
            ("file:/srv/web.img,xvda,w", raw("/srv/web.img", "xvda")),
            ("tap:aio:/srv/web.img,xvda,w", raw("/srv/web.img", "xvda")),
            ("tap2:tapdisk:aio:/srv/web.img,xvda,w", raw("/srv/web.img", "xvda")),
            ("tap:qcow2:/srv/web.img,xvda,w", container("qcow2")),
            ("raw:/srv/web.img,xvda,w", raw("/srv/web.img", "xvda")),
            ("/dev/vg0/web,raw,xvda1,rw", raw("/dev/vg0/web", "xvda1")),
            ("/dev/vg0/web,,xvda1", raw("/dev/vg0/web", "xvda1")),
            ("/dev/vg0/web, raw , xvda1 , ro", read_only.clone()),
            ("vg0/web,,xvda1,ro,", read_only.clone()),
            ("format=raw, vdev=xvda1, access=ro, target=/dev/vg0/web", read_only.clone()),
            ("/dev/vg0/web,raw,vdev=xvda1,access=ro", read_only),
            ("format=raw,/dev/vg0/web,xvda1,w", raw("/dev/vg0/web", "xvda1")),
            ("vdev=xvda,target=/srv/a,b=c:d", raw("/srv/a,b=c:d", "xvda")),
            ("/srv/web.img,qcow2,xvda", container("qcow2")),
            ("vdev=xvda,format=vhd,target=/srv/web.img", container("vhd")),
            ("/dev/vg0/web,,hda1,w", renamed("/dev/vg0/web", "xvda1", "hda1")),
            ("phy:vg0/web,sdb,w", renamed("/dev/vg0/web", "xvdb", "sdb")),
            ("phy:vg0/web,/dev/xvda2,w", renamed("/dev/vg0/web", "xvda2", "/dev/xvda2")),
            ("phy:vg0/web,ioemu:hda,w", renamed("/dev/vg0/web", "xvda", "hda")),
            ("phy:vg0/web,d1p3,w", renamed("/dev/vg0/web", "xvdb3", "d1p3")),
            ("/srv/x.iso,,hdc,cdrom", cdrom.clone()),
            ("/srv/x.iso,raw,hdc,,devtype=cdrom", cdrom.clone()),
            ("file:/srv/x.iso,hdc:cdrom,r", cdrom),
            (",hdc:cdrom,r", drive.clone()),
            (",,hdc,cdrom", drive),
            (
                "backendtype=phy,specification=xen,discard,vdev=xvda,target=/srv/a",
                raw("/srv/a", "xvda"),
            ),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_left_out_is_remembered() {
        let spec = parse("/srv/a,,xvda,w,backend=net,untrusted,frob=1,colo").expect("a disk");
        let left: Vec<_> = spec.left.iter().map(|one| (one.word.as_str(), one.known)).collect();
        let expected =
            [("backend=net", true), ("untrusted", true), ("frob=1", false), ("colo", true)];
        assert_eq!(left, expected);
        let spec = parse("iscsi:iqn.2001-05.com:disk,xvda,w").expect("a disk");
        assert_eq!(spec.script.as_deref(), Some("block-iscsi"));
        assert_eq!(spec.target, "iqn.2001-05.com:disk");
        assert_eq!(parse("script=block-x,vdev=xvda,target=a:b").expect("a disk").target, "a:b");
    }

    #[test]
    fn mistakes_say_what_is_wrong() {
        for (text, words) in [
            ("", "vdev is missing"),
            ("/dev/vg0/web", "vdev is missing"),
            // Without a prefix the second is the format.
            ("/dev/vg0/web,xvda1,w", "no format"),
            (",raw,xvda,w", "target of xvda is missing"),
            ("phy:a,xvda,x", "no access"),
            ("phy:a,xvda:tape,w", "kind of a drive"),
            ("phy:a,xvda,w,r", "one too many"),
            ("/a,,xvda,target=/b", "target is given twice"),
            ("/a,raw,xvda,format=qcow2", "format is given twice"),
            ("/a,raw,xvda,vdev=xvdb", "vdev is given twice"),
            ("/a,raw,xvda,w,access=r", "access is given twice"),
        ] {
            let problem = parse(text).expect_err(text);
            assert!(problem.contains(words), "{text}: {problem}");
        }
        for vdev in
            ["xvd", "xvda0", "xvda01", "xvda256", "xvdaaaaa", "xvdA", "51712", "xvda1x", "d26p1"]
        {
            let problem = parse(&format!("/a,raw,{vdev},w")).expect_err(vdev);
            assert!(problem.contains("no name of a disk"), "{vdev}: {problem}");
        }
    }
}
