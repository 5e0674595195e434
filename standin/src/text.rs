// SPDX-License-Identifier: Apache-2.0

//! What the stand-ins say, and how it is counted.
//!
//! Counting is deterministic so that a test can compute what it expects: input is the text bytes of the
//! prompt divided by four, rounded up, at least one, plus three; output is one per streamed piece. A prompt
//! steers its answer with `count:N` (N pieces of output) and `cached:N` (N input counted as read from a
//! cache); everything else in the prompt is only echoed.

use serde_json::Value;

/// The longest answer that `count:N` may ask for.
const LARGEST_COUNT: u32 = 10_000_000;

/// The words of an answer, one output token each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Prose {
    /// Exactly these pieces.
    Pieces(Vec<String>),
    /// The numbers from one to this, each followed by a space; never held in memory as a whole.
    Numbers(u32),
}

impl Prose {
    /// The answer of the provider called `speaker` to `asked`.
    pub(crate) fn answering(speaker: &str, asked: &str) -> Self {
        if let Some(count) = number_after(asked, "count:") {
            return Self::Numbers(count.min(LARGEST_COUNT));
        }
        let echo: String = asked.chars().take(40).collect();
        Self::Pieces(pieces(&format!("{speaker} stand-in: {echo}")))
    }

    /// How many output tokens this is.
    pub(crate) fn output_tokens(&self) -> u32 {
        match self {
            Self::Pieces(pieces) => u32::try_from(pieces.len()).unwrap_or(u32::MAX),
            Self::Numbers(count) => *count,
        }
    }

    /// The first `limit` pieces only.
    pub(crate) fn cut_to(self, limit: u32) -> Self {
        match self {
            Self::Pieces(mut pieces) => {
                pieces.truncate(limit as usize);
                Self::Pieces(pieces)
            }
            Self::Numbers(count) => Self::Numbers(count.min(limit)),
        }
    }

    /// The pieces in order, made as they are asked for.
    pub(crate) fn into_pieces(self) -> Box<dyn Iterator<Item = String>> {
        match self {
            Self::Pieces(pieces) => Box::new(pieces.into_iter()),
            Self::Numbers(count) => Box::new((1..=count).map(|n| format!("{n} "))),
        }
    }

    /// All pieces as one text.
    pub(crate) fn whole(&self) -> String {
        self.clone().into_pieces().collect()
    }
}

/// Cuts a text after each space.
pub(crate) fn pieces(text: &str) -> Vec<String> {
    text.split_inclusive(' ').map(str::to_owned).collect()
}

/// Cuts a tool call's arguments into fragments of eight characters.
pub(crate) fn fragments(arguments: &str) -> Vec<String> {
    let characters: Vec<char> = arguments.chars().collect();
    characters.chunks(8).map(|chunk| chunk.iter().collect()).collect()
}

/// The number that directly follows `key` in `text`, if any.
pub(crate) fn number_after(text: &str, key: &str) -> Option<u32> {
    let (_, rest) = text.split_once(key)?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Input tokens for a prompt with this many bytes of text.
pub(crate) fn input_tokens(text_bytes: usize) -> u32 {
    u32::try_from(text_bytes.div_ceil(4).max(1))
        .unwrap_or(u32::MAX - 3)
        .saturating_add(3)
}

/// Bytes of text in a message's `content`: a string, or the `text` and nested `content` of its parts.
pub(crate) fn text_bytes(content: &Value) -> usize {
    match content {
        Value::String(text) => text.len(),
        Value::Array(parts) => parts
            .iter()
            .map(|part| part.get("text").map_or(0, text_bytes) + part.get("content").map_or(0, text_bytes))
            .sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => 0,
    }
}

/// The text of a message's `content`, parts joined by a space.
pub(crate) fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part.get("text").and_then(Value::as_str))
            .collect::<Vec<_>>()
            .join(" "),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => String::new(),
    }
}

/// The places whose weather is asked for: none, one, or two if the text contains `both`.
pub(crate) fn places(asked: &str) -> &'static [&'static str] {
    let asked = asked.to_lowercase();
    match (asked.contains("weather"), asked.contains("both")) {
        (true, true) => &["Paris", "Rome"],
        (true, false) => &["Paris"],
        (false, _) => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn input_is_a_quarter_of_the_bytes_plus_three() {
        assert_eq!(input_tokens(0), 4);
        assert_eq!(input_tokens(4), 4);
        assert_eq!(input_tokens(5), 5);
    }

    #[test]
    fn count_in_the_prompt_sets_the_length() {
        let prose = Prose::answering("OpenAI", "please count:3 words");
        assert_eq!(prose.output_tokens(), 3);
        assert_eq!(prose.whole(), "1 2 3 ");
        assert_eq!(prose.cut_to(2).whole(), "1 2 ");
    }

    #[test]
    fn the_default_answer_names_the_provider_and_echoes_forty_characters() {
        let prose = Prose::answering("Anthropic", &"ä".repeat(50));
        assert_eq!(prose.whole(), format!("Anthropic stand-in: {}", "ä".repeat(40)));
        assert_eq!(prose.output_tokens(), 3);
    }

    #[test]
    fn nested_tool_results_are_counted() {
        let content = json!([{"type": "text", "text": "abc"},
            {"type": "tool_result", "content": [{"type": "text", "text": "de"}]}]);
        assert_eq!(text_bytes(&content), 5);
    }

    #[test]
    fn fragments_make_up_the_whole() {
        assert_eq!(
            fragments(r#"{"location":"Paris"}"#).concat(),
            r#"{"location":"Paris"}"#
        );
    }
}
