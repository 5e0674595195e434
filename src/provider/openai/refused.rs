// SPDX-License-Identifier: Apache-2.0

//! What a service is known to refuse, though OpenAI's language has it ([`crate::config::Preset`]).

use super::older;
use crate::api_error::ApiError;
use crate::protocol::json_object::{Editor, Object};
use crate::provider::Settings;
use crate::provider::json_edit::{changed, elements};
use crate::provider::losses::Losses;
use crate::provider::unsupported::unsupported;
use std::borrow::Cow;

const IN_MESSAGES: &str = "messages[].";

/// Adds to `editor` what has to go, and names it in `losses`.
///
/// # Errors
///
/// Several answers of a service that gives one.
pub(super) fn take_out<'o>(
    object: &'o Object<'_>,
    settings: &Settings,
    editor: &mut Editor<'o, '_>,
    losses: &Losses,
) -> Result<(), ApiError> {
    let is_refused = |name: &str| settings.unsupported.contains(&name);
    if is_refused("n") && !matches!(object.get("n"), None | Some("1" | "null")) {
        return Err(unsupported("n".to_owned()));
    }
    editor.retain(|field| {
        let is_refused = is_refused(&field.key) && field.key != "n";
        if is_refused && object.value(field) != Some("null") {
            losses.add("", &field.key);
        }
        !is_refused
    });
    let members: Vec<&str> = settings
        .unsupported
        .iter()
        .filter_map(|name| name.strip_prefix(IN_MESSAGES))
        .collect();
    let Some(given) = object.get("messages").filter(|_| !members.is_empty()) else {
        return Ok(());
    };
    let known = older::without_developer(given).filter(|_| !settings.developer_role);
    let messages = known.map_or(Cow::Borrowed(given), Cow::Owned);
    if let Some(messages) = elements(&messages, |message| without(message, &members, losses)) {
        editor.set("messages", messages);
    }
    Ok(())
}

fn without(message: &str, members: &[&str], losses: &Losses) -> Option<String> {
    let message = Object::parse(message).ok()?;
    let mut editor = Editor::new(&message);
    editor.retain(|field| {
        let is_refused = members.contains(&&*field.key);
        if is_refused && message.value(field) != Some("null") {
            losses.add("messages[]", &field.key);
        }
        !is_refused
    });
    changed(editor)
}

#[cfg(test)]
mod tests {
    use super::super::request::translate_request;
    use crate::config::{Preset, ProviderKind};
    use crate::provider::Settings;

    #[crate::test]
    fn what_groq_refuses_goes_by_name() {
        let settings = Settings {
            unsupported: Preset::Groq.facts().unsupported,
            ..Settings::of(ProviderKind::OpenAiCompatible, "m")
        };
        let body = br#"{"model":"m","n":1,"logprobs":true,"messages":[{"role":"developer","name":"x","content":"a"},{"role":"user","content":"b"}]}"#;
        let mut out = Vec::new();
        let request = translate_request(body, &settings, &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"model":"m","n":1,"messages":[{"role":"system","content":"a"},{"role":"user","content":"b"}]}"#
        );
        assert_eq!(request.dropped, ["logprobs", "messages[].name"]);
        let several = br#"{"model":"m","n":2,"messages":[]}"#;
        let error = translate_request(several, &settings, &mut Vec::new()).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("n"));
    }
}
