// SPDX-License-Identifier: Apache-2.0

//! HTTP headers as the host hands them over: an ordered list of byte strings.
//!
//! Envoy gives names in lower case and pseudo-headers as `:method`, `:path`, `:authority`, `:status`. Values
//! are bytes and need not be UTF-8: [`Headers::str`] answers `None` for one that is not, it never panics.

use core::ops::Range;

/// An ordered header list, kept as the host wrote it: names and values are read in place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    bytes: Vec<u8>,
    /// Name and value of each header within `bytes`.
    spans: Vec<(Range<usize>, Range<usize>)>,
}

/// How much of a text goes into a header.
const MOST_CHARACTERS: usize = 1024;

/// Writes a header list in the host's form: a count, the sizes of each name and value, and then each of them
/// followed by a NUL (<https://github.com/proxy-wasm/spec/tree/main/abi-versions/v0.2.1#serialization>).
pub fn serialize<'a>(pairs: impl ExactSizeIterator<Item = (&'a str, &'a [u8])> + Clone) -> Vec<u8> {
    let size = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
    let payload: usize = pairs
        .clone()
        .map(|(name, value)| name.len() + value.len() + 10)
        .sum();
    let mut out = Vec::with_capacity(payload + 4);
    out.extend_from_slice(&u32::try_from(pairs.len()).unwrap_or(u32::MAX).to_le_bytes());
    for (name, value) in pairs.clone() {
        out.extend_from_slice(&size(name.as_bytes()));
        out.extend_from_slice(&size(value));
    }
    for (name, value) in pairs {
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        out.extend_from_slice(value);
        out.push(0);
    }
    out
}

/// `text` as a header's value. What a client sent may come back in one, and a line break there would begin a
/// header of the client's making: all but visible ASCII becomes `?`, and what is too long is cut.
#[must_use]
pub fn value(text: &str) -> String {
    let visible = |c: char| if matches!(c, ' '..='~') { c } else { '?' };
    text.chars().take(MOST_CHARACTERS).map(visible).collect()
}

impl Headers {
    /// Takes a list in the host's form. Names must be in lower case. What is cut short is left out.
    #[must_use]
    pub fn from_serialized(bytes: Vec<u8>) -> Self {
        let number = |at: usize| {
            let bytes = bytes.get(at..)?.first_chunk::<4>()?;
            usize::try_from(u32::from_le_bytes(*bytes)).ok()
        };
        let count = number(0).unwrap_or(0).min(bytes.len() / 8);
        let mut spans = Vec::with_capacity(count);
        let mut at = 4 + 8 * count;
        for index in 0..count {
            let (Some(name), Some(value)) = (number(4 + 8 * index), number(8 + 8 * index)) else {
                break;
            };
            let name = at..at.saturating_add(name);
            let value = name.end.saturating_add(1)..name.end.saturating_add(1).saturating_add(value);
            at = value.end.saturating_add(1);
            if value.end > bytes.len() {
                break;
            }
            spans.push((name, value));
        }
        Self { bytes, spans }
    }

    /// The first value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter()
            .find(|(key, _)| *key == name.as_bytes())
            .map(|(_, value)| value)
    }

    /// Every value of `name`, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.iter()
            .filter(move |(key, _)| *key == name.as_bytes())
            .map(|(_, value)| value)
    }

    /// The first value of `name`, if it is UTF-8.
    #[must_use]
    pub fn str(&self, name: &str) -> Option<&str> {
        core::str::from_utf8(self.get(name)?).ok()
    }

    /// All pairs, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let part = |span: &Range<usize>| self.bytes.get(span.clone()).unwrap_or_default();
        self.spans
            .iter()
            .map(move |(name, value)| (part(name), part(value)))
    }
}

impl<'a> FromIterator<(&'a str, &'a [u8])> for Headers {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a [u8])>>(pairs: I) -> Self {
        let pairs: Vec<_> = pairs.into_iter().collect();
        Self::from_serialized(serialize(pairs.iter().copied()))
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Headers {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        pairs
            .into_iter()
            .map(|(name, value)| (name, value.as_bytes()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Headers;

    #[crate::test]
    fn a_value_that_is_not_utf8_is_bytes_only() {
        let headers: Headers = [("x-odd", &[0xff][..])].into_iter().collect();
        assert_eq!(headers.get("x-odd"), Some(&[0xff][..]));
        assert_eq!(headers.str("x-odd"), None);
        assert_eq!(headers.get("x-none"), None);
    }

    #[crate::test]
    fn a_list_is_read_as_it_was_written() {
        let pairs = [(":path", "/v1"), ("x-a", ""), ("x-b", "1"), ("x-b", "2")];
        let headers: Headers = pairs.into_iter().collect();
        assert_eq!(headers.get("x-a"), Some(&b""[..]));
        assert_eq!(headers.all("x-b").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(headers.iter().count(), 4);
    }

    #[crate::test]
    fn a_list_that_is_cut_short_yields_what_is_whole() {
        let whole = super::serialize([("x-a", &b"1"[..]), ("x-b", &b"2"[..])].into_iter());
        for cut in 0..whole.len() {
            let headers = Headers::from_serialized(whole[..cut].to_vec());
            assert!(
                headers
                    .iter()
                    .all(|(name, value)| name.starts_with(b"x-") && value.len() == 1),
                "{cut}"
            );
        }
        for wild in [
            vec![0xff; 64],
            vec![1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0],
            vec![],
        ] {
            assert_eq!(Headers::from_serialized(wild).iter().count(), 0);
        }
    }

    #[crate::test]
    fn a_text_of_the_client_s_begins_no_header() {
        assert_eq!(
            super::value("claude-x\r\nset-cookie: a=\u{e9}\0"),
            "claude-x??set-cookie: a=??"
        );
        assert_eq!(super::value(&"x".repeat(5_000)).len(), 1_024);
    }
}
