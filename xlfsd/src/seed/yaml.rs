//! YAML in its flow form, which is nearly JSON: every text stands between
//! double quotes, so that none is taken for a number, a date, a key or a
//! comment, whatever version of YAML the reader has in mind.
//!
//! The difference: whatever is not printable ASCII is written as an escape.
//! JSON leaves characters as they are that YAML 1.1 takes for line breaks
//! (U+0085, U+2028) or refuses (U+007F), and its pairs of escapes beyond U+FFFF
//! are one escape in YAML.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

/// The text of `value`, with a line break at its end.
pub(super) fn write(value: &Value) -> Result<String, serde_json::Error> {
    let mut bytes = Vec::new();
    let formatter = Flow { pretty: PrettyFormatter::new() };
    value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter))?;
    bytes.push(b'\n');
    // The formatter below lets nothing but ASCII through.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Escapes more than its inner formatter.
struct Flow {
    pretty: PrettyFormatter<'static>,
}

impl Formatter for Flow {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for c in fragment.chars() {
            match u32::from(c) {
                0x20..0x7f => writer.write_all(&[c as u8])?,
                code @ ..=0xffff => write!(writer, "\\u{code:04x}")?,
                code => write!(writer, "\\U{code:08x}")?,
            }
        }
        Ok(())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.pretty.begin_array(writer)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.pretty.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.pretty.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.pretty.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.pretty.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.pretty.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.pretty.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.pretty.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.pretty.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::value::HOSTILE;

    #[test]
    fn a_yaml_parser_reads_back_what_was_written() {
        for text in HOSTILE.into_iter().chain(["no", "1:30", "0o14", "~", "2026-01-01", "\u{7f}"]) {
            let value = json!({ text: [text, { "k": text }], "n": 2, "b": false });
            let yaml = write(&value).unwrap();
            assert!(yaml.bytes().all(|b| b == b'\n' || (0x20..0x7f).contains(&b)), "{yaml}");
            let read: Value = serde_saphyr::from_str(&yaml).unwrap();
            assert_eq!(read, value, "{yaml}");
        }
    }
}
