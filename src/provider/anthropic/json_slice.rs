// SPDX-License-Identifier: Apache-2.0

//! Pieces of JSON that are passed on without being read.
//!
//! A streamed word arrives as a JSON string and leaves as a JSON string: unescaping it and escaping it again
//! would only cost. These functions answer the few questions that such a slice must answer all the same.

use serde_json::value::RawValue;
use std::borrow::Cow;

/// What is between the quotes of a JSON string; `None` if it is something else.
pub(super) fn escaped(raw: &RawValue) -> Option<&str> {
    raw.get().strip_prefix('"')?.strip_suffix('"')
}

/// The text of a JSON string; `None` if it is something else.
pub(super) fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    let escaped = escaped(raw)?;
    if memchr::memchr(b'\\', escaped.as_bytes()).is_none() {
        return Some(Cow::Borrowed(escaped));
    }
    serde_json::from_str(raw.get()).ok().map(Cow::Owned)
}

/// How many bytes an escaped text has in UTF-8.
pub(super) fn unescaped_len(escaped: &str) -> u64 {
    let bytes = escaped.as_bytes();
    let mut len = bytes.len();
    let mut at = 0;
    while let Some(next) = bytes.get(at..).and_then(|rest| memchr::memchr(b'\\', rest)) {
        let escape = at.saturating_add(next);
        let is_unicode = bytes.get(escape.saturating_add(1)) == Some(&b'u');
        let (written, meant) = if is_unicode {
            let digits = escaped.get(escape.saturating_add(2)..escape.saturating_add(6));
            (6, digits.map_or(1, encoded_len))
        } else {
            (2, 1)
        };
        len = len.saturating_sub(written).saturating_add(meant);
        at = escape.saturating_add(written);
    }
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// UTF-8 bytes of a UTF-16 code unit; half of a surrogate pair is half of four.
fn encoded_len(digits: &str) -> usize {
    match u16::from_str_radix(digits, 16) {
        Ok(0..0x80) => 1,
        Ok(0x80..0x800 | 0xD800..0xE000) => 2,
        _ => 3,
    }
}

/// The same JSON without white space between its parts.
pub(super) fn compact(raw: &RawValue) -> Cow<'_, str> {
    let json = raw.get();
    if !json.contains([' ', '\n', '\r', '\t']) {
        return Cow::Borrowed(json);
    }
    let mut compact = String::with_capacity(json.len());
    let mut in_string = false;
    let mut is_escaped = false;
    for character in json.chars() {
        if in_string {
            in_string = is_escaped || character != '"';
            is_escaped = !is_escaped && character == '\\';
        } else if matches!(character, ' ' | '\n' | '\r' | '\t') {
            continue;
        } else {
            in_string = character == '"';
        }
        compact.push(character);
    }
    Cow::Owned(compact)
}

#[cfg(test)]
mod tests {
    use super::{compact, text, unescaped_len};
    use serde_json::value::RawValue;

    #[crate::test]
    fn lengths_are_those_of_the_unescaped_text() {
        for json in [
            r#""plain""#,
            r#""a\nb\"\\c""#,
            r#""\u0041\u00e9\u20ac\ud83d\ude00 é€😀\/""#,
            r#""""#,
        ] {
            let raw: &RawValue = serde_json::from_str(json).unwrap();
            let plain: String = serde_json::from_str(json).unwrap();
            assert_eq!(
                unescaped_len(&json[1..json.len() - 1]),
                plain.len() as u64,
                "{json}"
            );
            assert_eq!(text(raw).unwrap(), plain);
        }
    }

    #[crate::test]
    fn white_space_is_removed_outside_strings_only() {
        let raw: &RawValue =
            serde_json::from_str("{ \"a \\\" b\" : [ 1 ,\n 2 ],\t\"c\\\\\" : \" \" }").unwrap();
        assert_eq!(compact(raw), r#"{"a \" b":[1,2],"c\\":" "}"#);
    }
}
