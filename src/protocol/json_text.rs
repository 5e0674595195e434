// SPDX-License-Identifier: Apache-2.0

//! Long texts into JSON, many bytes at a time.
//!
//! serde_json looks at each byte of a string to see whether it needs an escape, which for a prompt of a megabyte
//! costs more than everything else that is done with it. A field marked `#[serde(serialize_with = "…::text")]` is
//! handed to [`write()`] as bytes, and written as the string that they are: runs that need no escape are found
//! sixteen bytes at a time and copied whole. Byte arrays proper do not occur in JSON APIs.

use serde::{Serialize, Serializer};
use serde_json::ser::{CompactFormatter, Formatter};
use std::borrow::Cow;
use std::io;

/// Appends `value` as JSON.
///
/// # Errors
///
/// A value that has no form in JSON, such as a map whose keys are not strings.
pub fn write<T: Serialize>(out: &mut Vec<u8>, value: &T) -> serde_json::Result<()> {
    value.serialize(&mut serde_json::Serializer::with_formatter(out, TextFormatter))
}

/// Serialises a text for [`write()`]. No other serialiser understands it.
///
/// # Errors
///
/// What the serialiser reports.
pub fn text<T: AsRef<str>, S: Serializer>(text: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(text.as_ref().as_bytes())
}

/// The same for a text that may be missing, which is null.
///
/// # Errors
///
/// What the serialiser reports.
pub fn optional_text<S: Serializer>(text: &Option<Cow<'_, str>>, serializer: S) -> Result<S::Ok, S::Error> {
    match text {
        Some(text) => serializer.serialize_bytes(text.as_bytes()),
        None => serializer.serialize_none(),
    }
}

struct TextFormatter;

impl Formatter for TextFormatter {
    fn write_byte_array<W: io::Write + ?Sized>(&mut self, writer: &mut W, value: &[u8]) -> io::Result<()> {
        writer.write_all(b"\"")?;
        let mut rest = value;
        loop {
            let (plain, special) = rest.split_at_checked(plain_length(rest)).unwrap_or((rest, &[]));
            writer.write_all(plain)?;
            let Some((byte, after)) = special.split_first() else {
                break;
            };
            write_escape(*byte, writer)?;
            rest = after;
        }
        writer.write_all(b"\"")
    }
}

fn write_escape<W: io::Write + ?Sized>(byte: u8, writer: &mut W) -> io::Result<()> {
    use serde_json::ser::CharEscape;
    let escape = match byte {
        b'"' => CharEscape::Quote,
        b'\\' => CharEscape::ReverseSolidus,
        b'\n' => CharEscape::LineFeed,
        b'\r' => CharEscape::CarriageReturn,
        b'\t' => CharEscape::Tab,
        0x08 => CharEscape::Backspace,
        0x0c => CharEscape::FormFeed,
        control => CharEscape::AsciiControl(control),
    };
    CompactFormatter.write_char_escape(writer, escape)
}

const fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// How many bytes at the start need no escape. Whole blocks are judged without a branch, so that the compiler makes
/// one comparison of sixteen.
fn plain_length(bytes: &[u8]) -> usize {
    let (blocks, _) = bytes.as_chunks::<16>();
    let plain_blocks = blocks
        .iter()
        .take_while(|block| !block.iter().fold(false, |any, byte| any | needs_escape(*byte)))
        .count();
    let start = plain_blocks * 16;
    let rest = bytes.get(start..).unwrap_or_default();
    start
        + rest
            .iter()
            .position(|byte| needs_escape(*byte))
            .unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::{text, write};
    use serde::Serialize;

    #[derive(Serialize)]
    struct Holder {
        #[serde(serialize_with = "text")]
        text: String,
    }

    fn check(value: &str) {
        let holder = Holder {
            text: value.to_owned(),
        };
        let mut out = Vec::new();
        write(&mut out, &holder).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            serde_json::json!({"text": value}).to_string()
        );
    }

    #[crate::test]
    fn a_text_is_written_as_serde_json_writes_it() {
        check("");
        for code in 0..=0x2fff_u32 {
            if let Some(char) = char::from_u32(code) {
                check(&char.to_string());
            }
        }
        check("𝄞 ends with an emoji 🦀");
    }

    #[crate::test]
    fn an_escape_is_seen_wherever_it_stands() {
        for length in 1..70 {
            for at in 0..length {
                for special in ["\"", "\\", "\n", "\u{1f}"] {
                    let mut value = "é".repeat(length);
                    value.insert_str(at * 2, special);
                    check(&value);
                }
            }
        }
        check(&"\\\"".repeat(40));
    }
}
