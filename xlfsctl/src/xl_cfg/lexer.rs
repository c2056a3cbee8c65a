//! Cuts the text of an xl configuration into tokens, each with its place.
//! What the tokens mean together is for [`super::parser`].

use std::fmt;

/// Where something stands: both count from 1, the column in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why a text is no xl configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub(crate) struct Mistake {
    pub(crate) place: Place,
    pub(crate) problem: String,
}

impl Mistake {
    pub(crate) fn new(place: Place, problem: impl Into<String>) -> Mistake {
        Mistake { place, problem: problem.into() }
    }
}

/// A piece of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A name: of a key, where the file is right.
    Word(String),
    Text(String),
    Number(u64),
    Equals,
    PlusEquals,
    Open,
    Close,
    Comma,
    Semicolon,
    /// The end of a line, with the comment before it.
    Newline,
    /// A character that no configuration has outside of strings.
    Other(char),
    End,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::Word(word) => write!(f, "{:?}", short(word)),
            Token::Text(_) => f.write_str("a string"),
            Token::Number(number) => write!(f, "the number {number}"),
            Token::Equals => f.write_str("'='"),
            Token::PlusEquals => f.write_str("'+='"),
            Token::Open => f.write_str("'['"),
            Token::Close => f.write_str("']'"),
            Token::Comma => f.write_str("','"),
            Token::Semicolon => f.write_str("';'"),
            Token::Newline => f.write_str("the end of the line"),
            Token::Other(c) => write!(f, "{c:?}"),
            Token::End => f.write_str("the end of the file"),
        }
    }
}

/// As much of a text as a message has room for.
pub(super) fn short(text: &str) -> String {
    crate::output::text::cut(text, 40)
}

/// Reads tokens one after the other.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    place: Place,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Lexer<'a> {
        // Editors of other systems put a mark before the first line.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Lexer { rest: text.chars().peekable(), place: Place { line: 1, column: 1 } }
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        if c == '\n' {
            self.place = Place { line: self.place.line.saturating_add(1), column: 1 };
        } else {
            self.place.column = self.place.column.saturating_add(1);
        }
        Some(c)
    }

    fn bump_while(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let mut out = String::new();
        while let Some(c) = self.rest.next_if(|c| wanted(*c)) {
            self.place.column = self.place.column.saturating_add(1);
            out.push(c);
        }
        out
    }

    /// The next token and where it begins; after the last, [`Token::End`] for
    /// ever.
    pub(super) fn next(&mut self) -> Result<(Token, Place), Mistake> {
        self.bump_while(|c| matches!(c, ' ' | '\t' | '\r' | '\u{c}'));
        let place = self.place;
        let Some(first) = self.rest.peek().copied() else { return Ok((Token::End, place)) };
        let token = match first {
            '#' => {
                self.bump_while(|c| c != '\n');
                self.bump();
                Token::Newline
            }
            '\'' | '"' => self.text(first)?,
            c if c.is_ascii_digit() => self.number()?,
            c if c.is_ascii_alphabetic() || c == '_' => {
                let wanted = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
                Token::Word(self.bump_while(wanted))
            }
            c => {
                self.bump();
                match c {
                    '\n' => Token::Newline,
                    '=' => Token::Equals,
                    '[' => Token::Open,
                    ']' => Token::Close,
                    ',' => Token::Comma,
                    ';' => Token::Semicolon,
                    '+' if self.rest.peek() == Some(&'=') => {
                        self.bump();
                        Token::PlusEquals
                    }
                    other => Token::Other(other),
                }
            }
        };
        Ok((token, place))
    }

    /// Decimal, hexadecimal after `0x`, octal after `0`, as in C.
    fn number(&mut self) -> Result<Token, Mistake> {
        let place = self.place;
        let text = self.bump_while(|c| c.is_ascii_alphanumeric() || c == '_');
        let (digits, radix, what) = match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
            Some(digits) => (digits, 16, "hexadecimal"),
            None if text.len() > 1 && text.starts_with('0') => (&text[1..], 8, "octal"),
            None => (text.as_str(), 10, "decimal"),
        };
        if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
            let problem = match text.starts_with('0') {
                true => format!("{:?} is no {what} number", short(&text)),
                false => format!(
                    "{:?} is no number: sizes have no unit here, and other values stand in quotes",
                    short(&text)
                ),
            };
            return Err(Mistake::new(place, problem));
        }
        let number = u64::from_str_radix(digits, radix);
        number
            .map(Token::Number)
            .map_err(|_| Mistake::new(place, format!("the number {} is too large", short(&text))))
    }

    /// A string, up to the quote that it began with; on one line.
    fn text(&mut self, quote: char) -> Result<Token, Mistake> {
        let begin = self.place;
        self.bump();
        let mut out = String::new();
        loop {
            let place = self.place;
            match self.rest.peek() {
                None | Some('\n') => {
                    return Err(Mistake::new(
                        begin,
                        format!("this string has no end: expected {quote} on the same line"),
                    ));
                }
                Some(_) => {}
            }
            match self.bump() {
                Some(c) if c == quote => return Ok(Token::Text(out)),
                Some('\\') => out.push(self.escape(place)?),
                // What was no UTF-8 in the file. In a comment it does no harm.
                Some('\u{fffd}') => {
                    return Err(Mistake::new(place, "this string is not in UTF-8"));
                }
                Some(c) => out.push(c),
                None => {}
            }
        }
    }

    /// What a backslash and the characters after it stand for.
    fn escape(&mut self, place: Place) -> Result<char, Mistake> {
        let known = "a backslash takes a quote, another backslash, \
                     a, b, f, n, r, t, v, xHH or an octal number after it";
        let wrong = || Mistake::new(place, known);
        // The newline is left for the caller, who says that the string ends.
        let next = self.rest.next_if(|c| *c != '\n').ok_or_else(wrong)?;
        self.place.column = self.place.column.saturating_add(1);
        let (digits, radix, most) = match next {
            '\'' | '"' | '\\' => return Ok(next),
            'a' => return Ok('\u{7}'),
            'b' => return Ok('\u{8}'),
            'f' => return Ok('\u{c}'),
            'n' => return Ok('\n'),
            'r' => return Ok('\r'),
            't' => return Ok('\t'),
            'v' => return Ok('\u{b}'),
            'x' => (String::new(), 16, 2),
            '0'..='7' => (next.to_string(), 8, 3),
            _ => return Err(wrong()),
        };
        let mut digits = digits;
        while digits.len() < most
            && let Some(c) = self.rest.next_if(|c| c.is_digit(radix))
        {
            self.place.column = self.place.column.saturating_add(1);
            digits.push(c);
        }
        if radix == 16 && digits.len() < 2 {
            return Err(wrong());
        }
        match u32::from_str_radix(&digits, radix) {
            Ok(code @ 1..=0x7f) => char::from_u32(code).ok_or_else(wrong),
            Ok(0) => Err(Mistake::new(place, "a string cannot hold a NUL")),
            // Half of a character, in whatever code page that was.
            _ => Err(Mistake::new(place, "characters beyond ASCII are written as such, in UTF-8")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Result<Vec<Token>, Mistake> {
        let mut lexer = Lexer::new(text);
        let mut all = Vec::new();
        loop {
            match lexer.next()?.0 {
                Token::End => return Ok(all),
                token => all.push(token),
            }
        }
    }

    fn one(text: &str) -> Result<Token, Mistake> {
        let mut all = tokens(text)?;
        assert_eq!(all.len(), 1, "{text}: {all:?}");
        Ok(all.remove(0))
    }

    #[test]
    fn numbers_are_read_as_in_c() {
        for (text, number) in [
            ("0", 0),
            ("512", 512),
            ("0x10", 16),
            ("0xfF", 255),
            ("0777", 511),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(one(text), Ok(Token::Number(number)), "{text}");
        }
        for text in ["0x", "08", "512M", "1_000", "18446744073709551616", "1e3"] {
            assert!(one(text).is_err(), "{text}");
        }
    }

    #[test]
    fn strings_have_two_kinds_of_quotes_and_escapes() {
        for (text, value) in [
            (r#""a'b""#, "a'b"),
            (r#"'a"b'"#, "a\"b"),
            (r#"'a\'b'"#, "a'b"),
            (r"'\\\t\n\x41\101\7'", "\\\t\nAA\u{7}"),
            ("''", ""),
            ("'Grüße # no comment; [x]'", "Grüße # no comment; [x]"),
        ] {
            assert_eq!(one(text), Ok(Token::Text(value.to_owned())), "{text}");
        }
    }

    #[test]
    fn broken_strings_are_refused_where_they_break() {
        for (text, line, column, words) in [
            ("\n  'abc", 2, 3, "no end"),
            ("'abc\n'", 1, 1, "no end"),
            ("'ab\\", 1, 4, "backslash"),
            ("'ab\\\n'", 1, 4, "backslash"),
            ("'ab\\q'", 1, 4, "backslash"),
            ("'\\x4'", 1, 2, "backslash"),
            ("'\\0'", 1, 2, "NUL"),
            ("'\\xe4'", 1, 2, "UTF-8"),
            ("'\u{fffd}'", 1, 2, "UTF-8"),
        ] {
            let mistake = tokens(text).expect_err(text);
            assert_eq!(mistake.place, Place { line, column }, "{text:?}: {mistake}");
            assert!(mistake.problem.contains(words), "{text:?}: {mistake}");
        }
    }

    #[test]
    fn comments_and_line_ends_of_other_systems_do_no_harm() {
        let word = |word: &str| Token::Word(word.to_owned());
        let expected = vec![word("a"), Token::Newline, word("b.c"), Token::Newline];
        assert_eq!(tokens("\u{feff}a # \u{fffd} '\r\nb.c\r\n"), Ok(expected));
    }
}
