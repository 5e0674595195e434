// SPDX-License-Identifier: Apache-2.0

//! The pieces of a streamed answer (<https://platform.openai.com/docs/api-reference/chat-streaming>), as they
//! are written.
//!
//! All chunks of a stream share their id, model and time. [`ChunkWriter`] therefore writes that part once and
//! keeps it; a chunk is then the kept head, one small [`Delta`], and a constant tail. Nothing is allocated for a
//! chunk but the room in the output.

use super::completion::{Annotation, Audio, ExtraContent, FinishReason, Image, Logprobs, Usage};
use crate::protocol::json_text;
use serde::Serialize;
use serde_json::value::RawValue;

/// The end of a stream.
pub const DONE: &[u8] = b"data: [DONE]\n\n";

/// What a chunk adds. Raw values are complete JSON, passed on as they stand.
#[derive(Debug, Default, Serialize)]
pub struct Delta<'a> {
    /// `assistant`, in the first chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// Visible text: a JSON string.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<&'a RawValue>,
    /// Why the model declined: a JSON string.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<&'a str>,
    /// Reasoning: a JSON string.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<&'a RawValue>,
    /// Reasoning that is complete, with its signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking_blocks: Option<[&'a RawValue; 1]>,
    /// A piece of a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<[ToolCallDelta<'a>; 1]>,
    /// A citation with a URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<[Annotation<'a>; 1]>,
    /// A citation without one, in the provider's form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub citations: Option<[&'a RawValue; 1]>,
    /// An image that the model made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<[Image<'a>; 1]>,
    /// A piece of what the model spoke.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio: Option<Audio<'a>>,
    /// State of the provider's that belongs to the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_content: Option<ExtraContent<'a>>,
}

/// A piece of a call.
#[derive(Debug, Serialize)]
pub struct ToolCallDelta<'a> {
    /// Which call of the answer, from 0.
    pub index: u32,
    /// The call's id, in its first piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    /// `function`, in its first piece.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// What is added to it.
    pub function: FunctionDelta<'a>,
    /// State of the provider's that belongs to the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_content: Option<ExtraContent<'a>>,
}

/// What is added to a call.
#[derive(Debug, Serialize)]
pub struct FunctionDelta<'a> {
    /// The function, in the first piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// More of the arguments.
    pub arguments: Arguments<'a>,
}

/// A piece of a call's arguments.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Arguments<'a> {
    /// A JSON string, passed on as it stands.
    Raw(&'a RawValue),
    /// Text that has yet to be quoted.
    Text(&'a str),
}

/// Writes the chunks of one stream.
#[derive(Debug)]
pub struct ChunkWriter {
    /// `data: {…"choices":`
    head: Vec<u8>,
    with_usage: bool,
    service_tier: Option<&'static str>,
}

#[derive(Serialize)]
struct Head<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: [(); 0],
}

impl ChunkWriter {
    /// A writer for the stream of the given id and model. `with_usage`: the client asked for the usage chunk, and
    /// so every other chunk says `"usage":null`.
    #[must_use]
    pub fn new(id: &str, model: &str, created: u64, with_usage: bool) -> Self {
        let object = "chat.completion.chunk";
        let mut head = b"data: ".to_vec();
        write(
            &mut head,
            &Head {
                id,
                object,
                created,
                model,
                choices: [],
            },
        );
        // The empty array and the closing brace make room for the choices.
        head.truncate(head.len().saturating_sub(3));
        Self {
            head,
            with_usage,
            service_tier: None,
        }
    }

    /// From here on, the chunks that end the answer tell by which tier it was processed.
    pub const fn set_service_tier(&mut self, tier: Option<&'static str>) {
        self.service_tier = tier;
    }

    /// Appends a chunk that adds `delta`.
    pub fn delta(&self, delta: &Delta<'_>, out: &mut Vec<u8>) {
        self.chunk(0, delta, None, None, out);
    }

    /// Appends a chunk that adds text and nothing else. `escaped` is the inside of a JSON string.
    pub fn text(&self, escaped: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(br#"[{"index":0,"delta":{"content":""#);
        out.extend_from_slice(escaped.as_bytes());
        let end: &[u8] = if self.with_usage {
            b"\"},\"finish_reason\":null}],\"usage\":null}\n\n"
        } else {
            b"\"},\"finish_reason\":null}]}\n\n"
        };
        out.extend_from_slice(end);
    }

    /// Appends the chunk that ends the answer.
    pub fn finish(&self, reason: FinishReason, delta: &Delta<'_>, out: &mut Vec<u8>) {
        self.chunk(0, delta, None, Some(reason), out);
    }

    /// Appends the usage chunk, if the client asked for it.
    pub fn usage(&self, usage: &Usage, out: &mut Vec<u8>) {
        self.usage_and_trace(usage, None, out);
    }

    /// Appends the usage chunk with what guardrails found, which no other chunk has room for.
    pub fn usage_and_trace(&self, usage: &Usage, trace: Option<&RawValue>, out: &mut Vec<u8>) {
        if self.with_usage {
            out.extend_from_slice(&self.head);
            out.extend_from_slice(br#"[],"usage":"#);
            write(out, usage);
            self.write_service_tier(out);
            if let Some(trace) = trace {
                out.extend_from_slice(br#","trace":"#);
                write(out, &trace);
            }
            out.extend_from_slice(b"}\n\n");
        }
    }

    /// Appends a chunk of the answer with this number, where a request may have several.
    pub fn chunk(
        &self,
        index: u32,
        delta: &Delta<'_>,
        logprobs: Option<&Logprobs<'_>>,
        reason: Option<FinishReason>,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(br#"[{"index":"#);
        write(out, &index);
        out.extend_from_slice(br#","delta":"#);
        write(out, delta);
        if let Some(logprobs) = logprobs {
            out.extend_from_slice(br#","logprobs":"#);
            write(out, logprobs);
        }
        match reason {
            None => out.extend_from_slice(br#","finish_reason":null}]"#),
            Some(reason) => {
                out.extend_from_slice(br#","finish_reason":"#);
                write(out, &reason);
                out.extend_from_slice(b"}]");
                self.write_service_tier(out);
            }
        }
        if self.with_usage {
            out.extend_from_slice(br#","usage":null"#);
        }
        out.extend_from_slice(b"}\n\n");
    }
}

impl ChunkWriter {
    fn write_service_tier(&self, out: &mut Vec<u8>) {
        if let Some(tier) = self.service_tier {
            out.extend_from_slice(br#","service_tier":"#);
            write(out, &tier);
        }
    }
}

/// Appends JSON. Strings, numbers and raw JSON into memory: it cannot fail.
fn write<T: Serialize>(out: &mut Vec<u8>, value: &T) {
    let written = json_text::write(out, value);
    debug_assert!(written.is_ok(), "plain data serialises");
}

#[cfg(test)]
mod tests {
    use super::{ChunkWriter, Delta};
    use crate::protocol::openai::completion::{FinishReason, Usage};

    #[crate::test]
    fn text_alone_is_written_as_any_delta_is() {
        for with_usage in [false, true] {
            let writer = ChunkWriter::new("a", "m", 7, with_usage);
            let (mut alone, mut delta) = (Vec::new(), Vec::new());
            writer.text(r"a\n\u00e9", &mut alone);
            let content = serde_json::from_str(r#""a\n\u00e9""#).unwrap();
            let says = Delta {
                content: Some(content),
                ..Delta::default()
            };
            writer.delta(&says, &mut delta);
            assert_eq!(alone, delta);
        }
    }

    #[crate::test]
    fn chunks_share_their_head_and_usage_is_null_until_the_end() {
        let mut writer = ChunkWriter::new("a\"b", "m", 7, true);
        let mut out = Vec::new();
        writer.set_service_tier(Some("flex"));
        writer.finish(FinishReason::ToolCalls, &Delta::default(), &mut out);
        let usage = Usage {
            prompt_tokens: 2,
            total_tokens: 2,
            ..Usage::default()
        };
        writer.usage(&usage, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"data: {"id":"a\"b","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}],"service_tier":"flex","usage":null}"#,
                "\n\n",
                r#"data: {"id":"a\"b","object":"chat.completion.chunk","created":7,"model":"m","choices":[],"usage":{"prompt_tokens":2,"completion_tokens":0,"total_tokens":2,"prompt_tokens_details":{"cached_tokens":0}},"service_tier":"flex"}"#,
                "\n\n"
            )
        );
    }
}
