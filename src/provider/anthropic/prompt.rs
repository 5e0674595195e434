// SPDX-License-Identifier: Apache-2.0

//! The conversation: OpenAI's messages as Anthropic's instructions and turns.
//!
//! Anthropic wants instructions apart, turns whose roles alternate and begin with the user, and the answers of
//! tools at the head of the user's turn that follows their calls
//! (<https://docs.claude.com/en/docs/agents-and-tools/tool-use/implement-tool-use>). OpenAI wants none of this,
//! so messages of one side that follow each other become one turn, and a conversation that begins with the
//! assistant, or has instructions only, is given a first turn of the user's that says nothing.
//!
//! Thinking blocks are put back first and byte for byte: their signature covers them. Reasoning without a
//! signature cannot be put back and is reported.

use super::content::{Kinds, blocks, push_text};
use super::tools::call_id;
use crate::api_error::ApiError;
use crate::protocol::anthropic::messages::{Block, Blocks, Role, Turn};
use crate::protocol::openai::chat::{ChatCompletionRequest, Message, ToolCall};
use crate::provider::dropped::is_told_by_answers;
use crate::provider::tool_names::Rule;
use crate::provider::unsupported::{Place, Report, missing, unsupported};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// What the user says where Anthropic needs a turn that the client did not write.
const PLACEHOLDER: &str = ".";

/// Instructions and turns.
#[derive(Debug, Default)]
pub(super) struct Prompt<'r> {
    pub(super) system: Blocks<'r>,
    pub(super) turns: Vec<Turn<'r>>,
    /// What tools answered within the last turn, which is the user's: it goes before what else that turn says.
    answers: Vec<Block<'r>>,
}

/// The counterpart of the request's messages.
pub(super) fn prompt<'r>(
    request: &'r ChatCompletionRequest<'r>,
    report: &mut Report,
) -> Result<Prompt<'r>, ApiError> {
    let messages = request.messages.as_deref();
    let messages = messages.ok_or_else(|| missing("messages".to_owned(), "an array"))?;
    let mut prompt = Prompt::default();
    for (index, message) in messages.iter().enumerate() {
        let place = Place::element("messages", index);
        prompt.add(message, place, report)?;
    }
    prompt.complete()?;
    Ok(prompt)
}

impl<'r> Prompt<'r> {
    /// Whether the prompt ends with a tool's answer to a turn that does not begin with thinking.
    pub(super) fn lacks_thinking(&self) -> bool {
        let [.., call, answer] = self.turns.as_slice() else {
            return false;
        };
        matches!(answer.content.0.first(), Some(Block::ToolResult { .. }))
            && !matches!(call.content.0.first(), Some(Block::Thinking(_)))
    }

    fn add(&mut self, message: &'r Message<'r>, place: Place, report: &mut Report) -> Result<(), ApiError> {
        let role = message.role.as_deref();
        let role = role.ok_or_else(|| missing(place.path("role"), "a string"))?;
        report_rest(message, role, place, report)?;
        let content = || {
            let content = message.content.as_ref();
            content.ok_or_else(|| missing(place.path("content"), "a string or an array"))
        };
        let mut said = Vec::new();
        match role {
            "system" | "developer" => {
                blocks(content()?, Kinds::Text, place, report, &mut said)?;
                mark_cached(said.last_mut(), message.cache_control);
                self.system.0.append(&mut said);
            }
            "user" => {
                blocks(content()?, Kinds::Any, place, report, &mut said)?;
                mark_cached(said.last_mut(), message.cache_control);
                self.say(Role::User, said);
            }
            "assistant" => {
                assistant(message, place, report, &mut said)?;
                mark_cached(said.last_mut(), message.cache_control);
                self.say(Role::Assistant, said);
            }
            "tool" => {
                let id = message.tool_call_id.as_deref();
                let id = id.ok_or_else(|| missing(place.path("tool_call_id"), "a string"))?;
                if let Some(content) = &message.content {
                    blocks(content, Kinds::Any, place, report, &mut said)?;
                }
                self.answer(Block::ToolResult {
                    tool_use_id: call_id(id),
                    content: Blocks(said),
                    cache_control: message.cache_control,
                });
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

    fn turn(&mut self, role: Role) -> Option<&mut Vec<Block<'r>>> {
        if self.turns.last().is_none_or(|turn| turn.role != role) {
            self.place_answers();
            self.turns.push(Turn {
                role,
                content: Blocks::default(),
            });
        }
        self.turns.last_mut().map(|turn| &mut turn.content.0)
    }

    fn say(&mut self, role: Role, mut said: Vec<Block<'r>>) {
        if said.is_empty() {
            return;
        }
        if let Some(turn) = self.turn(role) {
            turn.append(&mut said);
        }
    }

    fn answer(&mut self, result: Block<'r>) {
        // The turn is opened, but the answer waits: to insert each one would move what follows every time.
        self.turn(Role::User);
        self.answers.push(result);
    }

    /// Puts the waiting answers at the head of the last turn.
    fn place_answers(&mut self) {
        if let Some(turn) = self.turns.last_mut()
            && !self.answers.is_empty()
        {
            self.answers.append(&mut turn.content.0);
            turn.content.0 = core::mem::take(&mut self.answers);
        }
    }

    fn complete(&mut self) -> Result<(), ApiError> {
        self.place_answers();
        // An answer that the model is to continue must not end in white space.
        if let Some(Turn {
            role: Role::Assistant,
            content,
        }) = self.turns.last_mut()
            && let Some(Block::Text { text, .. }) = content.0.last_mut()
        {
            *text = text.trim_end();
        }
        match self.turns.first() {
            Some(Turn { role: Role::User, .. }) => return Ok(()),
            None if self.system.0.is_empty() => {
                let message = "messages: expected at least one message with content";
                return Err(ApiError::bad_request("messages", message));
            }
            _ => {}
        }
        let text = Block::Text {
            text: PLACEHOLDER,
            cache_control: None,
        };
        let first = Turn {
            role: Role::User,
            content: Blocks(vec![text]),
        };
        self.turns.insert(0, first);
        Ok(())
    }
}

fn assistant<'r>(
    message: &'r Message<'r>,
    place: Place,
    report: &mut Report,
    said: &mut Vec<Block<'r>>,
) -> Result<(), ApiError> {
    if message.function_call.is_some() {
        return Err(unsupported(place.path("function_call")));
    }
    match message.thinking_blocks.as_deref() {
        None | Some([]) => {
            if message
                .reasoning_content
                .as_deref()
                .is_some_and(|text| !text.is_empty())
            {
                report.drop_told(place, "reasoning_content");
            }
        }
        Some(thinking) => {
            for block in thinking {
                if is_signed(block) {
                    said.push(Block::Thinking(block));
                } else {
                    report.drop_told(place, "thinking_blocks");
                }
            }
        }
    }
    if let Some(content) = &message.content {
        blocks(content, Kinds::Text, place, report, said)?;
    }
    if let Some(refusal) = &message.refusal {
        push_text(refusal, None, said);
    }
    for (number, call) in message.tool_calls.iter().flatten().enumerate() {
        said.push(tool_use(call, place.item("tool_calls", number), report)?);
    }
    Ok(())
}

/// Whether a thinking block is complete: Anthropic takes no other.
fn is_signed(block: &RawValue) -> bool {
    #[derive(Deserialize)]
    #[serde(tag = "type", rename_all = "snake_case")]
    #[expect(dead_code, reason = "only whether the members are there matters")]
    enum Signed {
        Thinking { thinking: IgnoredAny, signature: String },
        RedactedThinking { data: IgnoredAny },
    }
    match serde_json::from_str(block.get()) {
        Ok(Signed::Thinking { signature, .. }) => !signature.is_empty(),
        Ok(Signed::RedactedThinking { .. }) => true,
        Err(_) => false,
    }
}

fn tool_use<'r>(call: &'r ToolCall<'r>, place: Place, report: &mut Report) -> Result<Block<'r>, ApiError> {
    if !matches!(call.kind.as_deref(), None | Some("function")) {
        return Err(unsupported(place.path("type")));
    }
    report.drop_rest(place, &call.rest)?;
    let id = call
        .id
        .as_deref()
        .ok_or_else(|| missing(place.path("id"), "a string"))?;
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
    Ok(Block::ToolUse {
        id: call_id(id),
        name: Rule::ANTHROPIC.plain(name),
        input,
        cache_control: call.cache_control,
    })
}

/// Reports the members that have no counterpart, or none in a message of this role.
fn report_rest(message: &Message<'_>, role: &str, place: Place, report: &mut Report) -> Result<(), ApiError> {
    let is_assistant = role == "assistant";
    for given in &message.rest {
        if is_assistant && is_told_by_answers(&given.0) && given.1.get() != "[]" {
            report.drop_told(place, &given.0);
        } else {
            report.drop_rest(place, core::slice::from_ref(given))?;
        }
    }
    let present = [
        ("name", message.name.is_some()),
        ("tool_calls", !is_assistant && message.tool_calls.is_some()),
        ("tool_call_id", role != "tool" && message.tool_call_id.is_some()),
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

fn mark_cached<'r>(block: Option<&mut Block<'r>>, mark: Option<&'r RawValue>) {
    if let (Some(mark), Some(given)) = (mark, block.and_then(Block::cache_control)) {
        given.get_or_insert(mark);
    }
}
