// SPDX-License-Identifier: Apache-2.0

//! `providers`: who serves models, and how they are spoken to.

use super::Period;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One provider: an API, an endpoint and a credential.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The dialect that the provider speaks.
    pub kind: ProviderKind,
    /// The base URL, for example `https://api.openai.com/v1` or `https://api.anthropic.com`. The paths of the
    /// provider's own API reference are appended to it.
    pub endpoint: String,
    /// The credential that the gateway presents. Absent: none is sent, as many self-hosted servers expect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential>,
    /// A request header in which a caller may bring a credential of its own for this provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_credential_header: Option<String>,
    /// Credentials for teams, in place of the one for everybody: environment variables, by team.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub team_credentials: BTreeMap<String, Credential>,
    /// What happens to a request field that the provider has no counterpart for.
    #[serde(default)]
    pub on_unsupported: OnUnsupported,
    /// Whether the provider understands `stream_options.include_usage`, which the gateway adds so that streams
    /// report their usage. Default: true, but false for `mistral`, which reports usage unasked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_usage: Option<bool>,
    /// Output bound sent to providers that require one (Anthropic) when the client gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_max_tokens: Option<u32>,
    /// How long to wait for a TCP and TLS connection.
    #[serde(default = "default_connect_timeout")]
    pub connect_timeout: Period,
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
}

impl ProviderKind {
    /// The header that carries the provider's credential, and what stands before the credential there.
    #[must_use]
    pub const fn credential_header(self) -> (&'static str, &'static str) {
        match self {
            Self::Anthropic => ("x-api-key", ""),
            Self::Mistral | Self::OpenAi | Self::OpenAiCompatible | Self::OpenRouter => {
                ("authorization", "Bearer ")
            }
        }
    }
}

/// Where a credential is found. Never the credential itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Credential {
    /// The name of an environment variable of the Envoy process.
    Env(String),
    /// The path of a file that Envoy can read. Trailing white space is not removed: write the file without it.
    File(String),
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
