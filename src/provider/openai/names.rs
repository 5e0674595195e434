// SPDX-License-Identifier: Apache-2.0

//! Names of tools that OpenAI, Azure or Mistral would refuse, in a request that is otherwise passed on.
//!
//! Only a request that may hold one is read for them: a glance at the strings that members called `name` have says
//! whether it may. Such a request is written anew with other names and then translated as if the client had sent it.

use crate::protocol::json_object::{Editor, Object, quote, unescape};
use crate::provider::json_edit::{changed, elements};
use crate::provider::tool_names::Rule;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A request with other names: its text, and which tools go by another name, theirs to the client's.
type Renamed = (Vec<u8>, BTreeMap<String, String>);

/// The request with every tool's name as the provider takes it; `None` if all of them are.
pub(in crate::provider) fn plain(object: &Object<'_>, rule: Rule) -> Option<Renamed> {
    let text = |key| object.get(key).filter(|text| may_hold_another(text, rule));
    let (tools, messages) = (text("tools"), text("messages"));
    if tools.is_none() && messages.is_none() {
        return None;
    }
    let mut renamer = Renamer {
        rule,
        renamed: BTreeMap::new(),
    };
    let mut editor = Editor::new(object);
    if let Some(tools) = tools.and_then(|tools| elements(tools, |tool| renamer.within(tool, &["function"]))) {
        editor.set("tools", tools);
    }
    if let Some(messages) = messages.and_then(|messages| elements(messages, |text| renamer.message(text))) {
        editor.set("messages", messages);
    }
    if let Some(choice) = object
        .get("tool_choice")
        .and_then(|choice| renamer.choice(choice))
    {
        editor.set("tool_choice", choice);
    }
    if editor.is_unchanged() {
        return None;
    }
    let mut out = Vec::with_capacity(object.text.len());
    editor.write(&mut out);
    Some((out, renamer.renamed))
}

/// Whether a member `name` in this text has a string that is no name. It may be no tool's.
fn may_hold_another(text: &str, rule: Rule) -> bool {
    memchr::memmem::find_iter(text.as_bytes(), br#""name""#).any(|at| {
        let value = text
            .get(at..)
            .and_then(|rest| rest.strip_prefix(r#""name""#))
            .and_then(|rest| rest.trim_ascii_start().strip_prefix(':'))
            .and_then(|rest| rest.trim_ascii_start().strip_prefix('"'));
        value.is_some_and(|value| value.split('"').next().is_some_and(|value| !rule.allows(value)))
    })
}

struct Renamer {
    rule: Rule,
    renamed: BTreeMap<String, String>,
}

impl Renamer {
    /// The object with its member `name`, at the end of this way into it, as the provider takes it.
    fn within(&mut self, text: &str, way: &[&str]) -> Option<String> {
        let object = Object::parse(text).ok()?;
        let mut editor = Editor::new(&object);
        match way.split_first() {
            Some((step, rest)) => {
                editor.set(step, self.within(object.get(step)?, rest)?);
            }
            None => {
                let name = unescape(object.get("name")?).ok()?;
                let Cow::Owned(plain) = self.rule.plain(&name) else {
                    return None;
                };
                editor.set("name", quote(&plain));
                self.renamed.insert(plain, name.into_owned());
            }
        }
        changed(editor)
    }

    fn message(&mut self, text: &str) -> Option<String> {
        let message = Object::parse(text).ok()?;
        let mut editor = Editor::new(&message);
        if let Some(calls) = message.get("tool_calls").filter(|calls| calls.starts_with('['))
            && let Some(calls) = elements(calls, |call| self.within(call, &["function"]))
        {
            editor.set("tool_calls", calls);
        }
        // The name of the tool that answers; elsewhere it is a person's.
        if message.get("role") == Some(r#""tool""#)
            && let Some(name) = message.get("name").and_then(|name| unescape(name).ok())
            && let Cow::Owned(plain) = self.rule.plain(&name)
        {
            editor.set("name", quote(&plain));
        }
        changed(editor)
    }

    fn choice(&mut self, text: &str) -> Option<String> {
        if let Some(named) = self.within(text, &["function"]) {
            return Some(named);
        }
        let choice = Object::parse(text).ok()?;
        let allowed = Object::parse(choice.get("allowed_tools")?).ok()?;
        let tools = elements(allowed.get("tools")?, |tool| self.within(tool, &["function"]))?;
        let mut inner = Editor::new(&allowed);
        inner.set("tools", tools);
        let mut editor = Editor::new(&choice);
        editor.set("allowed_tools", changed(inner)?);
        changed(editor)
    }
}

#[cfg(test)]
mod tests {
    use super::plain;
    use crate::protocol::json_object::Object;
    use crate::provider::tool_names::Rule;

    fn check(given: &str, expected: Option<&str>) {
        let found = plain(&Object::parse(given).unwrap(), Rule::OPENAI);
        let renamed = Rule::OPENAI.plain("files.read");
        let expected = expected.map(|expected| expected.replace("NAME", &renamed));
        let text = found
            .as_ref()
            .map(|(text, _)| String::from_utf8(text.clone()).unwrap());
        assert_eq!(text, expected, "{given}");
        if let Some((_, names)) = found {
            assert_eq!(names.get(&*renamed).map(String::as_str), Some("files.read"));
        }
    }

    #[crate::test]
    fn every_mention_of_a_tool_gets_the_same_name() {
        check(
            r#"{"tools":[{"function":{"name": "files.read","description":"d"}},{"function":{"name":"f"}}],"tool_choice":{"type":"function","function":{"name":"files.read"}}}"#,
            Some(
                r#"{"tools":[{"function":{"name": "NAME","description":"d"}},{"function":{"name":"f"}}],"tool_choice":{"type":"function","function":{"name":"NAME"}}}"#,
            ),
        );
        check(
            r#"{"tools":[{"function":{"name":"files.read"}}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"files.read"}}]}}}"#,
            Some(
                r#"{"tools":[{"function":{"name":"NAME"}}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"NAME"}}]}}}"#,
            ),
        );
        check(
            r#"{"messages":[{"role":"user","name":"a b"},{"role":"assistant","tool_calls":[{"id":"1","function":{"name":"files\u002eread","arguments":"{\"name\":\"x y\"}"}}]},{"role":"tool","name":"files.read"}]}"#,
            Some(
                r#"{"messages":[{"role":"user","name":"a b"},{"role":"assistant","tool_calls":[{"id":"1","function":{"name":"NAME","arguments":"{\"name\":\"x y\"}"}}]},{"role":"tool","name":"NAME"}]}"#,
            ),
        );
    }

    #[crate::test]
    fn names_that_may_stay_cost_no_reading() {
        for given in [
            r#"{"tools":[{"function":{"name":"f","parameters":{"properties":{"name":{"type":"string"}}}}}]}"#,
            r#"{"tools":[{"function":{"name":"f","parameters":{"default":{"name":"a b"}}}}]}"#,
            r#"{"messages":[{"role":"user","name":"a b","content":"\"name\":\"a b\""}]}"#,
            r#"{"messages":[],"tools":"\"name\""}"#,
        ] {
            check(given, None);
        }
    }
}
