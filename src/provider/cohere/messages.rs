// SPDX-License-Identifier: Apache-2.0

//! The conversation.
//!
//! Roles and parts are OpenAI's, with fewer kinds of parts. What the assistant says before it calls tools is the
//! `tool_plan` (<https://docs.cohere.com/v2/docs/tool-use-overview>), and its reasoning is a part of its own.

use crate::api_error::ApiError;
use crate::protocol::cohere::chat::{CalledFunction, Content, ImageUrl, Message, Part, ToolCall};
use crate::protocol::openai::chat::{self, ContentPart};
use crate::provider::dropped::is_told_by_answers;
use crate::provider::tool_names::Rule;
use crate::provider::unsupported::{Place, Report, unsupported};
use std::borrow::Cow;

/// Translates the messages.
pub(super) fn messages<'r>(
    messages: &'r [chat::Message<'r>],
    report: &mut Report,
) -> Result<Vec<Message<'r>>, ApiError> {
    messages
        .iter()
        .enumerate()
        .map(|(index, message)| translated(message, Place::element("messages", index), report))
        .collect()
}

fn translated<'r>(
    message: &'r chat::Message<'r>,
    place: Place,
    report: &mut Report,
) -> Result<Message<'r>, ApiError> {
    for (name, value) in &message.rest {
        if is_told_by_answers(name) {
            report.drop_told(place, name);
        } else {
            report.drop_rest(place, core::slice::from_ref(&(name.clone(), *value)))?;
        }
    }
    if message.cache_control.is_some() {
        report.drop_member(place, "cache_control")?;
    }
    if message.name.is_some() {
        report.drop_member(place, "name")?;
    }
    if message.thinking_blocks.is_some() {
        report.drop_told(place, "thinking_blocks");
    }
    match message.role.as_deref() {
        Some("system" | "developer") => plain("system", message, place, report),
        Some("user") => plain("user", message, place, report),
        Some("assistant") => assistant(message, place, report),
        Some("tool") => Ok(Message {
            tool_call_id: message.tool_call_id.as_deref(),
            ..plain("tool", message, place, report)?
        }),
        _ => Err(unsupported(place.path("role"))),
    }
}

fn plain<'r>(
    role: &'static str,
    message: &'r chat::Message<'r>,
    place: Place,
    report: &mut Report,
) -> Result<Message<'r>, ApiError> {
    let content = match &message.content {
        None => Content::Text(Cow::Borrowed("")),
        Some(chat::Content::Text(text)) => Content::Text(Cow::Borrowed(text)),
        Some(chat::Content::Parts(given)) => Content::Parts(parts(given, role == "user", place, report)?),
    };
    Ok(Message {
        role,
        content: Some(content),
        ..Message::default()
    })
}

fn parts<'r>(
    given: &'r [ContentPart<'r>],
    has_images: bool,
    place: Place,
    report: &mut Report,
) -> Result<Vec<Part<'r>>, ApiError> {
    let mut parts = Vec::with_capacity(given.len());
    for (index, part) in given.iter().enumerate() {
        let place = place.item("content", index);
        report.drop_rest(place, &part.rest)?;
        if part.cache_control.is_some() {
            report.drop_member(place, "cache_control")?;
        }
        let text = part.text.as_deref().or(part.refusal.as_deref());
        parts.push(match (part.kind.as_deref(), text, &part.image_url) {
            (Some("text" | "refusal"), Some(text), _) => Part::Text {
                text: Cow::Borrowed(text),
            },
            (Some("image_url"), _, Some(image)) if has_images => {
                report.drop_rest(place, &image.rest)?;
                // OpenAI has more words.
                let detail = image.detail.as_deref();
                let known = detail.filter(|detail| matches!(*detail, "auto" | "low" | "high"));
                if known != detail {
                    report.drop_member(place, "image_url.detail")?;
                }
                Part::ImageUrl {
                    image_url: ImageUrl {
                        url: image.url.as_deref().unwrap_or_default(),
                        detail: known,
                    },
                }
            }
            _ => return Err(unsupported(place.path("type"))),
        });
    }
    Ok(parts)
}

fn assistant<'r>(
    message: &'r chat::Message<'r>,
    place: Place,
    report: &mut Report,
) -> Result<Message<'r>, ApiError> {
    if message.function_call.is_some() {
        return Err(unsupported(place.path("function_call")));
    }
    let mut said = match &message.content {
        None => Vec::new(),
        Some(chat::Content::Text(text)) => vec![Part::Text {
            text: Cow::Borrowed(text),
        }],
        Some(chat::Content::Parts(given)) => parts(given, false, place, report)?,
    };
    if let Some(refusal) = &message.refusal {
        said.push(Part::Text {
            text: Cow::Borrowed(refusal),
        });
    }
    said.retain(|part| !matches!(part, Part::Text { text } if text.is_empty()));
    let mut tool_calls = Vec::new();
    for (index, call) in message.tool_calls.iter().flatten().enumerate() {
        tool_calls.push(tool_call(call, place.item("tool_calls", index), report)?);
    }
    let mut tool_plan = None;
    if !tool_calls.is_empty() && !said.is_empty() {
        let text = |part: Part<'r>| match part {
            Part::Text { text } => Some(text),
            Part::Thinking { .. } | Part::ImageUrl { .. } => None,
        };
        tool_plan = said.drain(..).filter_map(text).reduce(|plan, more| plan + more);
    }
    if let Some(reasoning) = &message.reasoning_content {
        said.insert(
            0,
            Part::Thinking {
                thinking: Cow::Borrowed(reasoning),
            },
        );
    }
    let content = match said.as_mut_slice() {
        [] if tool_calls.is_empty() => Some(Content::Text(Cow::Borrowed(""))),
        [] => None,
        [Part::Text { text }] => Some(Content::Text(core::mem::take(text))),
        _ => Some(Content::Parts(said)),
    };
    Ok(Message {
        role: "assistant",
        content,
        tool_plan,
        tool_calls,
        tool_call_id: None,
    })
}

fn tool_call<'r>(
    call: &'r chat::ToolCall<'r>,
    place: Place,
    report: &mut Report,
) -> Result<ToolCall<'r>, ApiError> {
    let Some(function) = call.function.as_ref() else {
        return Err(unsupported(place.path("type")));
    };
    report.drop_rest(place, &call.rest)?;
    if call.cache_control.is_some() {
        report.drop_member(place, "cache_control")?;
    }
    let arguments = function
        .arguments
        .as_deref()
        .filter(|arguments| !arguments.trim().is_empty());
    Ok(ToolCall {
        id: call.id.as_deref().map(Cow::Borrowed),
        kind: "function",
        function: CalledFunction {
            name: function.name.as_deref().map(|name| Rule::COHERE.plain(name)),
            arguments: Some(Cow::Borrowed(arguments.unwrap_or("{}"))),
        },
    })
}
