//! Guest names: host names of one or more labels, as a user would type them.

use crate::problem::Problem;

/// Most characters of a name.
const MAX: usize = 63;

/// Checks a guest's name.
///
/// It becomes a host name, a file name and a value in xenstore, so it has
/// nothing that needs quoting anywhere.
pub(super) fn check(name: &str) -> Result<(), Problem> {
    let wrong = if name.is_empty() {
        "must not be empty"
    } else if name.len() > MAX {
        "must have at most 63 characters"
    } else if !name.split('.').all(is_label) {
        "must consist of a-z, 0-9 and inner '-' in parts separated by '.', like a host name"
    } else {
        return Ok(());
    };
    Err(Problem::invalid_field("BAD_NAME", "name", wrong)
        .hint("Examples: web, db-1, www.example.org"))
}

fn is_label(label: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !label.is_empty()
        && label.bytes().all(plain)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn names_are_host_names() {
        for good in ["web", "db-1", "www.example.org", "1", &"a".repeat(63)] {
            assert!(check(good).is_ok(), "{good}");
        }
        let long = "a".repeat(64);
        for bad in [
            "", ".", "a.", ".a", "-a", "a-", "a..b", "Web", "a b", "a/b", "../x", "ä", "a\n", &long,
        ] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
