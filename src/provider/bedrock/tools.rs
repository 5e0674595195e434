// SPDX-License-Identifier: Apache-2.0

//! Tools and the choice among them
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolConfiguration.html>).
//!
//! Function tools have counterparts; custom tools, whose input is free text, have none and are refused, since a
//! model without its tool would answer something else. Bedrock demands that the tools of earlier calls be declared:
//! where the client declares none, they are declared by name, which is reported, since the model could now call
//! them. Bedrock has no choice `none`: without tools of earlier calls the declarations are left out, which says the
//! same; with them the choice is reported. A choice among some of the tools declares only these.

use super::cache;
use super::names::ToolNames;
use super::prompt::Prompt;
use crate::api_error::{API_ERROR, ApiError};
use crate::protocol::bedrock::converse::{InputSchema, Tool, ToolChoice, ToolConfig, ToolSpec};
use crate::protocol::json_object::Object;
use crate::protocol::openai::chat::{self, ChatCompletionRequest, NamedToolChoice};
use crate::provider::unsupported::{Place, Report, missing, unsupported, wrong};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeSet;

const EMPTY_SCHEMA: &str = r#"{"type":"object","properties":{}}"#;

/// What the model may do with its tools.
enum Choice<'r> {
    /// Nothing was said.
    Unsaid,
    Auto,
    Any,
    None,
    Named(&'r str),
}

/// The names of the tools that may be called; `None` if all may.
type Allowed<'r> = Option<BTreeSet<Cow<'r, str>>>;

/// The counterpart of `tools`, `tool_choice` and `parallel_tool_calls`.
pub(super) fn tool_config<'r>(
    request: &'r ChatCompletionRequest<'r>,
    prompt: &Prompt<'r>,
    names: &mut ToolNames,
    report: &mut Report,
) -> Result<Option<ToolConfig<'r>>, ApiError> {
    let (choice, allowed) = read_choice(request)?;
    let given = request.tools.as_deref().unwrap_or_default();
    if given.is_empty() {
        if matches!(choice, Choice::Any | Choice::Named(_)) {
            report.drop_field("tool_choice")?;
        }
        return Ok(declared_by_name(prompt, report));
    }
    if request.parallel_tool_calls == Some(false) {
        report.drop_field("parallel_tool_calls")?;
    }
    let mut tools = Vec::with_capacity(given.len());
    for (index, tool) in given.iter().enumerate() {
        let place = Place::element("tools", index);
        let name = tool
            .function
            .as_ref()
            .and_then(|function| function.name.as_deref());
        let is_allowed = allowed
            .as_ref()
            .is_none_or(|allowed| name.is_none_or(|name| allowed.contains(name)));
        let spec = tool_spec(tool, place, names, report)?;
        if is_allowed {
            tools.push(Tool::ToolSpec(spec));
            let function = tool.function.as_ref();
            let inner = function.and_then(|function| cache::point(function.cache_control, &function.rest));
            let point = cache::point(tool.cache_control, &tool.rest).or(inner);
            tools.extend(point.map(Tool::CachePoint));
        }
    }
    let tool_choice = match choice {
        Choice::Unsaid => None,
        Choice::Auto => Some(ToolChoice::Auto {}),
        Choice::Any => Some(ToolChoice::Any {}),
        Choice::Named(name) => Some(ToolChoice::Tool {
            name: names.plain(name),
        }),
        Choice::None if prompt.has_tools() => {
            report.approximate_field("tool_choice");
            None
        }
        Choice::None => return Ok(None),
    };
    if !tools.iter().any(|tool| matches!(tool, Tool::ToolSpec(_))) {
        let message = "tool_choice.allowed_tools.tools: expected at least one of the request's tools";
        return Err(ApiError::bad_request("tool_choice.allowed_tools.tools", message));
    }
    Ok(Some(ToolConfig { tools, tool_choice }))
}

/// Declarations of the tools that the conversation has called, where the client gives none.
fn declared_by_name<'r>(prompt: &Prompt<'r>, report: &mut Report) -> Option<ToolConfig<'r>> {
    if !prompt.has_tools() {
        return None;
    }
    let mut seen = BTreeSet::new();
    let called = prompt.called().filter(|name| seen.insert((*name).clone()));
    let tools: Vec<_> = called
        .filter_map(|name| {
            Some(Tool::ToolSpec(ToolSpec {
                name: name.clone(),
                description: None,
                input_schema: InputSchema::Json(Cow::Borrowed(empty_schema()?)),
                strict: false,
            }))
        })
        .collect();
    report.approximate_field("tools");
    // Answers to calls that are not there have no tool to declare: Bedrock will say so.
    (!tools.is_empty()).then_some(ToolConfig {
        tools,
        tool_choice: None,
    })
}

fn tool_spec<'r>(
    tool: &'r chat::Tool<'r>,
    place: Place,
    names: &mut ToolNames,
    report: &mut Report,
) -> Result<ToolSpec<'r>, ApiError> {
    if !matches!(tool.kind.as_deref(), None | Some("function")) {
        return Err(unsupported(place.path("type")));
    }
    let inner = place.object("function");
    let function = tool.function.as_ref();
    let function = function.ok_or_else(|| missing(place.path("function"), "an object"))?;
    for (place, rest) in [(place, &tool.rest), (inner, &function.rest)] {
        for member in rest.iter().filter(|(name, _)| &**name != cache::MEMBER) {
            report.drop_rest(place, core::slice::from_ref(member))?;
        }
    }
    let name = function.name.as_deref();
    let name = name.ok_or_else(|| missing(inner.path("name"), "a string"))?;
    let schema = match function.parameters {
        None => empty_schema().map(Cow::Borrowed),
        Some(schema) => object_schema(schema),
    };
    let schema = schema.ok_or_else(|| wrong(inner.path("parameters"), "an object"))?;
    Ok(ToolSpec {
        name: names.plain(name),
        description: function
            .description
            .as_deref()
            .filter(|text| !text.trim().is_empty()),
        input_schema: InputSchema::Json(schema),
        strict: function.strict == Some(true),
    })
}

/// A schema whose top says that it is an object, which Bedrock demands; `None` if it is no JSON object.
fn object_schema(schema: &RawValue) -> Option<Cow<'_, RawValue>> {
    let object = Object::parse(schema.get()).ok()?;
    if object.fields.is_empty() {
        return empty_schema().map(Cow::Borrowed);
    }
    if object.get("type").is_some() {
        return Some(Cow::Borrowed(schema));
    }
    let members = schema.get().trim_start().strip_prefix('{')?;
    RawValue::from_string(format!(r#"{{"type":"object",{members}"#))
        .ok()
        .map(Cow::Owned)
}

fn empty_schema() -> Option<&'static RawValue> {
    serde_json::from_str(EMPTY_SCHEMA).ok()
}

/// The choice, and the names of the tools that are allowed, if only some are.
fn read_choice<'r>(request: &'r ChatCompletionRequest<'r>) -> Result<(Choice<'r>, Allowed<'r>), ApiError> {
    let choice = match &request.tool_choice {
        None => Choice::Unsaid,
        Some(chat::ToolChoice::Mode(mode)) => read_mode(mode, "tool_choice")?,
        Some(chat::ToolChoice::Named(named)) => match named.kind.as_deref() {
            None | Some("function") => {
                let function = named.function.as_ref();
                let name = function.and_then(|function| function.name.as_deref());
                Choice::Named(
                    name.ok_or_else(|| missing("tool_choice.function.name".to_owned(), "a string"))?,
                )
            }
            Some("allowed_tools") => return allowed_tools(named),
            Some(_) => return Err(unsupported("tool_choice.type".to_owned())),
        },
    };
    Ok((choice, None))
}

fn read_mode<'r>(mode: &str, param: &'static str) -> Result<Choice<'r>, ApiError> {
    match mode {
        "auto" => Ok(Choice::Auto),
        "required" => Ok(Choice::Any),
        "none" => Ok(Choice::None),
        _ => {
            let message = format!("{param}: expected none, auto, required or an object");
            Err(ApiError::bad_request(param, message))
        }
    }
}

/// A choice among some of the tools.
fn allowed_tools<'r>(named: &'r NamedToolChoice<'r>) -> Result<(Choice<'r>, Allowed<'r>), ApiError> {
    #[derive(Deserialize)]
    struct AllowedTools<'a> {
        #[serde(borrow)]
        mode: Cow<'a, str>,
        #[serde(borrow)]
        tools: Vec<AllowedTool<'a>>,
    }
    #[derive(Deserialize)]
    struct AllowedTool<'a> {
        #[serde(borrow)]
        function: Named<'a>,
    }
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        name: Cow<'a, str>,
    }
    const PARAM: &str = "tool_choice.allowed_tools";
    let member = named.rest.iter().find(|(name, _)| &**name == "allowed_tools");
    let (_, given) = member.ok_or_else(|| missing(PARAM.to_owned(), "an object"))?;
    let allowed: AllowedTools<'r> = serde_json::from_str(given.get())
        .map_err(|_| wrong(PARAM.to_owned(), "an object with a mode and function tools"))?;
    let choice = read_mode(&allowed.mode, "tool_choice.allowed_tools.mode")?;
    let names = allowed.tools.into_iter().map(|tool| tool.function.name).collect();
    Ok((choice, Some(names)))
}

/// Whether a choice makes the model call a tool.
pub(super) fn is_forced(config: Option<&ToolConfig<'_>>) -> bool {
    matches!(
        config.and_then(|config| config.tool_choice.as_ref()),
        Some(ToolChoice::Any {} | ToolChoice::Tool { .. })
    )
}

/// The error of a request that could not be written.
pub(super) fn unwritten() -> ApiError {
    ApiError::new(500, API_ERROR, "The request could not be translated.")
}
