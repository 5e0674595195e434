// SPDX-License-Identifier: Apache-2.0

//! A request as Mistral takes it (<https://docs.mistral.ai/api/#tag/chat>).
//!
//! Mistral answers 422 to members that it does not know, at the top and within messages. Some are OpenAI's names
//! for what it has under another name; the rest is dropped and reported, or refused. Members that are null say
//! nothing and go in silence, and so does `stream_options`: Mistral reports usage unasked. Ids of calls get the
//! form that Mistral insists on.
//!
//! A conversation may only end with the assistant if its message is marked as the answer's beginning (`Expected last
//! role User or Tool (or Assistant with prefix True)`, <https://docs.mistral.ai/capabilities/completion/prefix>), which
//! is reported as approximated. Of a choice among some of the tools only these are declared. A user right after a tool, which older models refused, is taken as it is.

use super::allowed_tools;
use crate::api_error::ApiError;
use crate::protocol::json_object::{Editor, Object, quote, unescape};
use crate::provider::call_id::call_id;
use crate::provider::json_edit::{self, changed, elements, move_member, written};
use crate::provider::losses::{Losses, MESSAGE, TOOL_CALL};
use crate::provider::openai::{names, older};
use crate::provider::tool_names::Rule;
use crate::provider::{Settings, UpstreamRequest};
use serde_json::value::RawValue;
use std::borrow::Cow;

#[cfg(test)]
mod tests;

/// The members of Mistral's `ChatCompletionRequest`.
const REQUEST: &[&str] = &[
    "model",
    "messages",
    "temperature",
    "top_p",
    "max_tokens",
    "stream",
    "stop",
    "random_seed",
    "metadata",
    "response_format",
    "tools",
    "tool_choice",
    "presence_penalty",
    "frequency_penalty",
    "min_tokens",
    "repetition_penalty",
    "top_k",
    "logprobs",
    "top_logprobs",
    "prompt_logprobs",
    "top_prompt_logprobs",
    "n",
    "prediction",
    "parallel_tool_calls",
    "reasoning_effort",
    "prompt_mode",
    "guardrails",
    "prompt_cache_key",
    "service_tier",
    "safe_prompt",
];

/// Translates a request.
///
/// # Errors
///
/// A body that is no JSON object, a choice that leaves no tool, or what Mistral does not know and the configuration
/// refuses.
pub(super) fn translate_request(
    body: &[u8],
    settings: &Settings,
    out: &mut Vec<u8>,
) -> Result<UpstreamRequest, ApiError> {
    let object = json_edit::object_of(body)?;
    if let Some((renamed, renamed_tools)) = names::plain(&object, Rule::MISTRAL) {
        let request = translate_request(&renamed, settings, out)?;
        return Ok(UpstreamRequest {
            renamed_tools,
            ..request
        });
    }
    let is_streaming = object.get("stream") == Some("true");
    let options = object
        .get("stream_options")
        .and_then(|options| Object::parse(options).ok());
    let wants_usage = options.is_some_and(|options| options.get("include_usage") == Some("true"));
    let mut editor = Editor::new(&object);
    json_edit::name_model(&object, &mut editor, &settings.upstream_model);
    let losses = Losses::default();
    let approximated = edit(&object, settings, &losses, &mut editor)?;
    json_edit::write(editor, body, out);
    Ok(UpstreamRequest {
        path: "/chat/completions".into(),
        dropped: losses.into_dropped(settings.on_unsupported)?,
        approximated,
        is_streaming,
        include_usage: is_streaming && wants_usage,
        ..UpstreamRequest::default()
    })
}

/// Adds to `editor` what Mistral needs changed, names what has to be left out, and returns what is not kept exactly.
fn edit<'o>(
    object: &'o Object<'_>,
    settings: &Settings,
    losses: &Losses,
    editor: &mut Editor<'o, '_>,
) -> Result<Vec<Cow<'static, str>>, ApiError> {
    older::bound_output(object, settings, editor);
    move_member(object, editor, "seed", "random_seed");
    editor.remove("stream_options");
    editor.retain(|field| {
        let key = field.key.as_ref();
        let is_known =
            REQUEST.contains(&key) || matches!(key, "max_completion_tokens" | "seed" | "stream_options");
        if !is_known && object.value(field) != Some("null") {
            losses.add("", key);
        }
        is_known
    });
    match object.get("service_tier") {
        None | Some("null" | r#""auto""# | r#""standard_only""#) => {}
        Some(r#""default""#) => editor.set("service_tier", r#""standard_only""#),
        Some(_) => {
            editor.remove("service_tier");
            losses.add("", "service_tier");
        }
    }
    if let Some(prediction) = object.get("prediction").and_then(prediction) {
        editor.set("prediction", prediction);
    }
    let mut approximated = Vec::new();
    if let Some(messages) = object.get("messages") {
        let edited = edited(messages, losses, message);
        if let Some(ordered) = ordered(edited.as_deref().unwrap_or(messages)) {
            approximated.push(Cow::Borrowed("messages"));
            editor.set("messages", ordered);
        } else if let Some(edited) = edited {
            editor.set("messages", edited);
        }
    }
    let mut tools = object.get("tools").map(Cow::Borrowed);
    if let (Some(given), Some(choice)) = (&tools, object.get("tool_choice"))
        && let Some((allowed, mode)) = allowed_tools::apply(given, choice)?
    {
        editor.set("tool_choice", mode);
        editor.set("tools", allowed.clone());
        tools = Some(Cow::Owned(allowed));
    }
    if let Some(tools) = tools.and_then(|tools| edited(&tools, losses, tool)) {
        editor.set("tools", tools);
    }
    Ok(approximated)
}

/// The messages with the last one marked as the answer's beginning; `None` if it is not the assistant's.
fn ordered(messages: &str) -> Option<String> {
    let items: Vec<&RawValue> = serde_json::from_str(messages).ok()?;
    let (last, before) = items.split_last()?;
    let last = Object::parse(last.get()).ok()?;
    let is_beginning = last.get("role") == Some(r#""assistant""#)
        && last.get("prefix").is_none()
        && matches!(last.get("tool_calls"), None | Some("[]"));
    if !is_beginning {
        return None;
    }
    let mut editor = Editor::new(&last);
    editor.set("prefix", "true");
    let mut out = String::with_capacity(messages.len().saturating_add(16));
    out.push('[');
    for message in before {
        out.push_str(message.get());
        out.push(',');
    }
    out.push_str(&written(editor)?);
    out.push(']');
    Some(out)
}

/// A prediction with its parts as one text, which is all that Mistral takes.
fn prediction(given: &str) -> Option<String> {
    let given = Object::parse(given).ok()?;
    let parts = given.get("content").filter(|content| content.starts_with('['))?;
    let parts: Vec<&RawValue> = serde_json::from_str(parts).ok()?;
    let mut text = String::new();
    for part in parts {
        let part = Object::parse(part.get()).ok()?;
        text.push_str(&unescape(part.get("text")?).ok()?);
    }
    let mut editor = Editor::new(&given);
    editor.set("content", quote(&text));
    written(editor)
}

/// An array with its elements edited, or `None` if no element changed.
fn edited(
    array: &str,
    losses: &Losses,
    edit: impl Fn(&Object<'_>, &Losses) -> Option<String>,
) -> Option<String> {
    elements(array, |item| edit(&Object::parse(item).ok()?, losses))
}

fn message(message: &Object<'_>, losses: &Losses) -> Option<String> {
    let allowed: &[&str] = match message.get("role")? {
        r#""assistant""# => &["role", "content", "tool_calls", "prefix"],
        r#""tool""# => &["role", "content", "tool_call_id", "name"],
        _ => &["role", "content"],
    };
    let mut editor = Editor::new(message);
    retain(message, allowed, MESSAGE, losses, &mut editor);
    if message.get("role") == Some(r#""developer""#) {
        editor.set("role", r#""system""#);
    }
    match message.get("tool_calls") {
        Some("null") => editor.remove("tool_calls"),
        Some(calls) => {
            if let Some(calls) = edited(calls, losses, tool_call) {
                editor.set("tool_calls", calls);
            }
        }
        None => {}
    }
    if let Some(parts) = message.get("content").filter(|content| content.starts_with('['))
        && let Some(parts) = edited(parts, losses, part)
    {
        editor.set("content", parts);
    }
    if allowed.contains(&"tool_call_id") {
        plain_id(message, "tool_call_id", &mut editor);
    }
    changed(editor)
}

fn tool_call(call: &Object<'_>, losses: &Losses) -> Option<String> {
    let mut editor = Editor::new(call);
    let allowed = ["id", "type", "index", "function"];
    retain(call, &allowed, TOOL_CALL, losses, &mut editor);
    plain_id(call, "id", &mut editor);
    changed(editor)
}

/// Gives a call's id the form that Mistral takes. What is no string is for Mistral to judge.
fn plain_id<'o>(object: &'o Object<'_>, member: &'o str, editor: &mut Editor<'o, '_>) {
    if let Some(given) = object.get(member).and_then(|id| unescape(id).ok())
        && let Cow::Owned(id) = call_id(&given)
    {
        editor.set(member, quote(&id));
    }
}

/// A content part; OpenAI nests audio and files where Mistral has plain members.
fn part(part: &Object<'_>, losses: &Losses) -> Option<String> {
    let allowed: &[&str] = match part.get("type")? {
        r#""text""# => &["type", "text"],
        r#""image_url""# => &["type", "image_url"],
        r#""input_audio""# => &["type", "input_audio"],
        r#""file""# if part.get("file").is_some() => return file(&Object::parse(part.get("file")?).ok()?),
        r#""refusal""# => return Some(format!(r#"{{"type":"text","text":{}}}"#, part.get("refusal")?)),
        _ => return None,
    };
    let audio = part
        .get("input_audio")
        .and_then(|audio| Object::parse(audio).ok());
    let mut editor = Editor::new(part);
    retain(part, allowed, "messages[].content[]", losses, &mut editor);
    if let Some(data) = audio.as_ref().and_then(|audio| audio.get("data")) {
        editor.set("input_audio", data);
    }
    changed(editor)
}

fn file(file: &Object<'_>) -> Option<String> {
    if let Some(id) = file.get("file_id") {
        return Some(format!(r#"{{"type":"file","file_id":{id}}}"#));
    }
    let data = file.get("file_data")?;
    let name = file.get("filename").unwrap_or("null");
    Some(format!(
        r#"{{"type":"document_url","document_url":{data},"document_name":{name}}}"#
    ))
}

/// Mistral requires `parameters`, which OpenAI leaves out for functions without any.
fn tool(tool: &Object<'_>, losses: &Losses) -> Option<String> {
    if tool.get("type").is_some_and(|kind| kind != r#""function""#) {
        // Mistral's own connectors, or a kind that Mistral itself will refuse by name.
        return None;
    }
    let mut editor = Editor::new(tool);
    retain(tool, &["type", "function"], "tools[]", losses, &mut editor);
    if let Some(function) = tool
        .get("function")
        .and_then(|function| Object::parse(function).ok())
    {
        let mut inner = Editor::new(&function);
        let allowed = ["name", "description", "strict", "parameters"];
        retain(&function, &allowed, "tools[].function", losses, &mut inner);
        if matches!(function.get("parameters"), None | Some("null")) {
            inner.set("parameters", r#"{"type":"object","properties":{}}"#);
        }
        if let Some(function) = changed(inner) {
            editor.set("function", function);
        }
    }
    changed(editor)
}

/// Removes the members that are not allowed and reports those that said something.
fn retain(object: &Object<'_>, allowed: &[&str], path: &str, losses: &Losses, editor: &mut Editor<'_, '_>) {
    editor.retain(|field| {
        let key = field.key.as_ref();
        let is_allowed = allowed.contains(&key);
        if !is_allowed && object.value(field) != Some("null") {
            losses.add(path, key);
        }
        is_allowed
    });
}
