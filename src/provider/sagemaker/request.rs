// SPDX-License-Identifier: Apache-2.0

//! The request: OpenAI's own, sent to an endpoint by name.
//!
//! A target's `model` names the endpoint, and after a slash one of its inference components, if it has any. It is no
//! model that the container knows, so the body goes without one: all these servers then use the one that they have
//! loaded. Names may come from the client, and only what SageMaker allows in one enters the path.

use crate::api_error::{API_ERROR, ApiError};
use crate::protocol::json_object::{Editor, Object};
use crate::provider::{Settings, UpstreamRequest, openai};
use std::borrow::Cow;

/// The longest name.
const MAX_BYTES: usize = 63;

/// Translates a request and appends the translated body to `out`.
pub(in crate::provider) fn translate_request(
    body: &[u8],
    settings: &Settings,
    out: &mut Vec<u8>,
) -> Result<UpstreamRequest, ApiError> {
    let (endpoint, component) = match settings.upstream_model.split_once('/') {
        Some((endpoint, component)) => (endpoint, Some(component)),
        None => (settings.upstream_model.as_str(), None),
    };
    if !is_name(endpoint) || !component.is_none_or(is_name) {
        let message = "model: expected the name of a SageMaker endpoint, or `endpoint/inference-component`";
        return Err(ApiError::bad_request("model", message));
    }
    let mut written = Vec::with_capacity(body.len().saturating_add(64));
    let request = openai::translate_request(body, settings, &mut written)?;
    let unwritten = || ApiError::new(500, API_ERROR, "The request could not be translated.");
    let text = core::str::from_utf8(&written).map_err(|_| unwritten())?;
    let object = Object::parse(text).map_err(|_| unwritten())?;
    let mut editor = Editor::new(&object);
    editor.remove("model");
    editor.write(out);
    let operation = if request.is_streaming {
        "invocations-response-stream"
    } else {
        "invocations"
    };
    let component = component.map(|name| {
        (
            "x-amzn-sagemaker-inference-component",
            Cow::Owned(name.to_owned()),
        )
    });
    Ok(UpstreamRequest {
        path: Cow::Owned(format!("/endpoints/{endpoint}/{operation}")),
        headers: component.into_iter().collect(),
        ..request
    })
}

/// Letters and digits, with hyphens between them.
fn is_name(name: &str) -> bool {
    name.len() <= MAX_BYTES
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !name.is_empty()
        && !name.starts_with('-')
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::translate_request;
    use crate::config::ProviderKind;
    use crate::provider::Settings;

    fn settings(model: &str) -> Settings {
        Settings {
            created: 7,
            max_event_bytes: 1024,
            ..Settings::of(ProviderKind::AwsSageMaker, model)
        }
    }

    #[crate::test]
    fn the_endpoint_is_in_the_path_and_the_model_is_not_in_the_body() {
        let body = br#"{"model":"fast","messages":[{"role":"user","content":"Hi"}],"top_k":5}"#;
        let mut out = Vec::new();
        let request = translate_request(body, &settings("my-endpoint"), &mut out).unwrap();
        assert_eq!(request.path, "/endpoints/my-endpoint/invocations");
        assert!(request.headers.is_empty());
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"messages":[{"role":"user","content":"Hi"}],"top_k":5}"#
        );
    }

    #[crate::test]
    fn a_stream_reports_its_usage_and_a_component_is_a_header() {
        let body = br#"{"model":"fast","messages":[],"stream":true}"#;
        let mut out = Vec::new();
        let request = translate_request(body, &settings("llm/llama-3"), &mut out).unwrap();
        assert_eq!(request.path, "/endpoints/llm/invocations-response-stream");
        assert_eq!(
            request.headers,
            [("x-amzn-sagemaker-inference-component", "llama-3".into())]
        );
        assert!(request.is_streaming && !request.include_usage);
        let sent = String::from_utf8(out).unwrap();
        assert!(
            sent.contains(r#""stream_options":{"include_usage":true}"#) && !sent.contains("model"),
            "{sent}"
        );
    }

    #[crate::test]
    fn what_is_no_name_is_refused() {
        let body = br#"{"model":"fast","messages":[]}"#;
        for model in [
            "",
            "a/",
            "/b",
            "a/b/c",
            "..",
            "a_b",
            "a?b",
            "-a",
            "a-",
            "a b",
            "a\r\nb",
            &"a".repeat(64),
        ] {
            let error = translate_request(body, &settings(model), &mut Vec::new()).unwrap_err();
            assert_eq!(
                (error.status, error.param.as_deref()),
                (400, Some("model")),
                "{model:?}"
            );
        }
    }
}
