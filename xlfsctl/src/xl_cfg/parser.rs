//! The grammar of xl.cfg(5): `key = value` and `key += value`, ended by line
//! ends or semicolons; values are strings, numbers, and lists of values over
//! several lines. xm's files were Python; where one still is, it is said.
//!
//! Everything is bounded: the bytes of a file, the keys, the items of a list,
//! and how deep lists stand in each other.

use super::lexer::{Lexer, Token, short};
pub(crate) use super::lexer::{Mistake, Place};

/// Bytes of a file; people write a hundredth of it.
pub(crate) const MAX_BYTES: usize = 1 << 20;
const MAX_ASSIGNMENTS: usize = 1000;
const MAX_ITEMS: usize = 1000;
/// How deep lists stand in each other; xl knows a use for two.
const MAX_DEPTH: usize = 8;

/// A value, and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) place: Place,
    pub(crate) content: Content,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Text(String),
    Number(u64),
    List(Vec<Value>),
}

/// `key = value`, or `key += value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) key: String,
    pub(crate) place: Place,
    /// `+=`: more for what stands there already.
    pub(crate) adds: bool,
    pub(crate) value: Value,
}

/// Reads a whole file. The first mistake ends it.
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<Assignment>, Mistake> {
    if bytes.len() > MAX_BYTES {
        let problem = "the file is larger than 1 MiB, and no guest needs that";
        return Err(Mistake::new(Place { line: 1, column: 1 }, problem));
    }
    // Comments in an old code page are no mistake; strings are looked at.
    let text = String::from_utf8_lossy(bytes);
    let mut lexer = Lexer::new(&text);
    let (token, place) = lexer.next()?;
    let mut parser = Parser { lexer, token, place };
    let mut assignments = Vec::new();
    while parser.seek_assignment()? {
        if assignments.len() == MAX_ASSIGNMENTS {
            let problem = format!("there are more than {MAX_ASSIGNMENTS} keys");
            return Err(Mistake::new(parser.place, problem));
        }
        assignments.push(parser.assignment()?);
    }
    Ok(assignments)
}

/// The grammar, one token ahead.
#[derive(Debug)]
struct Parser<'a> {
    lexer: Lexer<'a>,
    token: Token,
    place: Place,
}

impl Parser<'_> {
    /// Goes on to the next token, and gives the present one.
    fn take(&mut self) -> Result<Token, Mistake> {
        let (token, place) = self.lexer.next()?;
        self.place = place;
        Ok(std::mem::replace(&mut self.token, token))
    }

    fn skip(&mut self, wanted: impl Fn(&Token) -> bool) -> Result<(), Mistake> {
        while wanted(&self.token) {
            self.take()?;
        }
        Ok(())
    }

    fn expected(&self, what: &str) -> Mistake {
        Mistake::new(self.place, format!("expected {what}, found {}", self.token))
    }

    /// Goes to the next assignment; false at the end of the file.
    fn seek_assignment(&mut self) -> Result<bool, Mistake> {
        self.skip(|token| matches!(token, Token::Newline | Token::Semicolon))?;
        Ok(self.token != Token::End)
    }

    fn assignment(&mut self) -> Result<Assignment, Mistake> {
        let place = self.place;
        let Token::Word(key) = &self.token else { return Err(self.expected("a key")) };
        let key = key.clone();
        self.take()?;
        let adds = match self.token {
            Token::Equals => false,
            Token::PlusEquals => true,
            _ if is_statement(&key) => {
                let problem = format!("\"{key}\" is a word of Python, {}", no_python());
                return Err(Mistake::new(place, problem));
            }
            _ => return Err(self.expected(&format!("'=' or '+=' after {:?}", short(&key)))),
        };
        self.take()?;
        let value = self.value(0)?;
        match &self.token {
            Token::Newline | Token::Semicolon | Token::End => {}
            Token::Other('+' | '%' | '.' | '(' | '*' | '/' | '-') | Token::Open => {
                let found = &self.token;
                let problem = format!("{found} after a value is Python, {}", no_python());
                return Err(Mistake::new(self.place, problem));
            }
            _ => return Err(self.expected("the end of the line or ';' after the value")),
        }
        Ok(Assignment { key, place, adds, value })
    }

    fn value(&mut self, depth: usize) -> Result<Value, Mistake> {
        let place = self.place;
        let content = match &self.token {
            Token::Text(_) | Token::Number(_) => match self.take()? {
                Token::Number(number) => Content::Number(number),
                Token::Text(text) => Content::Text(text),
                _ => return Err(self.expected("a value")),
            },
            Token::Open if depth == MAX_DEPTH => {
                let problem = format!("lists stand in each other more than {MAX_DEPTH} deep");
                return Err(Mistake::new(place, problem));
            }
            Token::Open => Content::List(self.list(depth)?),
            Token::Word(word) => {
                let meant = match word.as_str() {
                    "True" | "true" | "yes" | "on" => "write 1".to_owned(),
                    "False" | "false" | "None" | "no" | "off" => "write 0".to_owned(),
                    _ => {
                        format!("a string stands in quotes, and names are Python, {}", no_python())
                    }
                };
                let problem = format!("expected a value, found {}: {meant}", self.token);
                return Err(Mistake::new(place, problem));
            }
            Token::Other('-' | '+') => {
                return Err(self.expected("a value (a number with a sign stands in quotes)"));
            }
            Token::Other('(' | '{') => {
                let problem = format!("{} is Python, {}", self.token, no_python());
                return Err(Mistake::new(place, problem));
            }
            _ => return Err(self.expected("a string, a number or '['")),
        };
        Ok(Value { place, content })
    }

    /// `[` to `]`; lines may end anywhere between.
    fn list(&mut self, depth: usize) -> Result<Vec<Value>, Mistake> {
        let begin = self.place;
        self.take()?;
        let mut items = Vec::new();
        loop {
            self.skip(|token| *token == Token::Newline)?;
            if self.token == Token::Close {
                break;
            }
            if items.len() == MAX_ITEMS {
                let problem = format!("a list has more than {MAX_ITEMS} items");
                return Err(Mistake::new(self.place, problem));
            }
            self.unless_ended(begin)?;
            items.push(self.value(depth + 1)?);
            self.skip(|token| *token == Token::Newline)?;
            match self.token {
                Token::Comma => self.take()?,
                Token::Close => break,
                _ => {
                    self.unless_ended(begin)?;
                    return Err(self.expected("',' or ']' after an item of a list"));
                }
            };
        }
        self.take()?;
        Ok(items)
    }

    /// The end of the file says nothing of where a list began.
    fn unless_ended(&self, begin: Place) -> Result<(), Mistake> {
        if self.token == Token::End {
            return Err(Mistake::new(begin, "this list has no end: expected ']'"));
        }
        Ok(())
    }
}

fn no_python() -> &'static str {
    "which xm ran; xl and xlfs read KEY = VALUE only"
}

/// Words with which lines of Python begin.
fn is_statement(word: &str) -> bool {
    matches!(
        word,
        "import" | "from" | "def" | "if" | "elif" | "else" | "for" | "while" | "try" | "except"
    ) || matches!(word, "print" | "return" | "class" | "with" | "pass" | "exec" | "del" | "global")
        || word.contains('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(value: &Value) -> String {
        match &value.content {
            Content::Text(text) => format!("{text:?}"),
            Content::Number(number) => number.to_string(),
            Content::List(items) => {
                format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(","))
            }
        }
    }

    fn read(text: &str) -> String {
        let one = |a: &Assignment| {
            let sign = if a.adds { "+=" } else { "=" };
            format!("{}{}{sign}{};", a.place.line, a.key, show(&a.value))
        };
        match parse(text.as_bytes()) {
            Ok(all) => all.iter().map(one).collect(),
            Err(mistake) => panic!("{text}: {}: {mistake}", mistake.place),
        }
    }

    #[test]
    fn assignments() {
        for (text, expected) in [
            ("", ""),
            ("\n;;\n# only a comment", ""),
            ("a=1", "1a=1;"),
            ("a = 'x' ; b=\"y\";\n c=0x10 # d=1\n", "1a=\"x\";1b=\"y\";2c=16;"),
            ("a = []", "1a=[];"),
            ("a = [ 1, 'b', ]\na += [2]", "1a=[1,\"b\",];2a+=[2];"),
            ("a = [\n # one\n '1'\n ,\n\n '2', # two\n]\nb=2", "1a=[\"1\",\"2\"];8b=2;"),
            ("a=[['p=0', 's=1'], []]", "1a=[[\"p=0\",\"s=1\"],[]];"),
        ] {
            assert_eq!(read(text), expected.replace(",]", "]"), "{text}");
        }
    }

    #[test]
    fn mistakes_have_a_place_and_say_what_was_expected() {
        for (text, line, column, words) in [
            ("= 1", 1, 1, "expected a key, found '='"),
            ("\n\na b", 3, 3, "expected '=' or '+=' after \"a\", found \"b\""),
            ("a =", 1, 4, "expected a string, a number or '[', found the end of the file"),
            ("a =\n1", 1, 4, "found the end of the line"),
            ("a = 1 b = 2", 1, 7, "expected the end of the line or ';'"),
            ("a = [1\nb = 2", 2, 1, "expected ',' or ']'"),
            ("a = [1,\n", 1, 5, "no end"),
            ("a = [1", 1, 5, "no end"),
            ("a = [,1]", 1, 6, "found ','"),
            ("a = True", 1, 5, "write 1"),
            ("a = xen", 1, 5, "stands in quotes"),
            ("a = -1", 1, 5, "in quotes"),
            ("a = 512M", 1, 5, "no unit"),
            ("a = ('b')", 1, 5, "Python"),
            ("a = 'b' + c", 1, 9, "Python"),
            ("a = 'b' % c", 1, 9, "Python"),
            ("import os", 1, 1, "Python, which xm ran"),
            ("x=1\nfrom os import path", 2, 1, "Python"),
            ("def f():\n return 1", 1, 1, "Python"),
            ("os.system('x')", 1, 1, "Python"),
            ("a = \"\"\"b\"\"\"", 1, 7, "expected the end of the line"),
            ("\u{7f}ELF", 1, 1, "expected a key, found '\\u{7f}'"),
        ] {
            let mistake = parse(text.as_bytes()).expect_err(text);
            assert_eq!(mistake.place, Place { line, column }, "{text:?}: {mistake}");
            assert!(mistake.problem.contains(words), "{text:?}: {mistake}");
        }
    }

    #[test]
    fn everything_is_bounded() {
        let deep = format!("a = {}{}", "[".repeat(8), "]".repeat(8));
        assert!(parse(deep.as_bytes()).is_ok());
        for (text, words) in [
            (format!("a = {}", "[".repeat(100_000)), "8 deep"),
            (format!("a = [{}]", "1,".repeat(2000)), "1000 items"),
            ("a=1\n".repeat(2000), "1000 keys"),
            ("#".repeat(MAX_BYTES + 1), "1 MiB"),
        ] {
            let mistake = parse(text.as_bytes()).expect_err(words);
            assert!(mistake.problem.contains(words), "{mistake}");
        }
        assert!(parse("#".repeat(MAX_BYTES).as_bytes()).is_ok());
    }
}
