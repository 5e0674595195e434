// SPDX-License-Identifier: Apache-2.0

//! OpenAI's stream, passed on byte for byte but for what must change.
//!
//! Events that need no change leave as they came, comments included. What changes is usage. OpenAI's rule
//! (<https://platform.openai.com/docs/api-reference/chat/create#chat-create-stream_options>) is one usage chunk
//! with empty `choices` before `[DONE]`, and only for clients that asked. Providers put usage into the last
//! content chunk, into every chunk, or send it unasked; so usage is taken out of the chunks it comes with, the
//! last one is held, and it leaves once at the end if the client asked.
//!
//! A stream ends with `[DONE]`. Some servers forget it: after a finish reason it is supplied. An end before any
//! finish reason is a fault, because the answer is incomplete and the client must be told.
//!
//! Azure tells what its filters made of the prompt in a first chunk without choices, which says nothing else, not
//! even whose it is. It travels on with the first choice, because many clients look for one in every chunk.

use super::chunk::{Choices, Chunk};
use super::error::{misbehaved, reported_fault};
use super::head::Head;
use super::{reshape, usage};
use crate::codec::sse::{Decoder, Event};
use crate::protocol::json_object::{Editor, Object};
use crate::provider::event_shape::EventShape;
use crate::provider::{Progress, ResponseStream, Settings, Tally, UpstreamFault, UpstreamRequest};

#[cfg(test)]
mod tests;

const DONE: &[u8] = b"data: [DONE]\n\n";
const OBJECT: &str = r#""chat.completion.chunk""#;
const NOT_A_CHUNK: &str = "The provider's stream holds something else than chat completion chunks.";

/// One stream.
pub struct ChunkStream {
    decoder: Decoder,
    state: State,
}

struct State {
    wants_usage: bool,
    progress: Progress,
    has_events: bool,
    /// The choices that have had their finish reason: one bit each.
    finished: u128,
    tally: Tally,
    /// The usage chunk to come, a whole event; empty if there is none.
    usage_event: Vec<u8>,
    head: Head,
    /// How an event looks that says some text, and leaves as it came.
    text_shape: EventShape,
    numbers: reshape::Numbers,
    /// Azure's judgement of the prompt, until a choice comes; empty if there is none.
    prompt_filter_results: String,
}

impl ChunkStream {
    pub(in crate::provider) fn new(settings: &Settings, request: &UpstreamRequest) -> Self {
        Self {
            decoder: Decoder::new(settings.max_event_bytes),
            state: State {
                wants_usage: request.include_usage,
                progress: Progress::Preamble,
                has_events: false,
                finished: 0,
                tally: Tally::default(),
                usage_event: Vec::new(),
                head: Head::new(settings),
                text_shape: EventShape::default(),
                numbers: reshape::Numbers::new(settings.created, &request.renamed_tools),
                prompt_filter_results: String::new(),
            },
        }
    }
}

impl ResponseStream for ChunkStream {
    fn on_bytes(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<Progress, UpstreamFault> {
        let Self { decoder, state } = self;
        if state.progress != Progress::Done {
            decoder.feed(chunk, |event| state.on_event(&event, out))?;
        }
        if state.progress != Progress::Done {
            // Keep-alives must not wait for the next event.
            decoder.take_skipped(out);
        }
        Ok(state.progress)
    }

    fn on_end(&mut self, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
        let Self { decoder, state } = self;
        if state.progress == Progress::Done {
            return Ok(());
        }
        let mut last = Vec::new();
        let finished = decoder.finish(|event| state.on_event(&event, &mut last));
        match finished {
            // The last event lacked its blank line, and two do no harm.
            Ok(()) if !last.is_empty() => {
                out.append(&mut last);
                if !out.ends_with(b"\n\n") {
                    out.extend_from_slice(b"\n\n");
                }
            }
            // An event that was cut short is part of the early end.
            Err(fault) if fault.error.message != NOT_A_CHUNK => return Err(fault),
            _ => {}
        }
        if state.progress == Progress::Done {
            return Ok(());
        }
        if !state.has_events {
            return Err(misbehaved("The provider's stream was empty."));
        }
        if state.finished == 0 {
            return Err(misbehaved("The provider's stream ended early."));
        }
        state.end(DONE, out);
        Ok(())
    }

    fn tally(&self) -> Tally {
        self.state.tally
    }
}

impl State {
    fn on_event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
        if self.progress == Progress::Done {
            return Ok(());
        }
        out.extend_from_slice(event.skipped);
        let raw = event.raw.get(event.skipped.len()..).unwrap_or_default();
        let data = event.data.trim_ascii();
        if event.name == b"error" {
            return Err(reported_fault(data));
        }
        if self.prompt_filter_results.is_empty()
            && let Some(text) = self.text_shape.text_of(data)
        {
            self.pass_text(text, raw, out);
            return Ok(());
        }
        if data.is_empty() {
            // Clients parse every event, and an empty one says nothing.
            return Ok(());
        }
        if data == b"[DONE]" {
            if !self.has_events {
                return Err(misbehaved("The provider's stream was empty."));
            }
            // Some clients compare the data with the bare word.
            self.end(if event.data == b"[DONE]" { raw } else { DONE }, out);
            return Ok(());
        }
        let text = simdutf8::basic::from_utf8(event.data).map_err(|_| misbehaved(NOT_A_CHUNK))?;
        let chunk: Chunk<'_> = serde_json::from_str(text).map_err(|_| misbehaved(NOT_A_CHUNK))?;
        if let Some(error) = chunk.error(text) {
            return Err(reported_fault(error.as_bytes()));
        }
        self.has_events = true;
        self.on_chunk(raw, text, &chunk, out)
    }

    fn on_chunk(
        &mut self,
        raw: &[u8],
        text: &str,
        chunk: &Chunk<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamFault> {
        let nothing = Choices::default();
        let choices = chunk.choices.as_ref().unwrap_or(&nothing);
        self.tally.output_bytes = self.tally.output_bytes.saturating_add(choices.output_bytes);
        // Some providers say a choice's finish reason a second time beside the usage.
        let is_news = choices.has_content || choices.finished & !self.finished != 0;
        if choices.has_content || choices.has_finish_reason {
            self.progress = Progress::Content;
        }
        let is_foreign = choices.is_foreign || self.numbers.renames();
        let is_after_finish = self.finished != 0;
        self.finished |= choices.finished;

        let has_head = chunk.has_head(OBJECT);
        if has_head {
            self.head.remember(chunk);
        }
        if let Some(usage) = chunk.any_usage() {
            self.tally.usage.update(usage::read(usage));
            self.hold_usage(chunk, text, usage);
        }
        if chunk.usage.is_some() && (choices.count == 0 || (is_after_finish && !is_news)) {
            // A chunk of usage alone.
            return Ok(());
        }
        if choices.count == 0
            && let Some(results) = chunk.prompt_filter_results
        {
            results.get().clone_into(&mut self.prompt_filter_results);
            return Ok(());
        }
        if chunk.usage.is_none() && !is_foreign && has_head && self.prompt_filter_results.is_empty() {
            if let Some(said) = chunk.only_text() {
                self.text_shape.remember(text.trim_ascii().as_bytes(), said);
            }
            out.extend_from_slice(raw);
            return Ok(());
        }
        let object = Object::parse(text).map_err(|_| misbehaved(NOT_A_CHUNK))?;
        let mut editor = Editor::new(&object);
        if !has_head {
            self.head.complete(chunk, text, OBJECT, &mut editor);
        }
        if is_foreign && let Some(reshaped) = reshape::choices(&object, &mut self.numbers) {
            editor.set("choices", reshaped);
        }
        if choices.count > 0 && !self.prompt_filter_results.is_empty() {
            editor.set(
                "prompt_filter_results",
                core::mem::take(&mut self.prompt_filter_results),
            );
        }
        if chunk.usage.is_some() && self.wants_usage {
            editor.set("usage", "null");
        } else if chunk.usage.is_some() {
            editor.remove("usage");
        }
        write_event(editor, out);
        Ok(())
    }

    /// Passes an event on that says this and nothing else.
    fn pass_text(&mut self, text: &str, raw: &[u8], out: &mut Vec<u8>) {
        let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
        self.tally.output_bytes = self.tally.output_bytes.saturating_add(bytes);
        if bytes > 0 {
            self.progress = Progress::Content;
        }
        out.extend_from_slice(raw);
    }

    /// Makes the usage chunk of the chunk that the usage came with.
    fn hold_usage(&mut self, chunk: &Chunk<'_>, text: &str, usage: &str) {
        if !self.wants_usage {
            return;
        }
        if let Ok(object) = Object::parse(text) {
            self.usage_event.clear();
            let mut editor = Editor::new(&object);
            if !chunk.has_head(OBJECT) {
                self.head.complete(chunk, text, OBJECT, &mut editor);
            }
            editor.set("choices", "[]");
            editor.set("usage", usage);
            write_event(editor, &mut self.usage_event);
        }
    }

    fn end(&mut self, done: &[u8], out: &mut Vec<u8>) {
        out.append(&mut self.usage_event);
        out.extend_from_slice(done);
        self.progress = Progress::Done;
    }
}

/// Writes one event. A chunk's text has no bare line end that would need a second `data` line once the line
/// feeds between its tokens are gone: within strings JSON escapes them.
fn write_event(editor: Editor<'_, '_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    let start = out.len();
    editor.write(out);
    for byte in out
        .iter_mut()
        .skip(start)
        .filter(|byte| matches!(byte, b'\n' | b'\r'))
    {
        *byte = b' ';
    }
    out.extend_from_slice(b"\n\n");
}
