// SPDX-License-Identifier: Apache-2.0

//! The whole answer: Gemini's `GenerateContentResponse` as OpenAI's chat completion.
//!
//! Text parts are joined as they stand; summaries of thoughts never enter `content`. Parts of Google's own tools
//! (code, searches) have no counterpart and are left out; the text that rests on them, and its sources, are kept.
//! Images and sound stand beside the text ([`super::media`]). A
//! prompt that was blocked is answered without a candidate, which is an answer without text that was withheld. An
//! answer may also come as the list that a stream without events would have been.

use super::citations::{MAX_CITATIONS, Sources, Text, citations};
use super::error::{malformed_answer, reported_fault};
use super::function_name::decode;
use super::logprobs::logprobs;
use super::media::{Media, media};
use super::stop_reason::finish_reason;
use super::usage::{openai_usage, token_usage, update};
use crate::protocol::gemini::response::{
    Candidate, GenerateContentResponse, LogprobsResult, Part, UsageMetadata,
};
use crate::protocol::json_text;
use crate::protocol::openai::completion::{
    AnswerMessage, ChatCompletion, Choice, ExtraContent, FinishReason, FunctionCall, Image, ToolCall,
};
use crate::provider::json_slice::{compact, text};
use crate::provider::sound::audio;
use crate::provider::{Settings, Tally, UpstreamFault, UpstreamRequest};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Translates a whole answer and appends it to `out`.
pub(super) fn translate_response(
    body: &[u8],
    settings: &Settings,
    request: &UpstreamRequest,
    out: &mut Vec<u8>,
) -> Result<Tally, UpstreamFault> {
    let pieces = read(body)?;
    let mut usage = UsageMetadata::default();
    let mut answers: Vec<Answer<'_>> = Vec::new();
    let mut blocked = None;
    let mut id = None;
    let mut model = None;
    for piece in &pieces {
        if let Some(error) = &piece.error {
            return Err(reported_fault(error));
        }
        update(&mut usage, piece.usage_metadata.unwrap_or_default());
        id = piece.response_id.as_deref().or(id);
        model = piece.model_version.as_deref().or(model);
        if let Some(feedback) = &piece.prompt_feedback
            && feedback.block_reason.is_some()
        {
            blocked = Some(feedback.block_reason_message.as_deref());
        }
        for (position, candidate) in piece.candidates.iter().flatten().enumerate() {
            let index = index_of(candidate, position);
            let answer = match answers.iter().position(|answer| answer.index == index) {
                Some(at) => answers.get_mut(at),
                None => {
                    answers.push(Answer::new(index));
                    answers.last_mut()
                }
            };
            let answer = answer.ok_or_else(malformed_answer)?;
            answer.add(candidate).ok_or_else(malformed_answer)?;
        }
    }
    if let Some(reason) = blocked
        && answers.is_empty()
    {
        answers.push(Answer::withheld(reason));
    }
    for call in answers.iter_mut().flat_map(|answer| &mut answer.tool_calls) {
        if let Some(name) = request.renamed_tools.get(&*call.function.name) {
            call.function.name = Cow::Borrowed(name);
        }
    }
    if answers.is_empty() {
        return Err(malformed_answer());
    }
    let tally = Tally {
        usage: token_usage(&usage),
        output_bytes: answers
            .iter()
            .map(|answer| answer.output_bytes)
            .fold(0, u64::saturating_add),
    };
    let call_ids = CallIds::new(id, settings.created);
    let mut number = 0;
    let id = response_id(id, settings.created);
    let completion = ChatCompletion {
        id: &id,
        object: "chat.completion",
        created: settings.created,
        model: model.unwrap_or(&settings.upstream_model),
        choices: answers
            .into_iter()
            .map(|answer| answer.into_choice(&id, settings.created, &call_ids, &mut number))
            .collect(),
        usage: openai_usage(&usage),
        service_tier: usage.service_tier_at_openai(),
        trace: None,
    };
    json_text::write(out, &completion).map_err(|_| malformed_answer())?;
    Ok(tally)
}

/// The answer, or the pieces of one.
pub(super) fn read(body: &[u8]) -> Result<Vec<GenerateContentResponse<'_>>, UpstreamFault> {
    let read = match body.trim_ascii_start().first() {
        Some(b'[') => serde_json::from_slice(body),
        _ => serde_json::from_slice(body).map(|answer| vec![answer]),
    };
    read.map_err(|_| malformed_answer())
}

/// A candidate's number, which the first may leave out.
pub(super) fn index_of(candidate: &Candidate<'_>, position: usize) -> u32 {
    let position = u32::try_from(position).unwrap_or(u32::MAX);
    candidate.index.unwrap_or(position)
}

/// The answer's id.
pub(super) fn response_id(id: Option<&str>, created: u64) -> String {
    id.filter(|id| !id.is_empty())
        .map_or_else(|| format!("chatcmpl-{created}"), str::to_owned)
}

/// Ids for calls that come without, different in every answer: what is called again later in a conversation must
/// not have the id of an earlier call.
pub(super) struct CallIds(String);

impl CallIds {
    pub(super) fn new(response_id: Option<&str>, created: u64) -> Self {
        Self(response_id.map_or_else(|| created.to_string(), str::to_owned))
    }

    pub(super) fn id(&self, number: u32) -> String {
        format!("call_{}_{number}", self.0)
    }
}

/// What the parts of one candidate add up to.
struct Answer<'a> {
    index: u32,
    text: Text<'a>,
    has_text: bool,
    reasoning: Option<Cow<'a, str>>,
    signature: Option<&'a str>,
    /// Calls; an id that is still to be made is empty.
    tool_calls: Vec<ToolCall<'a>>,
    images: Vec<Image<'a>>,
    /// Pieces of sound, in base64, and its type.
    sound: Vec<&'a str>,
    sound_type: &'a str,
    finish_reason: Option<&'a str>,
    finish_message: Option<&'a str>,
    grounding: Option<&'a RawValue>,
    recited: Vec<&'a RawValue>,
    logprobs: Option<&'a LogprobsResult<'a>>,
    output_bytes: u64,
}

impl<'a> Answer<'a> {
    fn new(index: u32) -> Self {
        Self {
            index,
            text: Text::new(),
            has_text: false,
            reasoning: None,
            signature: None,
            tool_calls: Vec::new(),
            images: Vec::new(),
            sound: Vec::new(),
            sound_type: "",
            finish_reason: None,
            finish_message: None,
            grounding: None,
            recited: Vec::new(),
            logprobs: None,
            output_bytes: 0,
        }
    }

    /// The answer to a prompt that was blocked.
    fn withheld(reason: Option<&'a str>) -> Self {
        Self {
            finish_reason: Some("SAFETY"),
            finish_message: reason,
            ..Self::new(0)
        }
    }

    /// Adds a candidate, or a piece of one; `None` if it is malformed.
    fn add(&mut self, candidate: &'a Candidate<'a>) -> Option<()> {
        let parts = candidate
            .content
            .as_ref()
            .and_then(|content| content.parts.as_deref());
        for part in parts.unwrap_or_default() {
            self.add_part(part)?;
        }
        self.finish_reason = candidate.finish_reason.as_deref().or(self.finish_reason);
        self.finish_message = candidate.finish_message.as_deref().or(self.finish_message);
        self.grounding = candidate.grounding_metadata.or(self.grounding);
        if let Some(metadata) = candidate.citation_metadata {
            let room = MAX_CITATIONS.saturating_sub(self.recited.len());
            self.recited.extend(citations(metadata).into_iter().take(room));
        }
        self.logprobs = candidate.logprobs_result.as_ref().or(self.logprobs);
        Some(())
    }

    fn add_part(&mut self, part: &'a Part<'a>) -> Option<()> {
        self.text.part_starts.push(self.text.joined.len());
        if let Some(call) = &part.function_call {
            let arguments = match call.args {
                Some(args) if args.get() != "null" => compact(args),
                _ => Cow::Borrowed("{}"),
            };
            self.count(&arguments);
            self.tool_calls.push(ToolCall {
                id: Cow::Borrowed(call.id.as_deref().unwrap_or_default()),
                kind: "function",
                function: FunctionCall {
                    name: decode(call.name.as_deref()?),
                    arguments,
                },
                extra_content: part
                    .thought_signature
                    .as_deref()
                    .map(|signature| ExtraContent::thought_signature(Cow::Borrowed(signature))),
            });
            return Some(());
        }
        match media(part, u32::try_from(self.images.len()).unwrap_or(u32::MAX)) {
            Some(Media::Image(image)) => {
                self.images.push(image);
                return Some(());
            }
            Some(Media::Sound { mime_type, base64 }) => {
                self.sound.push(base64);
                self.sound_type = mime_type;
            }
            None => {}
        }
        self.signature = part.thought_signature.as_deref().or(self.signature);
        let Some(said) = part.text else {
            return Some(());
        };
        let said = text(said)?;
        self.count(&said);
        if part.thought == Some(true) {
            match &mut self.reasoning {
                None => self.reasoning = Some(said),
                Some(reasoning) => reasoning.to_mut().push_str(&said),
            }
        } else {
            self.has_text = true;
            if self.text.joined.is_empty() {
                self.text.joined = said;
            } else {
                self.text.joined.to_mut().push_str(&said);
            }
        }
        Some(())
    }

    fn count(&mut self, text: &str) {
        let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
        self.output_bytes = self.output_bytes.saturating_add(bytes);
    }

    fn into_choice(mut self, id: &'a str, created: u64, call_ids: &CallIds, number: &mut u32) -> Choice<'a> {
        for call in &mut self.tool_calls {
            if call.id.is_empty() {
                call.id = Cow::Owned(call_ids.id(*number));
            }
            *number = number.saturating_add(1);
        }
        let finish_reason = finish_reason(self.finish_reason.unwrap_or("STOP"), !self.tool_calls.is_empty());
        let refusal = self
            .finish_message
            .filter(|_| finish_reason == FinishReason::ContentFilter);
        let mut sources = Sources::default();
        if let Some(grounding) = self.grounding {
            sources.ground(grounding, &self.text);
        }
        sources.recite(self.recited.into_iter(), &self.text);
        let has_content = self.has_text || self.tool_calls.is_empty();
        Choice {
            index: self.index,
            message: AnswerMessage {
                role: "assistant",
                content: has_content.then_some(self.text.joined),
                refusal: refusal.map(Cow::Borrowed),
                reasoning_content: self.reasoning.filter(|reasoning| !reasoning.is_empty()),
                tool_calls: self.tool_calls,
                annotations: sources.annotations,
                citations: sources.citations,
                images: self.images,
                audio: audio(&self.sound, Cow::Borrowed(self.sound_type), id, created),
                extra_content: self
                    .signature
                    .map(|signature| ExtraContent::thought_signature(Cow::Borrowed(signature))),
                ..AnswerMessage::default()
            },
            logprobs: self.logprobs.map(logprobs),
            finish_reason,
        }
    }
}

#[cfg(test)]
mod tests;
