//! bash takes an `=` for the end of a word: it would hand over `--set php=8` as
//! three words, and `--set php=` as one too few. So its script hands over the
//! line, and it is split here as the shell does.

use std::ffi::OsString;

use super::candidates;

/// The candidates, one a line. The arguments are the line up to the cursor, and
/// the part of it that bash will replace.
pub(super) fn answer(args: Vec<OsString>) -> String {
    let mut args = args.into_iter().map(|arg| arg.to_string_lossy().into_owned());
    let (line, replaced) = (args.next().unwrap_or_default(), args.next().unwrap_or_default());
    let (words, quoted) = split(&line);
    let kept = kept_prefix(words.last().map_or("", String::as_str), &replaced).to_owned();
    let mut out = String::new();
    for candidate in candidates(words.into_iter().map(OsString::from).collect()) {
        let value = candidate.get_value().to_string_lossy();
        if let Some(value) = value.strip_prefix(&kept) {
            out.push_str(&if quoted { value.to_owned() } else { escape(value) });
            out.push('\n');
        }
    }
    out
}

/// What bash keeps of the word when it puts a candidate in: all before the part
/// that it replaces. Right behind an `=` it says that it replaces the `=`, or
/// nothing, by version.
fn kept_prefix<'a>(word: &'a str, replaced: &str) -> &'a str {
    let replaced = if replaced == "=" { "" } else { replaced.trim_start_matches(['"', '\'']) };
    match word.rfind('=') {
        Some(at) if !replaced.contains('=') => &word[..=at],
        _ => "",
    }
}

/// The words of a line; the last one is being typed and may be empty. Also says
/// whether that is inside quotes.
fn split(line: &str) -> (Vec<String>, bool) {
    let mut words = vec![String::new()];
    let mut begun = false;
    let mut quote: Option<char> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => {
                begun = true;
                if let (Some(escaped), Some(word)) = (chars.next(), words.last_mut()) {
                    word.push(escaped);
                }
            }
            ('\'' | '"', None) => {
                begun = true;
                quote = Some(c);
            }
            (c, Some(open)) if c == open => quote = None,
            (c, None) if c.is_whitespace() => {
                if begun {
                    words.push(String::new());
                }
                begun = false;
            }
            (c, _) => {
                begun = true;
                if let Some(word) = words.last_mut() {
                    word.push(c);
                }
            }
        }
    }
    (words, quote.is_some())
}

/// The word with a backslash before all that means something to the shell.
fn escape(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    for c in word.chars() {
        if c.is_ascii() && !c.is_ascii_alphanumeric() && !"-_.=+,@/:%".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_as_bash_does() {
        let words = |line: &str| split(line).0;
        assert_eq!(words("xlfsctl show "), ["xlfsctl", "show", ""]);
        assert_eq!(words("xlfsctl  show we"), ["xlfsctl", "show", "we"]);
        assert_eq!(words("x --set a=b"), ["x", "--set", "a=b"]);
        assert_eq!(words(r#"x "a b" c\ d 'e"f"#), ["x", "a b", "c d", "e\"f"]);
        assert_eq!(words(""), [""]);
        assert!(split("x 'a").1 && !split("x 'a' ").1);
    }

    #[test]
    fn bash_replaces_what_follows_the_equals_sign() {
        assert_eq!(kept_prefix("php=8", "8"), "php=");
        assert_eq!(kept_prefix("php=", "="), "php=");
        assert_eq!(kept_prefix("php=", ""), "php=");
        assert_eq!(kept_prefix("web", "web"), "");
        // Where COMP_WORDBREAKS has no `=`, all of it is replaced.
        assert_eq!(kept_prefix("php=8", "php=8"), "");
    }

    #[test]
    fn file_names_are_escaped() {
        assert_eq!(escape("my file's"), "my\\ file\\'s");
        assert_eq!(escape("/boot/vmlinuz-6.1"), "/boot/vmlinuz-6.1");
    }
}
