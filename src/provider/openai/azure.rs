// SPDX-License-Identifier: Apache-2.0

//! Where Azure serves OpenAI's API.
//!
//! The newer API has OpenAI's own paths below `/openai/v1`, with `api-version=preview` for what is not released
//! (<https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle>); the older one names the deployment in
//! the path and a dated version in the query (<https://learn.microsoft.com/azure/ai-services/openai/reference>).

use super::super::path_segment::path_segment;
use crate::api_error::ApiError;
use crate::config::ProviderKind;
use crate::provider::Settings;
use std::borrow::Cow;

/// The path of an operation below the provider's endpoint. `operation` begins with a slash.
///
/// # Errors
///
/// 400 for a model whose name cannot stand in a path.
pub(super) fn path(settings: &Settings, operation: &'static str) -> Result<Cow<'static, str>, ApiError> {
    if settings.kind != ProviderKind::AzureOpenAi {
        return Ok(Cow::Borrowed(operation));
    }
    Ok(Cow::Owned(match settings.api_version.as_deref() {
        None => format!("/openai/v1{operation}"),
        Some(version) if version.starts_with(|first: char| first.is_ascii_digit()) => {
            let deployment = path_segment(&settings.upstream_model)?;
            format!("/openai/deployments/{deployment}{operation}?api-version={version}")
        }
        Some(version) => format!("/openai/v1{operation}?api-version={version}"),
    }))
}

#[cfg(test)]
mod tests {
    use super::path;
    use crate::config::ProviderKind;
    use crate::provider::Settings;

    #[crate::test]
    fn a_version_decides_where_the_model_is_named() {
        for (version, expected) in [
            (None, "/openai/v1/chat/completions"),
            (Some("preview"), "/openai/v1/chat/completions?api-version=preview"),
            (
                Some("2024-10-21"),
                "/openai/deployments/my%2Fgpt/chat/completions?api-version=2024-10-21",
            ),
        ] {
            let settings = Settings {
                api_version: version.map(str::to_owned),
                ..Settings::of(ProviderKind::AzureOpenAi, "my/gpt")
            };
            assert_eq!(path(&settings, "/chat/completions").unwrap(), expected);
        }
        let settings = Settings::of(ProviderKind::OpenAi, "m");
        assert_eq!(path(&settings, "/embeddings").unwrap(), "/embeddings");
    }
}
