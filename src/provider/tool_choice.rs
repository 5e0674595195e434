// SPDX-License-Identifier: Apache-2.0

//! `tool_choice`, in all the forms that OpenAI has for it
//! (<https://platform.openai.com/docs/guides/function-calling#tool-choice>).
//!
//! A choice among some of the tools has no counterpart in most dialects; to declare only these says the same.

use super::unsupported::{missing, unsupported, wrong};
use crate::api_error::ApiError;
use crate::protocol::openai::chat::{self, ChatCompletionRequest, NamedToolChoice};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeSet;

const ALLOWED_TOOLS: &str = "tool_choice.allowed_tools";

/// What the model may do with its tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice<'r> {
    /// Nothing was said.
    Unsaid,
    Auto,
    Any,
    None,
    Named(&'r str),
}

/// The names of the tools that may be called; `None` if all may.
pub(super) struct Allowed<'r>(Option<BTreeSet<Cow<'r, str>>>);

impl Allowed<'_> {
    /// Whether this tool may be called. What has no name is for others to judge.
    pub(super) fn has(&self, tool: &chat::Tool<'_>) -> bool {
        let name = tool
            .function
            .as_ref()
            .and_then(|function| function.name.as_deref());
        let allowed = |names: &BTreeSet<Cow<'_, str>>| name.is_none_or(|name| names.contains(name));
        self.0.as_ref().is_none_or(allowed)
    }

    /// The refusal of a choice that leaves no tool.
    pub(super) fn nothing_left() -> ApiError {
        let message = "tool_choice.allowed_tools.tools: expected at least one of the request's tools";
        ApiError::bad_request("tool_choice.allowed_tools.tools", message)
    }
}

/// The choice, and the tools that are allowed, if only some are.
///
/// # Errors
///
/// A choice of another form.
pub(super) fn read<'r>(
    request: &'r ChatCompletionRequest<'r>,
) -> Result<(Choice<'r>, Allowed<'r>), ApiError> {
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
            Some("allowed_tools") => return read_allowed(named),
            Some(_) => return Err(unsupported("tool_choice.type".to_owned())),
        },
    };
    Ok((choice, Allowed(None)))
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
fn read_allowed<'r>(named: &'r NamedToolChoice<'r>) -> Result<(Choice<'r>, Allowed<'r>), ApiError> {
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
    let member = named.rest.iter().find(|(name, _)| &**name == "allowed_tools");
    let (_, given) = member.ok_or_else(|| missing(ALLOWED_TOOLS.to_owned(), "an object"))?;
    let allowed: AllowedTools<'r> = serde_json::from_str(given.get()).map_err(|_| {
        wrong(
            ALLOWED_TOOLS.to_owned(),
            "an object with a mode and function tools",
        )
    })?;
    let choice = read_mode(&allowed.mode, "tool_choice.allowed_tools.mode")?;
    let names = allowed.tools.into_iter().map(|tool| tool.function.name).collect();
    Ok((choice, Allowed(Some(names))))
}

#[cfg(test)]
mod tests {
    use super::{Choice, read};
    use crate::protocol::openai::chat::ChatCompletionRequest;

    #[crate::test]
    fn every_form_is_read() {
        for (given, expected) in [
            (r#""auto""#, Choice::Auto),
            (r#""required""#, Choice::Any),
            (r#""none""#, Choice::None),
            (
                r#"{"type":"function","function":{"name":"f"}}"#,
                Choice::Named("f"),
            ),
            (
                r#"{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"f"}}]}}"#,
                Choice::Any,
            ),
        ] {
            let body = format!(
                r#"{{"tools":[{{"function":{{"name":"f"}}}},{{"function":{{"name":"g"}}}}],"tool_choice":{given}}}"#
            );
            let request = ChatCompletionRequest::parse(body.as_bytes()).unwrap();
            let (choice, allowed) = read(&request).unwrap();
            assert_eq!(choice, expected, "{given}");
            let tools = request.tools.as_ref().unwrap();
            let has: Vec<_> = tools.iter().map(|tool| allowed.has(tool)).collect();
            assert_eq!(has, [true, !given.contains("allowed_tools")]);
        }
    }

    #[crate::test]
    fn another_form_is_refused_with_its_place() {
        for (given, param) in [
            (r#""often""#, "tool_choice"),
            (r#"{"type":"custom"}"#, "tool_choice.type"),
            (r#"{"type":"function"}"#, "tool_choice.function.name"),
            (r#"{"type":"allowed_tools"}"#, "tool_choice.allowed_tools"),
            (
                r#"{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"custom"}]}}"#,
                "tool_choice.allowed_tools",
            ),
            (
                r#"{"type":"allowed_tools","allowed_tools":{"mode":"often","tools":[]}}"#,
                "tool_choice.allowed_tools.mode",
            ),
        ] {
            let body = format!(r#"{{"tool_choice":{given}}}"#);
            let request = ChatCompletionRequest::parse(body.as_bytes()).unwrap();
            let error = read(&request).err().unwrap();
            assert_eq!(error.param.as_deref(), Some(param));
        }
    }
}
