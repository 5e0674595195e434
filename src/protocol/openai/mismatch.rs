// SPDX-License-Identifier: Apache-2.0

//! What is said of a request whose members have the wrong types.
//!
//! The body is read again with its path recorded, which the fast first reading does not do, and serde's message
//! is brought to *expected X, found Y*. Values are never repeated: they are the caller's prompt.

use super::chat::ChatCompletionRequest;
use crate::api_error::ApiError;
use serde::de::Error as _;

/// The error of a body that is not a chat completion request.
pub(super) fn explain(text: &str) -> ApiError {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let outcome: Result<ChatCompletionRequest<'_>, _> = serde_path_to_error::deserialize(&mut deserializer);
    let (path, error) = match outcome {
        Err(error) => (error.path().to_string(), error.into_inner()),
        // The second reading saw no fault where the first did: something follows the object.
        Ok(_) => (".".to_owned(), serde_json::Error::custom("trailing data")),
    };
    if !error.is_data() || path == "." || path == "?" {
        let found = expectation(&error.to_string());
        let message = found.map_or_else(
            || "The request body is not a valid JSON object.".to_owned(),
            |found| format!("The request body: {found}"),
        );
        return ApiError::bad_request(None, message);
    }
    let message = expectation(&error.to_string()).unwrap_or_else(|| "the value is malformed".to_owned());
    ApiError::bad_request(None, format!("{path}: {message}")).with_param(path)
}

/// Serde's `invalid type: integer …, expected …` in our words.
fn expectation(message: &str) -> Option<String> {
    let message = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))?;
    // What was found may hold the caller's text, and that may hold anything: the last mark is the real one.
    let (found, expected) = message.rsplit_once(", expected ")?;
    let expected = expected.split(" at line ").next().unwrap_or(expected);
    let found = match found.split([' ', '`']).next().unwrap_or(found) {
        "integer" | "floating" | "number" => "a number",
        "string" | "str" => "a string",
        "boolean" | "bool" => "a boolean",
        "sequence" => "an array",
        "map" => "an object",
        "null" | "unit" => "null",
        _ => "something else",
    };
    let expected = match expected {
        "u64" => "a non-negative integer",
        "a JSON number" => "a number",
        "a sequence" => "an array",
        other => other,
    };
    Some(format!("expected {expected}, found {found}"))
}

#[cfg(test)]
mod tests {
    use crate::protocol::openai::chat::ChatCompletionRequest;

    fn check(body: &str, param: Option<&str>, message: &str) {
        let error = ChatCompletionRequest::parse(body.as_bytes()).unwrap_err();
        assert_eq!((error.status, error.param.as_deref()), (400, param), "{body}");
        assert_eq!(error.message, message, "{body}");
    }

    #[crate::test]
    fn a_wrong_type_is_named_with_its_path() {
        check(
            r#"{"messages":[{},{},{"content":5}]}"#,
            Some("messages[2].content"),
            "messages[2].content: expected a string or an array, found a number",
        );
        check(
            r#"{"messages":[{"content":[{"type":"text","text":["secret"]}]}]}"#,
            Some("messages[0].content[0].text"),
            "messages[0].content[0].text: expected a string, found an array",
        );
        check(
            r#"{"tools":"secret, expected "}"#,
            Some("tools"),
            "tools: expected an array, found a string",
        );
        check(
            r#"{"max_tokens":-1}"#,
            Some("max_tokens"),
            "max_tokens: expected a non-negative integer, found a number",
        );
        check(
            r#"{"temperature":"hot"}"#,
            Some("temperature"),
            "temperature: expected a number, found a string",
        );
        check(
            r#"{"tool_choice":[]}"#,
            Some("tool_choice"),
            "tool_choice: expected a string or an object, found an array",
        );
        check(
            r#"{"stream":"yes"}"#,
            Some("stream"),
            "stream: expected a boolean, found a string",
        );
        check(
            r#"{"messages":[[]]}"#,
            Some("messages[0]"),
            "messages[0]: expected an object, found an array",
        );
    }

    #[crate::test]
    fn a_body_that_is_no_object_is_refused_without_a_param() {
        check("[]", None, "The request body: expected an object, found an array");
        check("{} x", None, "The request body is not a valid JSON object.");
    }
}
