// SPDX-License-Identifier: Apache-2.0

//! Calls in a stream: their opening, their arguments in pieces, and what is said for a call without any.
//!
//! A call without arguments streams no piece of JSON, but OpenAI's clients parse what they have joined: such a
//! call says `{}`, or whatever its opening already held, when its block ends.

use super::{OpenKind, State};
use crate::protocol::anthropic::messages::ContentBlock;
use crate::protocol::openai::chunk::{Arguments, Delta, FunctionDelta, ToolCallDelta};
use crate::provider::UpstreamFault;
use crate::provider::anthropic::error::malformed_answer;
use crate::provider::json_slice::{compact, escaped};
use serde_json::value::RawValue;

impl State {
    pub(super) fn open_call(
        &mut self,
        block: &ContentBlock<'_>,
        out: &mut Vec<u8>,
    ) -> Result<OpenKind, UpstreamFault> {
        let number = self.calls;
        self.calls = number.saturating_add(1);
        let name = block.name.as_deref().ok_or_else(malformed_answer)?;
        let at_client = self.renamed_tools.get(name).cloned();
        let call = ToolCallDelta {
            index: number,
            id: Some(block.id.as_deref().ok_or_else(malformed_answer)?),
            kind: Some("function"),
            function: FunctionDelta {
                name: Some(at_client.as_deref().unwrap_or(name)),
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
        )?;
        let input = block.input.filter(|input| input.get() != "null");
        let unsaid = input.map_or_else(|| "{}".to_owned(), |input| compact(input).into_owned());
        Ok(OpenKind::Call {
            number,
            unsaid: Some(unsaid),
        })
    }

    pub(super) fn add_arguments(
        &mut self,
        index: u64,
        piece: &RawValue,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamFault> {
        let inner = escaped(piece).ok_or_else(malformed_answer)?;
        // Server tools stream their arguments too; those are nobody's call.
        let Some(OpenKind::Call { number, unsaid }) = self.block(index) else {
            return Ok(());
        };
        if inner.is_empty() {
            return Ok(());
        }
        *unsaid = None;
        let number = *number;
        self.count(inner);
        self.say_arguments(number, Arguments::Raw(piece), out)
    }

    pub(super) fn say_arguments(
        &mut self,
        index: u32,
        arguments: Arguments<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamFault> {
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
        )
    }

    /// The block is complete: a call that said nothing says its arguments now.
    pub(super) fn end_call(
        &mut self,
        number: u32,
        arguments: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), UpstreamFault> {
        let bytes = u64::try_from(arguments.len()).unwrap_or(u64::MAX);
        self.output_bytes = self.output_bytes.saturating_add(bytes);
        self.say_arguments(number, Arguments::Text(arguments), out)
    }
}
