// SPDX-License-Identifier: Apache-2.0

//! The conversation: OpenAI's messages as Bedrock's instructions and turns.
//!
//! Bedrock wants instructions apart, turns whose roles alternate and begin with the user, and the answers of tools
//! at the head of the user's turn that follows their calls
//! (<https://docs.aws.amazon.com/bedrock/latest/userguide/tool-use-inference-call.html>). OpenAI wants none of
//! this, so messages of one side that follow each other become one turn, and a conversation that begins with the
//! assistant, or has instructions only, is given a first turn of the user's that says nothing. Neither may a turn
//! show a document without a word.
//!
//! Reasoning is put back first, with the signature that covers it. Reasoning without a signature cannot be put
//! back and is reported.

use super::content::{Kinds, Parts, push_text};
use super::reasoning::put_back;
use super::{cache, family::Family};
use crate::api_error::ApiError;
use crate::protocol::bedrock::converse::{Block, CachePoint, Message, Role, SystemBlock, ToolUse};
use crate::protocol::openai::chat::{self, ChatCompletionRequest, ToolCall};
use crate::provider::dropped::is_told_by_answers;
use crate::provider::tool_names::Rule;
use crate::provider::unsupported::{Place, Report, missing, unsupported};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What the user says where Bedrock needs words that the client did not write.
const PLACEHOLDER: &str = ".";

/// Instructions and turns.
#[derive(Debug)]
pub(super) struct Prompt<'r> {
    pub(super) system: Vec<SystemBlock<'r>>,
    pub(super) turns: Vec<Message<'r>>,
    family: Family,
    parts: Parts,
    /// What tools answered within the last turn, which is the user's: it goes before what else that turn says.
    answers: Vec<Block<'r>>,
}

/// The counterpart of the request's messages.
pub(super) fn prompt<'r>(
    request: &'r ChatCompletionRequest<'r>,
    family: Family,
    report: &mut Report,
) -> Result<Prompt<'r>, ApiError> {
    let messages = request.messages.as_deref();
    let messages = messages.ok_or_else(|| missing("messages".to_owned(), "an array"))?;
    let mut prompt = Prompt {
        system: Vec::new(),
        turns: Vec::new(),
        family,
        parts: Parts::default(),
        answers: Vec::new(),
    };
    for (index, message) in messages.iter().enumerate() {
        prompt.add(message, Place::element("messages", index), report)?;
    }
    prompt.complete()?;
    Ok(prompt)
}

impl<'r> Prompt<'r> {
    /// Whether the prompt ends with a tool's answer to a turn that does not begin with reasoning.
    pub(super) fn lacks_thinking(&self) -> bool {
        let [.., call, answer] = self.turns.as_slice() else {
            return false;
        };
        matches!(answer.content.first(), Some(Block::ToolResult { .. }))
            && !matches!(call.content.first(), Some(Block::ReasoningContent(_)))
    }

    /// The names of the tools that were called, in order; a name may come again.
    pub(super) fn called(&self) -> impl Iterator<Item = &Cow<'r, str>> {
        let blocks = self.turns.iter().flat_map(|turn| &turn.content);
        blocks.filter_map(|block| match block {
            Block::ToolUse(call) => Some(&call.name),
            _ => None,
        })
    }

    /// Whether tools were called or answered: then Bedrock needs them declared.
    pub(super) fn has_tools(&self) -> bool {
        let mut blocks = self.turns.iter().flat_map(|turn| &turn.content);
        blocks.any(|block| matches!(block, Block::ToolUse(_) | Block::ToolResult { .. }))
    }

    /// All that was said so far is cached.
    pub(super) fn end_with(&mut self, point: CachePoint) {
        if let Some(turn) = self.turns.last_mut()
            && !matches!(turn.content.last(), Some(Block::CachePoint(_)))
        {
            turn.content.push(Block::CachePoint(point));
        }
    }

    fn add(
        &mut self,
        message: &'r chat::Message<'r>,
        place: Place,
        report: &mut Report,
    ) -> Result<(), ApiError> {
        let role = message.role.as_deref();
        let role = role.ok_or_else(|| missing(place.path("role"), "a string"))?;
        report_rest(message, role, place, report)?;
        let point = cache::point(message.cache_control, &message.rest);
        let content = || {
            let content = message.content.as_ref();
            content.ok_or_else(|| missing(place.path("content"), "a string or an array"))
        };
        let mut said = Vec::new();
        match role {
            "system" | "developer" => {
                self.parts
                    .blocks(content()?, Kinds::System, place, report, &mut said)?;
                end_with(&mut said, point);
                self.system
                    .extend(said.into_iter().filter_map(|block| match block {
                        Block::Text(text) => Some(SystemBlock::Text(text)),
                        Block::CachePoint(point) => Some(SystemBlock::CachePoint(point)),
                        Block::Given(given) => Some(SystemBlock::Given(given)),
                        _ => None,
                    }));
            }
            "user" => {
                self.parts
                    .blocks(content()?, Kinds::User, place, report, &mut said)?;
                end_with(&mut said, point);
                self.say(Role::User, said);
            }
            "assistant" => {
                self.assistant(message, place, report, &mut said)?;
                end_with(&mut said, point);
                self.say(Role::Assistant, said);
            }
            "tool" => {
                let id = message.tool_call_id.as_deref();
                let id = id.ok_or_else(|| missing(place.path("tool_call_id"), "a string"))?;
                if let Some(content) = &message.content {
                    self.parts
                        .blocks(content, Kinds::Result, place, report, &mut said)?;
                }
                self.answer(id, said, point);
            }
            "function" => return Err(unsupported(place.path("role"))),
            _ => {
                let path = place.path("role");
                let message = format!("{path}: expected system, developer, user, assistant or tool");
                return Err(ApiError::bad_request(None, message).with_param(path));
            }
        }
        Ok(())
    }

    fn assistant(
        &mut self,
        message: &'r chat::Message<'r>,
        place: Place,
        report: &mut Report,
        said: &mut Vec<Block<'r>>,
    ) -> Result<(), ApiError> {
        if message.function_call.is_some() {
            return Err(unsupported(place.path("function_call")));
        }
        match message.thinking_blocks.as_deref() {
            None | Some([]) => {
                let reasoning = message.reasoning_content.as_deref();
                if reasoning.is_some_and(|text| !text.is_empty()) {
                    report.drop_told(place, "reasoning_content");
                }
            }
            Some(thinking) => {
                for block in thinking {
                    match put_back(block).filter(|_| self.family.takes_reasoning()) {
                        Some(reasoning) => said.push(Block::ReasoningContent(reasoning)),
                        None => report.drop_told(place, "thinking_blocks"),
                    }
                }
            }
        }
        if let Some(content) = &message.content {
            self.parts
                .blocks(content, Kinds::Assistant, place, report, said)?;
        }
        if let Some(refusal) = &message.refusal {
            push_text(refusal, None, said);
        }
        for (number, call) in message.tool_calls.iter().flatten().enumerate() {
            let place = place.item("tool_calls", number);
            said.push(Block::ToolUse(tool_use(call, place, report)?));
            said.extend(cache::point(call.cache_control, &call.rest).map(Block::CachePoint));
        }
        Ok(())
    }

    fn turn(&mut self, role: Role) -> Option<&mut Vec<Block<'r>>> {
        if self.turns.last().is_none_or(|turn| turn.role != role) {
            self.place_answers();
            let content = Vec::new();
            self.turns.push(Message { role, content });
        }
        self.turns.last_mut().map(|turn| &mut turn.content)
    }

    fn say(&mut self, role: Role, mut said: Vec<Block<'r>>) {
        if said.is_empty() {
            return;
        }
        if let Some(turn) = self.turn(role) {
            turn.append(&mut said);
        }
    }

    /// A result holds no cache points: those that its parts ask for follow it.
    fn answer(&mut self, id: &'r str, said: Vec<Block<'r>>, point: Option<CachePoint>) {
        let is_point = |block: &Block<'_>| matches!(block, Block::CachePoint(_));
        let (mut points, content): (Vec<_>, Vec<_>) = said.into_iter().partition(is_point);
        points.truncate(1);
        if points.is_empty() {
            points.extend(point.map(Block::CachePoint));
        }
        // The turn is opened, but the answer waits: to insert each one would move what follows every time.
        self.turn(Role::User);
        self.answers.push(Block::ToolResult {
            tool_use_id: Rule::BEDROCK.plain(id),
            content,
        });
        self.answers.append(&mut points);
    }

    /// Puts the waiting answers at the head of the last turn.
    fn place_answers(&mut self) {
        if let Some(turn) = self.turns.last_mut()
            && !self.answers.is_empty()
        {
            self.answers.append(&mut turn.content);
            turn.content = core::mem::take(&mut self.answers);
        }
    }

    fn complete(&mut self) -> Result<(), ApiError> {
        self.place_answers();
        // An answer that the model is to continue must not end in white space.
        if let Some(Message {
            role: Role::Assistant,
            content,
        }) = self.turns.last_mut()
            && let Some(Block::Text(text)) = content.last_mut()
        {
            *text = text.trim_end();
        }
        for turn in &mut self.turns {
            let shows = |wanted: fn(&Block<'_>) -> bool| turn.content.iter().any(wanted);
            if shows(|block| matches!(block, Block::Document(_)))
                && !shows(|block| matches!(block, Block::Text(_)))
            {
                turn.content.push(Block::Text(PLACEHOLDER));
            }
        }
        match self.turns.first() {
            Some(Message { role: Role::User, .. }) => return Ok(()),
            None if self.system.is_empty() => {
                let message = "messages: expected at least one message with content";
                return Err(ApiError::bad_request("messages", message));
            }
            _ => {}
        }
        let first = Message {
            role: Role::User,
            content: vec![Block::Text(PLACEHOLDER)],
        };
        self.turns.insert(0, first);
        Ok(())
    }
}

/// Ends blocks with a cache point, unless they already do; of nothing there is nothing to cache.
fn end_with(blocks: &mut Vec<Block<'_>>, point: Option<CachePoint>) {
    if let Some(point) = point
        && !matches!(blocks.last(), Some(Block::CachePoint(_)) | None)
    {
        blocks.push(Block::CachePoint(point));
    }
}

fn tool_use<'r>(call: &'r ToolCall<'r>, place: Place, report: &mut Report) -> Result<ToolUse<'r>, ApiError> {
    if !matches!(call.kind.as_deref(), None | Some("function")) {
        return Err(unsupported(place.path("type")));
    }
    for member in call.rest.iter().filter(|(name, _)| &**name != cache::MEMBER) {
        report.drop_rest(place, core::slice::from_ref(member))?;
    }
    let id = call.id.as_deref();
    let id = id.ok_or_else(|| missing(place.path("id"), "a string"))?;
    let function = call.function.as_ref();
    let function = function.ok_or_else(|| missing(place.path("function"), "an object"))?;
    let name = function.name.as_deref();
    let name = name.ok_or_else(|| missing(place.path("function.name"), "a string"))?;
    let arguments = match function.arguments.as_deref() {
        Some(arguments) if !arguments.trim().is_empty() => arguments,
        _ => "{}",
    };
    let input = serde_json::from_str::<&RawValue>(arguments)
        .ok()
        .filter(|input| input.get().starts_with('{'))
        .ok_or_else(|| {
            let path = place.path("function.arguments");
            let message = format!("{path}: expected a JSON object, as text");
            ApiError::bad_request(None, message).with_param(path)
        })?;
    Ok(ToolUse {
        tool_use_id: Rule::BEDROCK.plain(id),
        name: Rule::BEDROCK.plain(name),
        input,
    })
}

/// Reports the members that have no counterpart, or none in a message of this role.
fn report_rest(
    message: &chat::Message<'_>,
    role: &str,
    place: Place,
    report: &mut Report,
) -> Result<(), ApiError> {
    let is_assistant = role == "assistant";
    for given in message.rest.iter().filter(|(name, _)| &**name != cache::MEMBER) {
        if is_assistant && is_told_by_answers(&given.0) && given.1.get() != "[]" {
            report.drop_told(place, &given.0);
        } else {
            report.drop_rest(place, core::slice::from_ref(given))?;
        }
    }
    let is_tool = role == "tool";
    let present = [
        ("name", message.name.is_some()),
        ("tool_calls", !is_assistant && message.tool_calls.is_some()),
        ("tool_call_id", !is_tool && message.tool_call_id.is_some()),
        ("refusal", !is_assistant && message.refusal.is_some()),
        (
            "reasoning_content",
            !is_assistant && message.reasoning_content.is_some(),
        ),
        (
            "thinking_blocks",
            !is_assistant && message.thinking_blocks.is_some(),
        ),
        ("function_call", !is_assistant && message.function_call.is_some()),
    ];
    present
        .into_iter()
        .filter(|(_, is_present)| *is_present)
        .try_for_each(|(member, _)| report.drop_member(place, member))
}
