// SPDX-License-Identifier: Apache-2.0

//! What every translator owes the gateway, whatever its dialect.

use super::{Settings, translate_request};
use crate::config::ProviderKind::{
    self, Anthropic, AwsBedrock, AwsSageMaker, AzureOpenAi, Cohere, Gemini, Mistral, OpenAi,
    OpenAiCompatible, OpenRouter, VertexAi,
};

const KINDS: [ProviderKind; 11] = [
    Anthropic,
    AwsBedrock,
    AwsSageMaker,
    AzureOpenAi,
    Cohere,
    Gemini,
    Mistral,
    OpenAi,
    OpenAiCompatible,
    OpenRouter,
    VertexAi,
];

/// A new kind has to be added to the list.
const fn is_listed(kind: ProviderKind) -> bool {
    match kind {
        Anthropic | AwsBedrock | AwsSageMaker | AzureOpenAi | Cohere | Gemini | Mistral | OpenAi
        | OpenAiCompatible | OpenRouter | VertexAi => true,
    }
}

/// The numbers in a JSON text.
fn numbers(json: &[u8]) -> Vec<u64> {
    let text = core::str::from_utf8(json).unwrap();
    let runs = text.split(|c: char| !c.is_ascii_digit());
    runs.filter_map(|run| run.parse().ok()).collect()
}

#[crate::test]
fn every_dialect_carries_the_bound_that_limits_set() {
    for kind in KINDS {
        assert!(is_listed(kind));
        for (asked, bound) in [
            ("", 777),
            (r#","max_tokens":9999"#, 777),
            (r#","max_completion_tokens":9999"#, 777),
            (r#","max_tokens":555"#, 555),
        ] {
            let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"Hi"}}]{asked}}}"#);
            let settings = Settings {
                max_output_tokens: Some(777),
                ..Settings::of(kind, "some-model")
            };
            let mut out = Vec::new();
            translate_request(body.as_bytes(), &settings, &mut out).unwrap();
            let found = numbers(&out);
            assert!(
                found.contains(&bound) && !found.contains(&9999),
                "{kind:?} {asked}: {found:?}"
            );
        }
    }
}
