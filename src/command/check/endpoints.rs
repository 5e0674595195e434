// SPDX-License-Identifier: Apache-2.0

//! Base URLs whose path does not go with what is appended to it.

use super::Findings;
use crate::config::{Endpoint, Gateway, ProviderKind};

/// What a kind of provider's API looks like from its base URL.
struct Api {
    /// How the paths end that are appended.
    appended: &'static [&'static str],
    /// The vendor's host, and the path there; `None`: there is no one host.
    hosted: Option<(&'static str, &'static str)>,
    /// The version that is appended, and so does not belong to the base URL.
    version: Option<&'static str>,
}

const OPENAI: &[&str] = &["/chat/completions", "/embeddings"];

const fn api(kind: ProviderKind) -> Api {
    let (appended, hosted, version) = match kind {
        ProviderKind::Anthropic => (
            &["/messages"] as &[&str],
            Some(("api.anthropic.com", "")),
            Some("/v1"),
        ),
        ProviderKind::Cohere => (
            &["/v2/chat", "/v2/embed"] as _,
            Some(("api.cohere.com", "")),
            Some("/v2"),
        ),
        ProviderKind::Gemini => (
            &[":generateContent", ":streamGenerateContent"] as _,
            Some(("generativelanguage.googleapis.com", "/v1beta")),
            None,
        ),
        ProviderKind::AwsBedrock => (&["/converse", "/converse-stream", "/model"] as _, None, None),
        ProviderKind::AwsSageMaker => (&["/invocations"] as _, None, None),
        ProviderKind::AzureOpenAi | ProviderKind::VertexAi => (&[] as _, None, None),
        ProviderKind::Mistral => (OPENAI, Some(("api.mistral.ai", "/v1")), None),
        ProviderKind::OpenAi => (OPENAI, Some(("api.openai.com", "/v1")), None),
        ProviderKind::OpenAiCompatible => (OPENAI, None, None),
        ProviderKind::OpenRouter => (OPENAI, Some(("openrouter.ai", "/api/v1")), None),
    };
    Api {
        appended,
        hosted,
        version,
    }
}

/// Tells the base URLs that cannot be right, and those that most likely are not.
pub(super) fn judge(gateway: &Gateway, found: &mut Findings) {
    for (name, provider) in &gateway.providers {
        let Some(Ok(endpoint)) = provider.endpoint.as_deref().map(str::parse::<Endpoint>) else {
            continue;
        };
        let path = format!("providers.{name}.endpoint");
        let api = api(provider.kind);
        let appended = api.appended.iter().find(|end| endpoint.path.ends_with(*end));
        let version = api.version.filter(|version| endpoint.path.ends_with(version));
        let elsewhere = api
            .hosted
            .filter(|(host, base)| *host == endpoint.host && *base != endpoint.path);
        if let Some(end) = appended {
            let message =
                format!("expected the base URL, found one that ends in `{end}`, which is appended to it");
            found.faults.add(path, message);
        } else if let Some((host, base)) = elsewhere {
            let found_path = match endpoint.path.as_str() {
                "" => "no path".to_owned(),
                path => format!("the path `{path}`"),
            };
            let message = format!("expected `https://{host}{base}`, found {found_path}");
            found.warnings.add(path, message);
        } else if let Some(version) = version {
            let message = format!("ends in `{version}`, which is appended once more");
            found.warnings.add(path, message);
        }
    }
}
