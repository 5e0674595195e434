// SPDX-License-Identifier: Apache-2.0

//! Thinking in a stream, which is told twice.
//!
//! Readers want it while it arrives, as `reasoning_content`; Anthropic wants it back whole and with its signature,
//! so it is told again as `thinking_blocks` when its block ends. That needs the text kept until then, still
//! escaped. It is kept up to the bound of a single event; a longer block is told as text only and cannot be sent
//! back.

use super::{OpenKind, State};
use crate::protocol::openai::chunk::Delta;
use crate::protocol::openai::completion::ThinkingBlock;
use crate::provider::UpstreamFault;
use crate::provider::anthropic::error::malformed_answer;
use crate::provider::json_slice::{escaped, text};
use serde_json::value::RawValue;
use std::borrow::Cow;

impl State {
    pub(super) fn redacted(&mut self, data: &str, out: &mut Vec<u8>) -> Result<(), UpstreamFault> {
        let block = ThinkingBlock::RedactedThinking {
            data: Cow::Borrowed(data),
        };
        let block = serde_json::value::to_raw_value(&block).map_err(|_| malformed_answer())?;
        self.say(
            &Delta {
                thinking_blocks: Some([&*block]),
                ..Delta::default()
            },
            out,
        )
    }

    pub(super) fn add_thinking(
        &mut self,
        index: u64,
        piece: &RawValue,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamFault> {
        let inner = escaped(piece).ok_or_else(malformed_answer)?;
        if inner.is_empty() {
            return Ok(());
        }
        let max_kept_bytes = self.max_kept_bytes;
        if let Some(OpenKind::Thinking { kept, .. }) = self.block(index)
            && let Some(text) = kept
        {
            if text.len().saturating_add(inner.len()) > max_kept_bytes {
                *kept = None;
            } else {
                text.push_str(inner);
            }
        }
        self.count(inner);
        self.say(
            &Delta {
                reasoning_content: Some(piece),
                ..Delta::default()
            },
            out,
        )
    }

    pub(super) fn sign(&mut self, index: u64, piece: &RawValue) -> Result<(), UpstreamFault> {
        let piece = text(piece).ok_or_else(malformed_answer)?;
        let max_kept_bytes = self.max_kept_bytes;
        if let Some(OpenKind::Thinking { signature, .. }) = self.block(index) {
            if signature.len().saturating_add(piece.len()) > max_kept_bytes {
                return Err(malformed_answer());
            }
            signature.push_str(&piece);
        }
        Ok(())
    }

    /// The block is complete: it is told whole, if it was kept and can be sent back.
    pub(super) fn end_thinking(
        &mut self,
        kept: &str,
        signature: String,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamFault> {
        let signature = serde_json::Value::from(signature);
        let block = format!(r#"{{"type":"thinking","thinking":"{kept}","signature":{signature}}}"#);
        let block = RawValue::from_string(block).map_err(|_| malformed_answer())?;
        self.say(
            &Delta {
                thinking_blocks: Some([&*block]),
                ..Delta::default()
            },
            out,
        )
    }
}
