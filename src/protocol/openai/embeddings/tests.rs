// SPDX-License-Identifier: Apache-2.0

use super::{EmbeddingsRequest, EncodingFormat, Input};

fn parse(fields: &str) -> Result<EmbeddingsRequest<'static>, crate::api_error::ApiError> {
    let body = format!(r#"{{"model":"m",{fields}}}"#);
    EmbeddingsRequest::parse(Box::leak(body.into_boxed_str()).as_bytes())
}

fn check(fields: &str, param: &str, message: &str) {
    let error = parse(fields).unwrap_err();
    assert_eq!(
        (error.status, error.param.as_deref()),
        (400, Some(param)),
        "{fields}"
    );
    assert_eq!(error.message, message, "{fields}");
}

#[crate::test]
fn every_form_of_input_is_measured() {
    for (input, text_bytes, ids) in [
        (r#""h\u00e9llo""#, 6, 0),
        (r#"["ab","c"]"#, 3, 0),
        ("[1, 2, 3]", 0, 3),
        ("[[1,2],[3]]", 0, 3),
        (r#"[{"content":[]}]"#, 16, 0),
    ] {
        let request = parse(&format!(r#""input":{input}"#)).unwrap();
        assert_eq!(
            (request.input.text_bytes(), request.input.ids()),
            (text_bytes, ids),
            "{input}"
        );
    }
}

#[crate::test]
fn texts_are_borrowed_and_null_is_absence() {
    let fields = r#""input":["a","b\n"],"dimensions":8,"encoding_format":"base64","user":"u","x":null"#;
    let request = parse(fields).unwrap();
    assert_eq!(request.input, Input::Texts(vec!["a".into(), "b\n".into()]));
    assert_eq!(
        (request.dimensions, request.encoding_format),
        (Some(8), EncodingFormat::Base64)
    );
    assert_eq!(request.rest, [("user".into(), r#""u""#)]);
    let request = parse(r#""input":"a","dimensions":null,"encoding_format":null"#).unwrap();
    assert_eq!(
        (request.dimensions, request.encoding_format),
        (None, EncodingFormat::Float)
    );
}

#[crate::test]
fn what_is_wrong_is_named_and_never_repeated() {
    check(
        r#""user":"u""#,
        "input",
        "input: expected a string or an array, found nothing",
    );
    check(
        r#""input":null"#,
        "input",
        "input: expected a string or an array, found null",
    );
    check(
        r#""input":[]"#,
        "input",
        "input: expected at least one text, found an empty array",
    );
    check(
        r#""input":["secret",1]"#,
        "input",
        "input: expected nothing but texts beside a text, found a number",
    );
    check(
        r#""input":[1,"secret"]"#,
        "input",
        "input: expected texts or token ids, found a string",
    );
    check(
        r#""input":[1.5]"#,
        "input",
        "input: expected texts or token ids, found a number",
    );
    check(
        r#""input":[-1]"#,
        "input",
        "input: expected texts or token ids, found a negative number",
    );
    check(
        r#""input":[[1],[]]"#,
        "input",
        "input: expected arrays of token ids, found something else or an empty one",
    );
    check(
        r#""input":[[1],2]"#,
        "input",
        "input: expected arrays of token ids, found something else or an empty one",
    );
    check(
        r#""input":"a","dimensions":0"#,
        "dimensions",
        "dimensions: expected a positive integer, found 0",
    );
    check(
        r#""input":"a","dimensions":"8""#,
        "dimensions",
        "dimensions: expected a positive integer, found a string",
    );
    check(
        r#""input":"a","encoding_format":"hex""#,
        "encoding_format",
        "encoding_format: expected \"float\" or \"base64\", found another string",
    );
    let error = EmbeddingsRequest::parse(br#"{"input":"a"}"#).unwrap_err();
    assert_eq!(
        error.message,
        "model: expected the name of a model, found nothing"
    );
    let error = EmbeddingsRequest::parse(b"").unwrap_err();
    assert_eq!((error.status, error.param), (400, None));
}
