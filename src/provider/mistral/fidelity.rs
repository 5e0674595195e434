// SPDX-License-Identifier: Apache-2.0

//! What becomes of request fields at Mistral.

use crate::config::ProviderKind;
use crate::provider::fidelity::{Contract, Fate};

/// Mistral, which refuses what it does not know.
pub(in crate::provider) const CONTRACT: Contract = Contract {
    title: "`mistral`",
    kinds: &[ProviderKind::Mistral],
    chat_model: "some-model",
    embeddings_model: "some-model",
    chat: &[
        ("model", Fate::Kept, ", or the target's `model`"),
        ("messages", Fate::Kept, ", see below"),
        ("max_completion_tokens", Fate::Mapped("max_tokens"), ""),
        ("max_tokens", Fate::Kept, ", unless the newer name is given"),
        ("n", Fate::Kept, ""),
        ("stream", Fate::Kept, ""),
        ("stream_options", Fate::LeftOut, ": usage is reported unasked"),
        ("temperature", Fate::Kept, ""),
        ("top_p", Fate::Kept, ""),
        ("top_k", Fate::Kept, ""),
        ("stop", Fate::Kept, ""),
        ("seed", Fate::Mapped("random_seed"), ""),
        ("presence_penalty", Fate::Kept, ""),
        ("frequency_penalty", Fate::Kept, ""),
        ("logit_bias", Fate::Dropped, ""),
        ("logprobs", Fate::Kept, ""),
        ("top_logprobs", Fate::Kept, ""),
        ("tools", Fate::Kept, "; absent `parameters` are added"),
        ("tool_choice", Fate::Kept, ""),
        ("parallel_tool_calls", Fate::Kept, ""),
        ("functions", Fate::Dropped, ""),
        ("function_call", Fate::Dropped, ""),
        ("response_format", Fate::Kept, ""),
        ("metadata", Fate::Kept, ""),
        ("user", Fate::Dropped, ""),
        ("safety_identifier", Fate::Dropped, ""),
        (
            "service_tier",
            Fate::Kept,
            " if `auto`; `default` is sent as `standard_only`, others are dropped",
        ),
        ("reasoning_effort", Fate::Kept, ""),
        ("prompt_cache_key", Fate::Kept, ""),
        ("prompt_cache_options", Fate::Dropped, ""),
        ("prompt_cache_retention", Fate::Dropped, ""),
        ("prediction", Fate::Kept, ""),
        ("store", Fate::Dropped, ""),
        ("verbosity", Fate::Dropped, ""),
        ("modalities", Fate::Dropped, ""),
        ("audio", Fate::Dropped, ""),
        ("web_search_options", Fate::Dropped, ""),
        ("thinking", Fate::Dropped, ""),
        ("cache_control", Fate::Dropped, ""),
        ("moderation", Fate::Dropped, ""),
    ],
    embeddings: &[
        ("model", Fate::Kept, ", or the target's `model`"),
        ("input", Fate::Kept, ""),
        ("input as ids", Fate::Refused, ""),
        ("encoding_format", Fate::Kept, ""),
        ("dimensions", Fate::Mapped("output_dimension"), ""),
        ("user", Fate::Dropped, ""),
    ],
};
