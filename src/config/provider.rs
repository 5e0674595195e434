// SPDX-License-Identifier: Apache-2.0

//! `providers`: who serves models, and how they are spoken to.

use super::{AzureImds, GcpMetadata, Period, Preset, text};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One provider: an API, an endpoint and a credential.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// A hosted service that speaks OpenAI's language: fills in `kind`, `endpoint` and `stream_usage` where they are
    /// not written, and knows which request fields the service refuses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// The dialect that the provider speaks. Required without a preset.
    #[cfg_attr(not(target_family = "wasm"), schemars(default = "no_kind"))]
    pub kind: ProviderKind,
    /// The version of Azure's API. A date, such as `2024-10-21`, is sent with the older paths that name the
    /// deployment; `preview`, or none, with `/openai/v1`. For `azure_openai` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// The base URL, for example `https://api.openai.com/v1` or `https://api.anthropic.com`. The paths of the
    /// provider's own API reference are appended to it. Required without a preset and without a region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The AWS region, for example `us-east-1`, of providers at AWS. Default: what the endpoint's host tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The credential that the gateway presents. Absent: none is sent, as many self-hosted servers expect, but
    /// requests to AWS are signed with the credentials that Envoy finds where AWS's own tools look for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential>,
    /// A request header in which a caller may bring a credential of its own for this provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_credential_header: Option<String>,
    /// Credentials for teams, in place of the one for everybody: environment variables, by team.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub team_credentials: BTreeMap<String, Credential>,
    /// What the credential is, where the provider takes several kinds: for `azure_openai` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_scheme: Option<CredentialScheme>,
    /// Whether the provider is sent the client's `baggage` header, which may hold anything that other services know of
    /// the caller.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub forward_baggage: bool,
    /// What happens to a request field that the provider has no counterpart for.
    #[serde(default)]
    pub on_unsupported: OnUnsupported,
    /// Whether the provider understands `stream_options.include_usage`, which the gateway adds so that streams
    /// report their usage. Default: true. `mistral` reports usage unasked and is never sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_usage: Option<bool>,
    /// The request field that the provider reads the output bound from, if it speaks OpenAI's language. Default:
    /// `max_completion_tokens` for `openai`, `azure_openai` and `openrouter`, else `max_tokens`, which every server knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_bound_field: Option<OutputBoundField>,
    /// Whether the provider knows messages of the role `developer`, if it speaks OpenAI's language; where it does not,
    /// they are sent as `system`. Default: true for `openai`, `azure_openai` and `openrouter`, else false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub developer_role: Option<bool>,
    /// Output bound sent to providers that require one (Anthropic) when the client gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_max_tokens: Option<u32>,
    /// How long to wait for a TCP and TLS connection.
    #[serde(default = "default_connect_timeout")]
    pub connect_timeout: Period,
}

/// With a preset an editor must not ask for this. The types do, once a preset has filled it in.
#[cfg(not(target_family = "wasm"))]
const fn no_kind() -> Option<ProviderKind> {
    None
}

fn default_connect_timeout() -> Period {
    Period::from_secs(5)
}

/// The dialects that the provider seat can translate to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    /// Anthropic's Messages API.
    Anthropic,
    /// Amazon Bedrock's Converse API.
    AwsBedrock,
    /// Amazon SageMaker endpoints whose container speaks OpenAI's Chat Completions.
    #[serde(rename = "aws_sagemaker")]
    AwsSageMaker,
    /// OpenAI's models at Azure.
    #[serde(rename = "azure_openai")]
    AzureOpenAi,
    /// Cohere's API, version 2.
    Cohere,
    /// Google's Gemini API, with a key of AI Studio.
    Gemini,
    /// Mistral's API: close to OpenAI's, with its own names for some fields.
    Mistral,
    /// OpenAI's API.
    #[serde(rename = "openai")]
    OpenAi,
    /// Any server that speaks OpenAI's Chat Completions: vLLM, llama.cpp, Ollama, Together, Groq and others.
    #[serde(rename = "openai_compatible")]
    OpenAiCompatible,
    /// OpenRouter.
    #[serde(rename = "openrouter")]
    OpenRouter,
    /// Google's Vertex AI: Gemini, and Anthropic's Claude. The endpoint ends in a project and a location.
    VertexAi,
}

/// How a credential is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CredentialScheme {
    /// In the provider's own header for keys.
    ApiKey,
    /// In `authorization`, as `Bearer`: a token of Microsoft Entra.
    Bearer,
}

/// The name of the output bound in OpenAI's language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OutputBoundField {
    /// The newer name, which OpenAI's reasoning models insist on.
    MaxCompletionTokens,
    /// The older name.
    MaxTokens,
}

impl Provider {
    /// The headers that carry the credential of some provider.
    pub const CREDENTIAL_HEADERS: [&str; 4] = ["api-key", "authorization", "x-api-key", "x-goog-api-key"];

    /// The header that carries the provider's credential, one of [`Self::CREDENTIAL_HEADERS`], and what stands before it.
    #[must_use]
    pub const fn credential_header(&self) -> (&'static str, &'static str) {
        let is_entra = matches!(self.credential, Some(Credential::AzureImds(_)));
        match self.credential_scheme {
            Some(CredentialScheme::Bearer) => ("authorization", "Bearer "),
            None if is_entra => ("authorization", "Bearer "),
            Some(CredentialScheme::ApiKey) | None => self.kind.credential_header(),
        }
    }
}

impl ProviderKind {
    /// The header that carries the provider's credential, and what stands before the credential there.
    #[must_use]
    pub const fn credential_header(self) -> (&'static str, &'static str) {
        match self {
            Self::Anthropic => ("x-api-key", ""),
            Self::AzureOpenAi => ("api-key", ""),
            Self::Gemini => ("x-goog-api-key", ""),
            Self::AwsBedrock
            | Self::AwsSageMaker
            | Self::Cohere
            | Self::Mistral
            | Self::OpenAi
            | Self::OpenAiCompatible
            | Self::OpenRouter
            | Self::VertexAi => ("authorization", "Bearer "),
        }
    }

    /// Whether it speaks OpenAI's Chat Completions, newer words or not.
    #[must_use]
    pub const fn speaks_openai(self) -> bool {
        self.keeps_to_openai() || matches!(self, Self::AwsSageMaker | Self::OpenAiCompatible)
    }

    /// Whether it speaks OpenAI's Chat Completions as OpenAI does, newer words included.
    #[must_use]
    pub const fn keeps_to_openai(self) -> bool {
        matches!(self, Self::AzureOpenAi | Self::OpenAi | Self::OpenRouter)
    }

    /// The field that bounds the output, unless the configuration names another.
    #[must_use]
    pub const fn output_bound_field(self) -> OutputBoundField {
        if self.keeps_to_openai() {
            OutputBoundField::MaxCompletionTokens
        } else {
            OutputBoundField::MaxTokens
        }
    }
}

/// Where a credential is found. Never the credential itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Credential {
    /// The name of an environment variable of the Envoy process.
    #[serde(deserialize_with = "text::variable")]
    Env(#[cfg_attr(not(target_family = "wasm"), schemars(regex(pattern = text::VARIABLE)))] String),
    /// The path of a file that Envoy can read. Trailing white space is not removed: write the file without it.
    #[serde(deserialize_with = "text::path")]
    File(#[cfg_attr(not(target_family = "wasm"), schemars(length(min = 1)))] String),
    /// An access token that Envoy fetches with a client's own credentials (RFC 6749, section 4.4), and renews.
    #[serde(rename = "oauth2")]
    OAuth2(OAuth2),
    /// An access token of the machine's own identity at Google Cloud, which the filter fetches and renews.
    GcpMetadata(GcpMetadata),
    /// An access token of the machine's managed identity at Azure, which the filter fetches and renews.
    AzureImds(AzureImds),
}

/// How Envoy gets an access token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OAuth2 {
    /// The token endpoint.
    pub token_url: String,
    /// The client's name at the authorization server.
    #[serde(deserialize_with = "text::some")]
    #[cfg_attr(not(target_family = "wasm"), schemars(length(min = 1)))]
    pub client_id: String,
    /// Where the client's secret is found.
    pub client_secret: ClientSecret,
    /// What is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
}

/// Where a client's secret is found. Never the secret itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ClientSecret {
    /// The path of a file that Envoy can read.
    #[serde(deserialize_with = "text::path")]
    #[cfg_attr(not(target_family = "wasm"), schemars(length(min = 1)))]
    pub file: String,
}

impl Credential {
    /// Whether Envoy itself adds the credential, behind the filter.
    #[must_use]
    pub const fn is_injected(&self) -> bool {
        matches!(self, Self::File(_) | Self::OAuth2(_))
    }

    /// The file with the secret that Envoy reads.
    #[must_use]
    pub const fn secret_file(&self) -> Option<&String> {
        match self {
            Self::Env(_) | Self::GcpMetadata(_) | Self::AzureImds(_) => None,
            Self::File(path) => Some(path),
            Self::OAuth2(oauth2) => Some(&oauth2.client_secret.file),
        }
    }
}

/// What happens to a request field without a counterpart in the provider's dialect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnUnsupported {
    /// The field is left out, and named in the answer's `x-tollgate-dropped` header.
    #[default]
    Drop,
    /// The request is refused with 400, and `param` names the field.
    Reject,
}
