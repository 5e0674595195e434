// SPDX-License-Identifier: Apache-2.0

//! OpenAI's API as Azure serves it: other paths, another header for the key, and content filters.
//!
//! Follows <https://learn.microsoft.com/azure/ai-services/openai/reference> and, for what filters add to a stream,
//! <https://learn.microsoft.com/azure/ai-services/openai/concepts/content-streaming>.

use serde_json::json;

use crate::openai;
use crate::openai_embeddings;
use crate::reply::{Event, Form, Reply, Scene};

/// The operation that a path asks for, `/chat/completions` for example; `None` if the path is not Azure's.
pub(crate) fn operation<'p>(path: &'p str, query: Option<&str>) -> Option<&'p str> {
    let below = path.strip_prefix("/openai/")?;
    let version = query.and_then(|query| query.strip_prefix("api-version="));
    let is_dated = version.is_some_and(|version| version.starts_with("20"));
    let operation = match below.strip_prefix("deployments/") {
        Some(deployment) => {
            deployment
                .split_once('/')
                .filter(|(name, _)| is_dated && !name.is_empty())?
                .1
        }
        None => below.strip_prefix("v1/").filter(|_| !is_dated)?,
    };
    below.get(below.len() - operation.len() - 1..)
}

/// Answers a request of Azure's.
pub(crate) fn answer(operation: &str, has_key: bool, body: &[u8], scene: &Scene<'_>) -> Reply {
    let mut reply = match operation {
        "/chat/completions" => openai::chat_completions(has_key, body, scene),
        "/embeddings" => openai_embeddings::embeddings(has_key, body, scene),
        _ => return openai::refusal(404, scene),
    };
    if let Form::Events { events, .. } = &mut reply.form {
        let filters = json!({"choices": [], "created": 0, "id": "", "model": "", "object": "",
            "prompt_filter_results": [{"prompt_index": 0, "content_filter_results":
                {"hate": {"filtered": false, "severity": "safe"}}}]});
        let first = Event::frame(format!("data: {filters}\n\n"));
        let rest = core::mem::replace(events, Box::new(core::iter::empty()));
        *events = Box::new(core::iter::once(first).chain(rest));
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::operation;

    #[test]
    fn both_kinds_of_paths_are_azures() {
        for (path, query, expected) in [
            ("/openai/v1/chat/completions", None, Some("/chat/completions")),
            (
                "/openai/v1/embeddings",
                Some("api-version=preview"),
                Some("/embeddings"),
            ),
            (
                "/openai/deployments/d/chat/completions",
                Some("api-version=2024-10-21"),
                Some("/chat/completions"),
            ),
            ("/openai/deployments/d/chat/completions", None, None),
            (
                "/openai/v1/chat/completions",
                Some("api-version=2024-10-21"),
                None,
            ),
            ("/v1/chat/completions", None, None),
        ] {
            assert_eq!(operation(path, query), expected, "{path} {query:?}");
        }
    }
}
