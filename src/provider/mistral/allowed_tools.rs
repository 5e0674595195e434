// SPDX-License-Identifier: Apache-2.0

//! A choice among some of the tools, which Mistral does not know: only these are declared, and the mode is the choice.

use crate::api_error::ApiError;
use crate::protocol::json_object::{Object, unescape};
use crate::provider::tool_choice::Allowed;
use serde_json::value::RawValue;

/// The tools that remain and the choice; `None` if the choice is of another form, which is for Mistral to judge.
///
/// # Errors
///
/// A choice that leaves no tool.
pub(super) fn apply(tools: &str, choice: &str) -> Result<Option<(String, String)>, ApiError> {
    let Some((names, mode)) = read(choice) else {
        return Ok(None);
    };
    let Ok(tools) = serde_json::from_str::<Vec<&RawValue>>(tools) else {
        return Ok(None);
    };
    let kept: Vec<&str> = tools
        .iter()
        .map(|tool| tool.get())
        .filter(|tool| name(tool).is_none_or(|name| names.contains(&name)))
        .collect();
    if kept.is_empty() {
        return Err(Allowed::nothing_left());
    }
    Ok(Some((["[", &kept.join(","), "]"].concat(), mode)))
}

/// The names, and the mode as JSON.
fn read(choice: &str) -> Option<(Vec<String>, String)> {
    let choice = Object::parse(choice).ok()?;
    if choice.get("type") != Some(r#""allowed_tools""#) {
        return None;
    }
    let allowed = Object::parse(choice.get("allowed_tools")?).ok()?;
    let mode = allowed.get("mode").filter(|mode| mode.starts_with('"'))?;
    let tools: Vec<&RawValue> = serde_json::from_str(allowed.get("tools")?).ok()?;
    let names = tools.iter().filter_map(|tool| name(tool.get())).collect();
    Some((names, mode.to_owned()))
}

/// The name of a function tool.
fn name(tool: &str) -> Option<String> {
    let tool = Object::parse(tool).ok()?;
    let function = Object::parse(tool.get("function")?).ok()?;
    Some(unescape(function.get("name")?).ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::apply;

    const TOOLS: &str = r#"[ {"type":"function","function":{"name":"f"}}, {"type":"function","function":{"name":"g"}},{"type":"web_search"}]"#;

    #[crate::test]
    fn only_the_allowed_tools_and_connectors_stay() {
        let choice = r#"{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"g"}}]}}"#;
        let (tools, mode) = apply(TOOLS, choice).unwrap().unwrap();
        assert_eq!(
            tools,
            r#"[{"type":"function","function":{"name":"g"}},{"type":"web_search"}]"#
        );
        assert_eq!(mode, r#""required""#);
    }

    #[crate::test]
    fn a_choice_of_another_form_stays_and_one_without_tools_is_refused() {
        for choice in [
            r#""auto""#,
            r#"{"type":"function","function":{"name":"f"}}"#,
            r#"{"type":"allowed_tools"}"#,
        ] {
            assert_eq!(apply(TOOLS, choice), Ok(None));
        }
        let none = r#"{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[]}}"#;
        let error = apply(r#"[{"function":{"name":"f"}}]"#, none).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("tool_choice.allowed_tools.tools"));
    }
}
