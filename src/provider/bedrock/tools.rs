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
use super::prompt::Prompt;
use crate::api_error::{API_ERROR, ApiError};
use crate::protocol::bedrock::converse::{InputSchema, Tool, ToolChoice, ToolConfig, ToolSpec};
use crate::protocol::openai::chat::{self, ChatCompletionRequest};
use crate::provider::closed_schema::{close_arguments, of_arguments, of_no_arguments};
use crate::provider::tool_choice::{self, Allowed, Choice};
use crate::provider::tool_names::Rule;
use crate::provider::unsupported::{Place, Report, missing, unsupported, wrong};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// The counterpart of `tools`, `tool_choice` and `parallel_tool_calls`.
pub(super) fn tool_config<'r>(
    request: &'r ChatCompletionRequest<'r>,
    prompt: &Prompt<'r>,
    report: &mut Report,
) -> Result<Option<ToolConfig<'r>>, ApiError> {
    let (choice, allowed) = tool_choice::read(request)?;
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
        let spec = tool_spec(tool, place, report)?;
        if allowed.has(tool) {
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
            name: Rule::BEDROCK.plain(name),
        }),
        Choice::None if prompt.has_tools() => {
            report.approximate_field("tool_choice");
            None
        }
        Choice::None => return Ok(None),
    };
    if !tools.iter().any(|tool| matches!(tool, Tool::ToolSpec(_))) {
        return Err(Allowed::nothing_left());
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
                input_schema: InputSchema::Json(Cow::Borrowed(of_no_arguments()?)),
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
        None => of_no_arguments().map(Cow::Borrowed),
        Some(schema) => of_arguments(schema),
    };
    let mut schema = schema.ok_or_else(|| wrong(inner.path("parameters"), "an object"))?;
    let is_strict = function.strict == Some(true);
    if is_strict {
        schema = close_arguments(schema, inner, report);
    }
    Ok(ToolSpec {
        name: Rule::BEDROCK.plain(name),
        description: function
            .description
            .as_deref()
            .filter(|text| !text.trim().is_empty()),
        input_schema: InputSchema::Json(schema),
        strict: is_strict,
    })
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
