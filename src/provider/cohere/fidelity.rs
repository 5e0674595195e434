// SPDX-License-Identifier: Apache-2.0

//! What becomes of request fields at Cohere.

use crate::config::ProviderKind;
use crate::provider::fidelity::{Contract, Fate};

/// Cohere, version 2.
pub(in crate::provider) const CONTRACT: Contract = Contract {
    title: "`cohere`",
    kinds: &[ProviderKind::Cohere],
    chat_model: "some-model",
    embeddings_model: "some-model",
    chat: &[
        ("model", Fate::Kept, ", or the target's `model`"),
        ("messages", Fate::Kept, ", see below"),
        ("max_completion_tokens", Fate::Mapped("max_tokens"), ""),
        ("max_tokens", Fate::Kept, ", unless the newer name is given"),
        ("n", Fate::Refused, " unless 1"),
        ("stream", Fate::Kept, ""),
        ("stream_options", Fate::LeftOut, ": usage is reported unasked"),
        ("temperature", Fate::Kept, ""),
        ("top_p", Fate::Mapped("p"), "; left out if 1"),
        ("top_k", Fate::Mapped("k"), ""),
        ("stop", Fate::Mapped("stop_sequences"), ""),
        ("seed", Fate::Kept, ""),
        ("presence_penalty", Fate::Kept, " from 0 to 1, else approximated"),
        ("frequency_penalty", Fate::Kept, " from 0 to 1, else approximated"),
        ("logit_bias", Fate::Dropped, " unless empty"),
        ("logprobs", Fate::Dropped, " unless false"),
        ("top_logprobs", Fate::Dropped, " unless 0"),
        ("tools", Fate::Kept, ", see below"),
        (
            "tool_choice",
            Fate::Approximated("tool_choice"),
            " if it names a tool, else kept",
        ),
        ("parallel_tool_calls", Fate::Dropped, " if false"),
        ("functions", Fate::Refused, ""),
        ("function_call", Fate::Refused, ""),
        ("response_format", Fate::Mapped("response_format.json_schema"), ""),
        ("metadata", Fate::Dropped, ""),
        ("user", Fate::Dropped, ""),
        ("safety_identifier", Fate::Dropped, ""),
        ("service_tier", Fate::Dropped, ""),
        ("reasoning_effort", Fate::Approximated("thinking"), ""),
        ("prompt_cache_key", Fate::Dropped, ""),
        ("prompt_cache_options", Fate::Dropped, ""),
        ("prompt_cache_retention", Fate::Dropped, ""),
        ("prediction", Fate::Dropped, ""),
        ("store", Fate::Dropped, ""),
        ("verbosity", Fate::Dropped, ""),
        ("modalities", Fate::Dropped, ""),
        ("audio", Fate::Dropped, ""),
        ("web_search_options", Fate::Dropped, ""),
        (
            "thinking",
            Fate::Kept,
            "; `budget_tokens` as `thinking.token_budget`",
        ),
        ("cache_control", Fate::Dropped, ""),
        ("moderation", Fate::Dropped, ""),
    ],
    embeddings: &[
        ("model", Fate::Kept, ", or the target's `model`"),
        (
            "input",
            Fate::Approximated("texts"),
            ", for documents unless `input_type` is given",
        ),
        ("input as ids", Fate::Refused, ""),
        ("encoding_format", Fate::LeftOut, ": the gateway sees to it"),
        ("dimensions", Fate::Mapped("output_dimension"), ""),
        ("user", Fate::Dropped, ""),
    ],
};
