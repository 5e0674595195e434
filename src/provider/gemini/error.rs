// SPDX-License-Identifier: Apache-2.0

//! Google's errors as the client is told of them (<https://ai.google.dev/gemini-api/docs/troubleshooting>,
//! <https://cloud.google.com/apis/design/errors>).
//!
//! The only file through which text of Google's reaches an error. Its message is kept, and the name of its status is
//! the error's code; a body that is not Google's error object, alone or in a list, is never repeated, because it
//! may be anything. Google tells how long to wait in the body. That the gateway's own credential was refused says
//! nothing about the client's request and is told without Google's words, which name the project.

use crate::api_error::{API_ERROR, ApiError, INVALID_REQUEST, RATE_LIMIT};
use crate::protocol::gemini::error::{ErrorResponse, Status};
use crate::provider::{ErrorAnswer, UpstreamFault, is_retryable};
use core::time::Duration;

/// Google has never asked for a longer wait; what is beyond it is no wait that a client would keep.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads an answer with a status of 400 or above.
pub(in crate::provider) fn translate_error(answer: &ErrorAnswer<'_>) -> UpstreamFault {
    fault(answer.status, read(answer.body).as_ref())
}

/// An error that came with a status of success, whole or inside a stream.
pub(super) fn reported_fault(error: &Status<'_>) -> UpstreamFault {
    let status = match (error.code, error.status.as_deref()) {
        (Some(code @ 400..600), _) => code,
        (_, Some("INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE")) => 400,
        (_, Some("UNAUTHENTICATED")) => 401,
        (_, Some("PERMISSION_DENIED")) => 403,
        (_, Some("NOT_FOUND")) => 404,
        (_, Some("ALREADY_EXISTS" | "ABORTED")) => 409,
        (_, Some("RESOURCE_EXHAUSTED")) => 429,
        (_, Some("CANCELLED")) => 499,
        (_, Some("INTERNAL" | "UNKNOWN" | "DATA_LOSS")) => 500,
        (_, Some("UNIMPLEMENTED")) => 501,
        (_, Some("UNAVAILABLE")) => 503,
        (_, Some("DEADLINE_EXCEEDED")) => 504,
        _ => 502,
    };
    fault(status, Some(error))
}

/// The answer is not one of Gemini's.
pub(super) fn malformed_answer() -> UpstreamFault {
    UpstreamFault::misbehaved("The provider's answer could not be read.")
}

/// The stream ended too early.
pub(super) fn incomplete_stream() -> UpstreamFault {
    UpstreamFault::misbehaved("The provider's stream ended before it was complete.")
}

fn read(body: &[u8]) -> Option<Status<'_>> {
    let error = match body.trim_ascii_start().first() {
        Some(b'[') => serde_json::from_slice::<Vec<ErrorResponse<'_>>>(body)
            .ok()?
            .into_iter()
            .next()?,
        _ => serde_json::from_slice::<ErrorResponse<'_>>(body).ok()?,
    };
    Some(error.error)
}

fn fault(status: u16, reported: Option<&Status<'_>>) -> UpstreamFault {
    let details = || {
        reported
            .and_then(|error| error.details.as_deref())
            .unwrap_or_default()
    };
    // A wrong API key is a 400 at AI Studio.
    let is_wrong_key = details()
        .iter()
        .any(|detail| detail.reason.as_deref() == Some("API_KEY_INVALID"));
    if matches!(status, 401 | 403) || is_wrong_key {
        return UpstreamFault::credential_refused(None);
    }
    let message = reported
        .and_then(|error| error.message.as_deref())
        .filter(|message| !message.is_empty());
    let message = message.map_or_else(
        || format!("The provider answered with status {status}."),
        str::to_owned,
    );
    let mut error = ApiError::new(status, kind_of(status), message);
    if let Some(name) = reported.and_then(|error| error.status.as_deref()) {
        error = error.with_code(name.to_owned());
    }
    error.retry_after = details()
        .iter()
        .find(|detail| detail.kind.ends_with("google.rpc.RetryInfo"))
        .and_then(|detail| duration(detail.retry_delay.as_deref()?));
    UpstreamFault {
        is_retryable: is_retryable(status),
        error,
    }
}

/// A protobuf duration as JSON: seconds with up to nine decimals and an `s`.
fn duration(text: &str) -> Option<Duration> {
    let (seconds, decimals) = match text.strip_suffix('s')?.split_once('.') {
        Some((seconds, decimals)) => (seconds, decimals),
        None => (text.strip_suffix('s')?, "0"),
    };
    if decimals.len() > 9 {
        return None;
    }
    let nanoseconds: u32 = format!("{decimals:0<9}").parse().ok()?;
    let duration = Duration::from_secs(seconds.parse().ok()?);
    Some(
        duration
            .saturating_add(Duration::from_nanos(nanoseconds.into()))
            .min(LONGEST_WAIT),
    )
}

const fn kind_of(status: u16) -> &'static str {
    match status {
        429 => RATE_LIMIT,
        400..500 => INVALID_REQUEST,
        _ => API_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::{duration, reported_fault, translate_error};
    use crate::headers::Headers;
    use crate::protocol::gemini::error::Status;
    use crate::provider::{ErrorAnswer, UpstreamFault};
    use core::time::Duration;

    fn read(status: u16, body: &[u8]) -> UpstreamFault {
        translate_error(&ErrorAnswer {
            status,
            headers: &Headers::default(),
            body,
        })
    }

    const EXHAUSTED: &str = r#"{"error":{"code":429,"message":"You exceeded your current quota.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaValue":"10"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"36.257510231s"}]}}"#;

    #[crate::test]
    fn the_message_the_status_and_the_wait_are_kept() {
        for body in [EXHAUSTED.to_owned(), format!("[{EXHAUSTED}\n]")] {
            let fault = read(429, body.as_bytes());
            assert!(fault.is_retryable);
            assert_eq!(
                String::from_utf8(fault.error.to_json()).unwrap(),
                r#"{"error":{"message":"You exceeded your current quota.","type":"rate_limit_error","param":null,"code":"RESOURCE_EXHAUSTED"}}"#
            );
            assert_eq!(
                fault.error.retry_after,
                Some(Duration::from_nanos(36_257_510_231))
            );
        }
    }

    #[crate::test]
    fn a_refused_credential_is_the_gateway_s_own_affair() {
        let wrong_key = br#"{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com"}]}}"#;
        let denied = br#"{"error":{"code":403,"message":"Permission denied on resource project secret.","status":"PERMISSION_DENIED"}}"#;
        for (status, body) in [(400, &wrong_key[..]), (403, denied), (401, b"")] {
            let fault = read(status, body);
            assert_eq!((fault.error.status, fault.is_retryable), (502, true));
            assert_eq!(fault.error.code.as_deref(), Some("upstream_credential_refused"));
            assert!(!fault.error.message.contains("secret"));
        }
    }

    #[crate::test]
    fn a_body_that_is_not_google_s_is_not_repeated() {
        for body in [
            &b"<html>secret</html>"[..],
            b"",
            b"{}",
            b"[]",
            br#"{"error":"secret"}"#,
            b"\xff",
        ] {
            let fault = read(502, body);
            assert_eq!(fault.error.message, "The provider answered with status 502.");
        }
    }

    #[crate::test]
    fn an_error_inside_a_stream_has_the_status_it_names() {
        for (code, name, status, is_retryable) in [
            (Some(503), "UNAVAILABLE", 503, true),
            (None, "RESOURCE_EXHAUSTED", 429, true),
            (None, "INVALID_ARGUMENT", 400, false),
            (None, "A_LATER_INVENTION", 502, true),
            (Some(200), "INTERNAL", 500, true),
        ] {
            let fault = reported_fault(&Status {
                code,
                message: Some("why".into()),
                status: Some(name.into()),
                details: None,
            });
            assert_eq!(
                (fault.error.status, fault.is_retryable),
                (status, is_retryable),
                "{name}"
            );
            assert_eq!(fault.error.message, "why");
        }
    }

    #[crate::test]
    fn waits_are_read_and_bounded() {
        assert_eq!(duration("3s"), Some(Duration::from_secs(3)));
        assert_eq!(duration("0.5s"), Some(Duration::from_millis(500)));
        assert_eq!(duration("99999999999999s"), Some(Duration::from_secs(86_400)));
        for wrong in ["", "s", "3", "-1s", "1.2345678901s", "1.-5s"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }
}
