use std::collections::HashMap;

use uuid::Uuid;

use super::*;

const GUEST: GuestFacts<'static> = GuestFacts { name: "web", uuid: Uuid::nil() };

fn fill(source: &str, values: &[(&str, &str)]) -> String {
    let values: HashMap<_, _> = values.iter().copied().collect();
    CommandLine::parse(source).unwrap().fill(&GUEST, |name| values.get(name).copied())
}

/// Linux' reading of a command line, for the tests: (key, value) of each word.
fn kernel_reads(line: &str) -> Vec<(String, Option<String>)> {
    let is_space = |byte: u8| matches!(byte, b' ' | 0x09..=0x0d | 0xa0);
    let (mut words, mut word, mut quoted) = (Vec::new(), Vec::new(), false);
    for byte in line.bytes().chain([b' ']) {
        if is_space(byte) && !quoted {
            words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
        } else {
            quoted ^= byte == b'"';
            word.push(byte);
        }
    }
    let unquote = |text: &str| {
        text.strip_prefix('"')
            .map(|text| text.strip_suffix('"').unwrap_or(text))
            .unwrap_or(text)
            .to_owned()
    };
    words
        .into_iter()
        .map(|word| String::from_utf8(word).unwrap())
        .map(|word| match word.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(unquote(value))),
            None => (unquote(&word), None),
        })
        .collect()
}

#[test]
fn fills_places_and_keeps_the_rest() {
    let line = fill("console=hvc0  quiet\n x.host=${h} x.id=${guest.uuid}", &[("h", "web")]);
    assert_eq!(line, "console=hvc0 quiet x.host=web x.id=00000000-0000-0000-0000-000000000000");
}

#[test]
fn values_with_spaces_are_quoted_as_a_whole() {
    assert_eq!(fill("a=${v} b", &[("v", "x y")]), "a=\"x y\" b");
    assert_eq!(fill("a=pre-${v}-post b", &[("v", "x y")]), "a=\"pre-x y-post\" b");
    assert_eq!(fill("a=\"one ${v}\"", &[("v", "two")]), "a=\"one two\"");
    assert_eq!(fill("a=${v}", &[("v", "plain")]), "a=plain");
    assert_eq!(fill("a=${v} b", &[("v", "")]), "a= b");
}

#[test]
fn no_value_leaves_its_word() {
    let hostile = [
        "x init=/bin/sh",
        "x\u{a0}init=/bin/sh",
        "à init=/bin/sh",
        "àinit=/bin/sh",
        " -- ",
        "${v} ${guest.name}",
        "a=b=c",
        "'x' 'y'",
        "\\",
    ];
    for value in hostile {
        assert_eq!(forbidden_in_value(value), None);
        let line = fill("first x.v=${v} last", &[("v", value)]);
        let read = kernel_reads(&line);
        let expected = [
            ("first".to_owned(), None),
            ("x.v".to_owned(), Some(value.to_owned())),
            ("last".to_owned(), None),
        ];
        assert_eq!(read, expected, "{line}");
    }
    for value in ["\" init=/bin/sh", "a\nb", "a\0", "\u{7f}", "\u{85}"] {
        assert!(forbidden_in_value(value).is_some(), "{value:?}");
    }
}

#[test]
fn a_word_without_its_value_is_left_out() {
    assert_eq!(fill("a=${v} b=${w}${v} c", &[("w", "1")]), "c");
    assert_eq!(fill("a=${v}", &[]), "");
}

#[test]
fn a_place_needs_a_key_before_it() {
    for source in ["${v}", "${v}=1", "a${v}=1", "\"${v}\""] {
        let error = CommandLine::parse(source).unwrap_err();
        assert_eq!(error, CommandLineError::PlaceWithoutKey { name: "v".into() }, "{source}");
    }
    // The guest's name is checked elsewhere and holds nothing but letters.
    assert_eq!(fill("${guest.name}", &[]), "web");
}

#[test]
fn mistakes_of_the_template_are_named() {
    let error = |source: &str| CommandLine::parse(source).unwrap_err();
    assert_eq!(error("a=\"b"), CommandLineError::OpenQuote);
    assert_eq!(error("a=${b"), CommandLineError::OpenPlace);
    assert_eq!(error("a\u{1}"), CommandLineError::Character { character: '\u{1}' });
    assert_eq!(error("\"a b\"=c"), CommandLineError::SpaceInKey { key: "a b".into() });
    assert!(matches!(error(&"x".repeat(1024)), CommandLineError::TooLong { .. }));
    assert_eq!(fill("cost=$5 {x} $", &[]), "cost=$5 {x} $");
}
