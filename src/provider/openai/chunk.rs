// SPDX-License-Identifier: Apache-2.0

//! What the gateway reads of a completion or a chunk of one, without building it.
//!
//! Both shapes are read by one parse: a choice has a `delta` in a chunk
//! (<https://platform.openai.com/docs/api-reference/chat/streaming>) and a `message` in a whole answer
//! (<https://platform.openai.com/docs/api-reference/chat/object>). Values stay text; choices are folded into
//! counts as they pass, so a chunk of text costs no allocation.

use super::{finish_reason, reshape};
use core::fmt;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A completion or a chunk.
#[derive(Deserialize)]
pub(super) struct Chunk<'a> {
    #[serde(borrow)]
    pub(super) choices: Option<Choices<'a>>,
    #[serde(borrow)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) created: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) model: Option<&'a RawValue>,
    /// Azure's judgement of the prompt
    /// (<https://learn.microsoft.com/azure/ai-services/openai/concepts/content-streaming>).
    #[serde(borrow)]
    pub(super) prompt_filter_results: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    x_groq: Option<XGroq<'a>>,
}

#[derive(Deserialize)]
struct XGroq<'a> {
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

/// What all choices of a chunk come to.
#[derive(Default)]
pub(super) struct Choices<'a> {
    pub(super) count: u64,
    /// Bytes of text, reasoning, refusals and tool arguments.
    pub(super) output_bytes: u64,
    /// Something that a client would miss.
    pub(super) has_content: bool,
    pub(super) has_finish_reason: bool,
    /// The choices that have a finish reason: one bit each, by index.
    pub(super) finished: u128,
    /// Something that OpenAI's SDKs do not read, or that they do not find: content as parts, tool arguments as an
    /// object, a finish reason of the provider's own, reasoning under another name, a call without its id.
    pub(super) is_foreign: bool,
    /// The latest choice's text: a JSON string.
    text: Option<&'a str>,
    /// The error of a choice, or its finish reason if that is all there is.
    error: Option<&'a str>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    index: Option<&'a RawValue>,
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    #[serde(borrow)]
    message: Option<Delta<'a>>,
    #[serde(borrow)]
    finish_reason: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow)]
    audio: Option<&'a RawValue>,
    #[serde(borrow)]
    images: Option<&'a RawValue>,
    #[serde(borrow)]
    annotations: Option<&'a RawValue>,
    #[serde(borrow)]
    function_call: Option<Function<'a>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<ToolCall<'a>>>,
}

#[derive(Deserialize)]
struct ToolCall<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    index: Option<&'a RawValue>,
    #[serde(borrow)]
    function: Option<Function<'a>>,
    #[serde(borrow)]
    custom: Option<Custom<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

/// A call of a tool that takes any text
/// (<https://platform.openai.com/docs/guides/function-calling#custom-tools>).
#[derive(Deserialize)]
struct Custom<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

fn calls_of<'c, 'a>(delta: Option<&'c Delta<'a>>) -> impl Iterator<Item = &'c ToolCall<'a>> {
    delta.into_iter().flat_map(|delta| &delta.tool_calls).flatten()
}

impl ToolCall<'_> {
    /// Whether the call begins here and has no id. The name alone tells where a call begins.
    fn lacks_id(&self) -> bool {
        let name = self.function.as_ref().and_then(|function| function.name);
        output_bytes(name) > 0 && output_bytes(self.id) == 0
    }

    fn lacks_arguments(&self) -> bool {
        if self.custom.is_some() {
            return false;
        }
        let arguments = self.function.as_ref().and_then(|function| function.arguments);
        arguments.is_none_or(|arguments| arguments.get() == "\"\"")
    }
}

impl<'a> Chunk<'a> {
    /// Whether the chunk, or the completion, says whose it is as OpenAI's do: some servers leave it out, and Azure
    /// leaves it empty where it tells of its filters.
    pub(super) fn has_head(&self, object: &str) -> bool {
        let is_text = |value: Option<&RawValue>| {
            value.is_some_and(|value| value.get().len() > 2 && value.get().starts_with('"'))
        };
        is_text(self.id)
            && is_text(self.model)
            && self.object.is_some_and(|found| found.get() == object)
            && self.created.is_some_and(|created| {
                created.get() != "0" && created.get().bytes().all(|b| b.is_ascii_digit())
            })
    }

    /// The error that the chunk reports. `json` is the whole chunk.
    pub(super) fn error(&self, json: &'a str) -> Option<&'a str> {
        let is_error = |error: &&'a str| !matches!(*error, "\"\"" | "false");
        if let Some(error) = self.error.map(RawValue::get).filter(is_error) {
            return Some(if error.starts_with('{') || error.starts_with('"') {
                error
            } else {
                json
            });
        }
        let is_named_error = self.object.is_some_and(|object| object.get() == "\"error\"");
        let is_bare_message = self.choices.is_none() && self.message.is_some();
        if is_named_error || is_bare_message {
            return Some(json);
        }
        self.choices.as_ref()?.error
    }

    /// The text that the chunk adds, as a JSON string, if it says nothing else.
    pub(super) fn only_text(&self) -> Option<&'a str> {
        let choices = self.choices.as_ref()?;
        let is_plain = choices.count == 1 && !choices.has_finish_reason && self.any_usage().is_none();
        let text = choices.text.filter(|_| is_plain)?;
        (choices.output_bytes == bytes_of(text)).then_some(text)
    }

    /// `usage`, or where Groq puts it.
    pub(super) fn any_usage(&self) -> Option<&'a str> {
        let groq = || self.x_groq.as_ref()?.usage;
        self.usage.or_else(groq).map(RawValue::get)
    }
}

impl<'a> Choices<'a> {
    fn add(&mut self, choice: &Choice<'a>) {
        self.count += 1;
        match choice.finish_reason.map(RawValue::get) {
            None => self.is_foreign |= choice.message.is_some(),
            // Some servers send an empty reason with every chunk.
            Some("\"\"") => self.is_foreign = true,
            Some("\"error\"") => {
                self.error = self
                    .error
                    .or(Some(r#"{"message":"The provider failed during the answer."}"#));
            }
            Some(reason) => {
                self.has_finish_reason = true;
                // OpenAI allows 128 choices.
                let index: u32 = choice
                    .index
                    .and_then(|index| index.get().parse().ok())
                    .unwrap_or(0);
                self.finished |= 1 << index.min(u128::BITS - 1);
                self.is_foreign |= finish_reason::translated(reason).is_some();
            }
        }
        if let Some(error) = choice.error {
            self.error = Some(error.get());
        }
        self.is_foreign |= choice.index.is_none() || (choice.delta.is_none() && choice.message.is_none());
        for delta in [&choice.delta, &choice.message].into_iter().flatten() {
            self.add_delta(delta);
        }
        self.is_foreign |= calls_of(choice.delta.as_ref())
            .any(|call| call.index.is_none() || call.lacks_id())
            || calls_of(choice.message.as_ref()).any(|call| call.lacks_id() || call.lacks_arguments());
    }

    fn add_delta(&mut self, delta: &Delta<'a>) {
        // Servers that send both spellings send the same text in both.
        let (reasoning_content, reasoning) = (
            output_bytes(delta.reasoning_content),
            output_bytes(delta.reasoning),
        );
        self.is_foreign |= reasoning_content == 0 && reasoning > 0;
        self.output(reasoning_content.max(reasoning));
        self.output(output_bytes(delta.refusal));
        match delta.content.map(RawValue::get) {
            Some(parts) if parts.starts_with('[') => {
                self.is_foreign = true;
                self.has_content |= parts.len() > 2;
                self.output(reshape::bytes_of_parts(parts));
            }
            text => {
                self.text = text;
                self.output(output_bytes(delta.content));
            }
        }
        // Sound and images are missed by a client, but their base64 says nothing of their tokens.
        let is_said = |raw: Option<&RawValue>| raw.is_some_and(|raw| raw.get().len() > 2);
        self.has_content |= is_said(delta.audio) || is_said(delta.images) || is_said(delta.annotations);
        for custom in delta
            .tool_calls
            .iter()
            .flatten()
            .filter_map(|call| call.custom.as_ref())
        {
            self.output(output_bytes(custom.name).saturating_add(output_bytes(custom.input)));
        }
        let calls = delta.tool_calls.iter().flatten().map(|call| &call.function);
        for function in calls.chain(delta.function_call.is_some().then_some(&delta.function_call)) {
            self.has_content = true;
            if let Some(function) = function {
                let name = output_bytes(function.name);
                self.output(output_bytes(function.arguments).saturating_add(name));
                self.is_foreign |= function
                    .arguments
                    .is_some_and(|arguments| arguments.get().starts_with('{'));
            }
        }
    }

    const fn output(&mut self, bytes: u64) {
        self.output_bytes = self.output_bytes.saturating_add(bytes);
        self.has_content |= bytes > 0;
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Choices<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Fold)
    }
}

struct Fold;

impl<'de> Visitor<'de> for Fold {
    type Value = Choices<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of choices")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut choices: A) -> Result<Choices<'de>, A::Error> {
        let mut sum = Choices::default();
        while let Some(choice) = choices.next_element::<Choice<'_>>()? {
            sum.add(&choice);
        }
        Ok(sum)
    }
}

/// Bytes of a string once it is unescaped; of tool arguments sent as an object, the bytes between its braces.
fn output_bytes(raw: Option<&RawValue>) -> u64 {
    raw.map_or(0, |raw| bytes_of(raw.get()))
}

fn bytes_of(json: &str) -> u64 {
    if !json.starts_with(['"', '{']) {
        return 0;
    }
    let mut bytes = json.len().saturating_sub(2);
    let mut rest = json;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        let escape = rest.get(at + 1..).unwrap_or_default();
        // An escape is two bytes for one, or six for one to three.
        let (length, stands_for) = if escape.starts_with('u') { (6, 3) } else { (2, 1) };
        bytes = bytes.saturating_sub(length - stands_for);
        rest = rest.get(at + length..).unwrap_or_default();
    }
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::Chunk;

    /// Output bytes, has content, has finish reason, is foreign.
    fn check(choice: &str, expected: (u64, bool, bool, bool)) {
        let json = format!(r#"{{"choices":[{{"index":0,{choice}}}]}}"#);
        let chunk: Chunk<'_> = serde_json::from_str(&json).unwrap();
        assert!(chunk.error(&json).is_none());
        let sum = chunk.choices.unwrap();
        let seen = (
            sum.output_bytes,
            sum.has_content,
            sum.has_finish_reason,
            sum.is_foreign,
        );
        assert_eq!(seen, expected, "{choice}");
    }

    #[crate::test]
    fn content_is_what_a_client_would_miss() {
        check(
            r#""delta":{"role":"assistant","content":"","refusal":null}"#,
            (0, false, false, false),
        );
        check(r#""delta":{},"finish_reason":null"#, (0, false, false, false));
        check(r#""delta":{"content":"a\nb"}"#, (3, true, false, false));
        check(r#""delta":{"content":"\u20ac\\"}"#, (4, true, false, false));
        check(
            r#""delta":{"reasoning":"ab","reasoning_content":"ab"}"#,
            (2, true, false, false),
        );
        check(r#""delta":{"refusal":"no"}"#, (2, true, false, false));
        check(
            r#""message":{"content":"a"},"finish_reason":"stop""#,
            (1, true, true, false),
        );
        let call =
            r#""delta":{"tool_calls":[{"index":0,"id":"x","function":{"name":"f","arguments":"{}"}}]}"#;
        check(call, (3, true, false, false));
        check(
            r#""delta":{"tool_calls":[{"index":0,"function":{"name":"","arguments":""}}]}"#,
            (0, true, false, false),
        );
        check(r#""delta":{"tool_calls":[]}"#, (0, false, false, false));
        let image = r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,YQ=="}}"#;
        check(
            &format!(r#""delta":{{"content":"","images":[{image}]}}"#),
            (0, true, false, false),
        );
        check(
            r#""delta":{"images":[],"annotations":[]}"#,
            (0, false, false, false),
        );
        check(
            r#""delta":{"audio":{"id":"a","data":""}}"#,
            (0, true, false, false),
        );
        check(
            r#""delta":{"annotations":[{"type":"url_citation"}]}"#,
            (0, true, false, false),
        );
    }

    #[crate::test]
    fn what_goes_into_a_custom_tool_is_output() {
        check(
            r#""delta":{"tool_calls":[{"index":0,"id":"x","type":"custom","custom":{"name":"sh","input":""}}]}"#,
            (2, true, false, false),
        );
        check(
            r#""delta":{"tool_calls":[{"index":0,"custom":{"input":"ls -l"}}]}"#,
            (5, true, false, false),
        );
        check(
            r#""message":{"tool_calls":[{"id":"x","type":"custom","custom":{"name":"sh","input":"ls"}}]},"finish_reason":"tool_calls""#,
            (4, true, true, false),
        );
    }

    #[crate::test]
    fn what_the_sdks_do_not_read_is_foreign() {
        check(r#""delta":{"content":[]}"#, (0, false, false, true));
        let parts = r#""delta":{"content":[{"text":"abc"},{"thinking":[{"text":"d\ne"}]}]}"#;
        check(parts, (6, true, false, true));
        check(
            r#""delta":{},"finish_reason":"model_length""#,
            (0, false, true, true),
        );
        check(r#""delta":{},"finish_reason":"""#, (0, false, false, true));
        check(r#""delta":null"#, (0, false, false, true));
        check(r#""message":{"content":"a"}"#, (1, true, false, true));
        check(r#""delta":{"reasoning":"ab"}"#, (2, true, false, true));
        let nameless = r#""delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":""}}]}"#;
        check(nameless, (1, true, false, true));
        let unnumbered = r#""delta":{"tool_calls":[{"id":"x","function":{"name":"f"}}]}"#;
        check(unnumbered, (1, true, false, true));
        check(
            r#""message":{"tool_calls":[{"function":{"arguments":{}}}]},"finish_reason":"stop""#,
            (0, true, true, true),
        );
    }

    #[crate::test]
    fn errors_are_found_wherever_they_stand() {
        let error = |json: &'static str| serde_json::from_str::<Chunk<'_>>(json).unwrap().error(json);
        assert_eq!(error(r#"{"error":{"message":"x"}}"#), Some(r#"{"message":"x"}"#));
        assert_eq!(error(r#"{"error":"x","choices":[]}"#), Some(r#""x""#));
        assert_eq!(
            error(r#"{"choices":[{"error":{"code":1}}]}"#),
            Some(r#"{"code":1}"#)
        );
        assert!(error(r#"{"choices":[{"finish_reason":"error"}]}"#).is_some());
        assert!(error(r#"{"object":"error","message":"x"}"#).is_some());
        assert!(error(r#"{"message":"x"}"#).is_some());
        assert_eq!(error(r#"{"error":null,"choices":[]}"#), None);
        assert_eq!(error(r#"{"error":"","choices":[]}"#), None);
    }
}
