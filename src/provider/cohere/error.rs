// SPDX-License-Identifier: Apache-2.0

//! Cohere's errors as the client is told of them (<https://docs.cohere.com/reference/errors>).
//!
//! The only file through which text of Cohere's reaches an error: its `message`. A body that is not Cohere's error
//! object is never repeated. 498 and 499 are no statuses of HTTP's: the first refuses the prompt, the second says that
//! a request was cancelled on Cohere's side.

use crate::api_error::{API_ERROR, ApiError, INVALID_REQUEST, RATE_LIMIT};
use crate::provider::{ErrorAnswer, UpstreamFault, is_retryable};
use serde::Deserialize;
use std::borrow::Cow;

const MAX_MESSAGE_CHARACTERS: usize = 2048;

#[derive(Deserialize)]
struct ErrorBody<'a> {
    #[serde(borrow)]
    message: Option<Cow<'a, str>>,
}

/// Reads an answer with a status of 400 or above.
pub(in crate::provider) fn translate_error(answer: &ErrorAnswer<'_>) -> UpstreamFault {
    let reported = serde_json::from_slice::<ErrorBody<'_>>(answer.body).ok();
    let message = reported
        .and_then(|body| body.message)
        .filter(|message| !message.is_empty());
    let status = match answer.status {
        498 => 400,
        499 => 503,
        status => status,
    };
    match message {
        Some(message) => fault(status, &message),
        None => fault(
            status,
            &format!("The provider answered with status {}.", answer.status),
        ),
    }
}

/// An error that came with a status of success.
pub(super) fn reported(message: &str) -> UpstreamFault {
    fault(502, message)
}

/// The answer was ended by a failure, with what Cohere says of it.
pub(super) fn ended_in_failure(status: u16, message: Option<&str>) -> UpstreamFault {
    let message = message.filter(|message| !message.is_empty());
    fault(
        status,
        message.unwrap_or("The provider failed during the answer."),
    )
}

/// The answer is not what it claims to be.
pub(super) fn malformed_answer() -> UpstreamFault {
    UpstreamFault::misbehaved("The provider's answer could not be read.")
}

fn fault(status: u16, message: &str) -> UpstreamFault {
    let kind = match status {
        429 => RATE_LIMIT,
        400..500 => INVALID_REQUEST,
        _ => API_ERROR,
    };
    let message: String = message.chars().take(MAX_MESSAGE_CHARACTERS).collect();
    UpstreamFault {
        is_retryable: is_retryable(status),
        error: ApiError::new(status, kind, message),
    }
}

#[cfg(test)]
mod tests {
    use super::translate_error;
    use crate::headers::Headers;
    use crate::provider::ErrorAnswer;

    fn check(status: u16, body: &str, expected: (u16, &str, bool)) {
        let headers = Headers::default();
        let fault = translate_error(&ErrorAnswer {
            status,
            headers: &headers,
            body: body.as_bytes(),
        });
        let found = (fault.error.status, &*fault.error.message, fault.is_retryable);
        assert_eq!(found, expected);
    }

    #[crate::test]
    fn the_message_is_kept_and_nothing_else() {
        check(
            400,
            r#"{"id":"x","message":"invalid request: no model"}"#,
            (400, "invalid request: no model", false),
        );
        check(429, r#"{"message":"trial key"}"#, (429, "trial key", true));
        check(498, r#"{"message":"blocked"}"#, (400, "blocked", false));
        check(499, "", (503, "The provider answered with status 499.", true));
        for odd in [
            "<html>secret</html>",
            "{}",
            r#"{"message":""}"#,
            r#"{"message":{"a":"secret"}}"#,
        ] {
            check(503, odd, (503, "The provider answered with status 503.", true));
        }
    }
}
