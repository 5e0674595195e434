// SPDX-License-Identifier: Apache-2.0

//! Cohere's stream, retold as OpenAI chunks (<https://docs.cohere.com/v2/docs/streaming>).
//!
//! Words pass through as the JSON strings they came as. Calls are counted as they begin; one that ends without
//! arguments is given `{}`. The stream ends with `message-end`, and what follows it is ignored.

use super::error::{ended_in_failure, malformed_answer, reported};
use super::stop_reason::finish_reason;
use super::usage::{openai_usage, token_usage};
use crate::codec::sse::{Decoder, Event};
use crate::protocol::cohere::stream_event::{DeltaCall, DeltaContent, DeltaMessage, EventDelta, StreamEvent};
use crate::protocol::openai::chunk::{Arguments, ChunkWriter, DONE, Delta, FunctionDelta, ToolCallDelta};
use crate::provider::json_slice::{escaped, size};
use crate::provider::{Progress, ResponseStream, Settings, Tally, UpstreamFault, UpstreamRequest};
use crate::usage::TokenUsage;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Translates one stream.
pub struct ChatStream {
    decoder: Option<Decoder>,
    state: State,
}

struct State {
    upstream_model: String,
    created: u64,
    include_usage: bool,
    /// Theirs, to the client's.
    renamed_tools: BTreeMap<String, String>,
    /// There from `message-start` on.
    writer: Option<ChunkWriter>,
    /// Calls that have begun.
    calls: u32,
    /// The call that has begun has no arguments yet.
    lacks_arguments: bool,
    usage: TokenUsage,
    output_bytes: u64,
    progress: Progress,
}

impl ChatStream {
    pub(in crate::provider) fn new(settings: &Settings, request: &UpstreamRequest) -> Self {
        Self {
            decoder: Some(Decoder::new(settings.max_event_bytes)),
            state: State {
                upstream_model: settings.upstream_model.clone(),
                created: settings.created,
                include_usage: request.include_usage,
                renamed_tools: request.renamed_tools.clone(),
                writer: None,
                calls: 0,
                lacks_arguments: false,
                usage: TokenUsage::default(),
                output_bytes: 0,
                progress: Progress::Preamble,
            },
        }
    }
}

impl ResponseStream for ChatStream {
    fn on_bytes(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<Progress, UpstreamFault> {
        let state = &mut self.state;
        if let Some(decoder) = &mut self.decoder {
            let fed = decoder.feed(chunk, |event| state.on_event(&event, out));
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
            decoder.finish(|event| state.on_event(&event, out))?;
        }
        if self.state.progress == Progress::Done {
            Ok(())
        } else {
            Err(UpstreamFault::misbehaved(
                "The provider's stream ended before it was complete.",
            ))
        }
    }

    fn tally(&self) -> Tally {
        Tally {
            usage: self.state.usage,
            output_bytes: self.state.output_bytes,
        }
    }
}

impl State {
    fn on_event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
        if self.progress == Progress::Done || event.data.is_empty() {
            return Ok(());
        }
        let parsed: StreamEvent<'_> = serde_json::from_slice(event.data).map_err(|_| malformed_answer())?;
        let delta = parsed.delta.as_ref();
        let message = delta.and_then(|delta| delta.message.as_ref());
        match (parsed.kind.as_deref(), &parsed.message) {
            (None, Some(message)) => return Err(reported(message)),
            (None, None) => return Err(malformed_answer()),
            (Some("message-start"), _) => {
                let id = parsed.id.as_deref().unwrap_or_default();
                let writer = ChunkWriter::new(id, &self.upstream_model, self.created, self.include_usage);
                let opening = Delta {
                    role: Some("assistant"),
                    ..Delta::default()
                };
                writer.delta(&opening, out);
                self.writer = Some(writer);
            }
            // Contents begin empty, but nothing says that they must.
            (Some("content-start" | "content-delta"), _) => self.on_content(message, out)?,
            (Some("tool-plan-delta"), _) => {
                self.text(message.and_then(|message| message.tool_plan), out)?;
            }
            (Some("tool-call-start"), _) => self.on_call(message, true, out)?,
            (Some("tool-call-delta"), _) => self.on_call(message, false, out)?,
            (Some("tool-call-end"), _) => self.complete_call(out)?,
            (Some("citation-start"), _) => {
                if let Some(citation) = message.and_then(|message| message.citations) {
                    let delta = Delta {
                        citations: Some([citation]),
                        ..Delta::default()
                    };
                    self.delta(&delta, out)?;
                }
            }
            (Some("message-end"), _) => self.on_end(delta, out)?,
            // Ends of contents and citations, and what is added later.
            (Some(_), _) => {}
        }
        Ok(())
    }

    fn on_content(
        &mut self,
        message: Option<&DeltaMessage<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamFault> {
        let Some(content) = message.and_then(|message| message.content) else {
            return Ok(());
        };
        let content: DeltaContent<'_> =
            serde_json::from_str(content.get()).map_err(|_| malformed_answer())?;
        if let Some(thinking) = content.thinking.filter(|thinking| self.count(thinking)) {
            let delta = Delta {
                reasoning_content: Some(thinking),
                ..Delta::default()
            };
            self.delta(&delta, out)?;
        }
        self.text(content.text, out)
    }

    fn text(&mut self, text: Option<&RawValue>, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
        match text.filter(|text| self.count(text)) {
            Some(text) => self.delta(
                &Delta {
                    content: Some(text),
                    ..Delta::default()
                },
                out,
            ),
            None => Ok(()),
        }
    }

    fn on_call(
        &mut self,
        message: Option<&DeltaMessage<'_>>,
        begins: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamFault> {
        let Some(call) = message.and_then(|message| message.tool_calls) else {
            return Ok(());
        };
        let call: DeltaCall<'_> = serde_json::from_str(call.get()).map_err(|_| malformed_answer())?;
        let function = call.function.as_ref();
        if begins {
            self.complete_call(out)?;
            self.calls = self.calls.saturating_add(1);
            self.lacks_arguments = true;
        }
        let index = self.calls.saturating_sub(1);
        let arguments = function.and_then(|function| function.arguments);
        let is_empty = !arguments.is_some_and(|arguments| self.count(arguments));
        if is_empty && !begins {
            return Ok(());
        }
        self.lacks_arguments &= is_empty;
        let made_up = format!("call_{index}");
        let at_provider = function.and_then(|function| function.name.as_deref());
        let at_client = at_provider.and_then(|name| self.renamed_tools.get(name)).cloned();
        let name = at_client.as_deref().or(at_provider);
        self.output_bytes = self
            .output_bytes
            .saturating_add(u64::try_from(name.map_or(0, str::len)).unwrap_or(0));
        let delta = ToolCallDelta {
            index,
            id: begins.then(|| call.id.as_deref().unwrap_or(&made_up)),
            kind: begins.then_some("function"),
            function: FunctionDelta {
                name: if begins {
                    Some(name.unwrap_or_default())
                } else {
                    None
                },
                arguments: match arguments.filter(|_| !is_empty) {
                    Some(arguments) => Arguments::Raw(arguments),
                    None => Arguments::Text(""),
                },
            },
            extra_content: None,
        };
        self.delta(
            &Delta {
                tool_calls: Some([delta]),
                ..Delta::default()
            },
            out,
        )
    }

    /// A call that was given no arguments has none, in JSON.
    fn complete_call(&mut self, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
        if !core::mem::take(&mut self.lacks_arguments) {
            return Ok(());
        }
        let delta = ToolCallDelta {
            index: self.calls.saturating_sub(1),
            id: None,
            kind: None,
            function: FunctionDelta {
                name: None,
                arguments: Arguments::Text("{}"),
            },
            extra_content: None,
        };
        self.delta(
            &Delta {
                tool_calls: Some([delta]),
                ..Delta::default()
            },
            out,
        )
    }

    fn on_end(&mut self, delta: Option<&EventDelta<'_>>, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
        self.usage
            .update(token_usage(delta.and_then(|delta| delta.usage)));
        let told = delta.and_then(|delta| delta.error.as_deref());
        let reason = delta.and_then(|delta| delta.finish_reason.as_deref());
        let reason = finish_reason(reason).map_err(|fault| match told {
            Some(_) => ended_in_failure(fault.error.status, told),
            None => fault,
        })?;
        if let Some(told) = told {
            return Err(ended_in_failure(502, Some(told)));
        }
        self.complete_call(out)?;
        let writer = self.writer.as_ref().ok_or_else(malformed_answer)?;
        writer.finish(reason, &Delta::default(), out);
        writer.usage(&openai_usage(&self.usage), out);
        out.extend_from_slice(DONE);
        self.progress = Progress::Done;
        Ok(())
    }

    fn delta(&mut self, delta: &Delta<'_>, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
        self.writer
            .as_ref()
            .ok_or_else(malformed_answer)?
            .delta(delta, out);
        self.progress = Progress::Content;
        Ok(())
    }

    /// Counts a JSON string as output; false if it is empty, or none.
    fn count(&mut self, text: &RawValue) -> bool {
        let bytes = escaped(text).map_or(0, |text| size(text).bytes);
        self.output_bytes = self.output_bytes.saturating_add(bytes);
        bytes > 0
    }
}

#[cfg(test)]
mod tests;
