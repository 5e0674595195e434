// SPDX-License-Identifier: Apache-2.0

//! Anthropic's stream, retold as OpenAI chunks
//! (<https://docs.claude.com/en/docs/build-with-claude/streaming>).
//!
//! One [`MessageStream`] lives for one response. Each event becomes its chunk at once; words pass through as the
//! JSON strings they came as, so a word costs one parse and no allocation. Anthropic names blocks by their index
//! and OpenAI names calls by theirs, so calls are counted as they open.
//!
//! Usage is reported twice: opening counts in `message_start`, running totals in `message_delta`. A count that
//! comes again *replaces* the one before it and is never added.
//!
//! Calls are in [`calls`], thinking is in [`thinking`].

mod calls;
mod thinking;

use super::citations::annotation;
use super::error::{incomplete_stream, malformed_answer, reported_fault};
use super::stop_reason::finish_reason;
use super::usage;
use crate::codec::sse::{Decoder, Event};
use crate::protocol::anthropic::messages::{Message, ServiceTier, StopDetails, Usage};
use crate::protocol::anthropic::stream_event::{EventDelta, StreamEvent};
use crate::protocol::openai::chunk::{ChunkWriter, DONE, Delta};
use crate::protocol::openai::completion::{self, FinishReason};
use crate::provider::event_shape::EventShape;
use crate::provider::json_slice::{compact, escaped, size};
use crate::provider::{Progress, ResponseStream, Settings, Tally, UpstreamFault, UpstreamRequest};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// More blocks than this are never open at once: Anthropic opens one after the other.
const MAX_OPEN_BLOCKS: usize = 64;

/// Translates one stream.
pub struct MessageStream {
    decoder: Option<Decoder>,
    state: State,
}

impl MessageStream {
    pub(in crate::provider) fn new(settings: &Settings, request: &UpstreamRequest) -> Self {
        Self {
            decoder: Some(Decoder::new(settings.max_event_bytes)),
            state: State {
                upstream_model: settings.upstream_model.clone(),
                created: settings.created,
                include_usage: request.include_usage,
                renamed_tools: request.renamed_tools.clone(),
                max_kept_bytes: settings.max_event_bytes,
                writer: None,
                text_shape: EventShape::default(),
                open: Vec::new(),
                calls: 0,
                characters: 0,
                usage: Usage::default(),
                output_bytes: 0,
                progress: Progress::Preamble,
                is_finished: false,
            },
        }
    }
}

impl ResponseStream for MessageStream {
    fn on_bytes(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<Progress, UpstreamFault> {
        let state = &mut self.state;
        if let Some(decoder) = &mut self.decoder {
            let fed = decoder.feed(chunk, |event| state.on_event(event, out));
            if fed.is_err() || state.progress == Progress::Done {
                self.decoder = None;
            }
            fed?;
        }
        Ok(self.state.progress)
    }

    fn on_end(&mut self, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
        let state = &mut self.state;
        if let Some(mut decoder) = self.decoder.take() {
            decoder.finish(|event| state.on_event(event, out))?;
        }
        if self.state.progress == Progress::Done {
            Ok(())
        } else {
            Err(incomplete_stream())
        }
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
    max_kept_bytes: usize,
    /// There from `message_start` on.
    writer: Option<ChunkWriter>,
    /// How an event of text looks.
    text_shape: EventShape,
    open: Vec<OpenBlock>,
    calls: u32,
    /// Characters of text, which annotations count in.
    characters: u64,
    usage: Usage,
    output_bytes: u64,
    progress: Progress,
    is_finished: bool,
}

struct OpenBlock {
    index: u64,
    kind: OpenKind,
}

enum OpenKind {
    /// Where the block's text began.
    Text { start: u64 },
    /// A call, by OpenAI's count; what to say if it ends without arguments.
    Call { number: u32, unsaid: Option<String> },
    /// Thinking, kept as the inside of a JSON string; `None` once it was too long.
    Thinking { kept: Option<String>, signature: String },
    /// A block whose deltas say nothing to the client.
    Other,
}

impl State {
    fn on_event(&mut self, event: Event<'_>, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
        if self.progress == Progress::Done || event.data.is_empty() {
            return Ok(());
        }
        if let Some(text) = self.text_shape.text_of(event.data) {
            return self.add_text(text, out);
        }
        let parsed: StreamEvent<'_> = simdutf8::basic::from_utf8(event.data)
            .ok()
            .and_then(|text| serde_json::from_str(text).ok())
            .ok_or_else(malformed_answer)?;
        match &*parsed.kind {
            "content_block_delta" => self.on_block_delta(&parsed, event.data, out),
            "message_start" => self.on_message_start(parsed.message.as_ref(), out),
            "content_block_start" => self.on_block_start(&parsed, out),
            "content_block_stop" => self.on_block_stop(parsed.index, out),
            "message_delta" => self.on_message_delta(&parsed, out),
            "message_stop" => self.on_message_stop(out),
            "error" => Err(reported_fault(&parsed.error.unwrap_or_default())),
            // Some servers that speak Anthropic's dialect leave the type to the `event:` line.
            "" if parsed.error.is_some() => Err(reported_fault(&parsed.error.unwrap_or_default())),
            // ping, and what the vendor adds.
            _ => Ok(()),
        }
    }

    fn on_message_start(
        &mut self,
        message: Option<&Message<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamFault> {
        if self.writer.is_some() {
            return Ok(());
        }
        let message = message.ok_or_else(malformed_answer)?;
        if let Some(usage) = message.usage {
            usage::update(&mut self.usage, usage);
        }
        let id = message.id.as_deref().unwrap_or_default();
        let model = message.model.as_deref().unwrap_or(&self.upstream_model);
        let writer = ChunkWriter::new(id, model, self.created, self.include_usage);
        let empty: Option<&RawValue> = serde_json::from_str("\"\"").ok();
        let role = Delta {
            role: Some("assistant"),
            content: empty,
            ..Delta::default()
        };
        writer.delta(&role, out);
        self.writer = Some(writer);
        Ok(())
    }

    fn on_block_start(&mut self, event: &StreamEvent<'_>, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
        let block = event.content_block.as_ref().ok_or_else(malformed_answer)?;
        let index = event.index.ok_or_else(malformed_answer)?;
        if self.open.len() >= MAX_OPEN_BLOCKS {
            return Err(malformed_answer());
        }
        let kind = match &*block.kind {
            "text" => OpenKind::Text {
                start: self.characters,
            },
            "tool_use" => self.open_call(block, out)?,
            "thinking" => OpenKind::Thinking {
                kept: Some(String::new()),
                signature: block.signature.as_deref().unwrap_or_default().to_owned(),
            },
            "redacted_thinking" => {
                let data = block.data.as_deref().ok_or_else(malformed_answer)?;
                self.redacted(data, out)?;
                OpenKind::Other
            }
            _ => OpenKind::Other,
        };
        self.open.push(OpenBlock { index, kind });
        // Blocks open empty, but nothing says that they must.
        if let ("text", Some(text)) = (&*block.kind, block.text) {
            self.add_text(escaped(text).ok_or_else(malformed_answer)?, out)?;
        }
        if let ("thinking", Some(thinking)) = (&*block.kind, block.thinking) {
            self.add_thinking(index, thinking, out)?;
        }
        for citation in block.citations.iter().flatten() {
            self.cite(index, citation, out)?;
        }
        Ok(())
    }

    fn on_block_delta(
        &mut self,
        event: &StreamEvent<'_>,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamFault> {
        let delta = event.delta.as_ref().ok_or_else(malformed_answer)?;
        let index = event.index.ok_or_else(malformed_answer)?;
        let EventDelta {
            text,
            partial_json,
            thinking,
            signature,
            citation,
            ..
        } = delta;
        match &*delta.kind {
            "text_delta" => {
                let text = text.ok_or_else(malformed_answer)?;
                self.text_shape.remember(data, text.get());
                self.add_text(escaped(text).ok_or_else(malformed_answer)?, out)
            }
            "input_json_delta" => self.add_arguments(index, partial_json.ok_or_else(malformed_answer)?, out),
            "thinking_delta" => self.add_thinking(index, thinking.ok_or_else(malformed_answer)?, out),
            "signature_delta" => self.sign(index, signature.ok_or_else(malformed_answer)?),
            "citations_delta" => self.cite(index, citation.ok_or_else(malformed_answer)?, out),
            _ => Ok(()),
        }
    }

    /// Passes text on. `inner` is the inside of a JSON string.
    fn add_text(&mut self, inner: &str, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
        if inner.is_empty() {
            return Ok(());
        }
        let characters = self.count(inner);
        self.characters = self.characters.saturating_add(characters);
        let writer = self.writer.as_ref().ok_or_else(malformed_answer)?;
        writer.text(inner, out);
        self.progress = Progress::Content;
        Ok(())
    }

    fn cite(&mut self, index: u64, citation: &RawValue, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
        let end = self.characters;
        let start = match self.block(index) {
            Some(OpenKind::Text { start }) => *start,
            _ => end,
        };
        if let Some(annotation) = annotation(citation, (start, end)) {
            return self.say(
                &Delta {
                    annotations: Some([annotation]),
                    ..Delta::default()
                },
                out,
            );
        }
        // White space between parts could be a line break, which would end the event.
        let citation =
            RawValue::from_string(compact(citation).into_owned()).map_err(|_| malformed_answer())?;
        self.say(
            &Delta {
                citations: Some([&*citation]),
                ..Delta::default()
            },
            out,
        )
    }

    fn on_block_stop(&mut self, index: Option<u64>, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
        let position = self.open.iter().position(|block| Some(block.index) == index);
        let Some(position) = position else {
            return Ok(());
        };
        match self.open.swap_remove(position).kind {
            OpenKind::Call {
                number,
                unsaid: Some(arguments),
            } => self.end_call(number, &arguments, out),
            OpenKind::Thinking {
                kept: Some(kept),
                signature,
            } if !signature.is_empty() => self.end_thinking(&kept, signature, out),
            OpenKind::Call { .. } | OpenKind::Thinking { .. } | OpenKind::Text { .. } | OpenKind::Other => {
                Ok(())
            }
        }
    }

    fn on_message_delta(&mut self, event: &StreamEvent<'_>, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
        if let Some(usage) = event.usage {
            usage::update(&mut self.usage, usage);
        }
        let Some(EventDelta {
            stop_reason: Some(stop_reason),
            stop_details,
            ..
        }) = &event.delta
        else {
            return Ok(());
        };
        self.finish(finish_reason(stop_reason), stop_details.as_ref(), out)
    }

    fn on_message_stop(&mut self, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
        let reason = if self.calls > 0 {
            FinishReason::ToolCalls
        } else {
            FinishReason::Stop
        };
        self.finish(reason, None, out)?;
        if let Some(writer) = &self.writer {
            let usage = usage::token_usage(&self.usage);
            writer.usage(&completion::Usage::from(&usage), out);
        }
        out.extend_from_slice(DONE);
        self.progress = Progress::Done;
        Ok(())
    }

    fn finish(
        &mut self,
        reason: FinishReason,
        details: Option<&StopDetails<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamFault> {
        if self.is_finished {
            return Ok(());
        }
        self.is_finished = true;
        self.progress = Progress::Content;
        let writer = self.writer.as_mut().ok_or_else(malformed_answer)?;
        writer.set_service_tier(self.usage.service_tier.and_then(ServiceTier::at_openai));
        let refusal = details.and_then(|details| details.explanation.as_deref());
        writer.finish(
            reason,
            &Delta {
                refusal,
                ..Delta::default()
            },
            out,
        );
        Ok(())
    }

    /// Appends a chunk. Content before `message_start` is no Anthropic stream.
    fn say(&mut self, delta: &Delta<'_>, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
        let writer = self.writer.as_ref().ok_or_else(malformed_answer)?;
        writer.delta(delta, out);
        self.progress = Progress::Content;
        Ok(())
    }

    fn block(&mut self, index: u64) -> Option<&mut OpenKind> {
        let block = self.open.iter_mut().find(|block| block.index == index);
        block.map(|block| &mut block.kind)
    }

    /// Counts what the model produced, and says how many characters it is.
    fn count(&mut self, escaped: &str) -> u64 {
        let size = size(escaped);
        self.output_bytes = self.output_bytes.saturating_add(size.bytes);
        size.characters
    }
}

#[cfg(test)]
mod tests;
