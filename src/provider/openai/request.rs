// SPDX-License-Identifier: Apache-2.0

//! The request, byte for byte but for what has to change.
//!
//! For servers that speak OpenAI's language that is the model's name and `stream_options.include_usage`, which
//! the gateway needs for its own count, the output bound where a limit lowers it, and OpenAI's newer words where a
//! server may not know them. OpenAI itself is spared what only other providers know. What a client sent beyond that is
//! between it and the provider
//! (<https://platform.openai.com/docs/api-reference/chat/create>).

use super::{azure, foreign, names, older, refused};
use crate::api_error::ApiError;
use crate::config::{OutputBoundField, ProviderKind};
use crate::protocol::json_object::{Editor, Object};
use crate::provider::json_edit::{self, written};
use crate::provider::losses::Losses;
use crate::provider::tool_names::Rule;
use crate::provider::{Settings, UpstreamRequest};

#[cfg(test)]
mod tests;

/// Translates a request.
///
/// # Errors
///
/// A body that is no JSON object, or a field that the provider does not know and that the configuration refuses.
pub(super) fn translate_request(
    body: &[u8],
    settings: &Settings,
    out: &mut Vec<u8>,
) -> Result<UpstreamRequest, ApiError> {
    let object = json_edit::object_of(body)?;
    if let Some(rule) = name_rule(settings.kind)
        && let Some((renamed, renamed_tools)) = names::plain(&object, rule)
    {
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
    let include_usage = options.as_ref().and_then(|options| options.get("include_usage")) == Some("true");

    let mut editor = Editor::new(&object);
    json_edit::name_model(&object, &mut editor, &settings.upstream_model);
    let losses = Losses::default();
    if matches!(settings.kind, ProviderKind::AzureOpenAi | ProviderKind::OpenAi) {
        foreign::take_out(&object, &mut editor, &losses);
    }
    match settings.output_bound_field {
        OutputBoundField::MaxCompletionTokens => bound_output(&object, settings, &mut editor),
        OutputBoundField::MaxTokens => older::bound_output(&object, settings, &mut editor),
    }
    if !settings.developer_role
        && let Some(messages) = object.get("messages").and_then(older::without_developer)
    {
        editor.set("messages", messages);
    }
    if !settings.unsupported.is_empty() {
        refused::take_out(&object, settings, &mut editor, &losses)?;
    }
    let dropped = losses.into_dropped(settings.on_unsupported)?;
    if is_streaming && settings.stream_usage && !include_usage {
        editor.set("stream_options", with_usage(options.as_ref()));
    } else if let Some(options) = options.filter(|_| include_usage && !settings.stream_usage) {
        // The client gets its usage chunk from what the provider reports unasked, if it does.
        match without_usage(&options) {
            Some(rest) => editor.set("stream_options", rest),
            None => editor.remove("stream_options"),
        }
    }
    json_edit::write(editor, body, out);
    Ok(UpstreamRequest {
        path: azure::path(settings, "/chat/completions")?,
        dropped,
        is_streaming,
        include_usage: is_streaming && include_usage,
        ..UpstreamRequest::default()
    })
}

/// What the names of tools may be, where that is known. Other servers are left to judge for themselves.
const fn name_rule(kind: ProviderKind) -> Option<Rule> {
    match kind {
        ProviderKind::AzureOpenAi | ProviderKind::OpenAi => Some(Rule::OPENAI),
        _ => None,
    }
}

/// Lowers the output bound to what the limits leave, in whichever fields the client used. Without any, OpenAI gets
/// the one that its reasoning models accept.
fn bound_output<'o>(object: &'o Object<'_>, settings: &Settings, editor: &mut Editor<'o, '_>) {
    if settings.max_output_tokens.is_none() {
        return;
    }
    let mut is_bound = false;
    for field in ["max_completion_tokens", "max_tokens"] {
        let Some(given) = object.get(field).filter(|given| *given != "null") else {
            continue;
        };
        is_bound = true;
        let asked = given.parse::<u64>().ok();
        if let Some(bound) = settings.output_bound(asked).filter(|bound| Some(*bound) != asked) {
            editor.set(field, bound.to_string());
        }
    }
    if let Some(bound) = settings.max_output_tokens.filter(|_| !is_bound) {
        // OpenRouter reads either for every model, but speaks of the older one.
        let field = match settings.kind {
            ProviderKind::OpenRouter => "max_tokens",
            _ => "max_completion_tokens",
        };
        editor.set(field, bound.to_string());
    }
}

fn with_usage(options: Option<&Object<'_>>) -> String {
    let alone = || r#"{"include_usage":true}"#.to_owned();
    options.map_or_else(alone, |options| {
        let mut editor = Editor::new(options);
        editor.set("include_usage", "true");
        written(editor).unwrap_or_else(alone)
    })
}

fn without_usage(options: &Object<'_>) -> Option<String> {
    if options.fields.len() < 2 {
        return None;
    }
    let mut editor = Editor::new(options);
    editor.remove("include_usage");
    written(editor)
}
