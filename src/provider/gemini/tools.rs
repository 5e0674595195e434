// SPDX-License-Identifier: Apache-2.0

//! Tools, and the choice among them (<https://ai.google.dev/gemini-api/docs/function-calling>).
//!
//! OpenAI's function tools have counterparts; custom tools, whose input is free text, have none and are refused,
//! since a model without its tool would answer something else. Strict tools make the model's arguments follow
//! their schema, which is `VALIDATED` for calls that it may make, and always so for calls that it must make. A
//! demand to call a tool that is not there is reported, and so is the wish for one call at a time.

use super::fields::Fields;
use super::function_name::encode;
use super::model::Generation;
use super::schema::{adapt, is_empty_object};
use crate::api_error::ApiError;
use crate::protocol::gemini::generate_content::{
    Empty, FunctionCallingConfig, FunctionDeclaration, Mode, Tool, ToolConfig,
};
use crate::protocol::openai::chat::{self, ChatCompletionRequest};
use crate::provider::unsupported::{Place, Report, missing, unsupported, wrong};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The counterparts of the request's tools.
pub(super) fn tools<'r>(
    request: &'r ChatCompletionRequest<'r>,
    fields: &Fields<'r>,
    report: &mut Report,
) -> Result<Vec<Tool<'r>>, ApiError> {
    let given = request.tools.as_deref().unwrap_or_default();
    let declarations: Vec<_> = given
        .iter()
        .enumerate()
        .map(|(index, tool)| declaration(tool, Place::element("tools", index), report))
        .collect::<Result<_, _>>()?;
    let mut tools = Vec::new();
    if !declarations.is_empty() {
        tools.push(Tool::FunctionDeclarations(declarations));
    }
    if fields.has_web_search {
        tools.push(Tool::GoogleSearch(Empty {}));
    }
    Ok(tools)
}

fn declaration<'r>(
    tool: &'r chat::Tool<'r>,
    place: Place,
    report: &mut Report,
) -> Result<FunctionDeclaration<'r>, ApiError> {
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
    // Google caches prompts by itself.
    if tool.cache_control.or(function.cache_control).is_some() {
        report.drop_member(place, "cache_control")?;
    }
    let name = function
        .name
        .as_deref()
        .ok_or_else(|| missing(inner.path("name"), "a string"))?;
    let parameters_json_schema = match function.parameters {
        Some(schema) if !schema.get().starts_with('{') => {
            return Err(wrong(inner.path("parameters"), "an object"));
        }
        Some(schema) if !is_empty_object(schema) => Some(adapt(schema)),
        Some(_) | None => None,
    };
    Ok(FunctionDeclaration {
        name: encode(name),
        description: function.description.as_deref(),
        parameters_json_schema,
    })
}

/// The counterpart of `tool_choice`, `parallel_tool_calls` and `strict`.
pub(super) fn tool_config<'r>(
    request: &'r ChatCompletionRequest<'r>,
    generation: Generation,
    report: &mut Report,
) -> Result<Option<ToolConfig<'r>>, ApiError> {
    let tools = request.tools.as_deref().unwrap_or_default();
    if tools.is_empty() {
        let is_harmless = match &request.tool_choice {
            None => true,
            Some(chat::ToolChoice::Mode(mode)) => matches!(&**mode, "auto" | "none"),
            Some(chat::ToolChoice::Named(_)) => false,
        };
        if !is_harmless {
            report.drop_field("tool_choice")?;
        }
        return Ok(None);
    }
    if request.parallel_tool_calls == Some(false) {
        report.drop_field("parallel_tool_calls")?;
    }
    let is_strict = tools
        .iter()
        .filter_map(|tool| tool.function.as_ref())
        .any(|function| function.strict == Some(true));
    let may = if is_strict && generation.has_validated_mode {
        Mode::Validated
    } else {
        Mode::Auto
    };
    let (mode, allowed_function_names) = match &request.tool_choice {
        None if may == Mode::Auto => return Ok(None),
        None => (may, Vec::new()),
        Some(chat::ToolChoice::Mode(mode)) => match &**mode {
            "auto" => (may, Vec::new()),
            "required" => (Mode::Any, Vec::new()),
            "none" => (Mode::None, Vec::new()),
            _ => {
                let message = "tool_choice: expected none, auto, required or an object";
                return Err(ApiError::bad_request("tool_choice", message));
            }
        },
        Some(chat::ToolChoice::Named(named)) => named_choice(named)?,
    };
    Ok(Some(ToolConfig {
        function_calling_config: FunctionCallingConfig {
            mode,
            allowed_function_names,
        },
    }))
}

/// One function, or a set of them
/// (<https://platform.openai.com/docs/guides/function-calling#allowed-tools>).
fn named_choice<'r>(named: &'r chat::NamedToolChoice<'r>) -> Result<(Mode, Vec<Cow<'r, str>>), ApiError> {
    match named.kind.as_deref() {
        None | Some("function") => {
            let name = named
                .function
                .as_ref()
                .and_then(|function| function.name.as_deref());
            let name = name.ok_or_else(|| missing("tool_choice.function.name".to_owned(), "a string"))?;
            Ok((Mode::Any, vec![encode(name)]))
        }
        Some("allowed_tools") => {
            let given = named.rest.iter().find(|(name, _)| &**name == "allowed_tools");
            let (_, given) =
                given.ok_or_else(|| missing("tool_choice.allowed_tools".to_owned(), "an object"))?;
            allowed_tools(given)
        }
        Some(_) => Err(unsupported("tool_choice.type".to_owned())),
    }
}

fn allowed_tools(given: &RawValue) -> Result<(Mode, Vec<Cow<'_, str>>), ApiError> {
    #[derive(Deserialize)]
    struct AllowedTools<'a> {
        #[serde(borrow)]
        mode: Cow<'a, str>,
        #[serde(borrow)]
        tools: Vec<Named<'a>>,
    }
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        function: Function<'a>,
    }
    #[derive(Deserialize)]
    struct Function<'a> {
        #[serde(borrow)]
        name: Cow<'a, str>,
    }
    let expected = || {
        wrong(
            "tool_choice.allowed_tools".to_owned(),
            "a mode and a list of functions",
        )
    };
    let allowed: AllowedTools<'_> = serde_json::from_str(given.get()).map_err(|_| expected())?;
    let mode = match &*allowed.mode {
        // Names do not go with the mode that promises nothing of the arguments.
        "auto" => Mode::Validated,
        "required" => Mode::Any,
        _ => return Err(expected()),
    };
    let names = allowed.tools.into_iter().map(|tool| match tool.function.name {
        Cow::Borrowed(name) => encode(name),
        Cow::Owned(name) => Cow::Owned(encode(&name).into_owned()),
    });
    Ok((mode, names.collect()))
}

#[cfg(test)]
mod tests {
    use super::super::fields::Fields;
    use super::{Generation, tool_config, tools};
    use crate::config::OnUnsupported;
    use crate::protocol::openai::chat::ChatCompletionRequest;
    use crate::provider::unsupported::Report;

    fn check(body: &str, expected: &str, expected_dropped: &[&str]) {
        let request = ChatCompletionRequest::parse(body.as_bytes()).unwrap();
        let mut report = Report::new(OnUnsupported::Drop);
        let generation = Generation::of("gemini-2.5-flash");
        let config = tool_config(&request, generation, &mut report).unwrap();
        let sent = config.map_or_else(String::new, |config| {
            serde_json::to_string(&config.function_calling_config).unwrap()
        });
        assert_eq!(sent, expected, "{body}");
        assert_eq!(report.into_parts().0, expected_dropped, "{body}");
    }

    #[crate::test]
    fn every_choice_has_its_counterpart() {
        let with_tools = |rest: &str| {
            format!(r#"{{"tools":[{{"function":{{"name":"f"}}}},{{"function":{{"name":"2g"}}}}]{rest}}}"#)
        };
        for (rest, expected) in [
            ("", ""),
            (r#","tool_choice":"auto""#, r#"{"mode":"AUTO"}"#),
            (r#","tool_choice":"none""#, r#"{"mode":"NONE"}"#),
            (r#","tool_choice":"required""#, r#"{"mode":"ANY"}"#),
            (
                r#","tool_choice":{"type":"function","function":{"name":"2g"}}"#,
                r#"{"mode":"ANY","allowedFunctionNames":["_.2g"]}"#,
            ),
            (
                r#","tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"f"}}]}}"#,
                r#"{"mode":"VALIDATED","allowedFunctionNames":["f"]}"#,
            ),
            (
                r#","tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"f"}}]}}"#,
                r#"{"mode":"ANY","allowedFunctionNames":["f"]}"#,
            ),
            (r#","parallel_tool_calls":true"#, ""),
        ] {
            check(&with_tools(rest), expected, &[]);
        }
        check(
            &with_tools(r#","parallel_tool_calls":false"#),
            "",
            &["parallel_tool_calls"],
        );
        check(r#"{"tool_choice":"required"}"#, "", &["tool_choice"]);
        check(
            r#"{"tools":[{"function":{"name":"f","strict":true}}]}"#,
            r#"{"mode":"VALIDATED"}"#,
            &[],
        );
    }

    #[crate::test]
    fn functions_are_declared_with_their_schema_and_without_an_empty_one() {
        let body = br#"{"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object","properties":{"a":{"type":["string","null"]}}}},"x":1},{"function":{"name":"g","parameters":{"type":"object","properties":{}}}}],"web_search_options":{}}"#;
        let request = ChatCompletionRequest::parse(body).unwrap();
        let mut report = Report::new(OnUnsupported::Drop);
        let fields = Fields::read(&request, &mut report).unwrap();
        let tools = tools(&request, &fields, &mut report).unwrap();
        assert_eq!(
            serde_json::to_string(&tools).unwrap(),
            r#"[{"functionDeclarations":[{"name":"f","description":"d","parametersJsonSchema":{"type":"object","properties":{"a":{"type":["string","null"]}}}},{"name":"g"}]},{"googleSearch":{}}]"#
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
            let mut report = Report::new(OnUnsupported::Drop);
            let error = tools(&request, &Fields::default(), &mut report).unwrap_err();
            assert_eq!((error.status, error.param.as_deref()), (400, Some(param)));
        }
    }
}
