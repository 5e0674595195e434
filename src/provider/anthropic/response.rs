// SPDX-License-Identifier: Apache-2.0

//! The whole answer: Anthropic's message as OpenAI's chat completion.
//!
//! Text blocks are joined as they stand. Blocks of server tools (searches, code execution) have no counterpart
//! and are left out; the text that rests on them, and its citations, are kept. Thinking never enters `content`.

use super::citations::annotation;
use super::error::{malformed_answer, reported_fault};
use super::stop_reason::finish_reason;
use super::usage::token_usage;
use crate::protocol::anthropic::messages::{ContentBlock, Message, ServiceTier};
use crate::protocol::json_text;
use crate::protocol::openai::completion::{
    Annotation, AnswerMessage, ChatCompletion, Choice, FinishReason, FunctionCall, ThinkingBlock, ToolCall,
    Usage,
};
use crate::provider::json_slice::{compact, text};
use crate::provider::tool_names::at_client;
use crate::provider::{Settings, Tally, UpstreamFault, UpstreamRequest};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Translates a whole answer and appends it to `out`.
pub(in crate::provider) fn translate_response(
    body: &[u8],
    settings: &Settings,
    request: &UpstreamRequest,
    out: &mut Vec<u8>,
) -> Result<Tally, UpstreamFault> {
    let message: Message<'_> = simdutf8::basic::from_utf8(body)
        .ok()
        .and_then(|text| serde_json::from_str(text).ok())
        .ok_or_else(malformed_answer)?;
    if message.kind.as_deref() == Some("error") {
        return Err(reported_fault(&message.error.unwrap_or_default()));
    }
    let content = message.content.as_deref().ok_or_else(malformed_answer)?;
    let mut answer = Answer::default();
    for block in content {
        answer
            .add(block, &request.renamed_tools)
            .ok_or_else(malformed_answer)?;
    }
    let output_bytes = answer.output_bytes;
    let refusal = message.stop_details.and_then(|details| details.explanation);
    let usage = message.usage.unwrap_or_default();
    let service_tier = usage.service_tier.and_then(ServiceTier::at_openai);
    let usage = token_usage(&usage);
    let finish_reason = message
        .stop_reason
        .as_deref()
        .map_or(FinishReason::Stop, finish_reason);
    let completion = ChatCompletion {
        id: message.id.as_deref().unwrap_or_default(),
        object: "chat.completion",
        created: settings.created,
        model: message.model.as_deref().unwrap_or(&settings.upstream_model),
        choices: vec![Choice {
            index: 0,
            message: answer.into_message(refusal),
            logprobs: None,
            finish_reason,
        }],
        usage: Usage::from(&usage),
        service_tier,
        trace: None,
    };
    json_text::write(out, &completion).map_err(|_| malformed_answer())?;
    Ok(Tally { usage, output_bytes })
}

/// What the blocks add up to.
#[derive(Default)]
struct Answer<'a> {
    text: Option<Cow<'a, str>>,
    reasoning: Option<Cow<'a, str>>,
    message: Pieces<'a>,
    /// Characters of `text`, which annotations count in.
    characters: u64,
    output_bytes: u64,
}

#[derive(Default)]
struct Pieces<'a> {
    thinking_blocks: Vec<ThinkingBlock<'a>>,
    tool_calls: Vec<ToolCall<'a>>,
    annotations: Vec<Annotation<'a>>,
    citations: Vec<&'a RawValue>,
}

impl<'a> Answer<'a> {
    /// Adds a block; `None` if it is malformed.
    fn add(
        &mut self,
        block: &'a ContentBlock<'a>,
        renamed_tools: &'a BTreeMap<String, String>,
    ) -> Option<()> {
        match &*block.kind {
            "text" => self.add_text(block)?,
            "tool_use" => {
                let arguments = match block.input {
                    Some(input) if input.get() != "null" => compact(input),
                    _ => Cow::Borrowed("{}"),
                };
                self.count(&arguments);
                self.message.tool_calls.push(ToolCall {
                    id: Cow::Borrowed(block.id.as_deref()?),
                    kind: "function",
                    function: FunctionCall {
                        name: Cow::Borrowed(at_client(renamed_tools, block.name.as_deref()?)),
                        arguments,
                    },
                    extra_content: None,
                });
            }
            "thinking" => {
                let thinking = text(block.thinking?)?;
                self.count(&thinking);
                append(&mut self.reasoning, thinking.clone());
                self.message.thinking_blocks.push(ThinkingBlock::Thinking {
                    thinking,
                    signature: Cow::Borrowed(block.signature.as_deref().unwrap_or_default()),
                });
            }
            "redacted_thinking" => self
                .message
                .thinking_blocks
                .push(ThinkingBlock::RedactedThinking {
                    data: Cow::Borrowed(block.data.as_deref()?),
                }),
            _ => {}
        }
        Some(())
    }

    fn add_text(&mut self, block: &'a ContentBlock<'a>) -> Option<()> {
        let text = text(block.text?)?;
        self.count(&text);
        let start = self.characters;
        let length = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
        self.characters = start.saturating_add(length);
        append(&mut self.text, text);
        for citation in block.citations.iter().flatten().copied() {
            match annotation(citation, (start, self.characters)) {
                Some(annotation) => self.message.annotations.push(annotation),
                None => self.message.citations.push(citation),
            }
        }
        Some(())
    }

    fn count(&mut self, text: &str) {
        let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
        self.output_bytes = self.output_bytes.saturating_add(bytes);
    }

    fn into_message(self, refusal: Option<Cow<'a, str>>) -> AnswerMessage<'a> {
        let Pieces {
            thinking_blocks,
            tool_calls,
            annotations,
            citations,
        } = self.message;
        let content = match self.text {
            None if tool_calls.is_empty() => Some(Cow::Borrowed("")),
            text => text,
        };
        AnswerMessage {
            role: "assistant",
            content,
            refusal,
            reasoning_content: self.reasoning.filter(|reasoning| !reasoning.is_empty()),
            thinking_blocks,
            tool_calls,
            annotations,
            citations,
            ..AnswerMessage::default()
        }
    }
}

fn append<'a>(whole: &mut Option<Cow<'a, str>>, piece: Cow<'a, str>) {
    match whole {
        None => *whole = Some(piece),
        Some(whole) => whole.to_mut().push_str(&piece),
    }
}

#[cfg(test)]
mod tests;
