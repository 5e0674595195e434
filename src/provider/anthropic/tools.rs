// SPDX-License-Identifier: Apache-2.0

//! Tools, the choice among them, and the ids of calls
//! (<https://docs.claude.com/en/docs/agents-and-tools/tool-use/implement-tool-use>).
//!
//! OpenAI's function tools have counterparts; custom tools, whose input is free text, have none and are refused,
//! since a model without its tool would answer something else. A demand to call a tool that is not there is
//! reported. A choice among some of the tools declares only these. Tools are not declared for the sake of earlier
//! calls: Anthropic takes those without.

use crate::api_error::ApiError;
use crate::protocol::anthropic::messages::{InputSchema, Tool, ToolChoice};
use crate::protocol::openai::chat::{self, ChatCompletionRequest};
use crate::provider::closed_schema::{close_arguments, of_arguments};
use crate::provider::tool_choice::{self, Allowed, Choice};
use crate::provider::tool_names::Rule;
use crate::provider::unsupported::{Place, Report, missing, unsupported, wrong};
use std::borrow::Cow;
use std::fmt::Write as _;

/// What a request says of tools.
#[derive(Debug)]
pub(super) struct Tools<'r> {
    pub(super) tools: Vec<Tool<'r>>,
    pub(super) choice: Option<ToolChoice<'r>>,
}

impl<'r> Tools<'r> {
    /// The counterparts of `tools`, `tool_choice` and `parallel_tool_calls`.
    pub(super) fn read(
        request: &'r ChatCompletionRequest<'r>,
        report: &mut Report,
    ) -> Result<Self, ApiError> {
        let (choice, allowed) = tool_choice::read(request)?;
        let given = request.tools.as_deref().unwrap_or_default();
        let mut tools = Vec::with_capacity(given.len());
        for (index, one) in given.iter().enumerate() {
            let counterpart = tool(one, Place::element("tools", index), report)?;
            if allowed.has(one) {
                tools.push(counterpart);
            }
        }
        if given.is_empty() {
            if matches!(choice, Choice::Any | Choice::Named(_)) {
                report.drop_field("tool_choice")?;
            }
            return Ok(Self { tools, choice: None });
        }
        if tools.is_empty() {
            return Err(Allowed::nothing_left());
        }
        Ok(Self {
            tools,
            choice: counterpart(choice, request),
        })
    }
}

fn tool<'r>(tool: &'r chat::Tool<'r>, place: Place, report: &mut Report) -> Result<Tool<'r>, ApiError> {
    if !matches!(tool.kind.as_deref(), None | Some("function")) {
        return Err(unsupported(place.path("type")));
    }
    report.drop_rest(place, &tool.rest)?;
    let inner = place.object("function");
    let function = tool
        .function
        .as_ref()
        .ok_or_else(|| missing(place.path("function"), "an object"))?;
    report.drop_rest(inner, &function.rest)?;
    let name = function
        .name
        .as_deref()
        .ok_or_else(|| missing(inner.path("name"), "a string"))?;
    let is_strict = function.strict == Some(true);
    let input_schema = match function.parameters {
        Some(schema) => {
            let schema = of_arguments(schema).ok_or_else(|| wrong(inner.path("parameters"), "an object"))?;
            InputSchema::Given(if is_strict {
                close_arguments(schema, inner, report)
            } else {
                schema
            })
        }
        None => InputSchema::Empty,
    };
    Ok(Tool {
        name: Rule::ANTHROPIC.plain(name),
        description: function.description.as_deref(),
        input_schema,
        strict: is_strict,
        cache_control: tool.cache_control.or(function.cache_control),
    })
}

/// The counterpart of `tool_choice` and `parallel_tool_calls`.
fn counterpart<'r>(choice: Choice<'r>, request: &ChatCompletionRequest<'_>) -> Option<ToolChoice<'r>> {
    let disable_parallel_tool_use = request.parallel_tool_calls == Some(false);
    Some(match choice {
        Choice::Unsaid if !disable_parallel_tool_use => return None,
        Choice::Unsaid | Choice::Auto => ToolChoice::Auto {
            disable_parallel_tool_use,
        },
        Choice::Any => ToolChoice::Any {
            disable_parallel_tool_use,
        },
        Choice::None => ToolChoice::None,
        Choice::Named(name) => ToolChoice::Tool {
            name: Rule::ANTHROPIC.plain(name),
            disable_parallel_tool_use,
        },
    })
}

/// A call's id as Anthropic accepts it: `^[a-zA-Z0-9_-]+$`.
///
/// Other characters become `_` and their bytes in hexadecimal, so that two ids stay two, and a call and its
/// answer, which pass through here apart, stay together.
pub(super) fn call_id(id: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if id.bytes().all(is_plain) {
        return Cow::Borrowed(id);
    }
    let mut plain = String::with_capacity(id.len().saturating_mul(2));
    for byte in id.bytes() {
        if is_plain(byte) {
            plain.push(char::from(byte));
        } else {
            // Writing into a string cannot fail.
            let _ = write!(plain, "_{byte:02x}");
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::{Report, Tools, call_id};
    use crate::config::OnUnsupported;
    use crate::protocol::openai::chat::ChatCompletionRequest;

    fn check(body: &str, expected_choice: &str, expected_dropped: &[&str]) {
        let request = ChatCompletionRequest::parse(body.as_bytes()).unwrap();
        let mut report = Report::new(OnUnsupported::Drop);
        let choice = Tools::read(&request, &mut report).unwrap().choice;
        assert_eq!(serde_json::to_string(&choice).unwrap(), expected_choice, "{body}");
        assert_eq!(report.into_parts().0, expected_dropped, "{body}");
    }

    #[crate::test]
    fn every_choice_has_its_counterpart() {
        let with_tools = |rest: &str| format!(r#"{{"tools":[{{"function":{{"name":"f"}}}}],{rest}}}"#);
        for (rest, expected) in [
            (r#""tool_choice":"auto""#, r#"{"type":"auto"}"#),
            (
                r#""tool_choice":"none","parallel_tool_calls":false"#,
                r#"{"type":"none"}"#,
            ),
            (r#""tool_choice":"required""#, r#"{"type":"any"}"#),
            (
                r#""parallel_tool_calls":false"#,
                r#"{"type":"auto","disable_parallel_tool_use":true}"#,
            ),
            (r#""parallel_tool_calls":true"#, "null"),
            (
                r#""parallel_tool_calls":false,"tool_choice":{"type":"function","function":{"name":"f"}}"#,
                r#"{"type":"tool","name":"f","disable_parallel_tool_use":true}"#,
            ),
        ] {
            check(&with_tools(rest), expected, &[]);
        }
        check(r#"{"tool_choice":"required"}"#, "null", &["tool_choice"]);
    }

    #[crate::test]
    fn a_tool_without_parameters_takes_an_empty_object() {
        let body = br#"{"tools":[{"type":"function","function":{"name":"f","strict":true},"x":1}]}"#;
        let request = ChatCompletionRequest::parse(body).unwrap();
        let mut report = Report::new(OnUnsupported::Drop);
        let tools = Tools::read(&request, &mut report).unwrap().tools;
        assert_eq!(
            serde_json::to_string(&tools).unwrap(),
            r#"[{"name":"f","input_schema":{"type":"object","properties":{}},"strict":true}]"#
        );
        assert_eq!(report.into_parts().0, ["tools[].x"]);
    }

    #[crate::test]
    fn tools_without_counterpart_are_refused_with_their_place() {
        for (body, param) in [
            (
                r#"{"tools":[{"type":"custom","custom":{"name":"c"}}]}"#,
                "tools[0].type",
            ),
            (r#"{"tools":[{"type":"function"}]}"#, "tools[0].function"),
            (r#"{"tools":[{"function":{}}]}"#, "tools[0].function.name"),
            (
                r#"{"tools":[{"function":{"name":"f","parameters":[]}}]}"#,
                "tools[0].function.parameters",
            ),
        ] {
            let request = ChatCompletionRequest::parse(body.as_bytes()).unwrap();
            let error = Tools::read(&request, &mut Report::new(OnUnsupported::Drop)).unwrap_err();
            assert_eq!((error.status, error.param.as_deref()), (400, Some(param)));
        }
    }

    #[crate::test]
    fn only_the_allowed_tools_are_declared() {
        let allow = |names: &str| {
            let body = format!(
                r#"{{"tools":[{{"function":{{"name":"f"}}}},{{"function":{{"name":"g.h"}}}}],"tool_choice":{{"type":"allowed_tools","allowed_tools":{{"mode":"required","tools":[{names}]}}}}}}"#
            );
            let request = ChatCompletionRequest::parse(body.as_bytes()).unwrap();
            Tools::read(&request, &mut Report::new(OnUnsupported::Reject))
                .map(|tools| serde_json::to_value((&tools.tools, &tools.choice)).unwrap())
        };
        let found = allow(r#"{"type":"function","function":{"name":"g.h"}}"#).unwrap();
        let name = found[0][0]["name"].as_str().unwrap();
        assert!(name.starts_with("g_h_") && found[0].as_array().unwrap().len() == 1);
        assert_eq!(found[1]["type"], "any");
        let error = allow(r#"{"function":{"name":"x"}}"#).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("tool_choice.allowed_tools.tools"));
    }

    #[crate::test]
    fn ids_stay_apart_when_they_are_made_plain() {
        assert_eq!(call_id("toolu_01-aB"), "toolu_01-aB");
        assert_eq!(call_id("call:1"), "call_3a1");
        assert_ne!(call_id("call:1"), call_id("call.1"));
    }
}
