// SPDX-License-Identifier: Apache-2.0

//! Bedrock's stream, retold as OpenAI chunks
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html>).
//!
//! One [`ConverseStream`] lives for one response. Each event becomes its chunk at once; words pass through as the
//! JSON strings they came as. Bedrock names blocks by their index and OpenAI names calls by theirs, so calls are
//! counted as they open. Text and reasoning have no opening: their block begins with its first delta.
//!
//! The order is `messageStart`, the blocks, `messageStop` with the reason, `metadata` with the usage. A stream that
//! ends after `messageStop` is complete, with or without its usage; before it, it was cut. An exception is an
//! error whenever it comes, and never an end.
//!
//! Blocks are in [`blocks`].

mod blocks;

use super::error::{incomplete_stream, malformed_answer, reported_fault};
use super::stop_reason::finish_reason;
use super::usage::token_usage;
use crate::codec::event_stream::{Decoder, Message};
use crate::protocol::bedrock::answer::ServiceTier;
use crate::protocol::bedrock::stream_event::{EVENT_TYPE, MESSAGE_TYPE, StreamEvent};
use crate::protocol::openai::chunk::{ChunkWriter, DONE, Delta};
use crate::protocol::openai::completion::{FinishReason, Usage};
use crate::provider::json_slice::compact;
use crate::provider::{Progress, ResponseStream, Settings, Tally, UpstreamFault, UpstreamRequest};
use crate::usage::TokenUsage;
use blocks::OpenBlock;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Translates one stream.
pub struct ConverseStream {
    decoder: Option<Decoder>,
    state: State,
}

impl ConverseStream {
    pub(in crate::provider) fn new(settings: &Settings, request: &UpstreamRequest) -> Self {
        let writer = ChunkWriter::new(
            &settings.answer_id,
            &settings.upstream_model,
            settings.created,
            request.include_usage,
        );
        Self {
            decoder: Some(Decoder::new(settings.max_event_bytes)),
            state: State {
                writer,
                renamed_tools: request.renamed_tools.clone(),
                max_kept_bytes: settings.max_event_bytes,
                open: Vec::new(),
                calls: 0,
                characters: 0,
                usage: TokenUsage::default(),
                images: 0,
                trace: None,
                output_bytes: 0,
                progress: Progress::Preamble,
                has_begun: false,
                is_finished: false,
            },
        }
    }
}

impl ResponseStream for ConverseStream {
    fn on_bytes(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<Progress, UpstreamFault> {
        let state = &mut self.state;
        if let Some(decoder) = &mut self.decoder {
            let fed = decoder.feed(chunk, |message| state.on_message(&message, out));
            if fed.is_err() || state.progress == Progress::Done {
                self.decoder = None;
            }
            // Whatever follows the end, be it no message at all, is ignored.
            if state.progress != Progress::Done {
                fed?;
            }
        }
        Ok(self.state.progress)
    }

    fn on_end(&mut self, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
        let state = &mut self.state;
        if state.progress == Progress::Done {
            return Ok(());
        }
        let is_whole = self.decoder.take().is_some_and(|decoder| !decoder.has_leftover());
        if !is_whole || !state.is_finished {
            return Err(incomplete_stream());
        }
        state.end(out);
        Ok(())
    }

    fn tally(&self) -> Tally {
        Tally {
            usage: self.state.usage,
            output_bytes: self.state.output_bytes,
        }
    }
}

struct State {
    writer: ChunkWriter,
    renamed_tools: BTreeMap<String, String>,
    max_kept_bytes: usize,
    open: Vec<OpenBlock>,
    calls: u32,
    /// Characters of text, which annotations count in.
    characters: u64,
    usage: TokenUsage,
    images: u32,
    /// What guardrails found.
    trace: Option<Box<RawValue>>,
    output_bytes: u64,
    progress: Progress,
    /// The chunk with the role has been said.
    has_begun: bool,
    /// The chunk with the finish reason has been said.
    is_finished: bool,
}

impl State {
    fn on_message(&mut self, message: &Message<'_>, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
        if self.progress == Progress::Done {
            return Ok(());
        }
        if message.header(MESSAGE_TYPE) != Some("event") {
            return Err(reported_fault(message));
        }
        let kind = message.header(EVENT_TYPE).ok_or_else(malformed_answer)?;
        let read =
            || serde_json::from_slice::<StreamEvent<'_>>(message.payload).map_err(|_| malformed_answer());
        match kind {
            "contentBlockDelta" => self.on_block_delta(&read()?, out),
            "messageStart" => {
                self.begin(out);
                Ok(())
            }
            "contentBlockStart" => self.on_block_start(&read()?, out),
            "contentBlockStop" => self.on_block_stop(read()?.content_block_index, out),
            "messageStop" => self.on_message_stop(&read()?, out),
            "metadata" => self.on_metadata(&read()?, out),
            // What the vendor adds.
            _ => Ok(()),
        }
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if self.has_begun {
            return;
        }
        self.has_begun = true;
        let empty: Option<&RawValue> = serde_json::from_str("\"\"").ok();
        let role = Delta {
            role: Some("assistant"),
            content: empty,
            ..Delta::default()
        };
        self.writer.delta(&role, out);
    }

    fn on_message_stop(&mut self, event: &StreamEvent<'_>, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
        if self.is_finished {
            return Ok(());
        }
        // A block whose end was never told has ended all the same.
        while let Some(index) = self.open.first().map(|block| block.index) {
            self.on_block_stop(Some(index), out)?;
        }
        let reason = event.stop_reason.as_deref();
        self.begin(out);
        self.writer.finish(
            reason.map_or(FinishReason::Stop, finish_reason),
            &Delta::default(),
            out,
        );
        self.is_finished = true;
        self.progress = Progress::Content;
        Ok(())
    }

    fn on_metadata(&mut self, event: &StreamEvent<'_>, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
        if let Some(usage) = &event.usage {
            self.usage.update(token_usage(usage));
        }
        if let Some(trace) = event.trace {
            // White space between parts could be a line break, which would end the event.
            self.trace = RawValue::from_string(compact(trace).into_owned()).ok();
        }
        self.writer
            .set_service_tier(event.service_tier.and_then(ServiceTier::at_openai));
        if self.is_finished {
            self.end(out);
        }
        Ok(())
    }

    /// The stream is complete.
    fn end(&mut self, out: &mut Vec<u8>) {
        let usage = Usage::from(&self.usage);
        self.writer.usage_and_trace(&usage, self.trace.as_deref(), out);
        out.extend_from_slice(DONE);
        self.progress = Progress::Done;
    }

    /// Appends a chunk with content.
    fn say(&mut self, delta: &Delta<'_>, out: &mut Vec<u8>) {
        self.begin(out);
        self.writer.delta(delta, out);
        self.progress = Progress::Content;
    }
}

#[cfg(test)]
mod tests;
