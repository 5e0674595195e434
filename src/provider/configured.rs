// SPDX-License-Identifier: Apache-2.0

//! Whether the keys of one entry of `providers` go together.

use crate::config::{Credential, CredentialScheme, Provider, ProviderKind};

/// The first key that does not go with the provider's kind, and what is wrong with it.
#[must_use]
pub fn fault(provider: &Provider) -> Option<(&'static str, String)> {
    let is_azure = provider.kind == ProviderKind::AzureOpenAi;
    if let Some(version) = &provider.api_version {
        let is_plain = version
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !is_azure {
            return Some((
                "api_version",
                "expected none for this kind of provider, found one".to_owned(),
            ));
        }
        if version.is_empty() || !is_plain {
            let expected = "expected a version such as \"2024-10-21\" or \"preview\"";
            return Some((
                "api_version",
                format!("{expected}, found \"{}\"", version.escape_debug()),
            ));
        }
    }
    if !is_azure && provider.credential_scheme.is_some() {
        return Some((
            "credential_scheme",
            "expected none for this kind of provider, found one".to_owned(),
        ));
    }
    if let Some(fault) = fault_of_access_token(provider) {
        return Some(fault);
    }
    let names_api = |endpoint: &String| endpoint.trim_end_matches('/').contains("/openai");
    if is_azure && provider.endpoint.as_ref().is_some_and(names_api) {
        let expected = "expected the resource's URL, such as \"https://NAME.openai.azure.com\"";
        return Some((
            "endpoint",
            format!("{expected}, found a path that begins with /openai"),
        ));
    }
    if provider.kind == ProviderKind::VertexAi
        && provider
            .endpoint
            .as_ref()
            .is_some_and(|endpoint| !ends_in_a_location(endpoint))
    {
        return Some((
            "endpoint",
            "expected a URL such as \"https://us-central1-aiplatform.googleapis.com/v1/projects/my-project\
             /locations/us-central1\", found one that does not end in a project and a location"
                .to_owned(),
        ));
    }
    if !provider.kind.speaks_openai() {
        let given = [
            ("output_bound_field", provider.output_bound_field.is_some()),
            ("developer_role", provider.developer_role.is_some()),
        ];
        if let Some((key, _)) = given.into_iter().find(|(_, is_given)| *is_given) {
            return Some((
                key,
                "expected none for this kind of provider, found one".to_owned(),
            ));
        }
    }
    if provider.preset.is_some() && provider.kind != ProviderKind::OpenAiCompatible {
        return Some((
            "preset",
            "expected none beside this kind of provider, found one".to_owned(),
        ));
    }
    None
}

/// What is wrong with a credential that the filter fetches. Such a token goes into `authorization`, and Google's and
/// Microsoft's are for nobody else.
fn fault_of_access_token(provider: &Provider) -> Option<(&'static str, String)> {
    let credential = provider.credential.as_ref()?;
    let (kinds, expected): (&[ProviderKind], _) = match credential {
        Credential::GcpMetadata(_) => (
            &[ProviderKind::VertexAi, ProviderKind::OpenAiCompatible],
            "`vertex_ai` or `openai_compatible` for Google's access tokens",
        ),
        Credential::AzureImds(_) => (
            &[ProviderKind::AzureOpenAi, ProviderKind::OpenAiCompatible],
            "`azure_openai` or `openai_compatible` for Microsoft's access tokens",
        ),
        Credential::Env(_) | Credential::File(_) | Credential::OAuth2(_) => return None,
    };
    if !kinds.contains(&provider.kind) {
        return Some(("kind", format!("expected {expected}, found another")));
    }
    if provider.credential_scheme == Some(CredentialScheme::ApiKey) {
        let message = "expected `bearer` for an access token, found `api_key`";
        return Some(("credential_scheme", message.to_owned()));
    }
    credential.token_request().err()
}

/// Whether a URL ends in `/projects/{project}/locations/{location}`.
fn ends_in_a_location(endpoint: &str) -> bool {
    let mut segments = endpoint.trim_end_matches('/').rsplit('/');
    let mut next = || segments.next().filter(|segment| !segment.is_empty());
    matches!(
        (next(), next(), next(), next()),
        (Some(_), Some("locations"), Some(_), Some("projects"))
    )
}

#[cfg(test)]
mod tests {
    use super::fault;
    use crate::config::Provider;
    use serde_json::{Value, json};

    fn check(more: &Value, key: Option<&str>) {
        let mut provider = json!({"kind": "azure_openai", "endpoint": "https://a.openai.azure.com"});
        provider
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let provider: Provider = serde_json::from_value(provider).unwrap();
        assert_eq!(fault(&provider).map(|(key, _)| key), key, "{more}");
    }

    #[crate::test]
    fn openai_s_words_are_for_its_language() {
        let cohere = "https://api.cohere.com";
        for (key, value) in [
            ("developer_role", json!(true)),
            ("output_bound_field", json!("max_tokens")),
        ] {
            check(
                &json!({"kind": "cohere", "endpoint": cohere, key: value}),
                Some(key),
            );
            check(&json!({"kind": "openai_compatible", key: value}), None);
        }
    }

    #[crate::test]
    fn keys_that_a_kind_does_not_take_are_faults() {
        check(&json!({"preset": "groq"}), Some("preset"));
        check(&json!({"preset": "groq", "kind": "openai_compatible"}), None);
        check(&json!({}), None);
        check(
            &json!({"api_version": "2024-10-21", "credential_scheme": "bearer"}),
            None,
        );
        check(&json!({"api_version": "preview"}), None);
        check(&json!({"api_version": "a&b=c"}), Some("api_version"));
        check(&json!({"api_version": ""}), Some("api_version"));
        check(
            &json!({"endpoint": "https://a.openai.azure.com/openai/v1"}),
            Some("endpoint"),
        );
        check(
            &json!({"kind": "openai", "api_version": "2024-10-21"}),
            Some("api_version"),
        );
        check(
            &json!({"kind": "openai", "credential_scheme": "bearer"}),
            Some("credential_scheme"),
        );
    }

    #[crate::test]
    fn an_endpoint_of_vertex_ai_ends_in_a_location() {
        for (endpoint, key) in [
            (
                "https://europe-west4-aiplatform.googleapis.com/v1/projects/p/locations/europe-west4",
                None,
            ),
            (
                "https://aiplatform.googleapis.com/v1beta1/projects/p/locations/global/",
                None,
            ),
            ("https://aiplatform.googleapis.com", Some("endpoint")),
            (
                "https://aiplatform.googleapis.com/v1/projects/p",
                Some("endpoint"),
            ),
            (
                "https://aiplatform.googleapis.com/v1/projects//locations/l",
                Some("endpoint"),
            ),
            (
                "https://aiplatform.googleapis.com/v1/projects/p/locations/l/endpoints/openapi",
                Some("endpoint"),
            ),
        ] {
            check(&json!({"kind": "vertex_ai", "endpoint": endpoint}), key);
        }
    }
}
