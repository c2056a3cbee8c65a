//! Words made fit for a shell, so that a printed command can be copied.

/// The word as any POSIX shell reads it back: bare where nothing in it means
/// something else, otherwise in single quotes.
pub(crate) fn quote(word: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "_-+=:,./@%".contains(c);
    // Not at the beginning: the shell takes `a=b` there for a variable.
    if !word.is_empty() && word.chars().all(bare) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A whole command.
pub(crate) fn line(words: &[String]) -> String {
    words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

/// A path that no program takes for an option, or for standard input.
pub(crate) fn path(path: &str) -> String {
    match path.starts_with('-') {
        true => format!("./{path}"),
        false => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A shell reads back what was quoted.
    #[test]
    fn a_shell_reads_the_words_back() {
        let words: Vec<String> = [
            "plain-1.2",
            "",
            " ",
            "a b",
            "it's",
            "''",
            "$HOME",
            "`id`",
            "$(id)",
            "a;b",
            "a&b",
            "*",
            "~",
            "#x",
            "a\\b",
            "\"",
            "!x",
            "{a,b}",
            "a|b>c<d",
            "é",
            "[x]",
            "k=v w",
            "-x",
            "tab\there",
            "new\nline",
        ]
        .iter()
        .map(|word| (*word).to_owned())
        .collect();
        let script = format!("printf '%s\\0' {}", line(&words));
        let ran = Command::new("/bin/sh").args(["-c", &script]).output().expect("sh");
        let back: Vec<_> =
            ran.stdout.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        assert_eq!(back[..back.len() - 1], words[..]);
        assert_eq!(quote("/boot/vmlinuz-6.1"), "/boot/vmlinuz-6.1");
        assert_eq!((path("-"), path("/x")), ("./-".to_owned(), "/x".to_owned()));
    }
}
