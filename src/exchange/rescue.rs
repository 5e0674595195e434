// SPDX-License-Identifier: Apache-2.0

//! The only place where a refusal becomes an error that a client reads.

use super::allowance::{REQUEST_HEADERS, TOKEN_HEADERS, headers as allowance_headers};
use crate::api_error::{API_ERROR, ApiError, INVALID_REQUEST};
use crate::config::{Capability, Listener};
use crate::local_reply::{LocalReply, whole_seconds};
use crate::policy::access::Reason;
use crate::policy::auth::Deny;
use crate::policy::rate_limit::{Refusal, Unit};
use crate::usage::price::{pico_from_micro, usd};
use core::time::Duration;

const LIST_MODELS: &str = "GET /v1/models lists the models that you may use.";

/// How many characters of what a client sent are repeated in an error.
const MOST_REPEATED: usize = 100;

/// How long to wait before an issuer's keys are asked for again.
const KEYS_RETRY_AFTER: Duration = Duration::from_secs(5);

/// The keys of `issuer` cannot be had, and so nothing can be said of a token.
pub(super) fn keys_unavailable(issuer: Option<&str>) -> ApiError {
    let message = match issuer {
        Some(issuer) => format!("The signing keys of the issuer \"{issuer}\" cannot be had at the moment."),
        None => Deny::KeysUnavailable(0).message().to_owned(),
    };
    ApiError::new(503, API_ERROR, message)
        .with_code("issuer_unavailable")
        .with_retry_after(KEYS_RETRY_AFTER)
}

/// There is no time to look at the credential.
pub(super) fn too_many_verifications(deny: Deny) -> ApiError {
    let error = ApiError::new(429, "requests", deny.message());
    let error = if deny == Deny::TooManyFailures {
        error.with_code("too_many_failures")
    } else {
        error.with_code("too_many_verifications")
    };
    error.with_retry_after(Duration::from_secs(1))
}

pub(super) fn unauthenticated(deny: Deny) -> ApiError {
    ApiError::new(401, INVALID_REQUEST, deny.message()).with_code("invalid_api_key")
}

pub(super) fn unknown_model(model: &str) -> ApiError {
    let message = format!("The model \"{}\" does not exist. {LIST_MODELS}", shortened(model));
    ApiError::new(404, INVALID_REQUEST, message)
        .with_param("model")
        .with_code("model_not_found")
}

pub(super) fn access_denied(model: &str, reason: Reason) -> ApiError {
    let model_name = shortened(model);
    let (param, message) = match reason {
        Reason::HiddenModel => return unknown_model(model),
        Reason::Model => {
            let message = format!("You may not use the model \"{model_name}\". {LIST_MODELS}");
            return ApiError::new(403, INVALID_REQUEST, message)
                .with_param("model")
                .with_code("model_not_allowed");
        }
        Reason::Capability(capability) => {
            let (param, what) = match capability {
                Capability::Images => ("messages", "with images"),
                Capability::Streaming => ("stream", "for streams"),
                Capability::Tools => ("tools", "with tools"),
            };
            (
                param,
                format!("You may not use the model \"{model_name}\" {what}."),
            )
        }
        Reason::InputTokens(most) => (
            "messages",
            format!("You may send at most {most} input tokens to the model \"{model_name}\"."),
        ),
        Reason::OutputTokens(most) => (
            "max_completion_tokens",
            format!(
                "You may ask the model \"{model_name}\" for at most {most} output tokens. \
                 Set max_completion_tokens to no more."
            ),
        ),
        Reason::Combination => (
            "model",
            format!(
                "You may use the model \"{model_name}\" for parts of this request, and not for all together."
            ),
        ),
    };
    ApiError::new(403, INVALID_REQUEST, message)
        .with_param(param)
        .with_code("use_not_allowed")
}

/// What a client sent, short enough to be repeated to it.
fn shortened(text: &str) -> &str {
    text.char_indices()
        .nth(MOST_REPEATED)
        .and_then(|(end, _)| text.get(..end))
        .unwrap_or(text)
}

pub(super) fn too_large(bounds: &Listener) -> ApiError {
    let message = format!(
        "The request body is larger than max_request_body_bytes allows ({} bytes).",
        bounds.max_request_body_bytes.0
    );
    ApiError::new(413, INVALID_REQUEST, message).with_code("request_too_large")
}

pub(super) fn bad_provider_credential(header: &str) -> ApiError {
    let message = format!("{header}: expected one credential for a provider, found something else.");
    ApiError::new(400, INVALID_REQUEST, message).with_code("invalid_provider_credential")
}

pub(super) fn explain_not_allowed() -> ApiError {
    let message = "You may not have decisions explained.";
    ApiError::new(403, INVALID_REQUEST, message).with_code("explain_not_allowed")
}

pub(super) fn compressed_request() -> ApiError {
    let message = "content-encoding: expected an uncompressed request body.";
    ApiError::new(415, INVALID_REQUEST, message).with_code("unsupported_content_encoding")
}

pub(super) fn refused(refusal: &Refusal) -> LocalReply {
    match refusal {
        Refusal::Exceeded {
            limit,
            unit: Unit::MicroUsd,
            allowance,
            ..
        } => {
            let message = format!(
                "The budget \"{limit}\" of {} USD is used up. It is whole again in {} s.",
                usd(pico_from_micro(allowance.limit)),
                whole_seconds(allowance.reset)
            );
            let error = ApiError::new(429, "insufficient_quota", message).with_code("insufficient_quota");
            let mut reply = LocalReply::from(error);
            reply.headers.push(("x-should-retry", "false".to_owned()));
            reply
        }
        Refusal::Exceeded {
            limit,
            count,
            unit,
            retry_after,
            allowance,
        } => {
            let message = format!(
                "The limit \"{limit}\" of {} {count} is used up. Try again in {} s.",
                allowance.limit,
                whole_seconds(*retry_after)
            );
            let kind = if *unit == Unit::Requests {
                "requests"
            } else {
                "tokens"
            };
            let error = ApiError::new(429, kind, message)
                .with_code("rate_limit_exceeded")
                .with_retry_after(*retry_after);
            let mut reply = LocalReply::from(error);
            let headers = if kind == "requests" {
                REQUEST_HEADERS
            } else {
                TOKEN_HEADERS
            };
            reply.headers.extend(allowance_headers(headers, *allowance));
            reply
        }
        Refusal::TooLarge {
            limit,
            count,
            unit,
            max,
            asked,
        } => {
            let (max, asked) = match unit {
                Unit::MicroUsd => (usd(pico_from_micro(*max)), usd(pico_from_micro(*asked))),
                Unit::Requests | Unit::Tokens => (max.to_string(), asked.to_string()),
            };
            let message = format!(
                "The request needs {asked} {count}, more than the limit \"{limit}\" of {max} can ever allow. \
                 Shorten the prompt or lower max_completion_tokens."
            );
            ApiError::new(400, INVALID_REQUEST, message)
                .with_code("request_exceeds_limit")
                .into()
        }
        Refusal::Unpriced { limit } => {
            let message = format!(
                "The budget \"{limit}\" applies, and the gateway knows no price for this model. Ask its operator for one."
            );
            ApiError::new(403, INVALID_REQUEST, message)
                .with_param("model")
                .with_code("model_without_price")
                .into()
        }
    }
}

/// What the client is told when Envoy itself answered, because no provider did: the router, or a filter of the
/// operator's that stands before it.
pub(super) fn no_answer(status: u16) -> ApiError {
    match status {
        404 => ApiError::new(500, API_ERROR, "The gateway is not set up to serve this model.")
            .with_code("gateway_misconfigured"),
        408 => ApiError::new(408, INVALID_REQUEST, "The request did not arrive in time.")
            .with_code("request_timeout"),
        413 => ApiError::new(413, INVALID_REQUEST, "The request body is too large.")
            .with_code("request_too_large"),
        429 => ApiError::new(
            429,
            "requests",
            "The gateway takes no more requests at the moment.",
        )
        .with_code("request_refused"),
        400..500 => ApiError::new(
            status,
            INVALID_REQUEST,
            "The gateway does not let this request pass.",
        )
        .with_code("request_refused"),
        504 => ApiError::new(504, API_ERROR, "The provider did not answer in time.")
            .with_code("upstream_timeout"),
        _ => ApiError::new(503, API_ERROR, "The provider could not be reached.")
            .with_code("upstream_unavailable"),
    }
}

/// What the client is told when Envoy's own filter had no credential to present to the provider: its token endpoint has not
/// answered yet, or its file is not there.
pub(super) fn no_credential(provider: &str) -> ApiError {
    let message =
        format!("The gateway has no credential for the provider {provider} at the moment. Try again soon.");
    ApiError::new(503, API_ERROR, message).with_code("upstream_credential_unavailable")
}

/// A state that the order of callbacks rules out.
pub(super) fn unreachable() -> ApiError {
    ApiError::new(500, API_ERROR, "The gateway could not process the request.").with_code("internal_error")
}
