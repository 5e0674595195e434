// SPDX-License-Identifier: Apache-2.0

//! What answers of other providers tell, taken out of a conversation that comes to OpenAI.
//!
//! OpenAI's API refuses members of a message that it does not know. The gateway's own answers hold some
//! (`reasoning_content`, `thinking_blocks`, `citations`), and clients put an answer back into the conversation as
//! it came; after a failover, or a change of model, OpenAI would refuse all that follows. Servers that only speak
//! OpenAI's language are sent them, because some need them back. The messages are parsed only if a name occurs.

use super::reshape::{each, written};
use crate::protocol::json_object::{Editor, Object};
use crate::provider::dropped::Dropped;
use std::borrow::Cow;
use std::cell::RefCell;

const TOLD: [&str; 3] = ["citations", "reasoning_content", "thinking_blocks"];

/// The messages without these members, and what was left out. `None` if nothing changes.
pub(super) fn without_told(messages: &str) -> Option<(String, Vec<Cow<'static, str>>)> {
    let occurs = |name: &&str| memchr::memmem::find(messages.as_bytes(), name.as_bytes()).is_some();
    if !TOLD.iter().any(occurs) {
        return None;
    }
    let dropped = RefCell::new(Dropped::default());
    let is_changed = core::cell::Cell::new(false);
    let messages = each(messages, |message| {
        let message = Object::parse(message).ok()?;
        if message.get("role") != Some(r#""assistant""#) {
            return None;
        }
        let mut editor = Editor::new(&message);
        editor.retain(|field| {
            let told = TOLD.iter().find(|name| **name == field.key);
            if let Some(name) = told.filter(|_| message.value(field) != Some("null")) {
                dropped.borrow_mut().add(format!("messages[].{name}").into());
            }
            told.is_none()
        });
        if editor.is_unchanged() {
            return None;
        }
        is_changed.set(true);
        written(editor)
    })?;
    is_changed
        .get()
        .then(|| (messages, dropped.into_inner().into_paths()))
}

#[cfg(test)]
mod tests {
    use super::without_told;

    #[crate::test]
    fn only_an_answer_loses_what_openai_does_not_know() {
        let messages = r#"[ {"role":"user","content":"the citations"}, {"role":"assistant","content":"a", "reasoning_content":"r","thinking_blocks":null,"annotations":[]} ]"#;
        let (found, dropped) = without_told(messages).unwrap();
        assert_eq!(
            found,
            r#"[{"role":"user","content":"the citations"},{"role":"assistant","content":"a","annotations":[]}]"#
        );
        assert_eq!(dropped, ["messages[].reasoning_content"]);
    }

    #[crate::test]
    fn without_any_the_messages_stay() {
        for messages in [
            r#"[{"role":"assistant","content":"a"}]"#,
            r#"[{"role":"user","content":"thinking_blocks"}]"#,
            r#"[{"role":"user","citations":[]}]"#,
            r#""citations""#,
        ] {
            assert_eq!(without_told(messages), None, "{messages}");
        }
    }
}
