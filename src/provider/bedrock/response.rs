// SPDX-License-Identifier: Apache-2.0

//! The whole answer: Bedrock's message as OpenAI's chat completion.
//!
//! Text blocks, cited or not, are joined as they stand. Blocks of tools that Bedrock runs itself have no
//! counterpart and are left out. Reasoning never enters `content`. Bedrock's answers have neither an id nor the
//! model's name: the one is the exchange's, the other the name that was asked for, or that a prompt router tells.

use super::citations::annotation;
use super::error::{disguised_fault, malformed_answer};
use super::media::mime_type;
use super::reasoning::{decode, redacted};
use super::stop_reason::finish_reason;
use super::usage::token_usage;
use crate::protocol::bedrock::answer::{
    CitationsContent, ContentBlock, ConverseResponse, Media, ReasoningContent, ServiceTier, ToolUse, Trace,
};
use crate::protocol::json_text;
use crate::protocol::openai::completion::{
    Annotation, AnswerMessage, ChatCompletion, Choice, FinishReason, FunctionCall, Image, ThinkingBlock,
    ToolCall, Usage,
};
use crate::provider::json_slice::{compact, text};
use crate::provider::sound::audio;
use crate::provider::tool_names::at_client;
use crate::provider::{Settings, Tally, UpstreamFault, UpstreamRequest};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Translates a whole answer and appends it to `out`.
pub(super) fn translate_response(
    body: &[u8],
    settings: &Settings,
    request: &UpstreamRequest,
    out: &mut Vec<u8>,
) -> Result<Tally, UpstreamFault> {
    let malformed = || disguised_fault(body).unwrap_or_else(malformed_answer);
    let response: ConverseResponse<'_> = serde_json::from_slice(body).map_err(|_| malformed())?;
    let message = response
        .output
        .as_ref()
        .and_then(|output| output.message.as_ref());
    let content = message.and_then(|message| message.content.as_deref());
    let mut answer = Answer::new(&request.renamed_tools);
    for block in content.ok_or_else(malformed)? {
        answer.add(block).ok_or_else(malformed_answer)?;
    }
    let output_bytes = answer.output_bytes;
    let usage = token_usage(&response.usage.unwrap_or_default());
    let trace: Option<Trace<'_>> = response
        .trace
        .and_then(|trace| serde_json::from_str(trace.get()).ok());
    let invoked = trace.and_then(|trace| trace.prompt_router?.invoked_model_id);
    let completion = ChatCompletion {
        id: &settings.answer_id,
        object: "chat.completion",
        created: settings.created,
        model: invoked.as_deref().unwrap_or(&settings.upstream_model),
        choices: vec![Choice {
            index: 0,
            message: answer.into_message(settings),
            logprobs: None,
            finish_reason: response
                .stop_reason
                .as_deref()
                .map_or(FinishReason::Stop, finish_reason),
        }],
        usage: Usage::from(&usage),
        service_tier: response.service_tier.and_then(ServiceTier::at_openai),
        trace: response.trace,
    };
    json_text::write(out, &completion).map_err(|_| malformed_answer())?;
    Ok(Tally { usage, output_bytes })
}

/// What the blocks add up to.
struct Answer<'a> {
    renamed_tools: &'a BTreeMap<String, String>,
    text: Option<Cow<'a, str>>,
    reasoning: Option<Cow<'a, str>>,
    thinking_blocks: Vec<ThinkingBlock<'a>>,
    tool_calls: Vec<ToolCall<'a>>,
    annotations: Vec<Annotation<'a>>,
    citations: Vec<&'a RawValue>,
    images: Vec<Image<'a>>,
    /// Pieces of sound, in base64, and their format.
    sound: Vec<&'a str>,
    sound_format: &'a str,
    /// Characters of `text`, which annotations count in.
    characters: u64,
    output_bytes: u64,
}

impl<'a> Answer<'a> {
    const fn new(renamed_tools: &'a BTreeMap<String, String>) -> Self {
        Self {
            renamed_tools,
            text: None,
            reasoning: None,
            thinking_blocks: Vec::new(),
            tool_calls: Vec::new(),
            annotations: Vec::new(),
            citations: Vec::new(),
            images: Vec::new(),
            sound: Vec::new(),
            sound_format: "",
            characters: 0,
            output_bytes: 0,
        }
    }

    /// Adds a block; `None` if it is malformed.
    fn add(&mut self, block: &'a ContentBlock<'a>) -> Option<()> {
        if let Some(raw) = block.text {
            self.add_text(text(raw)?);
        }
        if let Some(call) = block.tool_use.as_ref().filter(|call| !call.is_server_s()) {
            self.add_call(call)?;
        }
        if let Some(reasoning) = &block.reasoning_content {
            self.add_reasoning(reasoning)?;
        }
        if let Some(cited) = &block.citations_content {
            self.add_cited(cited)?;
        }
        if let Some(image) = &block.image {
            self.add_image(image)?;
        }
        if let Some(sound) = &block.audio
            && let Some(source) = &sound.source
        {
            self.sound.extend(source.bytes.as_deref());
            self.sound_format = sound.format.as_deref().unwrap_or_default();
        }
        Some(())
    }

    fn add_text(&mut self, text: Cow<'a, str>) {
        self.count(&text);
        let length = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
        self.characters = self.characters.saturating_add(length);
        append(&mut self.text, text);
    }

    fn add_cited(&mut self, cited: &'a CitationsContent<'a>) -> Option<()> {
        let start = self.characters;
        for piece in cited.content.iter().flatten() {
            if let Some(raw) = piece.text {
                self.add_text(text(raw)?);
            }
        }
        for citation in cited.citations.iter().flatten().copied() {
            match annotation(citation, (start, self.characters)) {
                Some(annotation) => self.annotations.push(annotation),
                None => self.citations.push(citation),
            }
        }
        Some(())
    }

    fn add_image(&mut self, image: &'a Media<'a>) -> Option<()> {
        let index = u32::try_from(self.images.len()).ok()?;
        let source = image.source.as_ref()?;
        self.images.push(match (&source.bytes, &source.s3_location) {
            (Some(base64), _) => {
                let mime_type = mime_type("image", image.format.as_deref()?)?;
                Image::inline(&mime_type, base64, index)
            }
            (None, Some(object)) => Image::at(Cow::Borrowed(&object.uri), index),
            (None, None) => return Some(()),
        });
        Some(())
    }

    fn add_call(&mut self, call: &'a ToolUse<'a>) -> Option<()> {
        let arguments = match call.input {
            Some(input) if input.get() != "null" => compact(input),
            _ => Cow::Borrowed("{}"),
        };
        self.count(&arguments);
        let name = call.name.as_deref()?;
        let name = at_client(self.renamed_tools, name);
        self.tool_calls.push(ToolCall {
            id: Cow::Borrowed(call.tool_use_id.as_deref()?),
            kind: "function",
            function: FunctionCall {
                name: Cow::Borrowed(name),
                arguments,
            },
            extra_content: None,
        });
        Some(())
    }

    fn add_reasoning(&mut self, reasoning: &'a ReasoningContent<'a>) -> Option<()> {
        if let Some(told) = &reasoning.reasoning_text {
            let thinking = match told.text {
                Some(raw) => text(raw)?,
                None => Cow::Borrowed(""),
            };
            self.count(&thinking);
            append(&mut self.reasoning, thinking.clone());
            // Without its signature it cannot be sent back.
            if let Some(signature) = told
                .signature
                .as_deref()
                .filter(|signature| !signature.is_empty())
            {
                self.thinking_blocks.push(ThinkingBlock::Thinking {
                    thinking,
                    signature: Cow::Borrowed(signature),
                });
            }
        }
        if let Some(base64) = reasoning.redacted_content.as_deref() {
            let data = redacted(&decode(base64)?);
            self.thinking_blocks
                .push(ThinkingBlock::RedactedThinking { data: data.into() });
        }
        Some(())
    }

    fn count(&mut self, text: &str) {
        let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
        self.output_bytes = self.output_bytes.saturating_add(bytes);
    }

    fn into_message(self, settings: &'a Settings) -> AnswerMessage<'a> {
        let content = match self.text {
            None if self.tool_calls.is_empty() => Some(Cow::Borrowed("")),
            text => text,
        };
        AnswerMessage {
            role: "assistant",
            content,
            reasoning_content: self.reasoning.filter(|reasoning| !reasoning.is_empty()),
            thinking_blocks: self.thinking_blocks,
            tool_calls: self.tool_calls,
            annotations: self.annotations,
            citations: self.citations,
            images: self.images,
            audio: mime_type("audio", self.sound_format)
                .and_then(|kind| audio(&self.sound, kind.into(), &settings.answer_id, settings.created)),
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
