//! Names for images that are to be imported: plain, short, and such that nobody
//! takes them for a digest. xlfsd has the same rules, and the last word.

/// Characters of an alias at most.
const MAX: usize = 64;

/// An alias that says which file an image comes from.
pub(crate) fn of_file(path: &str, kind: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    let alias = plain(name);
    let digest = alias.len() >= 8 && alias.bytes().all(|byte| byte.is_ascii_hexdigit());
    match alias.is_empty() || digest {
        true => cut(&format!("{kind}-{alias}")).trim_end_matches('-').to_owned(),
        false => alias,
    }
}

/// An alias for a guest's disk: `web-xvda1`.
pub(crate) fn of_disk(guest: &str, disk: &str) -> String {
    let room = MAX.saturating_sub(disk.len() + 1);
    let guest: String = plain(guest).chars().take(room).collect();
    format!("{guest}-{disk}")
}

fn plain(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let name: String = name.chars().map(|c| if allowed(c) { c } else { '-' }).collect();
    cut(name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()))
}

fn cut(name: &str) -> String {
    name.chars().take(MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_give_their_names() {
        for (path, alias) in [
            ("/boot/vmlinuz-3.2.0-4-amd64", "vmlinuz-3.2.0-4-amd64"),
            ("/xen/../.hidden kernel", "hidden-kernel"),
            ("/xen/6f1c1f0e", "kernel-6f1c1f0e"),
            ("/xen/ö/", "kernel"),
            ("Grüße", "Gr--e"),
        ] {
            assert_eq!(of_file(path, "kernel"), alias, "{path}");
        }
        assert_eq!(of_file(&"x".repeat(300), "kernel").len(), 64);
        assert_eq!(of_file(&"a".repeat(300), "kernel").len(), 64);
    }

    #[test]
    fn disks_carry_the_name_of_their_guest() {
        assert_eq!(of_disk("web", "xvda1"), "web-xvda1");
        let long = of_disk(&"w".repeat(63), "xvda1");
        assert!(long.len() <= 64 && long.ends_with("w-xvda1"), "{long}");
    }
}
