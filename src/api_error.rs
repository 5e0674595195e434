// SPDX-License-Identifier: Apache-2.0

//! The only shape an error may have when it leaves the gateway.
//!
//! OpenAI's error object with all four of its keys (<https://platform.openai.com/docs/guides/error-codes>), Azure's
//! `innererror` where its content filters refused, the HTTP status it goes with, and what the client needs to know about
//! trying again. Messages are written for the caller: they name the field or the limit at fault, never a credential, a prompt or an internal name.

use core::time::Duration;
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// An error as a client of the OpenAI API expects it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// HTTP status code.
    pub status: u16,
    /// `error.type`, for example `invalid_request_error`.
    pub kind: Cow<'static, str>,
    /// `error.message`, one or two sentences.
    pub message: Cow<'static, str>,
    /// `error.param`: the request field at fault, as a path.
    pub param: Option<Cow<'static, str>>,
    /// `error.code`: what a program may match on, for example `model_not_found`.
    pub code: Option<Cow<'static, str>>,
    /// `error.innererror`, which only Azure's errors have: what its filters found, as JSON.
    pub inner_error: Option<Box<str>>,
    /// How long the client should wait before it tries again, sent as `retry-after`.
    pub retry_after: Option<Duration>,
}

/// `invalid_request_error`: the request is at fault.
pub const INVALID_REQUEST: &str = "invalid_request_error";
/// `api_error`: the gateway or a provider is at fault.
pub const API_ERROR: &str = "api_error";
/// `rate_limit_error`: a limit, ours or a provider's, is used up.
pub const RATE_LIMIT: &str = "rate_limit_error";

impl ApiError {
    /// An error of the given status and type.
    pub fn new(
        status: u16,
        kind: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            kind: kind.into(),
            message: message.into(),
            param: None,
            code: None,
            inner_error: None,
            retry_after: None,
        }
    }

    /// 400, `invalid_request_error`: the request, at `param`, cannot be served.
    pub fn bad_request(
        param: impl Into<Option<&'static str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        let mut error = Self::new(400, INVALID_REQUEST, message);
        error.param = param.into().map(Cow::Borrowed);
        error
    }

    /// The same error with `error.code`.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// The same error with `error.param`.
    #[must_use]
    pub fn with_param(mut self, param: impl Into<Cow<'static, str>>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// What was broken, in a word of ours: the code, or else the field, or else the type. A field's name that was not
    /// written here may be one that the client has made up.
    #[must_use]
    pub fn rule(&self) -> &str {
        match (&self.code, &self.param) {
            (Some(code), _) => code,
            (None, Some(Cow::Borrowed(param))) => param,
            (None, Some(Cow::Owned(_)) | None) => &self.kind,
        }
    }

    /// Takes a secret out of the texts, in which a provider may have repeated it.
    pub fn redact(&mut self, secret: &str) {
        // What is shorter is no secret, and would make holes in ordinary words.
        const SHORTEST: usize = 8;
        if secret.len() < SHORTEST {
            return;
        }
        let texts = [Some(&mut self.kind), Some(&mut self.message)];
        let more = [self.param.as_mut(), self.code.as_mut()];
        for text in texts.into_iter().chain(more).flatten() {
            if text.contains(secret) {
                *text = Cow::Owned(text.replace(secret, "[credential]"));
            }
        }
    }

    /// The same error with a time to wait.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The body: `{"error":{"message":…,"type":…,"param":…,"code":…}}`.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let body = Body {
            error: Inner {
                message: &self.message,
                kind: &self.kind,
                param: self.param.as_deref(),
                code: self.code.as_deref(),
                inner_error: self
                    .inner_error
                    .as_deref()
                    .and_then(|json| serde_json::from_str(json).ok()),
            },
        };
        // Strings and raw JSON only: serialising them cannot fail.
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Body<'a> {
    error: Inner<'a>,
}

#[derive(Serialize)]
struct Inner<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    param: Option<&'a str>,
    code: Option<&'a str>,
    #[serde(rename = "innererror", skip_serializing_if = "Option::is_none")]
    inner_error: Option<&'a RawValue>,
}

#[cfg(test)]
mod tests {
    use super::ApiError;

    #[crate::test]
    fn a_secret_is_taken_out_of_every_text() {
        let mut error = ApiError::new(400, "sk-12345", "no sk-12345, but sk-12345")
            .with_param("x.sk-12345")
            .with_code("sk-12345");
        error.redact("short");
        error.redact("sk-12345");
        let text = String::from_utf8(error.to_json()).unwrap();
        assert!(!text.contains("sk-12345"), "{text}");
        assert!(text.contains("no [credential], but [credential]"), "{text}");
    }

    #[crate::test]
    fn all_four_keys_are_always_there() {
        let error = ApiError::bad_request("messages", "messages: expected an array, found a string");
        assert_eq!(
            String::from_utf8(error.to_json()).unwrap(),
            r#"{"error":{"message":"messages: expected an array, found a string","type":"invalid_request_error","param":"messages","code":null}}"#
        );
    }
}
