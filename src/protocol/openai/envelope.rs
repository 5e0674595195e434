// SPDX-License-Identifier: Apache-2.0

//! The outermost object of a chat completion request: what the gateway acts on, and where it stands.
//!
//! Read once, borrowed, without keeping any message. [`Field::span`] is where a value lies in the body, so
//! that a field can be replaced and every other byte kept ([`crate::protocol::json_object`]). The shape is that
//! of <https://platform.openai.com/docs/api-reference/chat/create>; what the gateway does not act on is left to
//! the provider, with one exception: a repeated top-level key is refused, because this parser and the
//! provider's may each believe another one.
//!
//! Errors name the field and the kind of what was found, never its content. Work is linear in the body, and
//! memory is proportional to the number of top-level members.

use super::prompt;
use crate::api_error::ApiError;
use crate::protocol::json_object::{Object, kind_of, unescape};
use crate::usage::estimate::PromptSize;
use std::borrow::Cow;

pub use crate::protocol::json_object::Field;

#[cfg(test)]
mod tests;

/// Deeper nesting is refused: recursive parsers behind the gateway would pay for it.
const MAX_DEPTH: usize = 128;

/// A chat completion request, read as far as the gateway needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatEnvelope<'a> {
    /// All top-level members, in order.
    pub fields: Vec<Field<'a>>,
    /// `model`.
    pub model: Cow<'a, str>,
    /// `stream`; false if absent or null.
    pub is_streaming: bool,
    /// `stream_options.include_usage`; false if absent or null.
    pub include_usage: bool,
    /// The largest of `max_completion_tokens` and `max_tokens` that was given.
    pub max_output_tokens: Option<u64>,
    /// `n`; 1 if absent or null.
    pub n: u64,
    /// What the prompt is made of: its messages, and the schemas of its tools and of its answer.
    pub prompt: PromptSize,
}

impl<'a> ChatEnvelope<'a> {
    /// Reads a request body.
    ///
    /// # Errors
    ///
    /// 400 that names what is wrong: not UTF-8, not JSON, not an object, nested too deeply, a repeated key, no
    /// `model`, no `messages`, or a field of the wrong type.
    pub fn parse(body: &'a [u8]) -> Result<Self, ApiError> {
        let object = parse_object(body)?;
        let model = model(object.get("model"))?;
        let messages = match object.get("messages") {
            Some(messages) => prompt::measure(messages)?,
            None => {
                return Err(ApiError::bad_request(
                    "messages",
                    "messages: expected an array, found nothing",
                ));
            }
        };
        let schema_bytes = ["tools", "functions", "response_format"]
            .iter()
            .filter_map(|key| object.get(key))
            .fold(0, |sum, value| length(value).saturating_add(sum));
        Ok(Self {
            model,
            is_streaming: boolean("stream", given(&object, "stream"))?,
            include_usage: include_usage(given(&object, "stream_options"))?,
            max_output_tokens: positive(&object, "max_completion_tokens")?
                .max(positive(&object, "max_tokens")?),
            n: positive(&object, "n")?.unwrap_or(1),
            prompt: PromptSize {
                schema_bytes,
                ..messages
            },
            fields: object.fields,
        })
    }

    /// The body's members again, for an [`crate::protocol::json_object::Editor`], without a second parse.
    /// `body` must be what [`ChatEnvelope::parse`] was given; `None` if it cannot be.
    #[must_use]
    pub fn object(&self, body: &'a [u8]) -> Option<Object<'a>> {
        let text = simdutf8::basic::from_utf8(body).ok()?;
        Some(Object {
            text,
            fields: self.fields.clone(),
        })
    }
}

/// The body as an object with unique keys and bounded depth.
pub(super) fn parse_object(body: &[u8]) -> Result<Object<'_>, ApiError> {
    let text = simdutf8::compat::from_utf8(body).map_err(|error| {
        let at = error.valid_up_to();
        bad_body(format!("expected UTF-8, found an invalid byte at offset {at}"))
    })?;
    let start = text.trim_ascii_start();
    if start.is_empty() {
        return Err(bad_body("expected a JSON object, found an empty body"));
    }
    if depth_exceeds(body, MAX_DEPTH) {
        return Err(bad_body(format!(
            "expected JSON of at most {MAX_DEPTH} levels, found deeper nesting"
        )));
    }
    let object = Object::parse(text).map_err(|error| {
        if !start.starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
            return bad_body(format!("expected a JSON object, found {}", kind_of(start)));
        }
        let (line, column) = (error.line(), error.column());
        bad_body(format!(
            "expected a JSON object, found invalid JSON at line {line}, column {column}"
        ))
    })?;
    match object.repeated_key() {
        // The key is shown only if it is one that the caller can recognise.
        Some(key)
            if key.len() <= 64
                && key
                    .bytes()
                    .all(|byte| byte == b'_' || byte.is_ascii_alphanumeric()) =>
        {
            let message = format!("{key}: expected one member of this name, found several");
            Err(bad_body(message).with_param(key.to_owned()))
        }
        Some(_) => Err(bad_body("expected unique member names, found a repeated one")),
        None => Ok(object),
    }
}

fn bad_body(message: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError::bad_request(None, message)
}

pub(super) fn wrong(param: &'static str, expected: &str, found: &str) -> ApiError {
    ApiError::bad_request(param, format!("{param}: expected {expected}, found {found}"))
}

pub(super) fn length(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

/// A member that is there and not null.
pub(super) fn given<'a>(object: &Object<'a>, key: &str) -> Option<&'a str> {
    object.get(key).filter(|value| *value != "null")
}

/// The longest name of a model.
const MOST_MODEL_BYTES: usize = 256;

pub(super) fn model(value: Option<&str>) -> Result<Cow<'_, str>, ApiError> {
    const EXPECTED: &str = "the name of a model";
    let value = value.ok_or_else(|| wrong("model", EXPECTED, "nothing"))?;
    let name = if value.starts_with('"') {
        unescape(value).map_err(|_| wrong("model", EXPECTED, "a string with an invalid escape"))?
    } else {
        return Err(wrong("model", EXPECTED, kind_of(value)));
    };
    if name.is_empty() {
        return Err(wrong("model", EXPECTED, "an empty string"));
    }
    // The name comes back in headers and logs, and under a pattern it is the client's to choose.
    if name.len() > MOST_MODEL_BYTES || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong(
            "model",
            "at most 256 visible ASCII characters",
            "another string",
        ));
    }
    Ok(name)
}

fn boolean(param: &'static str, value: Option<&str>) -> Result<bool, ApiError> {
    match value {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(wrong(param, "a boolean", kind_of(other))),
    }
}

/// A count that may not be 0. Some servers take a bound of 0 for none at all.
fn positive(object: &Object<'_>, param: &'static str) -> Result<Option<u64>, ApiError> {
    match count(object, param)? {
        Some(0) => Err(wrong(param, "a positive integer", "0")),
        given => Ok(given),
    }
}

pub(super) fn count(object: &Object<'_>, param: &'static str) -> Result<Option<u64>, ApiError> {
    let Some(value) = given(object, param) else {
        return Ok(None);
    };
    match value.parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) => {
            let found = match kind_of(value) {
                "a number" if value.contains(['.', 'e', 'E']) => "a fraction",
                "a number" => "a number that is too large",
                kind => kind,
            };
            Err(wrong(param, "a positive integer", found))
        }
    }
}

fn include_usage(options: Option<&str>) -> Result<bool, ApiError> {
    let Some(options) = options else {
        return Ok(false);
    };
    if !options.starts_with('{') {
        return Err(wrong("stream_options", "an object", kind_of(options)));
    }
    let object = Object::parse(options).map_err(|_| wrong("stream_options", "an object", "invalid JSON"))?;
    if object.repeated_key().is_some() {
        return Err(wrong("stream_options", "unique member names", "a repeated one"));
    }
    boolean("stream_options.include_usage", given(&object, "include_usage"))
}

/// Whether arrays and objects are nested more than `bound` deep. Says nothing about text that is not JSON.
fn depth_exceeds(text: &[u8], bound: usize) -> bool {
    let (mut depth, mut at) = (0_usize, 0_usize);
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > bound {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                // To the closing quote; a backslash takes the byte after it along.
                while let Some(found) = memchr::memchr2(b'"', b'\\', text.get(at..).unwrap_or_default()) {
                    at += found + 1;
                    if text.get(at - 1) == Some(&b'"') {
                        break;
                    }
                    at += 1;
                }
            }
            _ => {}
        }
    }
    false
}
