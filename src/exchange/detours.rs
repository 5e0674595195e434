// SPDX-License-Identifier: Apache-2.0

//! Request fields that would get around what a request is judged by.
//!
//! OpenAI's API has none of them, but servers that speak it have, and a translator passes on what it does not know.
//! Each is refused only where something depends on it: whoever has no limit or no rule may use them.

use crate::api_error::ApiError;
use crate::protocol::json_object::unescape;
use crate::protocol::openai::envelope::ChatEnvelope;

/// Other names for the output bound, and for the number of answers that are written: llama.cpp's, TGI's, Ollama's and
/// vLLM's. Where one of them stands beside `max_tokens`, it is the one that counts.
const OUTPUT_BOUNDS: [&str; 5] = [
    "n_predict",
    "num_predict",
    "max_new_tokens",
    "min_tokens",
    "best_of",
];

/// Models to be tried in place of the one that was asked for: OpenRouter's
/// (<https://openrouter.ai/docs/guides/routing/model-fallbacks>) and LiteLLM's.
const OTHER_MODELS: [&str; 2] = ["models", "fallbacks"];

/// What of a request would get around its judgement.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Detours {
    output_bound: Option<&'static str>,
    other_models: Option<&'static str>,
    has_dearer_tier: bool,
}

/// What a request is judged by.
#[derive(Clone, Copy)]
pub(super) struct Judged {
    /// Whether a limit counts its output.
    pub(super) by_output: bool,
    /// Whether anything depends on its model: a price or a rule.
    pub(super) by_model: bool,
    /// Whether a budget applies.
    pub(super) by_price: bool,
}

impl Detours {
    pub(super) fn find(envelope: &ChatEnvelope<'_>, body: &[u8]) -> Self {
        let mut found = Self::default();
        for field in &envelope.fields {
            let named = |names: &[&'static str]| names.iter().find(|name| **name == field.key).copied();
            let value = || body.get(field.span.clone()).unwrap_or_default();
            if let Some(name) = named(&OUTPUT_BOUNDS) {
                found.output_bound = Some(name).filter(|_| value() != b"null").or(found.output_bound);
            } else if let Some(name) = named(&OTHER_MODELS) {
                let is_empty = matches!(value(), b"null" | b"[]");
                found.other_models = Some(name).filter(|_| !is_empty).or(found.other_models);
            } else if field.key == "service_tier" {
                found.has_dearer_tier = is_dearer(value());
            }
        }
        found
    }

    /// Whether there is nothing to look into.
    pub(super) const fn is_none(self) -> bool {
        self.output_bound.is_none() && self.other_models.is_none() && !self.has_dearer_tier
    }

    /// Refuses what would get around the judgement.
    pub(super) fn check(self, judged: Judged) -> Result<(), ApiError> {
        if let Some(name) = self.output_bound.filter(|_| judged.by_output) {
            let message = format!(
                "{name}: expected no such field, because a limit counts the output. Use max_completion_tokens."
            );
            return Err(ApiError::bad_request(name, message));
        }
        if let Some(name) = self.other_models.filter(|_| judged.by_model) {
            let message = format!(
                "{name}: expected no such field, because what you may use and what it costs depends on the model. \
                 Ask for one of them."
            );
            return Err(ApiError::bad_request(name, message));
        }
        if self.has_dearer_tier && judged.by_price {
            let message = "service_tier: expected another than \"priority\" or \"fast\", whose price the budget does not know.";
            return Err(ApiError::bad_request("service_tier", message));
        }
        Ok(())
    }
}

/// `fast` is OpenAI's other word for the same
/// (<https://platform.openai.com/docs/api-reference/chat/create#chat-create-service_tier>).
fn is_dearer(value: &[u8]) -> bool {
    let text = core::str::from_utf8(value)
        .ok()
        .filter(|text| text.starts_with('"'));
    let is = |tier: &str| {
        ["fast", "priority"]
            .iter()
            .any(|dear| tier.eq_ignore_ascii_case(dear))
    };
    text.is_some_and(|text| unescape(text).is_ok_and(|tier| is(&tier)))
}
