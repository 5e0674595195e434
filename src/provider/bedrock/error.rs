// SPDX-License-Identifier: Apache-2.0

//! Bedrock's errors as the client is told of them
//! (<https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html>).
//!
//! The only file through which text of Bedrock's reaches an error. Its message and its name are kept; a body that is
//! not AWS's error object is never repeated, because it may be anything. A refusal of the gateway's own credential
//! is none of the client's doing: its message is told only where it speaks of models, since AWS's other messages
//! quote the signed request and the names of roles and accounts.

use crate::api_error::{API_ERROR, ApiError, INVALID_REQUEST, RATE_LIMIT};
use crate::protocol::bedrock::error::{ERROR_TYPE_HEADER, ErrorBody, plain_kind};
use crate::protocol::bedrock::stream_event::{ERROR_CODE, ERROR_MESSAGE, EXCEPTION_TYPE};
use crate::provider::{ErrorAnswer, UpstreamFault, is_retryable};
use std::borrow::Cow;

/// A longer message is cut.
const MAX_MESSAGE_BYTES: usize = 2048;

/// Reads an answer with a status of 400 or above.
pub(in crate::provider) fn translate_error(answer: &ErrorAnswer<'_>) -> UpstreamFault {
    let body: Option<ErrorBody<'_>> = serde_json::from_slice(answer.body).ok();
    let mut body = body.unwrap_or_default();
    let named = answer.headers.str(ERROR_TYPE_HEADER).map(str::to_owned);
    let kind = named.or_else(|| body.kind.take().map(Cow::into_owned));
    let kind = kind.as_deref().map(plain_kind).filter(|kind| is_name(kind));
    let message = body.into_message();
    fault(answer.status, kind, message.as_deref(), || {
        format!("The provider answered with status {}.", answer.status)
    })
}

/// A fault that a stream tells of: an exception that the API declares, or an error that it does not.
pub(in crate::provider) fn reported_fault(
    message: &crate::codec::event_stream::Message<'_>,
) -> UpstreamFault {
    let kind = message
        .header(EXCEPTION_TYPE)
        .or_else(|| message.header(ERROR_CODE));
    let kind = kind.map(plain_kind).filter(|kind| is_name(kind));
    let body: ErrorBody<'_> = serde_json::from_slice(message.payload).unwrap_or_default();
    let text = body.into_message();
    let text = text.as_deref().or_else(|| message.header(ERROR_MESSAGE));
    fault(kind.map_or(502, status_of), kind, text, || {
        "The provider reported an error.".to_owned()
    })
}

/// An error that came as a whole answer with a status of success; `None` if the body is none.
pub(super) fn disguised_fault(body: &[u8]) -> Option<UpstreamFault> {
    let mut body: ErrorBody<'_> = serde_json::from_slice(body).ok()?;
    if body.output.is_some() {
        return None;
    }
    let kind = body.kind.take();
    let kind = kind.as_deref().map(plain_kind).filter(|kind| is_name(kind));
    let message = body.into_message()?;
    Some(fault(
        kind.map_or(502, status_of),
        kind,
        Some(&message),
        String::new,
    ))
}

/// The answer is not what Converse answers.
pub(super) fn malformed_answer() -> UpstreamFault {
    UpstreamFault::misbehaved("The provider's answer could not be read.")
}

/// The stream ended too early.
pub(super) fn incomplete_stream() -> UpstreamFault {
    UpstreamFault::misbehaved("The provider's stream ended before it was complete.")
}

fn fault(
    status: u16,
    kind: Option<&str>,
    message: Option<&str>,
    otherwise: impl FnOnce() -> String,
) -> UpstreamFault {
    if matches!(status, 401 | 403) || kind.is_some_and(is_credential_s) {
        let reason =
            message.filter(|message| kind == Some("AccessDeniedException") && speaks_of_models(message));
        return UpstreamFault::credential_refused(reason);
    }
    let message = message.map_or_else(otherwise, |message| cut(message).to_owned());
    let error = ApiError::new(status, kind_of(status), message);
    UpstreamFault {
        is_retryable: is_retryable(status) || is_providers(kind.unwrap_or_default()),
        error: match kind {
            Some(kind) => error.with_code(kind.to_owned()),
            None => error,
        },
    }
}

/// The status that an error's name stands for. In streams the names begin with a small letter.
fn status_of(kind: &str) -> u16 {
    match kind
        .strip_suffix("Exception")
        .unwrap_or(kind)
        .to_ascii_lowercase()
        .as_str()
    {
        "validation" | "servicequotaexceeded" => 400,
        "accessdenied" => 403,
        "resourcenotfound" => 404,
        "modeltimeout" => 408,
        "modelerror" | "modelstreamerror" => 424,
        "throttling" | "modelnotready" => 429,
        "internalserver" | "internalfailure" | "internalstreamfailure" => 500,
        "serviceunavailable" => 503,
        _ => 502,
    }
}

/// Faults of the provider's that come with a status of the client's.
fn is_providers(kind: &str) -> bool {
    matches!(
        kind,
        "ModelErrorException"
            | "ModelStreamErrorException"
            | "modelStreamErrorException"
            | "ModelError"
            | "ModelStreamError"
            | "ServiceQuotaExceededException"
    )
}

/// Names that AWS gives to what is wrong with a credential, whatever the status.
fn is_credential_s(kind: &str) -> bool {
    matches!(
        kind,
        "ExpiredTokenException"
            | "IncompleteSignature"
            | "IncompleteSignatureException"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "NotAuthorized"
            | "SignatureDoesNotMatch"
            | "UnrecognizedClientException"
    )
}

fn speaks_of_models(message: &str) -> bool {
    message.contains("model") && !message.contains("arn:")
}

/// Whether a name may be repeated.
fn is_name(kind: &str) -> bool {
    !kind.is_empty() && kind.len() <= 64 && kind.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn cut(message: &str) -> &str {
    let mut end = message.len().min(MAX_MESSAGE_BYTES);
    while !message.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    message.get(..end).unwrap_or_default()
}

const fn kind_of(status: u16) -> &'static str {
    match status {
        424 => API_ERROR,
        429 => RATE_LIMIT,
        400..500 => INVALID_REQUEST,
        _ => API_ERROR,
    }
}

#[cfg(test)]
mod tests;
