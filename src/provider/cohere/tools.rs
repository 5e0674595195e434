// SPDX-License-Identifier: Apache-2.0

//! Tools, and whether they are to be called (<https://docs.cohere.com/v2/docs/tool-use-parameter-types>).
//!
//! Cohere knows no choice of one tool: the others are left out and a call is demanded, which comes to the same. It
//! demands exact arguments of all tools or of none.

use crate::api_error::ApiError;
use crate::protocol::cohere::chat::{Function, Tool};
use crate::protocol::openai::chat::ChatCompletionRequest;
use crate::provider::tool_choice::{self, Allowed, Choice};
use crate::provider::tool_names::Rule;
use crate::provider::unsupported::{Place, Report, unsupported};
use serde_json::value::RawValue;

/// A schema of no arguments. Cohere requires one.
const NO_PARAMETERS: &str = r#"{"type":"object","properties":{}}"#;

/// What a request says of tools.
#[derive(Default)]
pub(super) struct Tools<'r> {
    pub(super) tools: Vec<Tool<'r>>,
    pub(super) choice: Option<&'static str>,
    pub(super) strict: Option<bool>,
}

impl<'r> Tools<'r> {
    pub(super) fn read(
        request: &'r ChatCompletionRequest<'r>,
        report: &mut Report,
    ) -> Result<Self, ApiError> {
        let mut found = Self::default();
        let (choice, allowed) = tool_choice::read(request)?;
        let mut exact = 0_usize;
        for (index, tool) in request.tools.iter().flatten().enumerate() {
            let place = Place::element("tools", index);
            let Some(function) = tool
                .function
                .as_ref()
                .filter(|_| tool.kind.as_deref().is_none_or(|kind| kind == "function"))
            else {
                return Err(unsupported(place.path("type")));
            };
            report.drop_rest(place, &tool.rest)?;
            report.drop_rest(place.object("function"), &function.rest)?;
            if tool.cache_control.is_some() || function.cache_control.is_some() {
                report.drop_member(place, "cache_control")?;
            }
            if !allowed.has(tool) {
                continue;
            }
            exact += usize::from(function.strict == Some(true));
            found.tools.push(Tool {
                kind: "function",
                function: Function {
                    name: Rule::COHERE.plain(function.name.as_deref().unwrap_or_default()),
                    description: function.description.as_deref(),
                    parameters: match function.parameters {
                        Some(parameters) => parameters,
                        None => {
                            no_parameters().ok_or_else(|| unsupported(place.path("function.parameters")))?
                        }
                    },
                },
            });
        }
        if exact > 0 {
            found.strict = Some(true);
            if exact < found.tools.len() {
                report.approximate_member(Place::element("tools", 0), "function.strict");
            }
        }
        if found.tools.is_empty() && request.tools.as_ref().is_some_and(|tools| !tools.is_empty()) {
            return Err(Allowed::nothing_left());
        }
        found.choose(choice, report)?;
        if request.parallel_tool_calls == Some(false) {
            report.drop_field("parallel_tool_calls")?;
        }
        Ok(found)
    }

    fn choose(&mut self, choice: Choice<'_>, report: &mut Report) -> Result<(), ApiError> {
        match choice {
            Choice::Unsaid | Choice::Auto => {}
            Choice::None => self.choice = Some("NONE"),
            _ if self.tools.is_empty() => report.drop_field("tool_choice")?,
            Choice::Any => self.choice = Some("REQUIRED"),
            Choice::Named(name) => {
                let name = Rule::COHERE.plain(name);
                self.tools.retain(|tool| tool.function.name == name);
                if self.tools.is_empty() {
                    let message = "tool_choice: expected a function of `tools`, found another";
                    return Err(ApiError::bad_request("tool_choice", message));
                }
                self.choice = Some("REQUIRED");
                report.approximate_field("tool_choice");
            }
        }
        if self.tools.is_empty() {
            // Nothing may be called, which is what holds without it.
            self.choice = None;
        }
        Ok(())
    }
}

fn no_parameters() -> Option<&'static RawValue> {
    serde_json::from_str(NO_PARAMETERS).ok()
}
