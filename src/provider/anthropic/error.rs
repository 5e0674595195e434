// SPDX-License-Identifier: Apache-2.0

//! Anthropic's errors as the client is told of them (<https://docs.claude.com/en/api/errors>).
//!
//! The only file through which text of Anthropic's reaches an error. Its message and type are kept; a body that
//! is not Anthropic's error object is never repeated, because it may be anything. 529 is Anthropic's own status
//! for an overload and becomes 503, which clients know to retry. An error inside a stream has no status, so its
//! type decides.

use crate::api_error::{API_ERROR, ApiError, INVALID_REQUEST, RATE_LIMIT};
use crate::protocol::anthropic::error::{ErrorObject, ErrorResponse};
use crate::provider::{ErrorAnswer, UpstreamFault, gemini, is_retryable};

/// Reads an answer with a status of 400 or above.
pub(in crate::provider) fn translate_error(status: u16, body: &[u8]) -> UpstreamFault {
    let client_status = if status == 529 { 503 } else { status };
    let reported = serde_json::from_slice::<ErrorResponse<'_>>(body).ok();
    let error = match reported.map(|response| response.error) {
        Some(ErrorObject {
            kind,
            message: Some(message),
        }) => {
            let kind = kind.map_or_else(|| kind_of(client_status).into(), |kind| kind.into_owned().into());
            ApiError {
                kind,
                ..ApiError::new(client_status, "", message.into_owned())
            }
        }
        _ => {
            let message = format!("The provider answered with status {status}.");
            ApiError::new(client_status, kind_of(client_status), message)
        }
    };
    fault(error)
}

/// The same at Vertex AI, where Google answers for itself before it hands a request to Anthropic. An error that has a
/// type is Anthropic's; so is a status of its own, whatever the body.
pub(in crate::provider) fn translate_vertex_error(answer: &ErrorAnswer<'_>) -> UpstreamFault {
    let reported = serde_json::from_slice::<ErrorResponse<'_>>(answer.body);
    let is_anthropic_s = reported.is_ok_and(|reported| reported.error.kind.is_some());
    if is_anthropic_s || answer.status == 529 {
        translate_error(answer.status, answer.body)
    } else {
        gemini::translate_error(answer)
    }
}

/// An error that came with a status of success, whole or inside a stream.
pub(super) fn reported_fault(error: &ErrorObject<'_>) -> UpstreamFault {
    let kind = error.kind.as_deref().unwrap_or(API_ERROR);
    let status = match kind {
        "invalid_request_error" => 400,
        "authentication_error" => 401,
        "billing_error" => 402,
        "permission_error" => 403,
        "not_found_error" => 404,
        "request_too_large" => 413,
        "rate_limit_error" => 429,
        "api_error" => 500,
        "overloaded_error" => 503,
        "timeout_error" => 504,
        _ => 502,
    };
    let message = error
        .message
        .as_deref()
        .unwrap_or("The provider reported an error.");
    fault(ApiError::new(status, kind.to_owned(), message.to_owned()))
}

/// The answer is not a message.
pub(super) fn malformed_answer() -> UpstreamFault {
    UpstreamFault::misbehaved("The provider's answer could not be read.")
}

/// The stream ended too early.
pub(super) fn incomplete_stream() -> UpstreamFault {
    UpstreamFault::misbehaved("The provider's stream ended before it was complete.")
}

fn fault(error: ApiError) -> UpstreamFault {
    UpstreamFault {
        is_retryable: is_retryable(error.status),
        error,
    }
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
    use super::{reported_fault, translate_error, translate_vertex_error};
    use crate::headers::Headers;
    use crate::protocol::anthropic::error::ErrorObject;
    use crate::provider::ErrorAnswer;

    #[crate::test]
    fn at_vertex_google_and_anthropic_each_speak_for_themselves() {
        let headers = Headers::default();
        for (status, body, expected) in [
            (
                529,
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
                (503, "overloaded_error", "Overloaded", None),
            ),
            (
                529,
                "",
                (503, "api_error", "The provider answered with status 529.", None),
            ),
            (
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"No."}}"#,
                (400, "invalid_request_error", "No.", None),
            ),
            (
                429,
                r#"[{"error":{"code":429,"message":"Quota.","status":"RESOURCE_EXHAUSTED"}}]"#,
                (429, "rate_limit_error", "Quota.", Some("RESOURCE_EXHAUSTED")),
            ),
        ] {
            let fault = translate_vertex_error(&ErrorAnswer {
                status,
                headers: &headers,
                body: body.as_bytes(),
            });
            let error = &fault.error;
            let found = (error.status, &*error.kind, &*error.message, error.code.as_deref());
            assert_eq!(found, expected, "{body}");
        }
    }

    #[crate::test]
    fn the_provider_s_message_and_type_are_kept() {
        let body = br#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}"#;
        let fault = translate_error(529, body);
        assert!(fault.is_retryable);
        assert_eq!(
            String::from_utf8(fault.error.to_json()).unwrap(),
            r#"{"error":{"message":"Overloaded","type":"overloaded_error","param":null,"code":null}}"#
        );
        assert_eq!(fault.error.status, 503);
    }

    #[crate::test]
    fn a_body_that_is_not_anthropic_s_is_not_repeated() {
        for body in [
            &b"<html>secret</html>"[..],
            b"",
            b"{}",
            br#"{"error":"secret"}"#,
            b"\xff",
        ] {
            let fault = translate_error(502, body);
            assert_eq!(fault.error.message, "The provider answered with status 502.");
            assert_eq!(fault.error.kind, "api_error");
        }
    }

    #[crate::test]
    fn only_faults_of_the_request_itself_are_final() {
        for (status, is_retryable) in [
            (400, false),
            (401, true),
            (402, true),
            (403, true),
            (404, true),
            (405, false),
            (408, true),
            (409, true),
            (413, false),
            (422, false),
            (425, true),
            (429, true),
            (500, true),
            (529, true),
        ] {
            assert_eq!(
                translate_error(status, b"").is_retryable,
                is_retryable,
                "{status}"
            );
        }
    }

    #[crate::test]
    fn the_type_of_an_error_inside_a_stream_decides_its_status() {
        for (kind, status, is_retryable) in [
            ("overloaded_error", 503, true),
            ("rate_limit_error", 429, true),
            ("api_error", 500, true),
            ("invalid_request_error", 400, false),
            ("a later invention", 502, true),
        ] {
            let fault = reported_fault(&ErrorObject {
                kind: Some(kind.into()),
                message: Some("why".into()),
            });
            assert_eq!(
                (fault.error.status, fault.is_retryable),
                (status, is_retryable),
                "{kind}"
            );
            assert_eq!((&*fault.error.kind, &*fault.error.message), (kind, "why"));
        }
    }
}
