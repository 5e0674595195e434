// SPDX-License-Identifier: Apache-2.0

//! Answers that OpenAI's SDKs would not read, in the shape that they do.
//!
//! Mistral's reasoning models send `content` as parts
//! (<https://docs.mistral.ai/capabilities/reasoning/>): text parts become the `content` string, thinking parts
//! `reasoning_content`, the name that vLLM and `DeepSeek` made common. Tool arguments sent as an object become the
//! string they should be, and the finish reason `model_length` becomes `length`. Everything else stays.

use crate::protocol::json_object::{Editor, Object, quote, unescape};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
}

/// A completion or a chunk with its choices reshaped. `None` if it is not one.
pub(super) fn completion(json: &str) -> Option<Vec<u8>> {
    let object = Object::parse(json).ok()?;
    let choices = each(object.get("choices")?, choice)?;
    let mut editor = Editor::new(&object);
    editor.set("choices", choices);
    let mut out = Vec::with_capacity(json.len());
    editor.write(&mut out);
    Some(out)
}

/// An array with every element passed through `edit`.
pub(super) fn each(array: &str, edit: impl Fn(&str) -> Option<String>) -> Option<String> {
    let items: Vec<&RawValue> = serde_json::from_str(array).ok()?;
    let mut out = String::with_capacity(array.len());
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        match edit(item.get()) {
            Some(edited) => out.push_str(&edited),
            None => out.push_str(item.get()),
        }
    }
    out.push(']');
    Some(out)
}

/// The edited object as text.
pub(super) fn written(editor: Editor<'_, '_>) -> Option<String> {
    let mut out = Vec::new();
    editor.write(&mut out);
    String::from_utf8(out).ok()
}

fn choice(json: &str) -> Option<String> {
    let object = Object::parse(json).ok()?;
    let mut editor = Editor::new(&object);
    for key in ["delta", "message"] {
        if let Some(message) = object.get(key).and_then(message) {
            editor.set(key, message);
        }
    }
    if object.get("finish_reason") == Some(r#""model_length""#) {
        editor.set("finish_reason", r#""length""#);
    }
    written(editor)
}

fn message(json: &str) -> Option<String> {
    let object = Object::parse(json).ok()?;
    let mut editor = Editor::new(&object);
    if let Some(parts) = object.get("content").filter(|content| content.starts_with('[')) {
        let (text, reasoning) = split_parts(parts);
        editor.set("content", quote(&text));
        if !reasoning.is_empty() {
            editor.set("reasoning_content", quote(&reasoning));
        }
    }
    if let Some(calls) = object.get("tool_calls").and_then(|calls| each(calls, tool_call)) {
        editor.set("tool_calls", calls);
    }
    written(editor)
}

/// Bytes of text and thinking in content parts.
pub(super) fn bytes_of_parts(parts: &str) -> u64 {
    let (text, reasoning) = split_parts(parts);
    u64::try_from(text.len().saturating_add(reasoning.len())).unwrap_or(u64::MAX)
}

fn split_parts(parts: &str) -> (String, String) {
    let (mut text, mut reasoning) = (String::new(), String::new());
    let items: Vec<&RawValue> = serde_json::from_str(parts).unwrap_or_default();
    for item in items {
        // References and other parts have no place in a string.
        let Ok(part) = serde_json::from_str::<Part<'_>>(item.get()) else {
            continue;
        };
        text.push_str(part.text.as_deref().unwrap_or_default());
        match part.thinking.map(RawValue::get) {
            Some(thinking) if thinking.starts_with('[') => reasoning.push_str(&split_thinking(thinking)),
            Some(thinking) => reasoning.push_str(&unescape(thinking).unwrap_or_default()),
            None => {}
        }
    }
    (text, reasoning)
}

fn split_thinking(parts: &str) -> String {
    let items: Vec<&RawValue> = serde_json::from_str(parts).unwrap_or_default();
    let texts = items
        .iter()
        .filter_map(|item| serde_json::from_str::<Part<'_>>(item.get()).ok()?.text);
    texts.collect()
}

fn tool_call(json: &str) -> Option<String> {
    let object = Object::parse(json).ok()?;
    let function = Object::parse(object.get("function")?).ok()?;
    let arguments = function
        .get("arguments")
        .filter(|arguments| arguments.starts_with('{'))?;
    let mut edited = Editor::new(&function);
    edited.set("arguments", quote(arguments));
    let mut editor = Editor::new(&object);
    editor.set("function", written(edited)?);
    written(editor)
}

#[cfg(test)]
mod tests {
    use super::completion;

    fn check(choice: &str, expected: &str) {
        let json = |choice: &str| format!(r#"{{"id":"x", "choices":[{choice}]}}"#);
        let out = String::from_utf8(completion(&json(choice)).unwrap()).unwrap();
        assert_eq!(out, json(expected));
    }

    #[crate::test]
    fn parts_become_content_and_reasoning() {
        check(
            r#"{"index":0,"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"a\n"},{"type":"reference","reference_ids":[1]},{"type":"text","text":"b"}]}]}}"#,
            r#"{"index":0,"delta":{"content":"","reasoning_content":"a\nb"}}"#,
        );
        check(
            r#"{"message":{"content":[{"type":"text","text":"a"},{"type":"reference","reference_ids":[1]},{"type":"text","text":"\"b"}],"role":"assistant"}}"#,
            r#"{"message":{"content":"a\"b","role":"assistant"}}"#,
        );
    }

    #[crate::test]
    fn arguments_and_finish_reasons_take_openais_form() {
        check(
            r#"{"message":{"content":null,"tool_calls":[{"id":"1","function":{"name":"f","arguments":{"a":1}}},{"id":"2","function":{"name":"g","arguments":"{}"}}]},"finish_reason":"model_length"}"#,
            r#"{"message":{"content":null,"tool_calls":[{"id":"1","function":{"name":"f","arguments":"{\"a\":1}"}},{"id":"2","function":{"name":"g","arguments":"{}"}}]},"finish_reason":"length"}"#,
        );
    }
}
