// SPDX-License-Identifier: Apache-2.0

//! Gemini's stream, retold as OpenAI chunks
//! (<https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent>).
//!
//! One [`ContentStream`] lives for one response. Every event is an answer that holds what is new; words pass through
//! as the JSON strings they came as, and calls come whole. Nothing in the stream says that it is over, and some
//! models give a finish reason with every event, so the last one counts, and is told with the usage when the
//! provider closes the stream. A stream that closes without one is incomplete.

use super::citations::{MAX_CITATIONS, Sources, Text, citations};
use super::error::{incomplete_stream, malformed_answer, reported_fault};
use super::function_name::decode;
use super::logprobs::logprobs;
use super::media::{Media, media};
use super::response::{CallIds, index_of, read, response_id};
use super::stop_reason::finish_reason;
use super::usage;
use crate::codec::sse::{Decoder, Event};
use crate::protocol::gemini::response::{
    Candidate, FunctionCall, GenerateContentResponse, Part, UsageMetadata,
};
use crate::protocol::openai::chunk::{Arguments, ChunkWriter, DONE, Delta, FunctionDelta, ToolCallDelta};
use crate::protocol::openai::completion::{Audio, ExtraContent, FinishReason};
use crate::provider::json_slice::{compact, escaped, size, text};
use crate::provider::{Progress, ResponseStream, Settings, Tally, UpstreamFault, UpstreamRequest};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// More candidates than this are never asked for.
const MAX_CANDIDATES: usize = 128;

/// Translates one stream.
pub struct ContentStream {
    decoder: Option<Decoder>,
    state: State,
}

impl ContentStream {
    pub(in crate::provider) fn new(settings: &Settings, request: &UpstreamRequest) -> Self {
        Self {
            decoder: Some(Decoder::new(settings.max_event_bytes)),
            state: State {
                upstream_model: settings.upstream_model.clone(),
                created: settings.created,
                include_usage: request.include_usage,
                renamed_tools: request.renamed_tools.clone(),
                keeps_text: request.keeps_text,
                max_kept_bytes: settings.max_event_bytes,
                writer: None,
                id: String::new(),
                answers: Vec::new(),
                calls: 0,
                usage: UsageMetadata::default(),
                output_bytes: 0,
                progress: Progress::Preamble,
            },
        }
    }
}

impl ResponseStream for ContentStream {
    fn on_bytes(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<Progress, UpstreamFault> {
        let state = &mut self.state;
        if let Some(decoder) = &mut self.decoder {
            let fed = decoder.feed(chunk, |event| state.on_event(event, out));
            if fed.is_err() {
                self.decoder = None;
            }
            fed?;
        }
        Ok(self.state.progress)
    }

    fn on_end(&mut self, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
        let state = &mut self.state;
        let Some(mut decoder) = self.decoder.take() else {
            return Err(incomplete_stream());
        };
        decoder.finish(|event| state.on_event(event, out))?;
        state.finish(out)
    }

    fn tally(&self) -> Tally {
        Tally {
            usage: usage::token_usage(&self.state.usage),
            output_bytes: self.state.output_bytes,
        }
    }
}

struct State {
    upstream_model: String,
    created: u64,
    include_usage: bool,
    /// Theirs, to the client's.
    renamed_tools: BTreeMap<String, String>,
    keeps_text: bool,
    max_kept_bytes: usize,
    /// There from the first candidate on, with the ids of calls.
    writer: Option<(ChunkWriter, CallIds)>,
    /// The answer's id, from the first candidate on.
    id: String,
    answers: Vec<Answer>,
    /// Calls of all candidates, which their ids count.
    calls: u32,
    usage: UsageMetadata,
    output_bytes: u64,
    progress: Progress,
}

/// What is known of one candidate.
struct Answer {
    index: u32,
    calls: u32,
    images: u32,
    finish_reason: Option<String>,
    finish_message: Option<String>,
    /// What it rests on, as it came last.
    grounding: Option<Box<RawValue>>,
    /// What it recites.
    recited: Vec<Box<RawValue>>,
    /// Its text, as far as it is kept.
    text: Text<'static>,
}

impl State {
    fn on_event(&mut self, event: Event<'_>, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
        if event.data.is_empty() {
            return Ok(());
        }
        read(event.data)?
            .iter()
            .try_for_each(|piece| self.on_piece(piece, out))
    }

    fn on_piece(
        &mut self,
        piece: &GenerateContentResponse<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamFault> {
        if let Some(error) = &piece.error {
            return Err(reported_fault(error));
        }
        usage::update(&mut self.usage, piece.usage_metadata.unwrap_or_default());
        let candidates = piece.candidates.as_deref().unwrap_or_default();
        let blocked = piece
            .prompt_feedback
            .as_ref()
            .filter(|feedback| feedback.block_reason.is_some());
        if self.writer.is_none() && (!candidates.is_empty() || blocked.is_some()) {
            let id = piece.response_id.as_deref();
            let model = piece.model_version.as_deref().unwrap_or(&self.upstream_model);
            self.id = response_id(id, self.created);
            let writer = ChunkWriter::new(&self.id, model, self.created, self.include_usage);
            self.writer = Some((writer, CallIds::new(id, self.created)));
        }
        if let Some(feedback) = blocked {
            let at = self.answer(0, out)?;
            if let Some(answer) = self.answers.get_mut(at) {
                answer.finish_reason = Some("SAFETY".to_owned());
                answer.finish_message = feedback.block_reason_message.as_deref().map(str::to_owned);
            }
        }
        for (position, candidate) in candidates.iter().enumerate() {
            let at = self.answer(index_of(candidate, position), out)?;
            self.on_candidate(at, candidate, out)?;
        }
        Ok(())
    }

    /// The place of a candidate, which is begun if it is new.
    fn answer(&mut self, index: u32, out: &mut Vec<u8>) -> Result<usize, UpstreamFault> {
        if let Some(at) = self.answers.iter().position(|answer| answer.index == index) {
            return Ok(at);
        }
        let at = self.answers.len();
        if at >= MAX_CANDIDATES {
            return Err(malformed_answer());
        }
        self.answers.push(Answer {
            index,
            calls: 0,
            images: 0,
            finish_reason: None,
            finish_message: None,
            grounding: None,
            recited: Vec::new(),
            text: Text::new(),
        });
        let empty: Option<&RawValue> = serde_json::from_str("\"\"").ok();
        let role = Delta {
            role: Some("assistant"),
            content: empty,
            ..Delta::default()
        };
        self.write(index, &role, out)?;
        Ok(at)
    }

    fn on_candidate(
        &mut self,
        at: usize,
        candidate: &Candidate<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamFault> {
        let parts = candidate
            .content
            .as_ref()
            .and_then(|content| content.parts.as_deref());
        for part in parts.unwrap_or_default() {
            self.on_part(at, part, out)?;
        }
        let answer = self.answers.get_mut(at).ok_or_else(malformed_answer)?;
        if let Some(reason) = candidate.finish_reason.as_deref() {
            answer.finish_reason = Some(reason.to_owned());
            answer.finish_message = candidate.finish_message.as_deref().map(str::to_owned);
        }
        if let Some(grounding) = candidate.grounding_metadata {
            answer.grounding = Some(grounding.to_owned());
        }
        if let Some(metadata) = candidate.citation_metadata {
            answer.recite(metadata);
        }
        if let Some(result) = &candidate.logprobs_result {
            let index = answer.index;
            let (writer, _) = self.writer.as_ref().ok_or_else(malformed_answer)?;
            writer.chunk(index, &Delta::default(), Some(&logprobs(result)), None, out);
        }
        Ok(())
    }

    fn on_part(&mut self, at: usize, part: &Part<'_>, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
        let answer = self.answers.get_mut(at).ok_or_else(malformed_answer)?;
        if self.keeps_text && answer.text.part_starts.len() < self.max_kept_bytes {
            answer.text.part_starts.push(answer.text.joined.len());
        }
        let index = answer.index;
        let signature = part.thought_signature.as_deref();
        if let Some(call) = &part.function_call {
            return self.say_call(at, call, signature, out);
        }
        match media(part, answer.images) {
            Some(Media::Image(image)) => {
                answer.images = answer.images.saturating_add(1);
                let delta = Delta {
                    images: Some([image]),
                    ..Delta::default()
                };
                self.progress = Progress::Content;
                return self.write(index, &delta, out);
            }
            Some(Media::Sound { mime_type, base64 }) => {
                let audio = Audio {
                    id: &self.id,
                    data: Cow::Borrowed(base64),
                    expires_at: self.created,
                    transcript: "",
                    mime_type: Cow::Borrowed(mime_type),
                };
                let delta = Delta {
                    audio: Some(audio),
                    ..Delta::default()
                };
                self.progress = Progress::Content;
                self.write(index, &delta, out)?;
            }
            None => {}
        }
        let answer = self.answers.get_mut(at).ok_or_else(malformed_answer)?;
        let mut delta = Delta {
            extra_content: signature
                .map(|signature| ExtraContent::thought_signature(Cow::Borrowed(signature))),
            ..Delta::default()
        };
        if let Some(piece) = part.text {
            let inner = escaped(piece).ok_or_else(malformed_answer)?;
            let is_thought = part.thought == Some(true);
            if self.keeps_text && !is_thought {
                let kept = answer.text.joined.len().saturating_add(inner.len());
                // A longer text is cited as far as it was kept.
                if kept <= self.max_kept_bytes {
                    answer
                        .text
                        .joined
                        .to_mut()
                        .push_str(&text(piece).ok_or_else(malformed_answer)?);
                }
            }
            let is_said = !inner.is_empty();
            let size = size(inner);
            if !is_thought {
                answer.text.add(size);
            }
            delta.content = Some(piece).filter(|_| is_said && !is_thought);
            delta.reasoning_content = Some(piece).filter(|_| is_said && is_thought);
            self.output_bytes = self.output_bytes.saturating_add(size.bytes);
        }
        if delta.content.is_none() && delta.reasoning_content.is_none() && delta.extra_content.is_none() {
            return Ok(());
        }
        self.progress = Progress::Content;
        self.write(index, &delta, out)
    }

    fn say_call(
        &mut self,
        at: usize,
        call: &FunctionCall<'_>,
        signature: Option<&str>,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamFault> {
        let name = call.name.as_deref().ok_or_else(malformed_answer)?;
        let name = match self.renamed_tools.get(name) {
            Some(at_client) => Cow::Owned(at_client.clone()),
            None => decode(name),
        };
        let arguments = match call.args {
            Some(args) if args.get() != "null" => compact(args),
            _ => Cow::Borrowed("{}"),
        };
        let bytes = u64::try_from(arguments.len()).unwrap_or(u64::MAX);
        self.output_bytes = self.output_bytes.saturating_add(bytes);
        let answer = self.answers.get_mut(at).ok_or_else(malformed_answer)?;
        let (writer, call_ids) = self.writer.as_ref().ok_or_else(malformed_answer)?;
        let id = match call.id.as_deref() {
            Some(id) if !id.is_empty() => Cow::Borrowed(id),
            _ => Cow::Owned(call_ids.id(self.calls)),
        };
        let delta = Delta {
            tool_calls: Some([ToolCallDelta {
                index: answer.calls,
                id: Some(&id),
                kind: Some("function"),
                function: FunctionDelta {
                    name: Some(&name),
                    arguments: Arguments::Text(&arguments),
                },
                extra_content: signature
                    .map(|signature| ExtraContent::thought_signature(Cow::Borrowed(signature))),
            }]),
            ..Delta::default()
        };
        writer.chunk(answer.index, &delta, None, None, out);
        answer.calls = answer.calls.saturating_add(1);
        self.calls = self.calls.saturating_add(1);
        self.progress = Progress::Content;
        Ok(())
    }

    /// The provider has closed the stream: tells how each answer ended, and what it cost.
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
        let (writer, _) = self.writer.as_mut().ok_or_else(incomplete_stream)?;
        writer.set_service_tier(self.usage.service_tier_at_openai());
        if self.answers.iter().any(|answer| answer.finish_reason.is_none()) {
            return Err(incomplete_stream());
        }
        for answer in &self.answers {
            answer.cite(writer, out);
            let reason = answer.finish_reason.as_deref().unwrap_or_default();
            let reason = finish_reason(reason, answer.calls > 0);
            let delta = Delta {
                refusal: answer
                    .finish_message
                    .as_deref()
                    .filter(|_| reason == FinishReason::ContentFilter),
                ..Delta::default()
            };
            writer.chunk(answer.index, &delta, None, Some(reason), out);
        }
        writer.usage(&usage::openai_usage(&self.usage), out);
        out.extend_from_slice(DONE);
        self.progress = Progress::Done;
        Ok(())
    }

    fn write(&self, index: u32, delta: &Delta<'_>, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
        let (writer, _) = self.writer.as_ref().ok_or_else(malformed_answer)?;
        writer.chunk(index, delta, None, None, out);
        Ok(())
    }
}

impl Answer {
    /// Remembers what is recited. Events may tell it again.
    fn recite(&mut self, metadata: &RawValue) {
        for citation in citations(metadata) {
            let is_known = self.recited.iter().any(|known| known.get() == citation.get());
            if !is_known && self.recited.len() < MAX_CITATIONS {
                self.recited.push(citation.to_owned());
            }
        }
    }

    fn cite(&self, writer: &ChunkWriter, out: &mut Vec<u8>) {
        let mut sources = Sources::default();
        if let Some(grounding) = &self.grounding {
            sources.ground(grounding, &self.text);
        }
        sources.recite(self.recited.iter().map(|citation| &**citation), &self.text);
        for annotation in sources.annotations {
            let delta = Delta {
                annotations: Some([annotation]),
                ..Delta::default()
            };
            writer.chunk(self.index, &delta, None, None, out);
        }
        for citation in sources.citations {
            // White space between parts could be a line break, which would end the event.
            let Ok(citation) = RawValue::from_string(compact(citation).into_owned()) else {
                continue;
            };
            let delta = Delta {
                citations: Some([&*citation]),
                ..Delta::default()
            };
            writer.chunk(self.index, &delta, None, None, out);
        }
    }
}

#[cfg(test)]
mod tests;
