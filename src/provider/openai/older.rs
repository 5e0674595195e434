// SPDX-License-Identifier: Apache-2.0

//! OpenAI's newer words in the older ones that every server knows.
//!
//! OpenAI's reasoning models brought `max_completion_tokens` and the role `developer`. Servers that speak OpenAI's
//! language have followed unevenly: some ignore the bound, which then bounds nothing, and the chat templates of many
//! open models refuse the role. All of them know `max_tokens` and `system`, which mean the same there.

use crate::protocol::json_object::{Editor, Object};
use crate::provider::Settings;
use crate::provider::json_edit::{changed, elements, move_member};

/// Puts the output bound in the one field that there is, as far as a limit leaves it.
pub(in crate::provider) fn bound_output<'o>(
    object: &'o Object<'_>,
    settings: &Settings,
    editor: &mut Editor<'o, '_>,
) {
    // The newer name wins over the deprecated one.
    move_member(object, editor, "max_completion_tokens", "max_tokens");
    let given = |field| object.get(field).filter(|given| *given != "null");
    let asked = given("max_completion_tokens").or_else(|| given("max_tokens"));
    let asked = asked.and_then(|asked| asked.parse::<u64>().ok());
    let Some(bound) = settings.output_bound(asked).filter(|bound| Some(*bound) != asked) else {
        return;
    };
    editor.remove("max_completion_tokens");
    editor.set("max_tokens", bound.to_string());
}

/// The messages with `system` in place of `developer`; `None` if there is none. Parsed only if the word occurs.
pub(super) fn without_developer(messages: &str) -> Option<String> {
    memchr::memmem::find(messages.as_bytes(), br#""developer""#)?;
    elements(messages, |text| {
        let message = Object::parse(text).ok()?;
        let is_developer = message.get("role") == Some(r#""developer""#);
        let mut editor = Editor::new(&message);
        if is_developer {
            editor.set("role", r#""system""#);
        }
        changed(editor)
    })
}

#[cfg(test)]
mod tests {
    use super::without_developer;

    #[crate::test]
    fn a_developer_becomes_the_system_and_nobody_else() {
        let given = r#"[ {"role": "developer","content":"a \"developer\""},{"role":"user","name":"developer","content":"b"}]"#;
        let expected = r#"[{"role": "system","content":"a \"developer\""},{"role":"user","name":"developer","content":"b"}]"#;
        assert_eq!(without_developer(given).as_deref(), Some(expected));
        for other in [
            r#"[{"role":"user","content":"a developer"}]"#,
            r#"[{"role":"user","name":"developer"}]"#,
            r#""developer""#,
        ] {
            assert_eq!(without_developer(other), None);
        }
    }
}
