//! The keys of a configuration as they stand at its end: the last of several
//! assignments holds, `+=` is added to what stands there, and each value can be
//! asked for as what it should be.

use super::finding::{Finding, Kind};
use super::parser::{Assignment, Content, Mistake, Place, Value};
use crate::output::text::plain;

/// Bytes of a text that is read: as many as Linux takes for a path.
const MAX_TEXT: usize = 4096;

/// A key with its value.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// All keys, in the order in which they were set first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    all: Vec<Setting>,
}

impl Settings {
    /// Carries out the assignments; tells of those that a later one undoes.
    pub(crate) fn new(assignments: Vec<Assignment>) -> Result<(Settings, Vec<Finding>), Mistake> {
        let mut settings = Settings::default();
        let mut findings = Vec::new();
        for Assignment { key, place, adds, value } in assignments {
            let Some(known) = settings.all.iter_mut().find(|one| one.key == key) else {
                settings.all.push(Setting { key, place, value });
                continue;
            };
            if !adds {
                let why = format!("it is set again in line {}, and that holds", place.line);
                findings.push(Finding::new(&key, known.place.line, Kind::Ignored, why));
                *known = Setting { key, place, value };
                continue;
            }
            match (&mut known.value.content, value.content) {
                (Content::List(items), Content::List(more)) => items.extend(more),
                (Content::Text(text), Content::Text(more)) => text.push_str(&more),
                _ => {
                    let problem = "'+=' adds a list to a list, or a string to a string";
                    return Err(Mistake::new(value.place, problem));
                }
            }
        }
        Ok((settings, findings))
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Setting> {
        self.all.iter().find(|one| one.key == key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Setting> {
        self.all.iter()
    }
}

impl Value {
    /// A text. Numbers are texts too, as in xl. Characters that a terminal would
    /// not show as they are have no use in any key that is read.
    pub(crate) fn text(&self) -> Result<String, Mistake> {
        let text = match &self.content {
            Content::Text(text) => text.clone(),
            Content::Number(number) => number.to_string(),
            Content::List(_) => return Err(self.expected("a string, found a list")),
        };
        if text.len() > MAX_TEXT {
            return Err(self.expected(&format!("at most {MAX_TEXT} characters")));
        }
        if plain(&text) != text {
            return Err(self.expected(&format!("plain text, found \"{}\"", plain(&text))));
        }
        Ok(text)
    }

    /// A number; also one in quotes, as in xl.
    pub(crate) fn number(&self) -> Result<u64, Mistake> {
        match &self.content {
            Content::Number(number) => Ok(*number),
            Content::Text(text) => {
                let wrong = || self.expected(&format!("a number, found \"{}\"", plain(text)));
                let text = text.trim();
                let (digits, radix) = match text.strip_prefix("0x") {
                    Some(digits) => (digits, 16),
                    None if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
                    None => (text, 10),
                };
                // from_str_radix alone would take "+1".
                if !digits.chars().all(|c| c.is_digit(radix)) {
                    return Err(wrong());
                }
                u64::from_str_radix(digits, radix).map_err(|_| wrong())
            }
            Content::List(_) => Err(self.expected("a number, found a list")),
        }
    }

    /// The items of a list; a lone text is a list of itself, as in xl.
    pub(crate) fn texts(&self) -> Result<Vec<(Place, String)>, Mistake> {
        match &self.content {
            Content::List(items) => {
                items.iter().map(|item| Ok((item.place, item.text()?))).collect()
            }
            _ => Ok(vec![(self.place, self.text()?)]),
        }
    }

    /// The value as one of a few words: `0`, `default`, `[]`.
    pub(crate) fn word(&self) -> String {
        match &self.content {
            Content::Text(text) => text.trim().to_owned(),
            Content::Number(number) => number.to_string(),
            Content::List(items) if items.is_empty() => "[]".to_owned(),
            Content::List(_) => "[...]".to_owned(),
        }
    }

    fn expected(&self, what: &str) -> Mistake {
        Mistake::new(self.place, format!("expected {what}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::parser::parse;
    use super::*;

    fn read(text: &str) -> Result<(Settings, Vec<Finding>), Mistake> {
        Settings::new(parse(text.as_bytes()).expect("syntax"))
    }

    #[test]
    fn later_lines_hold_and_additions_add() {
        let text = "a = 1\nb = ['x']\na = 2\nb += ['y', 'z']\nc = 'p'\nc += 'q'\nd += ['only']";
        let (settings, findings) = read(text).expect("settings");
        let value = |key| &settings.get(key).expect(key).value;
        assert_eq!(value("a").number(), Ok(2));
        let items: Vec<_> =
            value("b").texts().expect("list").into_iter().map(|one| one.1).collect();
        assert_eq!(items, ["x", "y", "z"]);
        assert_eq!(value("c").text().as_deref(), Ok("pq"));
        assert_eq!(value("d").texts().map(|all| all.len()), Ok(1));
        assert_eq!(findings.len(), 1);
        assert_eq!((findings[0].key.as_str(), findings[0].line), ("a", 1));
        assert!(findings[0].why.contains("line 3"), "{findings:?}");
        assert!(settings.get("e").is_none());
        for bad in ["a = 'x'\na += ['y']", "a = 1\na += 2", "a = []\na += 'y'"] {
            assert_eq!(read(bad).expect_err(bad).place.line, 2, "{bad}");
        }
    }

    #[test]
    fn values_are_what_they_are_asked_for() {
        let (settings, _) = read(
            "n = 512\nq = '512'\nh = '0x10'\no = '010'\nt = 'web'\nl = ['a']\ne = []\n\
             s = 'a\\nb'\nz = ''\np = '+1'\n",
        )
        .expect("settings");
        let value = |key| &settings.get(key).expect(key).value;
        for (key, number) in [("n", 512), ("q", 512), ("h", 16), ("o", 8)] {
            assert_eq!(value(key).number(), Ok(number), "{key}");
        }
        for key in ["t", "l", "z", "p"] {
            assert!(value(key).number().is_err(), "{key}");
        }
        assert_eq!(value("n").text().as_deref(), Ok("512"));
        assert!(value("l").text().is_err() && value("s").text().is_err());
        let long = |length: usize| format!("x = '{}'", "x".repeat(length));
        for (length, fits) in [(MAX_TEXT, true), (MAX_TEXT + 1, false)] {
            let (settings, _) = read(&long(length)).expect("settings");
            assert_eq!(settings.get("x").expect("x").value.text().is_ok(), fits, "{length}");
        }
        assert_eq!(value("t").texts().map(|all| all.len()), Ok(1));
        assert_eq!((value("l").word(), value("e").word()), ("[...]".to_owned(), "[]".to_owned()));
    }
}
