// SPDX-License-Identifier: Apache-2.0

//! Reads a Messages request, refuses what Anthropic refuses, and decides on the answer.
//!
//! The checks are those that a translating gateway is likely to fail: required and unknown members, roles,
//! empty content, tool results without their call. The inside of tools and images is not validated.

use serde_json::{Map, Value, json};

use crate::anthropic::Refused;
use crate::faults::Fault;
use crate::reply::Scene;
use crate::text::{self, Prose};

const KNOWN_MEMBERS: &[&str] = &[
    "cache_control",
    "container",
    "context_management",
    "diagnostics",
    "inference_geo",
    "max_tokens",
    "mcp_servers",
    "messages",
    "metadata",
    "model",
    "output_config",
    "output_format",
    "service_tier",
    "speed",
    "stop_sequences",
    "stream",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
    "user_profile_id",
    "workspace_id",
];

/// An answer that has been decided on.
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) model: String,
    /// Input that was not read from a cache.
    pub(crate) input_tokens: u32,
    pub(crate) cached_tokens: u32,
    pub(crate) thinking: Option<Vec<String>>,
    pub(crate) signature: String,
    pub(crate) prose: Option<Prose>,
    pub(crate) tools: Vec<Tool>,
    pub(crate) stop_reason: &'static str,
    pub(crate) is_streaming: bool,
}

/// A tool that the answer uses.
pub(crate) struct Tool {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) fragments: Vec<String>,
}

impl Message {
    /// Output of the whole answer.
    pub(crate) fn output_tokens(&self) -> u32 {
        let thought = self.thinking.as_ref().map_or(0, Vec::len);
        let used: usize = self.tools.iter().map(|tool| tool.fragments.len()).sum();
        let spoken = self.prose.as_ref().map_or(0, Prose::output_tokens);
        u32::try_from(thought + used)
            .unwrap_or(u32::MAX)
            .saturating_add(spoken)
    }
}

/// Reads a request and decides on its answer.
pub(crate) fn read(body: &[u8], scene: &Scene<'_>) -> Result<Message, Refused> {
    let request = parse(body)?;
    let model = required(&request, "model")?.as_str();
    let model = model
        .ok_or_else(|| Refused::invalid("model: Input should be a valid string"))?
        .to_owned();
    let limit = required(&request, "max_tokens")?.as_u64();
    let limit = limit.ok_or_else(|| Refused::invalid("max_tokens: Input should be a valid integer"))?;
    if limit == 0 {
        return Err(Refused::invalid(
            "max_tokens: Input should be greater than or equal to 1",
        ));
    }
    let messages = checked_messages(&request)?;
    let input_tokens = text::input_tokens(prompt_bytes(&request, messages));
    let content = messages
        .iter()
        .rev()
        .find(|m| role(m) == "user")
        .and_then(|m| m.get("content"));
    let asked = content.map(text::text_of).unwrap_or_default();
    let cached_tokens = text::number_after(&asked, "cached:")
        .unwrap_or(0)
        .min(input_tokens);
    let is_thinking = match request
        .get("thinking")
        .and_then(|t| t.get("type"))
        .and_then(Value::as_str)
    {
        Some(kind) => kind != "disabled",
        None => request
            .get("output_config")
            .is_some_and(|config| config.get("effort").is_some()),
    };
    let answers_user = messages
        .last()
        .is_some_and(|last| role(last) == "user" && !has_tool_result(last));
    let tools = if answers_user {
        tools_used(&request, &asked, scene)
    } else {
        Vec::new()
    };
    let mut message = Message {
        id: format!("msg_{}", scene.ids.alphanumeric(24)),
        model,
        input_tokens: input_tokens - cached_tokens,
        cached_tokens,
        thinking: is_thinking.then(|| text::pieces("Let me think.")),
        signature: scene.ids.alphanumeric(64),
        prose: tools.is_empty().then(|| prose(&asked, scene.fault)),
        stop_reason: if tools.is_empty() { "end_turn" } else { "tool_use" },
        tools,
        is_streaming: request.get("stream") == Some(&Value::Bool(true)),
    };
    if !scene.fault.ignore_max_tokens {
        cut(&mut message, u32::try_from(limit).unwrap_or(u32::MAX));
    }
    Ok(message)
}

/// Reads a request to count its input.
pub(crate) fn count(body: &[u8]) -> Result<u32, Refused> {
    let request = parse(body)?;
    required(&request, "model")?;
    let messages = checked_messages(&request)?;
    Ok(text::input_tokens(prompt_bytes(&request, messages)))
}

fn prose(asked: &str, fault: &Fault) -> Prose {
    let mut prose = Prose::answering("Anthropic", asked);
    if let (Some(length), Prose::Pieces(pieces)) = (fault.huge_event, &mut prose) {
        pieces.insert(0, "x".repeat(length));
    }
    prose
}

/// Cuts thinking and text to `limit`; a tool's input is never cut.
fn cut(message: &mut Message, limit: u32) {
    if message.output_tokens() <= limit || !message.tools.is_empty() {
        return;
    }
    message.stop_reason = "max_tokens";
    let mut left = limit;
    if let Some(thinking) = message.thinking.as_mut() {
        thinking.truncate(left as usize);
        left = left.saturating_sub(u32::try_from(thinking.len()).unwrap_or(u32::MAX));
    }
    message.prose = message
        .prose
        .take()
        .filter(|_| left > 0)
        .map(|prose| prose.cut_to(left));
}

fn parse(body: &[u8]) -> Result<Map<String, Value>, Refused> {
    let Ok(Value::Object(request)) = serde_json::from_slice(body) else {
        return Err(Refused::invalid("The request body is not valid JSON"));
    };
    if let Some(unknown) = request
        .keys()
        .find(|name| !KNOWN_MEMBERS.contains(&name.as_str()))
    {
        return Err(Refused::invalid(format!(
            "{unknown}: Extra inputs are not permitted"
        )));
    }
    Ok(request)
}

fn required<'a>(request: &'a Map<String, Value>, name: &str) -> Result<&'a Value, Refused> {
    request
        .get(name)
        .ok_or_else(|| Refused::invalid(format!("{name}: Field required")))
}

fn role(message: &Value) -> &str {
    message.get("role").and_then(Value::as_str).unwrap_or_default()
}

fn has_tool_result(message: &Value) -> bool {
    let blocks = message.get("content").and_then(Value::as_array);
    blocks.is_some_and(|blocks| blocks.iter().any(|block| kind(block) == "tool_result"))
}

fn kind(block: &Value) -> &str {
    block.get("type").and_then(Value::as_str).unwrap_or_default()
}

fn prompt_bytes(request: &Map<String, Value>, messages: &[Value]) -> usize {
    let said: usize = messages
        .iter()
        .filter_map(|m| m.get("content"))
        .map(text::text_bytes)
        .sum();
    said + request.get("system").map_or(0, text::text_bytes)
}

fn checked_messages(request: &Map<String, Value>) -> Result<&Vec<Value>, Refused> {
    let messages = required(request, "messages")?.as_array();
    let messages = messages.ok_or_else(|| Refused::invalid("messages: Input should be a valid list"))?;
    if messages.is_empty() {
        return Err(Refused::invalid("messages: at least one message is required"));
    }
    let mut called: Vec<&str> = Vec::new();
    let last = messages.len() - 1;
    for (index, message) in messages.iter().enumerate() {
        match role(message) {
            "user" | "assistant" => {}
            other => {
                return Err(Refused::invalid(format!(
                    "messages: Unexpected role \"{other}\". Allowed roles are \"user\" or \"assistant\"."
                )));
            }
        }
        if index == 0 && role(message) != "user" {
            return Err(Refused::invalid(
                "messages: first message must use the \"user\" role",
            ));
        }
        check_content(index, message, index == last)?;
        called = check_tool_results(index, message, &called)?;
    }
    if request.get("system").is_some_and(has_empty_text) {
        return Err(Refused::invalid("system: text content blocks must be non-empty"));
    }
    Ok(messages)
}

fn check_content(index: usize, message: &Value, is_last: bool) -> Result<(), Refused> {
    let content = message.get("content");
    let content =
        content.ok_or_else(|| Refused::invalid(format!("messages.{index}.content: Field required")))?;
    let is_empty = match content {
        Value::String(text) => text.is_empty(),
        Value::Array(blocks) => blocks.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            let message = format!("messages.{index}.content: Input should be a valid list");
            return Err(Refused::invalid(message));
        }
    };
    if is_empty && !(is_last && role(message) == "assistant") {
        return Err(Refused::invalid(format!(
            "messages.{index}: all messages must have non-empty content except for the optional final \
             assistant message"
        )));
    }
    if has_empty_text(content) {
        return Err(Refused::invalid(
            "messages: text content blocks must be non-empty",
        ));
    }
    Ok(())
}

fn has_empty_text(content: &Value) -> bool {
    let is_empty = |block: &Value| kind(block) == "text" && block.get("text") == Some(&json!(""));
    content
        .as_array()
        .is_some_and(|blocks| blocks.iter().any(is_empty))
}

/// Checks results against the calls of the message before, and returns the calls of this one.
fn check_tool_results<'a>(
    index: usize,
    message: &'a Value,
    called: &[&str],
) -> Result<Vec<&'a str>, Refused> {
    let blocks = message
        .get("content")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let named = |kind_wanted: &str, member: &str| {
        let found = blocks.iter().filter(|block| kind(block) == kind_wanted);
        found
            .filter_map(|block| block.get(member).and_then(Value::as_str))
            .collect::<Vec<&'a str>>()
    };
    let results = named("tool_result", "tool_use_id");
    if let Some(stray) = results.iter().find(|id| !called.contains(id)) {
        return Err(Refused::invalid(format!(
            "messages.{index}: unexpected `tool_use_id` found in `tool_result` blocks: {stray}. Each \
             `tool_result` block must have a corresponding `tool_use` block in the previous message."
        )));
    }
    if let Some(open) = called.iter().find(|id| !results.contains(id)) {
        return Err(Refused::invalid(format!(
            "messages.{}: `tool_use` ids were found without `tool_result` blocks immediately after: {open}. \
             Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
            index.saturating_sub(1)
        )));
    }
    Ok(named("tool_use", "id"))
}

fn tools_used(request: &Map<String, Value>, asked: &str, scene: &Scene<'_>) -> Vec<Tool> {
    let first = request
        .get("tools")
        .and_then(Value::as_array)
        .and_then(|tools| tools.first());
    let Some(first) = first.and_then(|tool| tool.get("name")).and_then(Value::as_str) else {
        return Vec::new();
    };
    let choice = request.get("tool_choice");
    let member = |name: &str| choice.and_then(|choice| choice.get(name));
    let chosen = member("type").and_then(Value::as_str).unwrap_or("auto");
    let places: &[&str] = match text::places(asked) {
        _ if chosen == "none" => &[],
        [] if chosen == "any" || chosen == "tool" => &["Paris"],
        places => places,
    };
    let is_single = member("disable_parallel_tool_use") == Some(&Value::Bool(true));
    let name = member("name").and_then(Value::as_str).unwrap_or(first);
    let places = places.iter().take(if is_single { 1 } else { usize::MAX });
    places
        .map(|place| Tool {
            id: format!("toolu_{}", scene.ids.alphanumeric(24)),
            name: name.to_owned(),
            fragments: text::fragments(&json!({"location": place}).to_string()),
        })
        .collect()
}
