// SPDX-License-Identifier: Apache-2.0

use super::{disguised_fault, reported_fault, translate_error};
use crate::codec::event_stream::{Decoder, Fault, tests::frame};
use crate::headers::{Headers, serialize};
use crate::provider::{ErrorAnswer, UpstreamFault};

fn answer(status: u16, kind: Option<&str>, body: &str) -> UpstreamFault {
    let pairs: Vec<_> = kind
        .map(|kind| ("x-amzn-errortype", kind.as_bytes()))
        .into_iter()
        .collect();
    translate_error(&ErrorAnswer {
        status,
        headers: &Headers::from_serialized(serialize(pairs.into_iter())),
        body: body.as_bytes(),
    })
}

fn told(fault: &UpstreamFault) -> (u16, &str, &str, Option<&str>, bool) {
    let error = &fault.error;
    (
        error.status,
        &error.kind,
        &error.message,
        error.code.as_deref(),
        fault.is_retryable,
    )
}

#[crate::test]
fn message_and_name_are_kept_by_every_spelling() {
    let throttled = Some("ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/");
    let expected = (
        429,
        "rate_limit_error",
        "Too many tokens",
        Some("ThrottlingException"),
        true,
    );
    for (kind, body) in [
        (throttled, r#"{"message":"Too many tokens"}"#),
        (throttled, r#"{"Message":"Too many tokens"}"#),
        (
            None,
            r#"{"__type":"com.amazon.bedrock#ThrottlingException","message":"Too many tokens"}"#,
        ),
    ] {
        assert_eq!(told(&answer(429, kind, body)), expected, "{body}");
    }
    assert_eq!(
        told(&answer(
            400,
            Some("ValidationException"),
            r#"{"message":"Malformed input request"}"#
        )),
        (
            400,
            "invalid_request_error",
            "Malformed input request",
            Some("ValidationException"),
            false
        )
    );
    assert_eq!(
        told(&answer(
            424,
            Some("ModelErrorException"),
            r#"{"message":"The model failed"}"#
        )),
        (
            424,
            "api_error",
            "The model failed",
            Some("ModelErrorException"),
            true
        )
    );
    assert!(answer(400, Some("ServiceQuotaExceededException"), "{}").is_retryable);
}

#[crate::test]
fn what_is_no_error_of_aws_is_not_repeated() {
    for body in [
        "<html>secret</html>",
        "",
        "{}",
        r#"{"error":"secret"}"#,
        "[1]",
        "\u{0}",
    ] {
        let fault = answer(503, Some("<b>\r\nset-cookie: x"), body);
        let expected = "The provider answered with status 503.";
        assert_eq!(told(&fault), (503, "api_error", expected, None, true), "{body}");
    }
    let long = format!(r#"{{"message":"{}"}}"#, "\u{e9}".repeat(5000));
    assert!(answer(400, None, &long).error.message.len() <= 2048);
}

#[crate::test]
fn a_refused_credential_is_the_gateway_s_fault() {
    let code = Some("upstream_credential_refused");
    for (status, kind, body) in [
        (
            403,
            Some("AccessDeniedException"),
            r#"{"message":"User: arn:aws:iam::123456789012:role/x is not authorized to invoke the model"}"#,
        ),
        (
            403,
            Some("InvalidSignatureException"),
            r#"{"message":"The Canonical String for this request should have been 'POST secret model'"}"#,
        ),
        (
            403,
            None,
            r#"{"Message":"Authentication failed: Please make sure your API Key is valid."}"#,
        ),
        (401, None, "<html>"),
        (
            400,
            Some("UnrecognizedClientException"),
            r#"{"message":"The security token is invalid"}"#,
        ),
    ] {
        let expected = "The provider refused the gateway's credential.";
        assert_eq!(
            told(&answer(status, kind, body)),
            (502, "api_error", expected, code, true),
            "{body}"
        );
    }
    let body = r#"{"message":"You don't have access to the model with the specified model ID."}"#;
    let fault = answer(403, Some("AccessDeniedException:http://x/"), body);
    let expected = "The provider refused the gateway's credential. You don't have access to the model with the \
                    specified model ID.";
    assert_eq!(told(&fault), (502, "api_error", expected, code, true));
}

fn stream_fault(headers: &[(&str, &str)], payload: &str) -> UpstreamFault {
    let mut fault = None;
    Decoder::new(9999)
        .feed(&frame(headers, payload.as_bytes()), |message| {
            fault = Some(reported_fault(&message));
            Ok::<_, Fault>(())
        })
        .unwrap();
    fault.unwrap()
}

#[crate::test]
fn the_name_of_an_exception_decides_its_status() {
    for (kind, status, is_retryable) in [
        ("throttlingException", 429, true),
        ("validationException", 400, false),
        ("modelStreamErrorException", 424, true),
        ("internalServerException", 500, true),
        ("serviceUnavailableException", 503, true),
        ("aLaterInvention", 502, true),
    ] {
        let headers = [(":message-type", "exception"), (":exception-type", kind)];
        let fault = stream_fault(&headers, r#"{"message":"why"}"#);
        assert_eq!(
            (fault.error.status, fault.is_retryable),
            (status, is_retryable),
            "{kind}"
        );
        assert_eq!(
            (&*fault.error.message, fault.error.code.as_deref()),
            ("why", Some(kind))
        );
    }
    let undeclared = [
        (":message-type", "error"),
        (":error-code", "InternalFailure"),
        (":error-message", "An internal failure"),
    ];
    let fault = stream_fault(&undeclared, "");
    assert_eq!(
        (fault.error.status, &*fault.error.message),
        (500, "An internal failure")
    );
    let fault = stream_fault(&[(":message-type", "exception")], "not json");
    assert_eq!(
        (fault.error.status, &*fault.error.message),
        (502, "The provider reported an error.")
    );
}

#[crate::test]
fn an_error_with_a_status_of_success_is_an_error() {
    let body = br#"{"__type":"com.amazon#ServiceUnavailableException","message":"why"}"#;
    let fault = disguised_fault(body).unwrap();
    assert_eq!((fault.error.status, &*fault.error.message), (503, "why"));
    assert_eq!(disguised_fault(br#"{"output":{},"message":"x"}"#), None);
    assert_eq!(disguised_fault(b"{}"), None);
}
