// SPDX-License-Identifier: Apache-2.0

//! JSON schemas that a model's answer is made to follow, in the words that Anthropic and Bedrock know
//! (<https://docs.claude.com/en/docs/build-with-claude/structured-outputs#json-schema-limitations>,
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html>).
//!
//! They refuse a schema unless every object in it says `additionalProperties: false`, and one that bounds numbers,
//! lengths or sizes. As Anthropic's own SDKs do, objects are closed, and what cannot be enforced is told to the model in
//! the schema's description; both are reported. Everything else stays byte for byte, the order of properties with it,
//! which decides the order of the answer; a schema that needs no change is sent as it came.

use super::unsupported::{Place, Report};
use crate::protocol::json_object::{Editor, Field, Object, quote, unescape};
use serde_json::value::RawValue;
use std::borrow::Cow;

const EMPTY: &str = r#"{"type":"object","properties":{}}"#;

/// Keywords that are refused.
const UNENFORCED: [&str; 23] = [
    "contains",
    "dependentRequired",
    "dependentSchemas",
    "else",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "if",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "patternProperties",
    "propertyNames",
    "then",
    "unevaluatedProperties",
    "uniqueItems",
];

/// Values of `format` that are enforced.
const FORMATS: [&str; 10] = [
    "date",
    "date-time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "time",
    "uri",
    "uuid",
];

/// The schema as it is enforced; owned if that is not quite what was asked for.
pub(super) fn closed(schema: &RawValue) -> Cow<'_, RawValue> {
    close(schema.get())
        .and_then(|closed| RawValue::from_string(closed).ok())
        .map_or(Cow::Borrowed(schema), Cow::Owned)
}

/// A schema of arguments whose top says that it is an object, which Anthropic and Bedrock demand of all tools; `None` if
/// it is no JSON object.
pub(super) fn of_arguments(schema: &RawValue) -> Option<Cow<'_, RawValue>> {
    // As nearly all of them begin.
    if schema.get().starts_with(r#"{"type":"object""#) {
        return Some(Cow::Borrowed(schema));
    }
    let object = Object::parse(schema.get()).ok()?;
    if object.fields.is_empty() {
        return of_no_arguments().map(Cow::Borrowed);
    }
    if object.get("type").is_some_and(|kind| kind != "null") {
        return Some(Cow::Borrowed(schema));
    }
    let mut editor = Editor::new(&object);
    editor.set("type", r#""object""#);
    RawValue::from_string(written(editor)?).ok().map(Cow::Owned)
}

/// The schema of a strict tool's arguments as it is enforced; reported, if that is not quite what was asked for.
pub(super) fn close_arguments<'r>(
    schema: Cow<'r, RawValue>,
    function: Place,
    report: &mut Report,
) -> Cow<'r, RawValue> {
    let Cow::Owned(closed) = closed(&schema) else {
        return schema;
    };
    report.approximate_member(function, "parameters");
    Cow::Owned(closed)
}

/// The schema of a tool that takes no arguments.
pub(super) fn of_no_arguments() -> Option<&'static RawValue> {
    serde_json::from_str(EMPTY).ok()
}

/// The schema closed; `None` if nothing changes.
fn close(text: &str) -> Option<String> {
    if !text.starts_with('{') {
        return None;
    }
    let object = Object::parse(text).ok()?;
    let mut editor = Editor::new(&object);
    let mut unenforced = Vec::new();
    let has_alternatives = object.get("anyOf").is_some();
    let (mut is_object, mut is_closed) = (false, false);
    for field in &object.fields {
        let value = object.value(field)?;
        match &*field.key {
            "type" => is_object |= value.contains(r#""object""#),
            "properties" | "$defs" | "definitions" => {
                is_object |= field.key == "properties";
                if let Some(schemas) = close_named(value) {
                    editor.set(&field.key, schemas);
                }
            }
            "items" | "anyOf" | "allOf" | "prefixItems" => {
                if let Some(schemas) = close_one_or_many(value) {
                    editor.set(&field.key, schemas);
                }
            }
            // The alternatives of most schemas exclude each other by themselves.
            "oneOf" if !has_alternatives => {
                editor.rename("oneOf", "anyOf");
                if let Some(schemas) = close_one_or_many(value) {
                    editor.remove("oneOf");
                    editor.append("anyOf", schemas);
                }
            }
            "additionalProperties" if value == "false" => is_closed = true,
            key if is_unenforced(key, value) => unenforced.push((field, value)),
            _ => {}
        }
    }
    for (field, _) in &unenforced {
        editor.remove(&field.key);
    }
    if !unenforced.is_empty() {
        editor.set("description", described(&object, &unenforced));
    }
    if is_object && !is_closed {
        editor.append("additionalProperties", "false");
    }
    if editor.is_unchanged() {
        return None;
    }
    written(editor)
}

fn is_unenforced(key: &str, value: &str) -> bool {
    match key {
        "additionalProperties" | "oneOf" => true,
        "minItems" => !matches!(value, "0" | "1"),
        "format" => unescape(value).is_ok_and(|format| !FORMATS.contains(&&*format)),
        _ => UNENFORCED.contains(&key),
    }
}

/// The description, with what is not enforced.
fn described(object: &Object<'_>, unenforced: &[(&Field<'_>, &str)]) -> String {
    let given = object.get("description").and_then(|text| unescape(text).ok());
    let mut text = given.map(Cow::into_owned).unwrap_or_default();
    if !text.is_empty() {
        text.push_str("\n\n");
    }
    let listed: Vec<_> = unenforced
        .iter()
        .map(|(field, value)| [&*field.key, ": ", value].concat())
        .collect();
    text.push_str(&["{", &listed.join(", "), "}"].concat());
    quote(&text)
}

/// An object whose values are schemas.
fn close_named(text: &str) -> Option<String> {
    let object = Object::parse(text).ok()?;
    let mut editor = Editor::new(&object);
    for field in &object.fields {
        if let Some(closed) = close(object.value(field)?) {
            editor.set(&field.key, closed);
        }
    }
    if editor.is_unchanged() {
        None
    } else {
        written(editor)
    }
}

/// A schema, or an array of schemas.
fn close_one_or_many(text: &str) -> Option<String> {
    if !text.starts_with('[') {
        return close(text);
    }
    let schemas: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    let closed: Vec<_> = schemas.iter().map(|schema| close(schema.get())).collect();
    if closed.iter().all(Option::is_none) {
        return None;
    }
    let given = schemas.iter().map(|schema| schema.get());
    let texts: Vec<_> = closed
        .iter()
        .zip(given)
        .map(|(closed, given)| closed.as_deref().unwrap_or(given))
        .collect();
    Some(["[", &texts.join(","), "]"].concat())
}

fn written(editor: Editor<'_, '_>) -> Option<String> {
    let mut out = Vec::new();
    editor.write(&mut out);
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::{closed, of_arguments};
    use serde_json::value::RawValue;
    use std::borrow::Cow;

    fn check(schema: &str, expected: &str) {
        let schema: &RawValue = serde_json::from_str(schema).unwrap();
        let found = closed(schema);
        assert_eq!(found.get(), expected);
        assert_eq!(
            matches!(found, Cow::Borrowed(_)),
            schema.get() == expected,
            "{expected}"
        );
    }

    #[crate::test]
    fn every_open_object_is_closed_and_order_is_kept() {
        check(
            r#"{"type":"object","properties":{"z":{"type":"object","properties":{}},"a":{"type":"array","items":{"type":["object","null"]}}},"required":["z"]}"#,
            r#"{"type":"object","properties":{"z":{"type":"object","properties":{},"additionalProperties":false},"a":{"type":"array","items":{"type":["object","null"],"additionalProperties":false}}},"required":["z"],"additionalProperties":false}"#,
        );
        check(
            r##"{"$defs":{"n":{"type":"object"}},"anyOf":[{"$ref":"#/$defs/n"},{"type":"null"}]}"##,
            r##"{"$defs":{"n":{"type":"object","additionalProperties":false}},"anyOf":[{"$ref":"#/$defs/n"},{"type":"null"}]}"##,
        );
    }

    #[crate::test]
    fn what_is_not_enforced_is_told_to_the_model() {
        check(
            r#"{"type":"integer","minimum":1,"description":"A \"number\"","maximum":10}"#,
            r#"{"type":"integer","description":"A \"number\"\n\n{minimum: 1, maximum: 10}"}"#,
        );
        check(
            r#"{"type":"array","minItems":2,"items":{"type":"string","format":"color","pattern":"^#"}}"#,
            r#"{"type":"array","items":{"type":"string","pattern":"^#","description":"{format: \"color\"}"},"description":"{minItems: 2}"}"#,
        );
        check(
            r#"{"type":"object","additionalProperties":{"type":"string"}}"#,
            r#"{"type":"object","description":"{additionalProperties: {\"type\":\"string\"}}","additionalProperties":false}"#,
        );
        check(
            r#"{"oneOf":[{"type":"string","maxLength":3},{"type":"null"}]}"#,
            r#"{"anyOf":[{"type":"string","description":"{maxLength: 3}"},{"type":"null"}]}"#,
        );
    }

    #[crate::test]
    fn a_schema_that_is_enforced_stays_as_it_is() {
        for schema in [
            r#"{"type": "object","properties":{"type":{"const":"ob\"ject"},"minimum":{"type":"array","minItems":1}}, "additionalProperties":false}"#,
            r#"{"type":"string","format":"date-time","default":{"type":"object"},"enum":[{"properties":1}]}"#,
            r#"{"items":[],"anyOf":[]}"#,
            "true",
        ] {
            check(schema, schema);
        }
    }

    #[crate::test]
    fn arguments_are_an_object() {
        let check = |schema: &str, expected: Option<&str>| {
            let schema: &RawValue = serde_json::from_str(schema).unwrap();
            let found = of_arguments(schema);
            assert_eq!(found.as_deref().map(RawValue::get), expected);
        };
        check("{}", Some(r#"{"type":"object","properties":{}}"#));
        check(
            r#"{ "properties":{"a":{}}}"#,
            Some(r#"{ "properties":{"a":{}},"type":"object"}"#),
        );
        check(
            r#"{"type":null,"anyOf":[]}"#,
            Some(r#"{"type":"object","anyOf":[]}"#),
        );
        check(r#"{"type":"object"}"#, Some(r#"{"type":"object"}"#));
        check("[]", None);
    }
}
