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

/// The size of an unescaped text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    /// In UTF-8.
    pub(super) bytes: u64,
    /// Unicode scalar values.
    pub(super) characters: u64,
}

/// How large an escaped text is, once it is unescaped.
pub(super) fn size(escaped: &str) -> Size {
    let source = escaped.as_bytes();
    let mut bytes = source.len();
    let mut characters = escaped.chars().count();
    let mut at = 0;
    while let Some(next) = source.get(at..).and_then(|rest| memchr::memchr(b'\\', rest)) {
        let escape = at.saturating_add(next);
        let is_unicode = source.get(escape.saturating_add(1)) == Some(&b'u');
        let digits = escaped.get(escape.saturating_add(2)..escape.saturating_add(6));
        let (written, meant) = match digits.and_then(|digits| u16::from_str_radix(digits, 16).ok()) {
            Some(unit) if is_unicode => (6, encoded_size(unit)),
            _ => (2, (1, 1)),
        };
        bytes = bytes.saturating_sub(written).saturating_add(meant.0);
        characters = characters.saturating_sub(written).saturating_add(meant.1);
        at = escape.saturating_add(written);
    }
    let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    Size {
        bytes: wide(bytes),
        characters: wide(characters),
    }
}

/// UTF-8 bytes and characters of a UTF-16 code unit. The halves of a surrogate pair share four bytes, and the
/// first stands for the character.
const fn encoded_size(unit: u16) -> (usize, usize) {
    match unit {
        0..0x80 => (1, 1),
        0x80..0x800 | 0xD800..0xDC00 => (2, 1),
        0xDC00..0xE000 => (2, 0),
        _ => (3, 1),
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
    use super::{compact, size, text};
    use serde_json::value::RawValue;

    #[crate::test]
    fn sizes_are_those_of_the_unescaped_text() {
        for json in [
            r#""plain""#,
            r#""a\nb\"\\c""#,
            r#""\u0041\u00e9\u20ac\ud83d\ude00 é€😀\/""#,
            r#""""#,
        ] {
            let raw: &RawValue = serde_json::from_str(json).unwrap();
            let plain: String = serde_json::from_str(json).unwrap();
            let size = size(&json[1..json.len() - 1]);
            assert_eq!(size.bytes, plain.len() as u64, "{json}");
            assert_eq!(size.characters, plain.chars().count() as u64, "{json}");
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
