//! "Did you mean ...?": the nearest of the names that exist, for every error
//! about a name that does not (configuration keys, template parameters, images).

/// The name most like `wrong`, if one is near enough to be meant.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters may differ: "vcpu" finds "vcpus", but "x" finds nothing.
    let allowed = wrong.chars().count().div_ceil(3);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(wrong, name), name))
        .filter(|(distance, name)| *distance <= allowed && *distance < name.chars().count())
        .min()
        .map(|(_, name)| name)
}

/// ` (did you mean "x"?)`, or nothing.
pub fn did_you_mean<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(wrong, known).map(|name| format!(" (did you mean {name:?}?)")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let known = ["hostname", "banner", "memory"];
        assert_eq!(nearest("hostnam", known), Some("hostname"));
        assert_eq!(nearest("bnaner", known), Some("banner"));
        assert_eq!(did_you_mean("memori", known), " (did you mean \"memory\"?)");
    }

    #[test]
    fn is_silent_when_nothing_is_near() {
        assert_eq!(nearest("x", ["hostname", "y"]), None);
        assert_eq!(did_you_mean("colour", ["hostname", "banner"]), "");
    }
}
