// SPDX-License-Identifier: Apache-2.0

//! What becomes of request fields at OpenAI and its kin.

use crate::config::ProviderKind;
use crate::provider::fidelity::{CHAT_FIELDS, Clause, Contract, EMBEDDINGS_FIELDS, Fate};

/// What only other providers know.
const FOREIGN: Fate = Fate::Dropped;

/// OpenAI itself, which refuses what is other providers' own.
pub(in crate::provider) const OPENAI: Contract = Contract {
    title: "`openai`, `azure_openai`",
    kinds: &[ProviderKind::OpenAi, ProviderKind::AzureOpenAi],
    chat_model: "some-model",
    embeddings_model: "some-model",
    chat: &chat(MODEL, ", see below", Fate::Kept, FOREIGN),
    embeddings: &embeddings(MODEL),
};

/// OpenRouter, which takes OpenAI's words and other providers' own.
pub(in crate::provider) const OPENROUTER: Contract = Contract {
    title: "`openrouter`",
    kinds: &[ProviderKind::OpenRouter],
    chat_model: "some-model",
    embeddings_model: "some-model",
    chat: &chat(MODEL, "", Fate::Kept, Fate::Kept),
    embeddings: &embeddings(MODEL),
};

/// The servers that speak OpenAI's language: what a client sends is between it and the provider.
pub(in crate::provider) const COMPATIBLE: Contract = Contract {
    title: "`openai_compatible`",
    kinds: &[ProviderKind::OpenAiCompatible],
    chat_model: "some-model",
    embeddings_model: "some-model",
    chat: &chat(MODEL, OLDER_ROLE, OLDER_BOUND, Fate::Kept),
    embeddings: &embeddings(MODEL),
};

/// The same in a container at SageMaker, whose endpoint stands for the model.
pub(in crate::provider) const SAGEMAKER: Contract = Contract {
    title: "`aws_sagemaker`",
    kinds: &[ProviderKind::AwsSageMaker],
    chat_model: "some-endpoint",
    embeddings_model: "some-endpoint",
    chat: &chat(ENDPOINT, OLDER_ROLE, OLDER_BOUND, Fate::Kept),
    embeddings: &embeddings(ENDPOINT),
};

const MODEL: Clause = ("model", Fate::Kept, ", or the target's `model`");
const ENDPOINT: Clause = ("model", Fate::LeftOut, ": the path names the endpoint");
const OLDER_BOUND: Fate = Fate::Mapped("max_tokens");
const OLDER_ROLE: &str = "; role `developer` as `system` unless `developer_role: true`";

const fn chat(model: Clause, roles: &'static str, bound: Fate, foreign: Fate) -> [Clause; CHAT_FIELDS.len()] {
    [
        model,
        ("messages", Fate::Kept, roles),
        (
            "max_completion_tokens",
            bound,
            match bound {
                Fate::Mapped(_) => " unless `output_bound_field` says otherwise",
                _ => "",
            },
        ),
        ("max_tokens", Fate::Kept, ""),
        ("n", Fate::Kept, ""),
        ("stream", Fate::Kept, ""),
        (
            "stream_options",
            Fate::Kept,
            "; `include_usage` is added to streams unless `stream_usage: false`",
        ),
        ("temperature", Fate::Kept, ""),
        ("top_p", Fate::Kept, ""),
        ("top_k", foreign, ""),
        ("stop", Fate::Kept, ""),
        ("seed", Fate::Kept, ""),
        ("presence_penalty", Fate::Kept, ""),
        ("frequency_penalty", Fate::Kept, ""),
        ("logit_bias", Fate::Kept, ""),
        ("logprobs", Fate::Kept, ""),
        ("top_logprobs", Fate::Kept, ""),
        ("tools", Fate::Kept, ""),
        ("tool_choice", Fate::Kept, ""),
        ("parallel_tool_calls", Fate::Kept, ""),
        ("functions", Fate::Kept, ""),
        ("function_call", Fate::Kept, ""),
        ("response_format", Fate::Kept, ""),
        ("metadata", Fate::Kept, ""),
        ("user", Fate::Kept, ""),
        ("safety_identifier", Fate::Kept, ""),
        ("service_tier", Fate::Kept, ""),
        ("reasoning_effort", Fate::Kept, ""),
        ("prompt_cache_key", Fate::Kept, ""),
        ("prompt_cache_options", Fate::Kept, ""),
        ("prompt_cache_retention", Fate::Kept, ""),
        ("prediction", Fate::Kept, ""),
        ("store", Fate::Kept, ""),
        ("verbosity", Fate::Kept, ""),
        ("modalities", Fate::Kept, ""),
        ("audio", Fate::Kept, ""),
        ("web_search_options", Fate::Kept, ""),
        ("thinking", foreign, ""),
        ("cache_control", foreign, ""),
        ("moderation", Fate::Kept, ""),
    ]
}

const fn embeddings(model: Clause) -> [Clause; EMBEDDINGS_FIELDS.len()] {
    [
        model,
        ("input", Fate::Kept, ""),
        ("input as ids", Fate::Kept, ""),
        ("encoding_format", Fate::Kept, ""),
        ("dimensions", Fate::Kept, ""),
        ("user", Fate::Kept, ""),
    ]
}
