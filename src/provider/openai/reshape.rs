// SPDX-License-Identifier: Apache-2.0

//! Answers that OpenAI's SDKs would not read, in the shape that they do.
//!
//! Mistral's reasoning models send `content` as parts
//! (<https://docs.mistral.ai/capabilities/reasoning/>): text parts become the `content` string, thinking parts
//! `reasoning_content`, the name that vLLM and `DeepSeek` made common, images `images`, and references `citations`. What
//! others call `reasoning` is told under that
//! name too. Tool arguments sent as an object become the string they should be, a call without an id is given one,
//! finish reasons become OpenAI's, and
//! tools get their client's names back. Everything else stays.

use super::finish_reason;
use crate::protocol::json_object::{Editor, Object, quote, unescape};
use crate::provider::call_id::call_id;
use crate::provider::json_edit::{each, written};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
    #[serde(borrow)]
    image_url: Option<&'a RawValue>,
}

/// Numbers for what a server leaves unnumbered, over a whole answer.
#[derive(Default)]
pub(super) struct Numbers {
    /// When the exchange began, so that the ids of two turns differ.
    pub(super) created: u64,
    /// Calls that have begun.
    calls: u64,
    /// Tools that go by another name at the provider: theirs, to the client's.
    renamed_tools: BTreeMap<String, String>,
}

impl Numbers {
    pub(super) fn new(created: u64, renamed_tools: &BTreeMap<String, String>) -> Self {
        Self {
            created,
            calls: 0,
            renamed_tools: renamed_tools.clone(),
        }
    }

    /// Whether names of tools have to be put back.
    pub(super) fn renames(&self) -> bool {
        !self.renamed_tools.is_empty()
    }
}

/// The choices of a completion or a chunk, reshaped. `None` if it has none.
pub(super) fn choices(object: &Object<'_>, numbers: &mut Numbers) -> Option<String> {
    let mut index = 0_u32;
    each(object.get("choices")?, |json| {
        let reshaped = choice(json, index, numbers);
        index = index.saturating_add(1);
        reshaped
    })
}

fn choice(json: &str, index: u32, numbers: &mut Numbers) -> Option<String> {
    let object = Object::parse(json).ok()?;
    let given = |key| object.get(key).filter(|value| *value != "null");
    let answer = given("message").or_else(|| last_of(given("messages")?));
    let mut editor = Editor::new(&object);
    if given("index").is_none() {
        editor.set("index", index.to_string());
    }
    for (key, said) in [("delta", given("delta")), ("message", answer)] {
        if let Some(message) = said.and_then(|json| message(json, key == "delta", numbers)) {
            editor.set(key, message);
        }
    }
    if given("delta").is_none() && answer.is_none() {
        editor.set("delta", "{}");
    }
    match given("finish_reason").filter(|reason| *reason != r#""""#) {
        Some(reason) => {
            if let Some(reason) = finish_reason::translated(reason) {
                editor.set("finish_reason", reason);
            }
        }
        None if answer.is_some_and(calls_tools) => {
            editor.set("finish_reason", r#""tool_calls""#);
        }
        None if answer.is_some() => editor.set("finish_reason", r#""stop""#),
        None if object.get("finish_reason").is_some() => editor.set("finish_reason", "null"),
        None => {}
    }
    written(editor)
}

/// The answer among the messages that Mistral tells where its own tools were at work
/// (<https://docs.mistral.ai/api/#tag/chat>): the last.
fn last_of(messages: &str) -> Option<&str> {
    let messages: Vec<&RawValue> = serde_json::from_str(messages).ok()?;
    messages.last().map(|message| message.get())
}

fn calls_tools(message: &str) -> bool {
    let message = Object::parse(message).ok();
    let calls = message.as_ref().and_then(|message| message.get("tool_calls"));
    calls.is_some_and(|calls| calls.starts_with("[") && calls.trim_ascii_end().len() > 2)
}

fn message(json: &str, is_delta: bool, numbers: &mut Numbers) -> Option<String> {
    let object = Object::parse(json).ok()?;
    let mut editor = Editor::new(&object);
    if let Some(parts) = object.get("content").filter(|content| content.starts_with('[')) {
        let parts = Parts::split(parts);
        editor.set("content", quote(&parts.text));
        if !parts.reasoning.is_empty() {
            editor.set("reasoning_content", quote(&parts.reasoning));
        }
        if !parts.images.is_empty() {
            editor.set("images", parts.images());
        }
        if !parts.citations.is_empty() {
            editor.set("citations", ["[", &parts.citations.join(","), "]"].concat());
        }
    }
    let is_told = |text: &&str| text.starts_with('"') && text.len() > 2;
    if let (None, Some(reasoning)) = (
        object.get("reasoning_content").filter(is_told),
        object.get("reasoning").filter(is_told),
    ) {
        editor.set("reasoning_content", reasoning);
    }
    let calls = object
        .get("tool_calls")
        .and_then(|calls| each(calls, |call| tool_call(call, is_delta, numbers)));
    if let Some(calls) = calls {
        editor.set("tool_calls", calls);
    }
    written(editor)
}

/// Bytes of text and thinking in content parts.
pub(super) fn bytes_of_parts(parts: &str) -> u64 {
    let parts = Parts::split(parts);
    u64::try_from(parts.text.len().saturating_add(parts.reasoning.len())).unwrap_or(u64::MAX)
}

/// Content parts, each where OpenAI's clients look for it.
#[derive(Default)]
struct Parts<'p> {
    text: String,
    reasoning: String,
    /// Addresses of images, as JSON.
    images: Vec<&'p str>,
    /// References and what else has no place in a string, as it came.
    citations: Vec<&'p str>,
}

impl<'p> Parts<'p> {
    fn split(parts: &'p str) -> Self {
        let mut split = Self::default();
        let items: Vec<&'p RawValue> = serde_json::from_str(parts).unwrap_or_default();
        for item in items {
            let Ok(part) = serde_json::from_str::<Part<'p>>(item.get()) else {
                continue;
            };
            if let Some(image) = part.image_url {
                split.images.push(address(image.get()));
            } else if part.text.is_none() && part.thinking.is_none() {
                split.citations.push(item.get());
            }
            split.text.push_str(part.text.as_deref().unwrap_or_default());
            match part.thinking.map(RawValue::get) {
                Some(thinking) if thinking.starts_with('[') => {
                    split.reasoning.push_str(&split_thinking(thinking));
                }
                Some(thinking) => split.reasoning.push_str(&unescape(thinking).unwrap_or_default()),
                None => {}
            }
        }
        split
    }

    /// The images in the form that [`crate::protocol::openai::completion::Image`] has.
    fn images(&self) -> String {
        let images = self.images.iter().enumerate();
        let images: Vec<String> = images
            .map(|(index, url)| {
                format!(r#"{{"type":"image_url","image_url":{{"url":{url}}},"index":{index}}}"#)
            })
            .collect();
        ["[", &images.join(","), "]"].concat()
    }
}

/// The address of an image, which stands alone or in an object.
fn address(image: &str) -> &str {
    #[derive(Deserialize)]
    struct ImageUrl<'a> {
        #[serde(borrow)]
        url: &'a RawValue,
    }
    serde_json::from_str::<ImageUrl<'_>>(image).map_or(image, |image| image.url.get())
}

fn split_thinking(parts: &str) -> String {
    let items: Vec<&RawValue> = serde_json::from_str(parts).unwrap_or_default();
    let texts = items
        .iter()
        .filter_map(|item| serde_json::from_str::<Part<'_>>(item.get()).ok()?.text);
    texts.collect()
}

fn tool_call(json: &str, is_delta: bool, numbers: &mut Numbers) -> Option<String> {
    let object = Object::parse(json).ok()?;
    let function = object
        .get("function")
        .and_then(|function| Object::parse(function).ok());
    let name = function.as_ref().and_then(|function| function.get("name"));
    let begins = name.is_some_and(|name| name.starts_with('"') && name.len() > 2);
    let given = |key| object.get(key).filter(|value| !matches!(*value, "null" | "\"\""));
    let mut editor = Editor::new(&object);
    if begins {
        if given("id").is_none() {
            let seed = format!("{}.{}.{json}", numbers.created, numbers.calls);
            editor.set("id", quote(&format!("call_{}", call_id(&seed))));
        }
        if given("type").is_none() {
            editor.set("type", r#""function""#);
        }
        numbers.calls = numbers.calls.saturating_add(1);
    }
    if is_delta && given("index").is_none() {
        // What has no name continues the call that began last.
        editor.set("index", numbers.calls.saturating_sub(1).to_string());
    }
    let mut edited = function.as_ref().map(Editor::new);
    if let (Some(function), Some(edited)) = (&function, &mut edited) {
        match function.get("arguments") {
            Some(arguments) if arguments.starts_with('{') => edited.set("arguments", quote(arguments)),
            None | Some("null" | r#""""#) if !is_delta => edited.set("arguments", r#""{}""#),
            _ => {}
        }
        if let Some(name) = name.and_then(|name| unescape(name).ok())
            && let Some(at_client) = numbers.renamed_tools.get(&*name)
        {
            edited.set("name", quote(at_client));
        }
    }
    if let Some(function) = edited.filter(|edited| !edited.is_unchanged()).and_then(written) {
        editor.set("function", function);
    }
    written(editor)
}

#[cfg(test)]
mod tests {
    use super::{Numbers, choices};
    use crate::protocol::json_object::Object;
    use std::collections::BTreeMap;

    fn check(choice: &str, expected: &str) {
        let json = format!(r#"{{"id":"x", "choices":[{{"index":0,{choice}}}]}}"#);
        let out = choices(
            &Object::parse(&json).unwrap(),
            &mut Numbers::new(7, &BTreeMap::new()),
        )
        .unwrap();
        assert_eq!(out, format!(r#"[{{"index":0,{expected}}}]"#));
    }

    #[crate::test]
    fn parts_become_content_and_reasoning() {
        check(
            r#""delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"a\n"},{"type":"reference","reference_ids":[1]},{"type":"text","text":"b"}]}]}"#,
            r#""delta":{"content":"","reasoning_content":"a\nb"}"#,
        );
        check(
            r#""message":{"content":[{"type":"text","text":"a"},{"type":"reference","reference_ids":[1]},{"type":"text","text":"\"b"}],"role":"assistant"}"#,
            r#""message":{"content":"a\"b","role":"assistant","citations":[{"type":"reference","reference_ids":[1]}]},"finish_reason":"stop""#,
        );
    }

    #[crate::test]
    fn parts_that_are_no_text_are_kept_beside_it() {
        check(
            r#""delta":{"content":[{"type":"image_url","image_url":{"url":"https://a"}},{"type":"text","text":"b"},{"type":"image_url","image_url":"https://c"},{"type":"tool_reference","title":"t","url":"https://d"}]}"#,
            r#""delta":{"content":"b","images":[{"type":"image_url","image_url":{"url":"https://a"},"index":0},{"type":"image_url","image_url":{"url":"https://c"},"index":1}],"citations":[{"type":"tool_reference","title":"t","url":"https://d"}]}"#,
        );
    }

    #[crate::test]
    fn the_last_of_several_messages_is_the_answer() {
        check(
            r#""message":null,"messages":[{"role":"tool","content":"a"},{"role":"assistant","content":"b"}],"finish_reason":"stop""#,
            r#""message":{"role":"assistant","content":"b"},"messages":[{"role":"tool","content":"a"},{"role":"assistant","content":"b"}],"finish_reason":"stop""#,
        );
    }

    #[crate::test]
    fn arguments_and_finish_reasons_take_openais_form() {
        check(
            r#""message":{"content":null,"tool_calls":[{"id":"1","function":{"name":"f","arguments":{"a":1}}},{"id":"2","function":{"name":"g","arguments":"{}"}}]},"finish_reason":"model_length""#,
            r#""message":{"content":null,"tool_calls":[{"id":"1","function":{"name":"f","arguments":"{\"a\":1}"},"type":"function"},{"id":"2","function":{"name":"g","arguments":"{}"},"type":"function"}]},"finish_reason":"length""#,
        );
    }
}
