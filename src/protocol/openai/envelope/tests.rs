// SPDX-License-Identifier: Apache-2.0

use super::ChatEnvelope;

const MESSAGES: &str = r#""messages":[{"role":"user","content":"hi"}]"#;

/// The error of a body: `param` and message.
fn check(body: &[u8], param: Option<&str>, message: &str) {
    let error = ChatEnvelope::parse(body).unwrap_err();
    assert_eq!(
        (error.status, error.kind.as_ref()),
        (400, "invalid_request_error")
    );
    assert_eq!((error.param.as_deref(), error.message.as_ref()), (param, message));
}

/// The error of a field beside a valid model and valid messages.
fn check_field(field: &str, param: &str, message: &str) {
    check(
        format!(r#"{{"model":"m",{MESSAGES},{field}}}"#).as_bytes(),
        Some(param),
        message,
    );
}

fn parse(fields: &str) -> ChatEnvelope<'static> {
    let body = format!(r#"{{"model":"m",{MESSAGES}{fields}}}"#);
    ChatEnvelope::parse(Box::leak(body.into_boxed_str()).as_bytes()).unwrap()
}

#[crate::test]
fn the_facts_and_their_places_are_read() {
    let body = br#" {"mod\u0065l" : "a\/b", "messages":[{"role":"user","content":"hi"}],"stream":true,
        "stream_options":{"include_usage":true},"n":2,"max_tokens":5,"max_completion_tokens":7,"tools":[{}]} "#;
    let envelope = ChatEnvelope::parse(body).unwrap();
    assert_eq!(
        (&*envelope.model, envelope.is_streaming, envelope.include_usage),
        ("a/b", true, true)
    );
    assert_eq!(
        (envelope.max_output_tokens, envelope.n, envelope.prompt.images),
        (Some(7), 2, 0)
    );
    assert_eq!(
        (envelope.prompt.text_bytes, envelope.prompt.schema_bytes),
        (32, 4)
    );
    let field = &envelope.fields[0];
    assert_eq!(
        (&body[field.span.clone()], &*field.key),
        (br#""a\/b""#.as_slice(), "model")
    );
    assert_eq!(&body[field.member.clone()], br#""mod\u0065l" : "a\/b""#);
    assert_eq!(envelope.object(body).unwrap().get("n"), Some("2"));
}

#[crate::test]
fn absent_and_null_fields_have_their_defaults() {
    for fields in [
        "",
        r#","stream":null,"stream_options":null,"n":null,"max_tokens":null,"max_completion_tokens":null"#,
        r#","stream":false,"stream_options":{"include_usage":null}"#,
    ] {
        let envelope = parse(fields);
        assert_eq!((envelope.is_streaming, envelope.include_usage), (false, false));
        assert_eq!((envelope.max_output_tokens, envelope.n), (None, 1));
    }
    assert_eq!(
        parse(r#","max_tokens":9,"max_completion_tokens":1"#).max_output_tokens,
        Some(9)
    );
}

#[crate::test]
fn a_body_that_is_no_object_is_refused_without_an_echo() {
    check(b"", None, "expected a JSON object, found an empty body");
    check(b" \n", None, "expected a JSON object, found an empty body");
    check(
        b"{\"a\xFF\":1}",
        None,
        "expected UTF-8, found an invalid byte at offset 3",
    );
    check(b"[1]", None, "expected a JSON object, found an array");
    check(b"\"secret\"", None, "expected a JSON object, found a string");
    check(
        b"{\n\"model\":secret}",
        None,
        "expected a JSON object, found invalid JSON at line 2, column 9",
    );
    check(
        b"secret",
        None,
        "expected a JSON object, found invalid JSON at line 1, column 1",
    );
    check(
        b"{} {}",
        None,
        "expected a JSON object, found invalid JSON at line 1, column 4",
    );
    check(
        b"{\"model\":\"m\"",
        None,
        "expected a JSON object, found invalid JSON at line 1, column 12",
    );
}

#[crate::test]
fn nesting_is_bounded_and_brackets_in_strings_do_not_nest() {
    let body = |depth: usize| {
        let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
        format!(r#"{{"model":"\"[[[\\",{MESSAGES},"x":{open}{close}}}"#)
    };
    assert!(ChatEnvelope::parse(body(128).as_bytes()).is_ok());
    check(
        body(129).as_bytes(),
        None,
        "expected JSON of at most 128 levels, found deeper nesting",
    );
    let brackets = "[{".repeat(500);
    assert!(
        ChatEnvelope::parse(format!(r#"{{"model":"m","user":"{brackets}",{MESSAGES}}}"#).as_bytes()).is_ok()
    );
}

#[crate::test]
fn a_repeated_key_is_refused_even_if_it_is_escaped() {
    let message = "model: expected one member of this name, found several";
    check_field(r#""model":"x""#, "model", message);
    check_field(r#""mo\u0064el":"x""#, "model", message);
    check_field(
        r#""stream_options":{"include_usage":true,"include_usage":false}"#,
        "stream_options",
        "stream_options: expected unique member names, found a repeated one",
    );
}

#[crate::test]
fn the_model_must_be_a_name() {
    let check = |value: &str, found: &str| {
        let body = format!("{{{value}{MESSAGES}}}");
        check(
            body.as_bytes(),
            Some("model"),
            &format!("model: expected the name of a model, found {found}"),
        );
    };
    check("", "nothing");
    check(r#""model":7,"#, "a number");
    check(r#""model":null,"#, "null");
    check(r#""model":"","#, "an empty string");
    check(r#""model":"\ud800","#, "a string with an invalid escape");
}

#[crate::test]
fn messages_must_be_objects_with_a_role() {
    let check = |messages: &str, param: &str, message: &str| {
        check(
            format!(r#"{{"model":"m"{messages}}}"#).as_bytes(),
            Some(param),
            message,
        );
    };
    check("", "messages", "messages: expected an array, found nothing");
    let array = "messages: expected an array of messages, found";
    check(r#","messages":"hi""#, "messages", &format!("{array} a string"));
    check(
        r#","messages":[]"#,
        "messages",
        &format!("{array} an empty array"),
    );
    let second = |message: &str| format!(r#","messages":[{{"role":"x"}},{message}]"#);
    check(
        &second("7"),
        "messages[1]",
        "messages[1]: expected an object, found a number",
    );
    check(
        &second("{}"),
        "messages[1].role",
        "messages[1].role: expected a string, found nothing",
    );
    check(
        &second(r#"{"role":["user"]}"#),
        "messages[1].role",
        "messages[1].role: expected a string, found an array",
    );
    check(
        &second(r#"{"role":"a","role":"b"}"#),
        "messages[1]",
        "messages[1]: expected unique member names, found a repeated one",
    );
}

#[crate::test]
fn fields_of_the_wrong_type_are_named() {
    check_field(
        r#""stream":"true""#,
        "stream",
        "stream: expected a boolean, found a string",
    );
    check_field(
        r#""stream_options":true"#,
        "stream_options",
        "stream_options: expected an object, found a boolean",
    );
    check_field(
        r#""stream_options":{"include_usage":1}"#,
        "stream_options.include_usage",
        "stream_options.include_usage: expected a boolean, found a number",
    );
    for (value, found) in [
        ("0", "0"),
        ("-1", "a negative number"),
        ("1.0", "a fraction"),
        ("[]", "an array"),
    ] {
        let message = format!("n: expected a positive integer, found {found}");
        check_field(&format!("\"n\":{value}"), "n", &message);
    }
    for param in ["max_tokens", "max_completion_tokens"] {
        for (value, found) in [
            ("0", "0"),
            ("-1", "a negative number"),
            ("1e3", "a fraction"),
            ("\"5\"", "a string"),
            ("99999999999999999999", "a number that is too large"),
        ] {
            let message = format!("{param}: expected a positive integer, found {found}");
            check_field(&format!("\"{param}\":{value}"), param, &message);
        }
    }
}

#[crate::test]
fn payloads_are_not_text_and_images_are_counted() {
    let size = |content: &str| {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":{content}}}]}}"#);
        let envelope = ChatEnvelope::parse(body.as_bytes()).unwrap();
        // What is there beside the content.
        (envelope.prompt.text_bytes - 28, envelope.prompt.images)
    };
    assert_eq!(size(r#""hello""#), (7, 0));
    let data = "A".repeat(5000);
    let image = |url: &str| format!(r#"[{{"type":"image_url","image_url":{{"url":"{url}"}}}}]"#);
    let empty = image("data:image/png;base64,").len() as u64;
    assert_eq!(size(&image(&format!("data:image/png;base64,{data}"))), (empty, 1));
    let link = image("https://example.com/a.png");
    assert_eq!(size(&link), (link.len() as u64, 1));
    let short =
        |data: &str| format!(r#"[{{"type":"image_url","image_url":"data:image/png;base64,{data}"}}]"#);
    assert_eq!(size(&short(&data)), (short("").len() as u64, 1));
    let audio = |data: &str| {
        format!(r#"[7,{{"type":"input_audio","input_audio":{{"format":"wav","data":{data}}}}}]"#)
    };
    assert_eq!(size(&audio(&format!("\"{data}\""))), (audio("").len() as u64, 0));
    let file = |data: &str| format!(r#"[{{"type":"file","file":{{"filename":"a","file_data":"{data}"}}}}]"#);
    let bytes = file("data:application/pdf;base64,").len() as u64;
    assert_eq!(
        size(&file(&format!("data:application/pdf;base64,{data}"))),
        (bytes, 0)
    );
    assert_eq!(size(r#"[{"type":"image_url","image_url":{"url":7}},null]"#).1, 1);
    let prompt = |content: &str| {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":{content}}}]}}"#);
        ChatEnvelope::parse(body.as_bytes()).unwrap().prompt
    };
    let spoken = prompt(&audio(&format!("\"{data}\"")));
    assert_eq!((spoken.audio_bytes, spoken.file_bytes), (5_002, 0));
    let filed = prompt(&file(&format!("data:application/pdf;base64,{data}")));
    assert_eq!((filed.audio_bytes, filed.file_bytes), (0, 5_000));
    let named = prompt(r#"[{"type":"file","file":{"file_id":"file-1"}}]"#);
    assert_eq!(named.file_bytes, 65_536, "what it holds is not known");
}

#[crate::test]
fn many_keys_and_long_messages_take_linear_time() {
    let mut body = format!(r#"{{"model":"m",{MESSAGES}"#);
    for index in 0..100_000 {
        body.push_str(&format!(",\"k{index}\":0"));
    }
    body.push('}');
    assert_eq!(
        ChatEnvelope::parse(body.as_bytes()).unwrap().fields.len(),
        100_002
    );
}

#[crate::test]
fn a_model_s_name_is_visible_and_short() {
    let longest = "m".repeat(256);
    assert!(ChatEnvelope::parse(format!(r#"{{"model":"{longest}",{MESSAGES}}}"#).as_bytes()).is_ok());
    for name in [
        &format!("{longest}m"),
        "a b",
        r"a\r\nset-cookie: b",
        "\u{e9}",
        r"a\u0000",
    ] {
        let error =
            ChatEnvelope::parse(format!(r#"{{"model":"{name}",{MESSAGES}}}"#).as_bytes()).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("model"), "{name}");
    }
}

#[cfg(not(target_family = "wasm"))]
mod properties {
    use super::ChatEnvelope;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = ChatEnvelope::parse(&body);
        }

        #[test]
        fn spans_hold_the_values(model in "[!-~]{1,20}", content in "\\PC*", n in 1_u64..1000) {
            let text = |text: &str| serde_json::to_string(text).unwrap();
            let (model_json, content_json) = (text(&model), text(&content));
            let body = format!(
                r#"{{"n":{n},"messages":[{{"content":{content_json},"role":"user"}}],"model": {model_json} }}"#
            );
            let envelope = ChatEnvelope::parse(body.as_bytes()).unwrap();
            prop_assert_eq!(&*envelope.model, &*model);
            prop_assert_eq!(envelope.n, n);
            prop_assert_eq!(&body[envelope.fields[2].span.clone()], model_json);
        }
    }
}
