// SPDX-License-Identifier: Apache-2.0

use super::{reported_fault, translate_error};

type Told<'a> = (u16, &'a str, &'a str, Option<&'a str>, Option<&'a str>, bool);

fn check(status: u16, body: &str, expected: Told<'_>) {
    let fault = translate_error(status, body.as_bytes());
    let error = &fault.error;
    let told = (
        error.status,
        &*error.kind,
        &*error.message,
        error.param.as_deref(),
        error.code.as_deref(),
    );
    assert_eq!(
        (told.0, told.1, told.2, told.3, told.4, fault.is_retryable),
        expected,
        "{body}"
    );
}

#[crate::test]
fn an_openai_error_passes_with_all_its_members() {
    check(
        404,
        r#"{"error":{"message":"no such model","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#,
        (
            404,
            "invalid_request_error",
            "no such model",
            Some("model"),
            Some("model_not_found"),
            true,
        ),
    );
}

#[crate::test]
fn other_spellings_keep_their_message() {
    let told = |message, param, code| (400, "invalid_request_error", message, param, code, false);
    check(400, r#"{"error":"bad"}"#, told("bad", None, None));
    check(400, r#"{"message":"bad"}"#, told("bad", None, None));
    check(400, r#"{"detail":"bad"}"#, told("bad", None, None));
    check(400, r#"{"detail":{"message":"bad"}}"#, told("bad", None, None));
    check(
        400,
        r#"[{"error":{"code":400,"message":"bad"}}]"#,
        told("bad", None, Some("400")),
    );
    check(
        400,
        r#"{"object":"error","message":"bad","type":"odd_type","param":null,"code":"3210"}"#,
        (400, "odd_type", "bad", None, Some("3210"), false),
    );
    check(
        422,
        r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","seed"],"msg":"Extra inputs"}]}}"#,
        (
            422,
            "invalid_request_error",
            "seed: Extra inputs",
            Some("seed"),
            None,
            false,
        ),
    );
    check(
        422,
        r#"{"detail":[{"loc":["body","messages",0,"role"],"msg":"wrong"}]}"#,
        (
            422,
            "invalid_request_error",
            "messages.0.role: wrong",
            Some("messages.0.role"),
            None,
            false,
        ),
    );
    check(
        502,
        r#"{"error":{"code":502,"message":"Provider returned error","metadata":{"raw":"{\"message\":\"down\"}"}}}"#,
        (
            502,
            "api_error",
            "Provider returned error: down",
            None,
            Some("502"),
            true,
        ),
    );
}

#[crate::test]
fn unknown_bytes_become_a_sentence() {
    for body in [
        "",
        "<html>secret</html>",
        "{}",
        "[]",
        "7",
        "{\"error\":{\"message\":\" \"}}",
        "{\"error",
    ] {
        check(
            500,
            body,
            (
                500,
                "api_error",
                "The provider answered with status 500.",
                None,
                None,
                true,
            ),
        );
    }
    let deep = "{\"error\":".repeat(90) + "\"x\"" + &"}".repeat(90);
    check(
        400,
        &deep,
        (
            400,
            "invalid_request_error",
            "The provider answered with status 400.",
            None,
            None,
            false,
        ),
    );
}

#[crate::test]
fn long_messages_are_cut_at_a_character() {
    let body = format!(r#"{{"error":{{"message":"{}"}}}}"#, "é".repeat(5000));
    let message = translate_error(400, body.as_bytes()).error.message;
    assert!((2040..=2048).contains(&message.len()) && message.ends_with("é…"));
}

#[crate::test]
fn the_status_decides_on_retrying_and_on_what_the_client_sees() {
    let statuses = |wanted: bool| {
        let all = [
            400, 401, 402, 403, 404, 408, 409, 413, 422, 425, 429, 500, 503, 529,
        ];
        all.into_iter()
            .filter(move |status| translate_error(*status, b"").is_retryable == wanted)
            .collect::<Vec<_>>()
    };
    assert_eq!(statuses(false), [400, 413, 422]);
    assert_eq!(translate_error(529, b"").error.status, 503);
    assert_eq!(translate_error(401, b"").error.status, 401);
}

#[crate::test]
fn an_error_without_a_status_gets_one_by_its_type() {
    let check = |body: &str, status: u16, is_retryable: bool| {
        let fault = reported_fault(body.as_bytes());
        assert_eq!(
            (fault.error.status, fault.is_retryable),
            (status, is_retryable),
            "{body}"
        );
    };
    check(r#"{"code":429,"message":"x"}"#, 429, true);
    check(r#"{"error":{"code":"502","message":"x"}}"#, 502, true);
    check(r#"{"type":"rate_limit_error"}"#, 429, true);
    check(r#"{"code":"server_error"}"#, 503, true);
    check(r#"{"type":"overloaded_error"}"#, 503, true);
    check(
        r#"{"type":"invalid_request_error","status_code":400}"#,
        400,
        false,
    );
    check(r#"{"type":"invalid_request_error"}"#, 400, false);
    check(r#""text""#, 502, true);
}

#[crate::test]
fn what_azure_s_filters_found_is_kept() {
    let body = br#"{"error":{"message":"Filtered.","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":true,"severity":"high"}},"trace":"secret"}}}"#;
    let fault = translate_error(400, body);
    let json = String::from_utf8(fault.error.to_json()).unwrap();
    assert_eq!(
        json,
        r#"{"error":{"message":"Filtered.","type":"invalid_request_error","param":"prompt","code":"content_filter","innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":true,"severity":"high"}}}}}"#
    );
}
