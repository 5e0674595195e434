// SPDX-License-Identifier: Apache-2.0

//! SageMaker's errors: the service's own, and those of the container inside them.
//!
//! A container's refusal arrives as the service's `ModelError`, status 424, with the container's status and body
//! beside a message that names the log's ARN
//! (<https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html#API_runtime_InvokeEndpoint_Errors>).
//! The client is told what the container said, as if it had been asked directly.

use crate::provider::{ErrorAnswer, UpstreamFault, bedrock, openai};
use serde::Deserialize;
use std::borrow::Cow;

#[derive(Deserialize)]
struct ModelError<'a> {
    #[serde(rename = "OriginalStatusCode")]
    status: u16,
    #[serde(borrow, default, rename = "OriginalMessage")]
    message: Cow<'a, str>,
}

/// Reads an answer with a status of 400 or above.
pub(in crate::provider) fn translate_error(answer: &ErrorAnswer<'_>) -> UpstreamFault {
    match serde_json::from_slice::<ModelError<'_>>(answer.body) {
        Ok(inner) if (400..600).contains(&inner.status) => {
            openai::translate_error(inner.status, inner.message.as_bytes())
        }
        _ => bedrock::translate_error(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::translate_error;
    use crate::headers::{Headers, serialize};
    use crate::provider::{ErrorAnswer, UpstreamFault};

    fn answer(status: u16, kind: &str, body: &str) -> UpstreamFault {
        let pairs = [("x-amzn-errortype", kind.as_bytes())];
        translate_error(&ErrorAnswer {
            status,
            headers: &Headers::from_serialized(serialize(pairs.into_iter())),
            body: body.as_bytes(),
        })
    }

    #[crate::test]
    fn the_container_s_own_words_are_told() {
        let body = r#"{"ErrorCode":"CLIENT_ERROR_FROM_MODEL","LogStreamArn":"arn:aws:logs:secret","Message":"Received client error (400) from primary. See arn:aws:logs:secret","OriginalMessage":"{\"error\":{\"message\":\"too long\",\"type\":\"BadRequestError\",\"param\":null,\"code\":400}}","OriginalStatusCode":400}"#;
        let fault = answer(424, "ModelError", body);
        assert_eq!((fault.error.status, &*fault.error.message), (400, "too long"));
        assert!(!fault.is_retryable);
        let body =
            r#"{"Message":"See arn:aws:logs:secret","OriginalMessage":"<html>","OriginalStatusCode":500}"#;
        let fault = answer(424, "ModelError", body);
        assert_eq!(
            (fault.error.status, &*fault.error.message),
            (500, "The provider answered with status 500.")
        );
    }

    #[crate::test]
    fn the_service_s_errors_are_those_of_aws() {
        let fault = answer(400, "ValidationError", r#"{"Message":"Endpoint x not found."}"#);
        assert_eq!(
            (fault.error.status, &*fault.error.message),
            (400, "Endpoint x not found.")
        );
        let fault = answer(503, "ServiceUnavailable", "");
        assert_eq!((fault.error.status, fault.is_retryable), (503, true));
        let fault = answer(
            403,
            "AccessDeniedException",
            r#"{"Message":"User: arn:aws:iam::1:role/x"}"#,
        );
        assert_eq!(fault.error.code.as_deref(), Some("upstream_credential_refused"));
    }
}
