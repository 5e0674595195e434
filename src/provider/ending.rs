// SPDX-License-Identifier: Apache-2.0

//! The end of a stream that the gateway stops, in OpenAI's words.
//!
//! A chunk with the finish reason `length` for each choice, the usage chunk if the client asked for one, and
//! `[DONE]` (<https://platform.openai.com/docs/api-reference/chat-streaming>). What a client may compare between
//! chunks (`id`, `created`, `model`) is that of the chunk in whose place the end stands.

use serde::Deserialize;
use serde_json::value::RawValue;

/// What the end says.
#[derive(Clone, Debug)]
pub struct Ending {
    /// How many choices were asked for.
    pub choices: u64,
    /// Input and output tokens, if the client asked for its usage.
    pub usage: Option<(u64, u64)>,
    /// What the answer costs in USD, if the client asked for that.
    pub cost: Option<String>,
}

/// More choices are not named one by one; OpenAI's own bound is 128.
const MOST_CHOICES: u64 = 128;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Head<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    created: Option<&'a RawValue>,
    #[serde(borrow)]
    model: Option<&'a RawValue>,
}

/// Appends the end to `out`, in place of the translated events `beyond`.
pub fn end_for_length(beyond: &[u8], ending: &Ending, out: &mut Vec<u8>) {
    let head = head(beyond).unwrap_or_default();
    let chunk = |choices: &str, usage: &str, out: &mut Vec<u8>| {
        out.extend_from_slice(b"data: {");
        for (name, value) in [("id", head.id), ("created", head.created), ("model", head.model)] {
            if let Some(value) = value {
                out.extend_from_slice(format!("\"{name}\":{},", value.get()).as_bytes());
            }
        }
        let rest = format!("\"object\":\"chat.completion.chunk\",\"choices\":[{choices}]{usage}}}\n\n");
        out.extend_from_slice(rest.as_bytes());
    };
    let choices: Vec<String> = (0..ending.choices.clamp(1, MOST_CHOICES))
        .map(|index| format!(r#"{{"index":{index},"delta":{{}},"logprobs":null,"finish_reason":"length"}}"#))
        .collect();
    let Some((input_tokens, output_tokens)) = ending.usage else {
        chunk(&choices.join(","), "", out);
        out.extend_from_slice(b"data: [DONE]\n\n");
        return;
    };
    chunk(&choices.join(","), r#","usage":null"#, out);
    let total_tokens = input_tokens.saturating_add(output_tokens);
    let cost = ending
        .cost
        .as_ref()
        .map_or_else(String::new, |usd| format!(r#","cost":{usd}"#));
    let usage = format!(
        r#","usage":{{"prompt_tokens":{input_tokens},"completion_tokens":{output_tokens},"total_tokens":{total_tokens}{cost}}}"#
    );
    chunk("", &usage, out);
    out.extend_from_slice(b"data: [DONE]\n\n");
}

/// The members of the first chunk.
fn head(events: &[u8]) -> Option<Head<'_>> {
    let start = memchr::memmem::find(events, b"data:")?;
    let line = events.get(start..)?.split(|byte| *byte == b'\n').next()?;
    serde_json::from_slice(line.strip_prefix(b"data:")?).ok()
}

#[cfg(test)]
mod tests {
    use super::{Ending, end_for_length};

    fn end(beyond: &str, choices: u64, usage: Option<(u64, u64)>) -> String {
        let mut out = Vec::new();
        end_for_length(
            beyond.as_bytes(),
            &Ending {
                choices,
                usage,
                cost: None,
            },
            &mut out,
        );
        String::from_utf8(out).unwrap()
    }

    #[crate::test]
    fn every_choice_ends_and_the_chunks_belong_to_the_answer() {
        let beyond = ": ping\n\ndata: {\"id\":\"c-1\",\"created\":7,\"model\":\"m\",\"choices\":[{}]}\n\n";
        let expected = concat!(
            r#"data: {"id":"c-1","created":7,"model":"m","object":"chat.completion.chunk","choices":["#,
            r#"{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"},"#,
            r#"{"index":1,"delta":{},"logprobs":null,"finish_reason":"length"}]}"#,
            "\n\ndata: [DONE]\n\n"
        );
        assert_eq!(end(beyond, 2, None), expected);
    }

    #[crate::test]
    fn the_usage_comes_last_if_it_was_asked_for() {
        let expected = concat!(
            r#"data: {"id":"c","object":"chat.completion.chunk","choices":["#,
            r#"{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}],"usage":null}"#,
            "\n\n",
            r#"data: {"id":"c","object":"chat.completion.chunk","choices":[],"#,
            r#""usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#,
            "\n\ndata: [DONE]\n\n"
        );
        assert_eq!(end("data: {\"id\":\"c\"}\n\n", 1, Some((3, 4))), expected);
    }

    #[crate::test]
    fn what_cannot_be_read_lends_nothing() {
        for beyond in ["", "data: [DONE]\n\n", "\u{0}\u{1}", "data: {\"id\""] {
            assert!(end(beyond, 1, None).starts_with("data: {\"object\""), "{beyond}");
        }
    }
}
