// SPDX-License-Identifier: Apache-2.0

//! Blocks in a stream: text, calls and reasoning, as they open, grow and end.
//!
//! A call without arguments streams none, but OpenAI's clients parse what they have joined: such a call says `{}`
//! when its block ends.
//!
//! Reasoning is told twice: while it arrives, as `reasoning_content`, and when its block ends, whole and with its
//! signature, as `thinking_blocks`, in which form it can be sent back. That needs the text kept until then, still
//! escaped. It is kept up to the bound of a single event; a longer block is told as text only and cannot be sent
//! back. Redacted reasoning may come in pieces, and is told when it is whole; so is an image.

use super::State;
use crate::protocol::bedrock::answer::{MediaSource, ToolUse};
use crate::protocol::bedrock::stream_event::{BlockDelta, ReasoningDelta, StreamEvent};
use crate::protocol::openai::chunk::{Arguments, Delta, FunctionDelta, ToolCallDelta};
use crate::protocol::openai::completion::{Image, ThinkingBlock};
use crate::provider::UpstreamFault;
use crate::provider::bedrock::citations::annotation;
use crate::provider::bedrock::error::malformed_answer;
use crate::provider::bedrock::media::mime_type;
use crate::provider::bedrock::reasoning::{decode, redacted};
use crate::provider::json_slice::{compact, escaped, size, text};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// More blocks than this are never open at once: Bedrock opens one after the other.
const MAX_OPEN_BLOCKS: usize = 64;

/// A block that has not ended.
pub(super) struct OpenBlock {
    pub(super) index: u64,
    kind: OpenKind,
}

enum OpenKind {
    /// Where the block's text began.
    Text { start: u64 },
    /// A call, by OpenAI's count.
    Call { number: u32, has_arguments: bool },
    /// Reasoning, kept as the inside of a JSON string; `None` once it was too long.
    Reasoning {
        kept: Option<String>,
        signature: String,
        redacted: Vec<u8>,
    },
    /// An image, whose bytes come in pieces.
    Image { mime_type: String, bytes: Vec<u8> },
    /// A block whose deltas say nothing to the client.
    Other,
}

impl State {
    pub(super) fn on_block_start(
        &mut self,
        event: &StreamEvent<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamFault> {
        let index = event.content_block_index.ok_or_else(malformed_answer)?;
        let start = event.start.as_ref();
        let call = start.and_then(|start| start.tool_use.as_ref());
        let image = start.and_then(|start| start.image.as_ref());
        let kind = match (call, image) {
            (Some(call), _) if !call.is_server_s() => self.open_call(call, out)?,
            (_, Some(image)) => OpenKind::Image {
                mime_type: image
                    .format
                    .as_deref()
                    .and_then(|format| mime_type("image", format))
                    .ok_or_else(malformed_answer)?,
                bytes: Vec::new(),
            },
            _ => OpenKind::Other,
        };
        self.open(index, kind)
    }

    pub(super) fn on_block_delta(
        &mut self,
        event: &StreamEvent<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamFault> {
        let index = event.content_block_index.ok_or_else(malformed_answer)?;
        let BlockDelta {
            text,
            tool_use,
            reasoning_content,
            citation,
            image,
        } = event.delta.as_ref().ok_or_else(malformed_answer)?;
        if let Some(piece) = text {
            self.add_text(index, piece, out)?;
        }
        if let Some(call) = tool_use {
            self.add_arguments(index, call, out)?;
        }
        if let Some(reasoning) = reasoning_content {
            self.add_reasoning(index, reasoning, out)?;
        }
        if let Some(citation) = citation {
            self.cite(index, citation, out)?;
        }
        if let Some(source) = image.as_ref().and_then(|image| image.source.as_ref()) {
            self.add_image(index, source, out)?;
        }
        Ok(())
    }

    pub(super) fn on_block_stop(
        &mut self,
        index: Option<u64>,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamFault> {
        let position = self.open.iter().position(|block| Some(block.index) == index);
        let Some(position) = position else {
            return Ok(());
        };
        match self.open.remove(position).kind {
            OpenKind::Call {
                number,
                has_arguments: false,
            } => {
                self.output_bytes = self.output_bytes.saturating_add(2);
                self.say_arguments(number, Arguments::Text("{}"), out);
                Ok(())
            }
            OpenKind::Reasoning {
                kept,
                signature,
                redacted,
            } => self.end_reasoning(kept, signature, &redacted, out),
            OpenKind::Image { mime_type, bytes } if !bytes.is_empty() => {
                self.say_image(
                    Image::inline(&mime_type, &STANDARD.encode(bytes), self.images),
                    out,
                );
                Ok(())
            }
            OpenKind::Call { .. } | OpenKind::Text { .. } | OpenKind::Image { .. } | OpenKind::Other => {
                Ok(())
            }
        }
    }

    fn add_text(&mut self, index: u64, piece: &RawValue, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
        let inner = escaped(piece).ok_or_else(malformed_answer)?;
        let start = self.characters;
        if self.block(index).is_none() {
            self.open(index, OpenKind::Text { start })?;
        }
        if inner.is_empty() {
            return Ok(());
        }
        let characters = self.count(inner);
        self.characters = self.characters.saturating_add(characters);
        self.say(
            &Delta {
                content: Some(piece),
                ..Delta::default()
            },
            out,
        );
        Ok(())
    }

    fn open_call(&mut self, call: &ToolUse<'_>, out: &mut Vec<u8>) -> Result<OpenKind, UpstreamFault> {
        let number = self.calls;
        self.calls = number.saturating_add(1);
        let at_provider = call.name.as_deref().ok_or_else(malformed_answer)?;
        let at_client = self.renamed_tools.get(at_provider).cloned();
        let call = ToolCallDelta {
            index: number,
            id: Some(call.tool_use_id.as_deref().ok_or_else(malformed_answer)?),
            kind: Some("function"),
            function: FunctionDelta {
                name: Some(at_client.as_deref().unwrap_or(at_provider)),
                arguments: Arguments::Text(""),
            },
            extra_content: None,
        };
        self.say(
            &Delta {
                tool_calls: Some([call]),
                ..Delta::default()
            },
            out,
        );
        Ok(OpenKind::Call {
            number,
            has_arguments: false,
        })
    }

    fn add_arguments(
        &mut self,
        index: u64,
        call: &ToolUse<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamFault> {
        let piece = call.input.ok_or_else(malformed_answer)?;
        let inner = escaped(piece).ok_or_else(malformed_answer)?;
        // Tools that Bedrock runs itself stream their arguments too; those are nobody's call.
        let Some(OpenKind::Call {
            number,
            has_arguments,
        }) = self.block(index)
        else {
            return Ok(());
        };
        if inner.is_empty() {
            return Ok(());
        }
        *has_arguments = true;
        let number = *number;
        self.count(inner);
        self.say_arguments(number, Arguments::Raw(piece), out);
        Ok(())
    }

    fn say_arguments(&mut self, index: u32, arguments: Arguments<'_>, out: &mut Vec<u8>) {
        let function = FunctionDelta {
            name: None,
            arguments,
        };
        let call = ToolCallDelta {
            index,
            id: None,
            kind: None,
            function,
            extra_content: None,
        };
        self.say(
            &Delta {
                tool_calls: Some([call]),
                ..Delta::default()
            },
            out,
        );
    }

    fn add_reasoning(
        &mut self,
        index: u64,
        delta: &ReasoningDelta<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamFault> {
        if self.block(index).is_none() {
            let begun = OpenKind::Reasoning {
                kept: Some(String::new()),
                signature: String::new(),
                redacted: Vec::new(),
            };
            self.open(index, begun)?;
        }
        let max_kept_bytes = self.max_kept_bytes;
        let Some(OpenKind::Reasoning {
            kept,
            signature,
            redacted,
        }) = self.block(index)
        else {
            return Err(malformed_answer());
        };
        if let Some(piece) = delta.signature {
            let piece = text(piece).ok_or_else(malformed_answer)?;
            if signature.len().saturating_add(piece.len()) > max_kept_bytes {
                return Err(malformed_answer());
            }
            signature.push_str(&piece);
        }
        if let Some(base64) = delta.redacted_content.as_deref() {
            if redacted.len().saturating_add(base64.len()) > max_kept_bytes {
                return Err(malformed_answer());
            }
            redacted.extend(decode(base64).ok_or_else(malformed_answer)?);
        }
        let Some(piece) = delta.text else {
            return Ok(());
        };
        let inner = escaped(piece).ok_or_else(malformed_answer)?;
        if inner.is_empty() {
            return Ok(());
        }
        match kept {
            Some(text) if text.len().saturating_add(inner.len()) <= max_kept_bytes => text.push_str(inner),
            _ => *kept = None,
        }
        self.count(inner);
        self.say(
            &Delta {
                reasoning_content: Some(piece),
                ..Delta::default()
            },
            out,
        );
        Ok(())
    }

    /// The block is complete: it is told whole, if it was kept and can be sent back.
    fn end_reasoning(
        &mut self,
        kept: Option<String>,
        signature: String,
        hidden: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamFault> {
        if let Some(kept) = kept.filter(|_| !signature.is_empty()) {
            let signature = serde_json::Value::from(signature);
            let block = format!(r#"{{"type":"thinking","thinking":"{kept}","signature":{signature}}}"#);
            self.say_thought(RawValue::from_string(block), out)?;
        }
        if !hidden.is_empty() {
            let data = Cow::Owned(redacted(hidden));
            let block = serde_json::value::to_raw_value(&ThinkingBlock::RedactedThinking { data });
            self.say_thought(block, out)?;
        }
        Ok(())
    }

    fn say_thought(
        &mut self,
        block: Result<Box<RawValue>, serde_json::Error>,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamFault> {
        let block = block.map_err(|_| malformed_answer())?;
        self.say(
            &Delta {
                thinking_blocks: Some([&*block]),
                ..Delta::default()
            },
            out,
        );
        Ok(())
    }

    /// More of an image, which is told when it is whole, or where it is.
    fn add_image(
        &mut self,
        index: u64,
        source: &MediaSource<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamFault> {
        if let Some(object) = &source.s3_location {
            self.say_image(Image::at(Cow::Borrowed(&object.uri), self.images), out);
        }
        let max_kept_bytes = self.max_kept_bytes;
        if let Some(base64) = source.bytes.as_deref()
            && let Some(OpenKind::Image { bytes, .. }) = self.block(index)
        {
            if bytes.len().saturating_add(base64.len()) > max_kept_bytes {
                let message = "The provider's stream holds an image that is too large.";
                return Err(UpstreamFault::misbehaved(message));
            }
            bytes.extend(decode(base64).ok_or_else(malformed_answer)?);
        }
        Ok(())
    }

    fn say_image(&mut self, image: Image<'_>, out: &mut Vec<u8>) {
        self.images = self.images.saturating_add(1);
        self.say(
            &Delta {
                images: Some([image]),
                ..Delta::default()
            },
            out,
        );
    }

    fn cite(&mut self, index: u64, citation: &RawValue, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
        let end = self.characters;
        let start = match self.block(index) {
            Some(OpenKind::Text { start }) => *start,
            _ => end,
        };
        if let Some(annotation) = annotation(citation, (start, end)) {
            self.say(
                &Delta {
                    annotations: Some([annotation]),
                    ..Delta::default()
                },
                out,
            );
            return Ok(());
        }
        // White space between parts could be a line break, which would end the event.
        let citation = RawValue::from_string(compact(citation).into_owned());
        let citation = citation.map_err(|_| malformed_answer())?;
        self.say(
            &Delta {
                citations: Some([&*citation]),
                ..Delta::default()
            },
            out,
        );
        Ok(())
    }

    fn open(&mut self, index: u64, kind: OpenKind) -> Result<(), UpstreamFault> {
        if self.open.len() >= MAX_OPEN_BLOCKS {
            return Err(malformed_answer());
        }
        self.open.push(OpenBlock { index, kind });
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
