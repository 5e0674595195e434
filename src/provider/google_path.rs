// SPDX-License-Identifier: Apache-2.0

//! Where Google keeps a model.
//!
//! At AI Studio a model is below `models/` (<https://ai.google.dev/api/models>), or below `tunedModels/` if its name
//! says so. At Vertex AI it is below its publisher, Google unless the name says otherwise
//! (`publishers/{publisher}/models/{model}`), or is deployed to an endpoint of the client's (`endpoints/{id}`).
//! Whatever else a name holds stays within its segment of the path.

use super::path_segment::path_segment;
use crate::api_error::ApiError;

/// Where a model is at AI Studio, below the API's version.
pub(super) fn studio_path(model: &str) -> Result<String, ApiError> {
    for collection in ["models", "tunedModels"] {
        if let Some(name) = below(model, collection) {
            return Ok(format!("/{collection}/{}", segment(name)?));
        }
    }
    Ok(format!("/models/{}", segment(model)?))
}

/// Where a model is at Vertex AI, below its project and location. `publisher`: whose it is unless its name says.
pub(super) fn vertex_path(model: &str, publisher: &str) -> Result<String, ApiError> {
    if let Some(id) = below(model, "endpoints") {
        return Ok(format!("/endpoints/{}", segment(id)?));
    }
    let (publisher, model) = below(model, "publishers")
        .and_then(|rest| rest.split_once("/models/"))
        .unwrap_or((publisher, model));
    Ok(format!(
        "/publishers/{}/models/{}",
        segment(publisher)?,
        segment(model)?
    ))
}

/// Whether a model of Vertex AI is one of Anthropic's, which are spoken to in their own dialect.
pub(super) fn is_anthropic(model: &str) -> bool {
    model.starts_with("claude") || model.starts_with("publishers/anthropic/")
}

fn below<'m>(model: &'m str, collection: &str) -> Option<&'m str> {
    model.strip_prefix(collection)?.strip_prefix('/')
}

/// A name as one segment of a path. Google's reference writes the version of a model with a plain `@`.
fn segment(name: &str) -> Result<String, ApiError> {
    path_segment(name).map(|segment| segment.replace("%40", "@"))
}

#[cfg(test)]
mod tests {
    use super::{is_anthropic, studio_path, vertex_path};

    #[crate::test]
    fn a_model_is_found_where_its_name_says() {
        for (model, expected) in [
            ("gemini-2.5-flash", "/models/gemini-2.5-flash"),
            ("models/gemini-2.5-flash", "/models/gemini-2.5-flash"),
            ("tunedModels/mine", "/tunedModels/mine"),
        ] {
            assert_eq!(studio_path(model).unwrap(), expected);
        }
        for (model, expected) in [
            ("gemini-2.5-flash", "/publishers/google/models/gemini-2.5-flash"),
            (
                "publishers/meta/models/llama-4",
                "/publishers/meta/models/llama-4",
            ),
            ("endpoints/4711", "/endpoints/4711"),
        ] {
            assert_eq!(vertex_path(model, "google").unwrap(), expected);
        }
        assert_eq!(
            vertex_path("claude-sonnet-4-5@20250929", "anthropic").unwrap(),
            "/publishers/anthropic/models/claude-sonnet-4-5@20250929"
        );
        assert!(is_anthropic("publishers/anthropic/models/claude-opus-4-7"));
    }

    #[crate::test]
    fn no_name_leaves_its_segment() {
        for (model, expected) in [
            ("a/../b", "/models/a%2F..%2Fb"),
            ("a?key=b#c", "/models/a%3Fkey%3Db%23c"),
            ("a:generateContent", "/models/a%3AgenerateContent"),
            ("a\r\nhost: b", "/models/a%0D%0Ahost%3A%20b"),
            ("\u{e9}%2f", "/models/%C3%A9%252f"),
        ] {
            assert_eq!(studio_path(model).unwrap(), expected);
        }
        for model in ["", ".", "..", "publishers/../models/a", "publishers/a/models/.."] {
            let error = vertex_path(model, "google").unwrap_err();
            assert_eq!(
                (error.status, error.param.as_deref()),
                (400, Some("model")),
                "{model}"
            );
        }
    }
}
