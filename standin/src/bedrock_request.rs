// SPDX-License-Identifier: Apache-2.0

//! Reads a Converse request, refuses what Bedrock refuses, and decides on the answer.
//!
//! The checks are those that a translating gateway is likely to fail: unknown members, roles that do not alternate,
//! blank text, results without their call, calls without declared tools, values out of range. Messages are worded
//! as Bedrock words them.

use serde_json::{Map, Value, json};

use crate::reply::Scene;
use crate::text::{self, Prose};

const KNOWN_MEMBERS: &[&str] = &[
    "additionalModelRequestFields",
    "additionalModelResponseFieldPaths",
    "guardrailConfig",
    "inferenceConfig",
    "messages",
    "outputConfig",
    "performanceConfig",
    "promptVariables",
    "requestMetadata",
    "serviceTier",
    "system",
    "toolConfig",
];

/// Why a request is refused: 400 `ValidationException` with this message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) String);

fn refused<T>(message: impl Into<String>) -> Result<T, Refused> {
    Err(Refused(message.into()))
}

/// An answer that has been decided on.
pub(crate) struct Answer {
    /// Input that was not read from a cache.
    pub(crate) input_tokens: u32,
    pub(crate) cached_tokens: u32,
    pub(crate) thinking: Option<Vec<String>>,
    pub(crate) signature: String,
    pub(crate) prose: Option<Prose>,
    pub(crate) tools: Vec<Tool>,
    pub(crate) stop_reason: &'static str,
}

/// A tool that the answer uses.
pub(crate) struct Tool {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) fragments: Vec<String>,
}

impl Answer {
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
pub(crate) fn read(body: &[u8], scene: &Scene<'_>) -> Result<Answer, Refused> {
    let Ok(Value::Object(request)) = serde_json::from_slice(body) else {
        return refused("The provided request is not valid");
    };
    let is_unknown = |name: &&String| !KNOWN_MEMBERS.contains(&name.as_str());
    if let Some(unknown) = request.keys().find(is_unknown) {
        return refused(format!("extraneous key [{unknown}] is not permitted"));
    }
    let messages = checked_messages(&request)?;
    let limit = checked_limit(&request)?;
    let said: usize = messages
        .iter()
        .map(|message| text::text_bytes(content(message)))
        .sum();
    let input_tokens = text::input_tokens(said + request.get("system").map_or(0, text::text_bytes));
    let asked = text::text_of(messages.last().map_or(&Value::Null, content));
    let cached_tokens = text::number_after(&asked, "cached:")
        .unwrap_or(0)
        .min(input_tokens);
    let tools = tools_used(&request, messages.last(), &asked, scene);
    let is_thinking = request.get("additionalModelRequestFields").is_some_and(|fields| {
        let kind = |name: &str| {
            fields
                .get(name)
                .and_then(|field| field.get("type"))
                .and_then(Value::as_str)
        };
        [kind("thinking"), kind("reasoningConfig")]
            .iter()
            .flatten()
            .any(|kind| *kind != "disabled")
    });
    let mut answer = Answer {
        input_tokens: input_tokens - cached_tokens,
        cached_tokens,
        thinking: is_thinking.then(|| text::pieces("Let me think.")),
        signature: scene.ids.alphanumeric(64),
        prose: tools.is_empty().then(|| Prose::answering("Bedrock", &asked)),
        stop_reason: if tools.is_empty() { "end_turn" } else { "tool_use" },
        tools,
    };
    if let (Some(length), Some(Prose::Pieces(pieces))) = (scene.fault.huge_event, &mut answer.prose) {
        pieces.insert(0, "x".repeat(length));
    }
    if !scene.fault.ignore_max_tokens {
        cut(&mut answer, limit);
    }
    Ok(answer)
}

/// Cuts the text to `limit`; a tool's input is never cut.
fn cut(answer: &mut Answer, limit: u32) {
    let thought = answer.thinking.as_ref().map_or(0, Vec::len);
    let left = limit.saturating_sub(u32::try_from(thought).unwrap_or(u32::MAX));
    if answer.output_tokens() > limit
        && let Some(prose) = answer.prose.take()
    {
        answer.stop_reason = "max_tokens";
        answer.prose = Some(prose.cut_to(left));
    }
}

fn checked_limit(request: &Map<String, Value>) -> Result<u32, Refused> {
    let config = request.get("inferenceConfig");
    let member = |name: &str| config.and_then(|config| config.get(name));
    for (name, largest) in [("temperature", 1.0), ("topP", 1.0)] {
        if member(name).is_some_and(|value| {
            !value
                .as_f64()
                .is_some_and(|value| (0.0..=largest).contains(&value))
        }) {
            return refused(format!(
                "Value at 'inferenceConfig.{name}' failed to satisfy constraint: Member must have value less than \
                 or equal to 1"
            ));
        }
    }
    match member("maxTokens") {
        None => Ok(u32::MAX),
        Some(limit) => match limit.as_u64() {
            Some(limit) if limit > 0 => Ok(u32::try_from(limit).unwrap_or(u32::MAX)),
            _ => refused(
                "Value at 'inferenceConfig.maxTokens' failed to satisfy constraint: Member must have value greater \
                 than or equal to 1",
            ),
        },
    }
}

fn content(message: &Value) -> &Value {
    message.get("content").unwrap_or(&Value::Null)
}

fn blocks(message: &Value) -> &[Value] {
    content(message).as_array().map_or(&[], Vec::as_slice)
}

fn checked_messages(request: &Map<String, Value>) -> Result<&Vec<Value>, Refused> {
    let Some(messages) = request
        .get("messages")
        .and_then(Value::as_array)
        .filter(|m| !m.is_empty())
    else {
        return refused("The conversation must have at least one message.");
    };
    let mut role_before = "assistant";
    let mut called: Vec<&str> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let role = message.get("role").and_then(Value::as_str).unwrap_or_default();
        if !["user", "assistant"].contains(&role) || role == role_before {
            return refused(
                "A conversation must alternate between user and assistant roles. Make sure the conversation \
                 alternates between user and assistant roles and try again.",
            );
        }
        role_before = role;
        if blocks(message).is_empty() {
            return refused(format!(
                "The content field in the Message object at messages.{index} is empty. Add a ContentBlock object to \
                 the content field and try again."
            ));
        }
        check_text(index, message)?;
        let named = |block: &str, member: &str| -> Vec<&str> {
            let found = blocks(message).iter().filter_map(|found| found.get(block));
            found
                .filter_map(|found| found.get(member).and_then(Value::as_str))
                .collect()
        };
        let results = named("toolResult", "toolUseId");
        if results.iter().any(|id| !called.contains(id)) || called.iter().any(|id| !results.contains(id)) {
            return refused(format!(
                "The number of toolResult blocks at messages.{index}.content exceeds the number of toolUse blocks of \
                 previous turn, or falls short of it."
            ));
        }
        called = named("toolUse", "toolUseId");
        if (!called.is_empty() || !results.is_empty()) && request.get("toolConfig").is_none() {
            return refused(
                "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
            );
        }
    }
    Ok(messages)
}

fn check_text(index: usize, message: &Value) -> Result<(), Refused> {
    for (number, block) in blocks(message).iter().enumerate() {
        let text = block.get("text").and_then(Value::as_str);
        if text.is_some_and(|text| text.trim().is_empty()) {
            return refused(format!(
                "The text field in the ContentBlock object at messages.{index}.content.{number} is blank. Add text \
                 to the text field, and try again."
            ));
        }
    }
    let shows = |kind: &str| blocks(message).iter().any(|block| block.get(kind).is_some());
    if shows("document") && !shows("text") {
        return refused("A text block must be included in a message that contains a document.");
    }
    Ok(())
}

fn tools_used(
    request: &Map<String, Value>,
    last: Option<&Value>,
    asked: &str,
    scene: &Scene<'_>,
) -> Vec<Tool> {
    let is_answered =
        last.is_some_and(|last| blocks(last).iter().any(|block| block.get("toolResult").is_some()));
    let config = request.get("toolConfig").filter(|_| !is_answered);
    let tools = config
        .and_then(|config| config.get("tools"))
        .and_then(Value::as_array);
    let first = tools.and_then(|tools| tools.first()?.get("toolSpec")?.get("name")?.as_str());
    let Some(first) = first else {
        return Vec::new();
    };
    let choice = config.and_then(|config| config.get("toolChoice"));
    let chosen = choice.and_then(|choice| choice.get("tool")?.get("name")?.as_str());
    let must = chosen.is_some() || choice.is_some_and(|choice| choice.get("any").is_some());
    let places: &[&str] = match text::places(asked) {
        [] if must => &["Paris"],
        places => places,
    };
    places
        .iter()
        .map(|place| Tool {
            id: format!("tooluse_{}", scene.ids.alphanumeric(22)),
            name: chosen.unwrap_or(first).to_owned(),
            fragments: text::fragments(&json!({"location": place}).to_string()),
        })
        .collect()
}

#[cfg(test)]
#[path = "bedrock_tests.rs"]
mod tests;
