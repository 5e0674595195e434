// SPDX-License-Identifier: Apache-2.0

//! Names of functions, there and back.
//!
//! OpenAI's begin with any letter, digit, `_` or `-`; Gemini's begin with a letter or `_`, and may hold `.` and `:`
//! (<https://ai.google.dev/api/caching#FunctionDeclaration>). A name that Gemini would refuse is sent as `_.` and
//! the name with its odd bytes as `:` and their hexadecimal digits, which nothing has to be remembered for: an
//! answer's name of that form is read back. What would become longer than Gemini allows ends in a digest instead.

use crate::protocol::openai::chat::ChatCompletionRequest;
use crate::provider::tool_names::{Rule, names};
use core::fmt::Write as _;
use std::borrow::Cow;
use std::collections::BTreeMap;

const MARK: &str = "_.";
const MAX_BYTES: usize = 128;

/// The name as Gemini accepts it. One that is too long is told in [`renamed`].
pub(super) fn encode(name: &str) -> Cow<'_, str> {
    let encoded = encode_bytes(name);
    if encoded.len() <= MAX_BYTES {
        return encoded;
    }
    // Not to be taken for one that can be read back.
    Cow::Owned(Rule::GEMINI.plain(&["t_", name].concat()).into_owned())
}

/// The tools of a request whose names cannot be read back: Gemini's, to the client's.
pub(super) fn renamed(request: &ChatCompletionRequest<'_>) -> BTreeMap<String, String> {
    names(request)
        .filter(|name| encode_bytes(name).len() > MAX_BYTES)
        .map(|name| (encode(name).into_owned(), name.to_owned()))
        .collect()
}

fn encode_bytes(name: &str) -> Cow<'_, str> {
    let begins_well = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if begins_well && !name.starts_with(MARK) && name.bytes().all(|byte| is_plain(byte) || byte == b':') {
        return Cow::Borrowed(name);
    }
    let mut encoded = MARK.to_owned();
    for byte in name.bytes() {
        if is_plain(byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing into a string cannot fail.
            let _ = write!(encoded, ":{byte:02x}");
        }
    }
    Cow::Owned(encoded)
}

/// The name as the client knows it.
pub(super) fn decode(name: &str) -> Cow<'_, str> {
    let decoded = name.strip_prefix(MARK).and_then(|encoded| {
        let mut pieces = encoded.split(':');
        let mut bytes = pieces.next()?.as_bytes().to_vec();
        for piece in pieces {
            let (digits, rest) = piece.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            bytes.extend_from_slice(rest.as_bytes());
        }
        String::from_utf8(bytes).ok()
    });
    decoded.map_or(Cow::Borrowed(name), Cow::Owned)
}

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

#[cfg(test)]
mod tests {
    use super::{decode, encode, renamed};
    use crate::protocol::openai::chat::ChatCompletionRequest;

    #[crate::test]
    fn a_name_comes_back_as_it_went() {
        for (name, expected) in [
            ("get_weather", "get_weather"),
            ("_private-2", "_private-2"),
            ("server.tool:read", "server.tool:read"),
            ("3d_render", "_.3d_render"),
            ("-x", "_.-x"),
            ("_.x", "_._.x"),
            ("a b", "_.a:20b"),
            ("caf\u{e9}", "_.caf:c3:a9"),
            ("a/b:c", "_.a:2fb:3ac"),
        ] {
            assert_eq!(encode(name), expected);
            assert_eq!(decode(expected), name);
        }
    }

    #[crate::test]
    fn a_name_of_the_model_s_own_making_is_left_alone() {
        for name in ["_.a:zz", "_.a:2", "_.:ff", "plain:2f"] {
            assert_eq!(decode(name), name);
        }
    }

    #[crate::test]
    fn a_name_that_is_too_long_is_remembered() {
        let (longest, longer) = ("a".repeat(128), "-".repeat(127));
        assert_eq!(encode(&longest), longest);
        let short = encode(&longer);
        assert!(short.len() <= 128 && short.starts_with("t_"), "{short}");
        assert_eq!(decode(&short), short);
        let body = format!(
            r#"{{"tools":[{{"function":{{"name":"{longest}"}}}},{{"function":{{"name":"{longer}"}}}}]}}"#
        );
        let request = ChatCompletionRequest::parse(body.as_bytes()).unwrap();
        let renamed: Vec<_> = renamed(&request).into_iter().collect();
        assert_eq!(renamed, [(short.into_owned(), longer)]);
    }
}
