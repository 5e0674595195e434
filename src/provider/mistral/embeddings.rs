// SPDX-License-Identifier: Apache-2.0

//! A request for embeddings as Mistral takes it (<https://docs.mistral.ai/api/#tag/embeddings>): with another name for
//! `dimensions`, texts only, and no member that Mistral does not know. The answer is OpenAI's.

use crate::api_error::ApiError;
use crate::protocol::json_object::Editor;
use crate::protocol::openai::embeddings::EmbeddingsRequest;
use crate::provider::embeddings::texts;
use crate::provider::json_edit::{self, move_member};
use crate::provider::losses::Losses;
use crate::provider::{Settings, UpstreamRequest};

/// The members of Mistral's `EmbeddingRequest`.
const REQUEST: [&str; 6] = [
    "model",
    "input",
    "metadata",
    "output_dimension",
    "output_dtype",
    "encoding_format",
];

/// Translates a request.
///
/// # Errors
///
/// A body that is no request for embeddings, or one that Mistral has no counterpart for.
pub(super) fn translate_request(
    body: &[u8],
    settings: &Settings,
    out: &mut Vec<u8>,
) -> Result<UpstreamRequest, ApiError> {
    let request = EmbeddingsRequest::parse(body)?;
    texts(&request)?;
    let object = json_edit::object_of(body)?;
    let mut editor = Editor::new(&object);
    json_edit::name_model(&object, &mut editor, &settings.upstream_model);
    let losses = Losses::default();
    move_member(&object, &mut editor, "dimensions", "output_dimension");
    editor.retain(|field| {
        let key = field.key.as_ref();
        let is_known = REQUEST.contains(&key) || key == "dimensions";
        if !is_known && object.value(field) != Some("null") {
            losses.add("", key);
        }
        is_known
    });
    editor.write(out);
    Ok(UpstreamRequest {
        path: "/embeddings".into(),
        dropped: losses.into_dropped(settings.on_unsupported)?,
        encoding_format: request.encoding_format,
        ..UpstreamRequest::default()
    })
}

#[cfg(test)]
mod tests {
    use super::translate_request;
    use crate::config::{OnUnsupported, ProviderKind};
    use crate::provider::{Operation, Settings};

    fn settings(on_unsupported: OnUnsupported) -> Settings {
        Settings {
            operation: Operation::Embeddings,
            on_unsupported,
            ..Settings::of(ProviderKind::Mistral, "up-1")
        }
    }

    fn check_request(body: &str, expected: &str, dropped: &[&str]) {
        let mut out = Vec::new();
        let settings = settings(OnUnsupported::Drop);
        let request = translate_request(body.as_bytes(), &settings, &mut out).unwrap();
        assert_eq!(request.path, "/embeddings");
        assert_eq!(request.dropped, dropped);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[crate::test]
    fn mistral_gets_its_own_names_and_no_others() {
        check_request(
            r#"{"model":"m","input":["a"],"dimensions":256,"encoding_format":"base64","output_dtype":"float","user":"u","x":null}"#,
            r#"{"model":"up-1","input":["a"],"output_dimension":256,"encoding_format":"base64","output_dtype":"float"}"#,
            &["user"],
        );
        check_request(
            r#"{"model":"m","input":"a","dimensions":null}"#,
            r#"{"model":"up-1","input":"a"}"#,
            &[],
        );
    }

    #[crate::test]
    fn what_mistral_cannot_serve_is_refused_by_name() {
        let refuse = |body: &str| {
            let settings = settings(OnUnsupported::Reject);
            translate_request(body.as_bytes(), &settings, &mut Vec::new()).unwrap_err()
        };
        let error = refuse(r#"{"model":"m","input":"a","user":"u"}"#);
        assert_eq!((error.status, error.param.as_deref()), (400, Some("user")));
        let error = refuse(r#"{"model":"m","input":[1,2]}"#);
        assert_eq!((error.status, error.param.as_deref()), (400, Some("input")));
    }
}
