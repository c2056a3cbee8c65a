//! Text made fit for a terminal: control characters shown, lines wrapped, long
//! words cut. What guests, kernels and files say reaches the screen only
//! through here.

/// The text with control characters shown as escapes, so that nothing a guest
/// or a file name says can steer the terminal.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_bidi(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Characters that turn the reading direction, and so can hide what stands
/// there.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Columns that the text takes.
pub(crate) fn width(text: &str) -> usize {
    text.chars().count()
}

/// The text in at most `limit` columns; `..` stands for what was cut off.
pub(crate) fn cut(text: &str, limit: usize) -> String {
    if width(text) <= limit {
        return text.to_owned();
    }
    let dots = limit.min(2);
    let mut short: String = text.chars().take(limit - dots).collect();
    short.extend(std::iter::repeat_n('.', dots));
    short
}

/// Lines of at most `limit` columns, broken at blanks. A word that is longer
/// than a line is left whole: it may be meant to be copied.
pub(crate) fn wrap(text: &str, limit: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            let fits = line.is_empty() || width(&line) + 1 + width(word) <= limit;
            if !fits {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

/// Lines that start with `label` and go on under its end.
pub(crate) fn hanging(label: &str, text: &str, limit: usize) -> String {
    let indent = width(label);
    let mut out = String::new();
    for (number, line) in wrap(text, limit.saturating_sub(indent).max(20)).iter().enumerate() {
        let start = if number == 0 { label.to_owned() } else { " ".repeat(indent) };
        out.push_str(format!("{start}{}", plain(line)).trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown() {
        assert_eq!(plain("a\x1b[31mb\u{9b}c\n\u{202e}"), "a\\u{1b}[31mb\\u{9b}c\\n\\u{202e}");
        assert_eq!(plain("Grüße"), "Grüße");
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abcd..");
        assert_eq!(cut("abc", 1), ".");
        assert_eq!(cut("abc", 0), "");
    }

    #[test]
    fn lines_break_at_blanks() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a/very/long/path x", 5), ["a/very/long/path", "x"]);
        assert_eq!(wrap("a\nb", 80), ["a", "b"]);
        assert_eq!(hanging("  x: ", "one two three four", 25), "  x: one two three four\n");
        let narrow = hanging("  hint: ", "one two three four five six", 28);
        assert_eq!(narrow, "  hint: one two three four\n        five six\n");
    }
}
