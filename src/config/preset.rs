// SPDX-License-Identifier: Apache-2.0

//! Hosted services that speak OpenAI's language, as data: where they are, and what they do not take.
//!
//! A preset fills in the keys of an entry of `providers` that are not written there. To add one, add a word to
//! [`Preset`] and its facts to [`Preset::facts`], with a link to where the service states them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Cerebras Inference.
    Cerebras,
    /// `DeepSeek`.
    Deepseek,
    /// Fireworks AI.
    Fireworks,
    /// Groq.
    Groq,
    /// NVIDIA's hosted NIM.
    Nvidia,
    /// Perplexity.
    Perplexity,
    /// Together AI.
    Together,
    /// xAI.
    Xai,
}

/// What is known of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The base URL.
    pub endpoint: &'static str,
    /// Whether it takes `stream_options.include_usage`. Those that do not report usage unasked.
    pub stream_usage: bool,
    /// Request fields that it answers with an error: members of the request, those of messages as `messages[].name`,
    /// and `n` for a service that gives one answer only.
    pub unsupported: &'static [&'static str],
}

const fn takes_all(endpoint: &'static str) -> Facts {
    Facts {
        endpoint,
        stream_usage: true,
        unsupported: &[],
    }
}

impl Preset {
    /// What is known of it.
    #[must_use]
    pub const fn facts(self) -> Facts {
        match self {
            // https://inference-docs.cerebras.ai/resources/openai
            Self::Cerebras => Facts {
                unsupported: &["frequency_penalty", "logit_bias", "presence_penalty"],
                ..takes_all("https://api.cerebras.ai/v1")
            },
            // https://api-docs.deepseek.com/api/create-chat-completion
            Self::Deepseek => takes_all("https://api.deepseek.com/v1"),
            // https://docs.fireworks.ai/tools-sdks/openai-compatibility
            Self::Fireworks => takes_all("https://api.fireworks.ai/inference/v1"),
            // https://console.groq.com/docs/openai
            Self::Groq => Facts {
                unsupported: &["logit_bias", "logprobs", "messages[].name", "n", "top_logprobs"],
                ..takes_all("https://api.groq.com/openai/v1")
            },
            // https://docs.api.nvidia.com/nim/reference/llm-apis
            Self::Nvidia => takes_all("https://integrate.api.nvidia.com/v1"),
            // https://docs.perplexity.ai/guides/chat-completions-guide
            Self::Perplexity => Facts {
                stream_usage: false,
                ..takes_all("https://api.perplexity.ai")
            },
            // https://docs.together.ai/docs/openai-api-compatibility
            Self::Together => takes_all("https://api.together.xyz/v1"),
            // https://docs.x.ai/docs/api-reference
            Self::Xai => takes_all("https://api.x.ai/v1"),
        }
    }
}

/// Fills in what the presets of `providers` say, where the tree says nothing itself. What is no preset is left for
/// the types to refuse.
pub(super) fn expand(providers: Option<&mut Value>) {
    let Some(Value::Object(providers)) = providers else {
        return;
    };
    for provider in providers.values_mut() {
        if let Value::Object(keys) = provider {
            expand_one(keys);
        }
    }
}

/// The same for one entry.
pub(super) fn expand_one(keys: &mut Map<String, Value>) {
    let Some(preset) = keys.get("preset").and_then(|name| Preset::deserialize(name).ok()) else {
        return;
    };
    let facts = preset.facts();
    let mut fill = |key: &str, value: Value| {
        keys.entry(key).or_insert(value);
    };
    fill("kind", "openai_compatible".into());
    fill("endpoint", facts.endpoint.into());
    fill("stream_usage", facts.stream_usage.into());
}

#[cfg(test)]
mod tests {
    use super::{Preset, expand};
    use crate::config::Endpoint;
    use serde_json::json;

    #[crate::test]
    fn every_preset_has_an_endpoint_over_tls() {
        // What serde says of a word that is none names all that are.
        let error = serde_json::from_value::<Preset>("".into())
            .unwrap_err()
            .to_string();
        let words: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
        assert!(words.contains(&"xai"), "{error}");
        for word in words {
            let preset: Preset = serde_json::from_value(word.into()).unwrap();
            let endpoint: Endpoint = preset.facts().endpoint.parse().unwrap();
            assert!(endpoint.is_tls, "{preset:?}");
        }
    }

    #[crate::test]
    fn what_is_written_wins_over_the_preset() {
        let mut tree = json!({
            "a": {"preset": "groq"},
            "b": {"preset": "groq", "endpoint": "http://127.0.0.1:1/v1", "stream_usage": false},
            "c": {"preset": "nobody"},
            "d": 7,
        });
        expand(Some(&mut tree));
        assert_eq!(
            tree["a"],
            json!({"preset": "groq", "kind": "openai_compatible", "endpoint": "https://api.groq.com/openai/v1", "stream_usage": true})
        );
        assert_eq!(tree["b"]["endpoint"], "http://127.0.0.1:1/v1");
        assert_eq!(
            (&tree["b"]["stream_usage"], &tree["c"]),
            (&json!(false), &json!({"preset": "nobody"}))
        );
    }
}
