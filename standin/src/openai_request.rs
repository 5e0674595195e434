// SPDX-License-Identifier: Apache-2.0

//! Reads a chat completion request, refuses what OpenAI refuses, and decides on the answer.

use serde_json::{Map, Value, json};

use crate::faults::Fault;
use crate::openai::invalid;
use crate::reply::{Reply, Scene};
use crate::text::{self, Prose};

const KNOWN_MEMBERS: &[&str] = &[
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "modalities",
    "model",
    "moderation",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    "web_search_options",
];

/// A tool call of the answer.
pub(crate) struct ToolCall {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) fragments: Vec<String>,
}

/// An answer that has been decided on.
pub(crate) struct Completion {
    pub(crate) id: String,
    pub(crate) model: String,
    pub(crate) created: u64,
    pub(crate) input_tokens: u32,
    pub(crate) cached_tokens: u32,
    pub(crate) choices: u32,
    pub(crate) prose: Option<Prose>,
    pub(crate) calls: Vec<ToolCall>,
    pub(crate) finish_reason: &'static str,
    pub(crate) is_streaming: bool,
    pub(crate) includes_usage: bool,
    pub(crate) shows_usage: bool,
}

impl Completion {
    /// Reads a request and decides on its answer, or refuses it as OpenAI does.
    pub(crate) fn read(request: &Map<String, Value>, scene: &Scene<'_>) -> Result<Self, Reply> {
        check_members(request, scene)?;
        let model = request.get("model").and_then(Value::as_str);
        let model = model
            .ok_or_else(|| invalid(scene, "you must provide a model parameter", None, None))?
            .to_owned();
        let missing = || {
            let message = "Missing required parameter: 'messages'.";
            invalid(
                scene,
                message,
                Some("messages"),
                Some("missing_required_parameter"),
            )
        };
        let messages = request
            .get("messages")
            .and_then(Value::as_array)
            .ok_or_else(missing)?;
        if messages.is_empty() {
            let message = "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an \
                           empty array instead.";
            return Err(invalid(scene, message, Some("messages"), Some("empty_array")));
        }
        let content = |message: &Value| message.get("content").cloned().unwrap_or_default();
        let bytes = messages
            .iter()
            .map(|message| text::text_bytes(&content(message)))
            .sum();
        let is_user = |message: &&Value| message.get("role").and_then(Value::as_str) == Some("user");
        let asked = messages
            .iter()
            .rev()
            .find(is_user)
            .map(|m| text::text_of(&content(m)))
            .unwrap_or_default();
        let is_last_from_user = messages.last().as_ref().is_some_and(is_user);
        let input_tokens = text::input_tokens(bytes);
        let flag = |pointer: &str| {
            request
                .get("stream_options")
                .and_then(|options| options.get(pointer))
                .and_then(Value::as_bool)
        };
        let mut completion = Self {
            id: format!("chatcmpl-{}", scene.ids.alphanumeric(29)),
            model,
            created: scene.unix_now,
            input_tokens,
            cached_tokens: text::number_after(&asked, "cached:")
                .unwrap_or(0)
                .min(input_tokens),
            choices: request
                .get("n")
                .and_then(Value::as_u64)
                .map_or(1, |n| n.clamp(1, 128) as u32),
            prose: None,
            calls: if is_last_from_user {
                tool_calls(request, &asked, scene)
            } else {
                Vec::new()
            },
            finish_reason: "tool_calls",
            is_streaming: request.get("stream") == Some(&Value::Bool(true)),
            includes_usage: flag("include_usage") == Some(true) && !scene.fault.no_usage,
            shows_usage: !scene.fault.no_usage,
        };
        if completion.calls.is_empty() {
            completion.speak(request, &asked, scene.fault);
        }
        Ok(completion)
    }

    fn speak(&mut self, request: &Map<String, Value>, asked: &str, fault: &Fault) {
        let mut prose = Prose::answering("OpenAI", asked);
        if let (Some(length), Prose::Pieces(pieces)) = (fault.huge_event, &mut prose) {
            pieces.insert(0, "x".repeat(length));
        }
        let limit = ["max_completion_tokens", "max_tokens"]
            .into_iter()
            .find_map(|name| request.get(name).and_then(Value::as_u64))
            .map(|limit| u32::try_from(limit).unwrap_or(u32::MAX))
            .filter(|limit| *limit < prose.output_tokens() && !fault.ignore_max_tokens);
        self.finish_reason = if limit.is_some() { "length" } else { "stop" };
        self.prose = Some(prose.cut_to(limit.unwrap_or(u32::MAX)));
    }
}

fn tool_calls(request: &Map<String, Value>, asked: &str, scene: &Scene<'_>) -> Vec<ToolCall> {
    let choice = request.get("tool_choice");
    let tools = request.get("tools").and_then(Value::as_array);
    let first = tools.and_then(|tools| tools.first());
    let Some(first) = first
        .and_then(|tool| tool.pointer("/function/name"))
        .and_then(Value::as_str)
    else {
        return Vec::new();
    };
    let named = choice
        .and_then(|choice| choice.pointer("/function/name"))
        .and_then(Value::as_str);
    let is_required = named.is_some() || choice.and_then(Value::as_str) == Some("required");
    let places: &[&str] = match text::places(asked) {
        _ if choice.and_then(Value::as_str) == Some("none") => &[],
        [] if is_required => &["Paris"],
        places => places,
    };
    let is_parallel = request.get("parallel_tool_calls") != Some(&Value::Bool(false));
    let places = places.iter().take(if is_parallel { usize::MAX } else { 1 });
    places
        .map(|place| ToolCall {
            id: format!("call_{}", scene.ids.alphanumeric(24)),
            name: named.unwrap_or(first).to_owned(),
            fragments: text::fragments(&json!({"location": place}).to_string()),
        })
        .collect()
}

fn check_members(request: &Map<String, Value>, scene: &Scene<'_>) -> Result<(), Reply> {
    if let Some(unknown) = request
        .keys()
        .find(|name| !KNOWN_MEMBERS.contains(&name.as_str()))
    {
        let message = format!("Unrecognized request argument supplied: {unknown}");
        return Err(invalid(scene, &message, None, None));
    }
    let is_given = |name| request.get(name).is_some_and(|value| !value.is_null());
    if is_given("max_tokens") && is_given("max_completion_tokens") {
        let message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.";
        return Err(invalid(
            scene,
            message,
            Some("max_tokens"),
            Some("invalid_parameter_combination"),
        ));
    }
    if is_given("stream_options") && request.get("stream") != Some(&Value::Bool(true)) {
        let message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
        return Err(invalid(scene, message, Some("stream_options"), None));
    }
    Ok(())
}
