// SPDX-License-Identifier: Apache-2.0

//! What becomes of request fields at Anthropic.

use crate::config::ProviderKind;
use crate::provider::fidelity::{CHAT_FIELDS, Clause, Contract, Fate};

/// Anthropic's own API.
pub(in crate::provider) const CONTRACT: Contract = Contract {
    title: "`anthropic`",
    kinds: &[ProviderKind::Anthropic],
    chat_model: "some-model",
    embeddings_model: "some-model",
    chat: &chat(
        ("model", Fate::Kept, ", or the target's `model`"),
        ("cache_control", Fate::Kept, ""),
    ),
    embeddings: &[],
};

/// Claude at Vertex AI.
pub(in crate::provider) const VERTEX: Contract = Contract {
    title: "`vertex_ai`, Claude",
    kinds: &[ProviderKind::VertexAi],
    chat_model: "publishers/anthropic/models/some-model",
    embeddings_model: "publishers/anthropic/models/some-model",
    chat: &chat(
        ("model", Fate::LeftOut, ": the path names it"),
        (
            "cache_control",
            Fate::Mapped("messages.0.content.0.cache_control"),
            ": on the last block",
        ),
    ),
    embeddings: &[],
};

const fn chat(model: Clause, cache_control: Clause) -> [Clause; CHAT_FIELDS.len()] {
    [
        model,
        ("messages", Fate::Mapped("messages"), " and `system`, see below"),
        ("max_completion_tokens", Fate::Mapped("max_tokens"), ""),
        (
            "max_tokens",
            Fate::Kept,
            ", unless the newer name is given; absent: `default_max_tokens`",
        ),
        ("n", Fate::Refused, " unless 1"),
        ("stream", Fate::Kept, ""),
        ("stream_options", Fate::LeftOut, ": usage is reported unasked"),
        ("temperature", Fate::Kept, " from 0 to 1, see below"),
        ("top_p", Fate::Kept, ", see below"),
        ("top_k", Fate::Kept, ", see below"),
        (
            "stop",
            Fate::Mapped("stop_sequences"),
            "; one of white space only is dropped",
        ),
        ("seed", Fate::Dropped, ""),
        ("presence_penalty", Fate::Dropped, " unless 0"),
        ("frequency_penalty", Fate::Dropped, " unless 0"),
        ("logit_bias", Fate::Dropped, " unless empty"),
        ("logprobs", Fate::Dropped, " unless false"),
        ("top_logprobs", Fate::Dropped, " unless 0"),
        ("tools", Fate::Mapped("tools"), ", see below"),
        ("tool_choice", Fate::Mapped("tool_choice.type"), ", see below"),
        (
            "parallel_tool_calls",
            Fate::Mapped("tool_choice.disable_parallel_tool_use"),
            "",
        ),
        ("functions", Fate::Refused, ""),
        ("function_call", Fate::Refused, ""),
        (
            "response_format",
            Fate::Mapped("output_config.format"),
            ", see below",
        ),
        (
            "metadata",
            Fate::Mapped("metadata.user_id"),
            "; other members are dropped",
        ),
        ("user", Fate::Mapped("metadata.user_id"), ""),
        (
            "safety_identifier",
            Fate::Mapped("metadata.user_id"),
            ", before `user`",
        ),
        (
            "service_tier",
            Fate::Kept,
            " if `auto`; `default` is sent as `standard_only`, others are dropped",
        ),
        (
            "reasoning_effort",
            Fate::Mapped("thinking"),
            " or `output_config.effort`, see below",
        ),
        ("prompt_cache_key", Fate::Dropped, ""),
        ("prompt_cache_options", Fate::Dropped, ""),
        ("prompt_cache_retention", Fate::Dropped, ""),
        ("prediction", Fate::Dropped, ""),
        ("store", Fate::Dropped, ""),
        ("verbosity", Fate::Dropped, ""),
        ("modalities", Fate::Dropped, ""),
        ("audio", Fate::Dropped, ""),
        ("web_search_options", Fate::Dropped, ""),
        ("thinking", Fate::Kept, ""),
        cache_control,
        ("moderation", Fate::Dropped, ""),
    ]
}
