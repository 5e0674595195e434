// SPDX-License-Identifier: Apache-2.0

//! What only other providers know, taken out of a request that comes to OpenAI or to Azure.
//!
//! OpenAI's API refuses members that it does not know. Clients of a gateway send some that are another provider's
//! own (`cache_control`, `thinking`, `top_k`), and put back answers that hold what other providers tell
//! (`reasoning_content`, `thinking_blocks`, `extra_content`); after a failover, or a change of model, OpenAI would
//! refuse all that follows. Servers that only speak OpenAI's language are sent them, because some need them back.
//!
//! A value is parsed only if a name occurs in its text, and what holds none stays byte for byte.

use crate::protocol::json_object::{Editor, Object};
use crate::provider::json_edit::{changed, elements};
use crate::provider::losses::Losses;

/// Members of the request that are other providers' own, as far as the gateway passes them on to these.
const TOP: [&str; 27] = [
    // Anthropic's.
    "cache_control",
    "thinking",
    "top_k",
    // Bedrock's.
    "additionalModelRequestFields",
    "cachePoint",
    "guardrailConfig",
    "performanceConfig",
    "promptVariables",
    "requestMetadata",
    // Cohere's.
    "citation_options",
    "documents",
    "priority",
    "raw_prompting",
    "safety_mode",
    "strict_tools",
    // Google's.
    "extra_body",
    "safetySettings",
    "safety_settings",
    // Mistral's.
    "prompt_mode",
    "random_seed",
    "safe_prompt",
    // OpenRouter's.
    "models",
    "plugins",
    "provider",
    "reasoning",
    "transforms",
    "usage",
];

const CACHE_CONTROL: &str = "cache_control";
const IN_PART: [&str; 1] = [CACHE_CONTROL];
const IN_CALL: [&str; 2] = [CACHE_CONTROL, "extra_content"];
const IN_MESSAGE: [&str; 8] = [
    CACHE_CONTROL,
    "citations",
    "extra_content",
    "images",
    "reasoning",
    "reasoning_content",
    "reasoning_details",
    "thinking_blocks",
];

/// What the names in messages begin with.
const MARKS: [&str; 6] = [
    CACHE_CONTROL,
    "citations",
    "extra_content",
    "images",
    "reasoning",
    "thinking_blocks",
];

/// Adds to `editor` what has to go, and names it in `losses`.
pub(super) fn take_out<'o>(object: &'o Object<'_>, editor: &mut Editor<'o, '_>, losses: &Losses) {
    strip(object, &TOP, "", losses, editor);
    if let Some(messages) = object.get("messages").filter(|text| occur(text, &MARKS))
        && let Some(messages) = elements(messages, |text| message(text, losses))
    {
        editor.set("messages", messages);
    }
    if let Some(tools) = object.get("tools").filter(|text| occur(text, &[CACHE_CONTROL]))
        && let Some(tools) = elements(tools, |text| tool(text, losses))
    {
        editor.set("tools", tools);
    }
}

/// Whether a string of the text begins with one of these words. Long texts have few quotes, so one search for these
/// is less than one for each word.
fn occur(text: &str, marks: &[&str]) -> bool {
    memchr::memchr_iter(b'"', text.as_bytes()).any(|at| {
        let rest = text.get(at.saturating_add(1)..).unwrap_or_default();
        marks.iter().any(|mark| rest.starts_with(mark))
    })
}

fn message(text: &str, losses: &Losses) -> Option<String> {
    let message = Object::parse(text).ok()?;
    let mut editor = Editor::new(&message);
    strip(&message, &IN_MESSAGE, "messages[]", losses, &mut editor);
    for (member, path, names) in [
        ("content", "messages[].content[]", &IN_PART[..]),
        ("tool_calls", "messages[].tool_calls[]", &IN_CALL[..]),
    ] {
        if let Some(array) = message.get(member).filter(|value| value.starts_with('['))
            && let Some(edited) = elements(array, |text| stripped(text, names, path, losses))
        {
            editor.set(member, edited);
        }
    }
    changed(editor)
}

fn tool(text: &str, losses: &Losses) -> Option<String> {
    let tool = Object::parse(text).ok()?;
    let mut editor = Editor::new(&tool);
    strip(&tool, &IN_PART, "tools[]", losses, &mut editor);
    if let Some(function) = tool.get("function")
        && let Some(function) = stripped(function, &IN_PART, "tools[].function", losses)
    {
        editor.set("function", function);
    }
    changed(editor)
}

/// An object without these members; `None` if it has none of them.
fn stripped(text: &str, names: &[&str], path: &str, losses: &Losses) -> Option<String> {
    let object = Object::parse(text).ok()?;
    let mut editor = Editor::new(&object);
    strip(&object, names, path, losses, &mut editor);
    changed(editor)
}

/// Removes these members, and names those that said something.
fn strip(object: &Object<'_>, names: &[&str], path: &str, losses: &Losses, editor: &mut Editor<'_, '_>) {
    editor.retain(|field| {
        let is_foreign = names.contains(&&*field.key);
        if is_foreign && object.value(field) != Some("null") {
            losses.add(path, &field.key);
        }
        !is_foreign
    });
}

#[cfg(test)]
mod tests {
    use super::take_out;
    use crate::config::OnUnsupported;
    use crate::protocol::json_object::{Editor, Object};
    use crate::provider::losses::Losses;

    fn check(given: &str, expected: &str, dropped: &[&str]) {
        let object = Object::parse(given).unwrap();
        let (mut editor, losses) = (Editor::new(&object), Losses::default());
        take_out(&object, &mut editor, &losses);
        assert_eq!(editor.is_unchanged(), given == expected, "{given}");
        let mut out = Vec::new();
        editor.write(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        assert_eq!(losses.into_dropped(OnUnsupported::Drop).unwrap(), dropped);
    }

    #[crate::test]
    fn what_openai_does_not_know_goes_and_the_rest_stays() {
        check(
            r#"{ "top_k":5,"seed": 1,"thinking":null,"reasoning":{},"cache_control":{},"messages":[ {"role":"user","content":"the \"citations\""}, {"role":"assistant","content":"a", "reasoning_content":"r","thinking_blocks":null,"annotations":[],"extra_content":{}} ]}"#,
            r#"{ "seed": 1,"messages":[{"role":"user","content":"the \"citations\""},{"role":"assistant","content":"a","annotations":[]}]}"#,
            &[
                "top_k",
                "reasoning",
                "cache_control",
                "messages[].reasoning_content",
                "messages[].extra_content",
            ],
        );
    }

    #[crate::test]
    fn what_other_providers_are_sent_goes() {
        check(
            r#"{"model":"m","safety_settings":[],"extra_body":{"google":{}},"guardrailConfig":{},"documents":[],"provider":{},"seed":1}"#,
            r#"{"model":"m","seed":1}"#,
            &[
                "safety_settings",
                "extra_body",
                "guardrailConfig",
                "documents",
                "provider",
            ],
        );
        check(
            r#"{"messages":[{"role":"assistant","content":"a","images":[{"type":"image_url"}]}]}"#,
            r#"{"messages":[{"role":"assistant","content":"a"}]}"#,
            &["messages[].images"],
        );
    }

    #[crate::test]
    fn marks_within_messages_and_tools_go() {
        check(
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]},{"role":"assistant","tool_calls":[{"id":"1","extra_content":{"google":{}},"function":{"name":"f","arguments":"{}"}}],"reasoning":"r","reasoning_details":[]}],"tools":[{"type":"function","cache_control":{},"function":{"name":"f","cache_control":{}}}]}"#,
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"assistant","tool_calls":[{"id":"1","function":{"name":"f","arguments":"{}"}}]}],"tools":[{"type":"function","function":{"name":"f"}}]}"#,
            &[
                "messages[].content[].cache_control",
                "messages[].reasoning",
                "messages[].reasoning_details",
                "messages[].tool_calls[].extra_content",
                "tools[].cache_control",
                "tools[].function.cache_control",
            ],
        );
    }

    #[crate::test]
    fn without_any_every_byte_stays() {
        for given in [
            r#"{"messages":[ {"role":"assistant","content":"a"} ]}"#,
            r#"{"messages":[ {"role":"user","content":"thinking_blocks"} ]}"#,
            r#"{"messages":[ {"role":"user","content":[{"type":"text","text":"\"reasoning"}]} ]}"#,
            r#"{"messages":"\"citations","tools":[ {"function":{"name":"cache_control"}} ]}"#,
        ] {
            check(given, given, &[]);
        }
    }

    #[crate::test]
    fn what_answers_tell_is_no_reason_to_refuse() {
        let refused = |given: &str| {
            let object = Object::parse(given).unwrap();
            let (mut editor, losses) = (Editor::new(&object), Losses::default());
            take_out(&object, &mut editor, &losses);
            losses
                .into_dropped(OnUnsupported::Reject)
                .err()
                .and_then(|error| error.param)
        };
        let told = r#"{"messages":[{"role":"assistant","reasoning_content":"r","tool_calls":[{"extra_content":{}}]}]}"#;
        assert_eq!(refused(told), None);
        assert_eq!(refused(r#"{"top_k":1}"#).as_deref(), Some("top_k"));
        let marked = r#"{"messages":[{"role":"user","cache_control":{}}]}"#;
        assert_eq!(refused(marked).as_deref(), Some("messages[].cache_control"));
    }
}
