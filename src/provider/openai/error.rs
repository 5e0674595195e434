// SPDX-License-Identifier: Apache-2.0

//! What these providers say when they refuse, as the client is told and as the retry policy is.
//!
//! OpenAI's error object passes through with its message, type, param and code. Servers that speak its language
//! often spell errors otherwise (`detail` of FastAPI, a bare `message`, a string under `error`, an array of
//! errors); their message is kept too, because it is what the caller can act on. Anything else, an HTML page for
//! example, is replaced by a sentence: unknown bytes of an upstream never reach a client.
//!
//! Reference: <https://platform.openai.com/docs/guides/error-codes>. Bodies beyond 256 KiB are not read.

use crate::api_error::{API_ERROR, ApiError, INVALID_REQUEST, RATE_LIMIT};
use crate::provider::{UpstreamFault, is_retryable};
use serde_json::{Map, Value};

#[cfg(test)]
mod tests;

/// Messages are cut at this many bytes.
const MAX_MESSAGE_BYTES: usize = 2048;
const MAX_BODY_BYTES: usize = 256 * 1024;
/// Error objects within error objects are followed this far.
const MAX_NESTING: u8 = 4;

/// Reads an answer with a status of 400 or above.
pub(super) fn translate_error(status: u16, body: &[u8]) -> UpstreamFault {
    let reported = report(body);
    fault(client_status(status), status, reported)
}

/// An error inside an answer that began with a status below 400. `json` is the error object, the text of the
/// error, or the object that holds it.
pub(super) fn reported_fault(json: &[u8]) -> UpstreamFault {
    let reported = report(json);
    let status = reported.status.unwrap_or_else(|| status_of(&reported));
    fault(client_status(status), status, reported)
}

/// The provider's answer is not what it claims to be.
pub(super) fn misbehaved(message: &'static str) -> UpstreamFault {
    UpstreamFault::misbehaved(message)
}

/// What an error body says.
#[derive(Default)]
struct Reported {
    message: Option<String>,
    kind: Option<String>,
    param: Option<String>,
    code: Option<String>,
    status: Option<u16>,
    /// Azure's `innererror`, as far as a client reads it.
    inner_error: Option<Box<str>>,
    /// Moderation has flagged the prompt, as `OpenRouter` tells with 403: no credential helps
    /// (<https://openrouter.ai/docs/api-reference/errors#moderation-errors>).
    is_flagged: bool,
}

fn fault(client_status: u16, upstream_status: u16, reported: Reported) -> UpstreamFault {
    let message = reported
        .message
        .filter(|message| !message.trim().is_empty())
        .unwrap_or_else(|| format!("The provider answered with status {upstream_status}."));
    let mut error = match reported.kind {
        Some(kind) => ApiError::new(client_status, kind, shortened(message)),
        None => ApiError::new(client_status, kind_of(client_status), shortened(message)),
    };
    error.param = reported.param.map(Into::into);
    error.code = reported.code.map(Into::into);
    error.inner_error = reported.inner_error;
    UpstreamFault {
        error,
        is_retryable: is_retryable(upstream_status) && !reported.is_flagged,
    }
}

/// The client keeps the provider's status where its SDK knows what to do with it.
const fn client_status(status: u16) -> u16 {
    match status {
        // Anthropic's word for "overloaded", which some OpenAI-compatible servers have taken over.
        529 => 503,
        400..=599 => status,
        _ => 502,
    }
}

const fn kind_of(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        429 => RATE_LIMIT,
        400..=499 => INVALID_REQUEST,
        _ => API_ERROR,
    }
}

/// The status of an error that names none.
fn status_of(reported: &Reported) -> u16 {
    let words = [reported.code.as_deref(), reported.kind.as_deref()];
    let mentions = |needles: &[&str]| {
        let mut words = words.iter().flatten();
        words.any(|word| needles.iter().any(|needle| word.contains(needle)))
    };
    if mentions(&["authentication", "invalid_api_key"]) {
        401
    } else if mentions(&["permission"]) {
        403
    } else if mentions(&["rate_limit", "insufficient_quota", "too_many_requests"]) {
        429
    } else if mentions(&["overloaded", "server_error", "service_unavailable", "internal"]) {
        503
    } else if mentions(&["invalid_request", "context_length_exceeded", "content_filter"]) {
        400
    } else if mentions(&["not_found"]) {
        404
    } else {
        502
    }
}

/// What Azure's filters found in a prompt that they refused
/// (<https://learn.microsoft.com/azure/ai-services/openai/concepts/content-filter>).
fn inner_error(error: &Map<String, Value>) -> Option<Box<str>> {
    let inner = error.get("innererror")?;
    let found = inner.get("content_filter_result")?;
    let kept = serde_json::json!({"code": inner.get("code"), "content_filter_result": found}).to_string();
    (kept.len() <= MAX_MESSAGE_BYTES).then(|| kept.into_boxed_str())
}

fn report(body: &[u8]) -> Reported {
    let mut reported = Reported::default();
    if body.len() <= MAX_BODY_BYTES
        && let Ok(value) = serde_json::from_slice::<Value>(body)
    {
        reported.read(&value, 0);
    }
    reported
}

impl Reported {
    fn read(&mut self, value: &Value, depth: u8) {
        if depth > MAX_NESTING {
            return;
        }
        match value {
            Value::String(message) => self.message = Some(message.clone()),
            Value::Array(items) => {
                if let Some(first) = items.first() {
                    self.read(first, depth + 1);
                }
            }
            Value::Object(object) => self.read_object(object, depth),
            _ => {}
        }
    }

    fn read_object(&mut self, object: &Map<String, Value>, depth: u8) {
        self.status = ["code", "status_code", "raw_status_code", "status"]
            .iter()
            .find_map(|key| object.get(*key).and_then(status_number))
            .or(self.status);
        if let Some(error) = object.get("error").filter(|error| is_error(error)) {
            return self.read(error, depth + 1);
        }
        self.kind = text(object.get("type")).or_else(|| self.kind.take());
        self.param = text(object.get("param")).or_else(|| self.param.take());
        self.code = text(object.get("code")).or_else(|| self.code.take());
        self.message = text(object.get("message")).or_else(|| text(object.get("msg")));
        self.inner_error = inner_error(object).or_else(|| self.inner_error.take());
        let details = ["message", "detail", "errors"];
        if self.message.is_none()
            && let Some(detail) = details.iter().find_map(|key| object.get(*key))
        {
            self.read_detail(detail, depth);
        }
        self.read_raw(object);
    }

    /// FastAPI's `detail`: a sentence, an object, or an array of `{loc, msg}`; Mistral wraps one in `message`.
    fn read_detail(&mut self, detail: &Value, depth: u8) {
        let first = match detail {
            Value::Array(items) => items.first(),
            other => Some(other),
        };
        let Some(Value::Object(item)) = first else {
            return self.read(detail, depth + 1);
        };
        if let (Some(message), Some(Value::Array(place))) = (text(item.get("msg")), item.get("loc")) {
            let path: Vec<String> = place
                .iter()
                .filter_map(|step| text(Some(step)))
                .filter(|step| step != "body")
                .collect();
            let path = path.join(".");
            self.message = Some(if path.is_empty() {
                message
            } else {
                format!("{path}: {message}")
            });
            self.param = Some(path).filter(|path| !path.is_empty());
        } else {
            self.read(detail, depth + 1);
        }
    }

    /// OpenRouter says "Provider returned error" and keeps the reason in `metadata.raw`.
    fn read_raw(&mut self, object: &Map<String, Value>) {
        let flagged = object
            .get("metadata")
            .and_then(|metadata| metadata.get("flagged_input"));
        self.is_flagged |= flagged.is_some();
        let raw = object.get("metadata").and_then(|metadata| metadata.get("raw"));
        let (Some(message), Some(Value::String(raw))) = (&self.message, raw) else {
            return;
        };
        if let Some(reason) = report(raw.as_bytes()).message {
            self.message = Some(format!("{message}: {reason}"));
        }
    }
}

/// Whether the value of an `error` member reports an error.
fn is_error(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        _ => true,
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn status_number(value: &Value) -> Option<u16> {
    let number = match value {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    u16::try_from(number)
        .ok()
        .filter(|status| (400..=599).contains(status))
}

fn shortened(mut message: String) -> String {
    if message.len() > MAX_MESSAGE_BYTES {
        let last = MAX_MESSAGE_BYTES - '…'.len_utf8();
        let end = (0..=last).rev().find(|at| message.is_char_boundary(*at));
        message.truncate(end.unwrap_or_default());
        message.push('…');
    }
    message
}
