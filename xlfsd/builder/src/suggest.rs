//! "Did you mean ...?" for every name in a recipe or a request that does not exist.

/// ` (did you mean "x"?)` with the known name most like `wrong`, or nothing.
pub(crate) fn did_you_mean<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    // A third of the letters may differ: "zlb" finds "zlib", but "x" finds nothing.
    let allowed = wrong.chars().count().div_ceil(3);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(wrong, name), name))
        .filter(|(distance, name)| *distance <= allowed && *distance < name.chars().count())
        .min()
        .map(|(_, name)| format!(" (did you mean {name:?}?)"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[test]
    fn finds_what_was_meant_and_is_silent_otherwise() {
        let known = ["zlib", "busybox", "linux-minimal"];
        assert_eq!(did_you_mean("zlb", known), " (did you mean \"zlib\"?)");
        assert_eq!(did_you_mean("openssl", known), "");
    }
}
