// SPDX-License-Identifier: Apache-2.0

//! JSON schemas in the words that Gemini knows.
//!
//! Gemini takes JSON schema, and passes over the keywords that it does not know
//! (<https://ai.google.dev/gemini-api/docs/structured-output#json_schema_support>). One of these matters: `const`,
//! by which alternatives are told apart, is the same as an `enum` of one value, which Gemini does know. It is
//! written so, in one pass that keeps every other byte and the order of properties, which decides the order of the
//! answer. A schema without the word is not even read.

use core::fmt;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The schema as Gemini understands it.
pub(super) fn adapt(schema: &RawValue) -> Cow<'_, RawValue> {
    if memchr::memmem::find(schema.get().as_bytes(), b"\"const\"").is_none() {
        return Cow::Borrowed(schema);
    }
    rewrite(schema).map_or(Cow::Borrowed(schema), Cow::Owned)
}

fn rewrite(schema: &RawValue) -> Option<Box<RawValue>> {
    let mut out = String::with_capacity(schema.get().len().saturating_add(64));
    copy(schema, Position::Schema, &mut out).ok()?;
    RawValue::from_string(out).ok()
}

/// What the value at hand is.
#[derive(Clone, Copy, PartialEq)]
enum Position {
    /// A schema, or an array of schemas.
    Schema,
    /// An object whose values are schemas.
    Named,
}

fn copy(value: &RawValue, position: Position, out: &mut String) -> Result<(), serde_json::Error> {
    // Only objects and arrays may hold schemas.
    if !value.get().starts_with(['{', '[']) {
        out.push_str(value.get());
        return Ok(());
    }
    Copy { position, out }.deserialize(&mut serde_json::Deserializer::from_str(value.get()))
}

struct Copy<'o> {
    position: Position,
    out: &'o mut String,
}

impl<'de> DeserializeSeed<'de> for Copy<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Copy<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object or an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.out.push('[');
        let mut is_first = true;
        while let Some(item) = items.next_element::<&RawValue>()? {
            if !core::mem::take(&mut is_first) {
                self.out.push(',');
            }
            copy(item, self.position, self.out).map_err(serde::de::Error::custom)?;
        }
        self.out.push(']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        self.out.push('{');
        let mut is_first = true;
        while let Some(key) = members.next_key::<Cow<'de, str>>()? {
            let value: &RawValue = members.next_value()?;
            if !core::mem::take(&mut is_first) {
                self.out.push(',');
            }
            let (key, position) = match (self.position, &*key) {
                (Position::Schema, "const") => {
                    self.out.push_str(r#""enum":["#);
                    self.out.push_str(value.get());
                    self.out.push(']');
                    continue;
                }
                (Position::Named, _) => (key, Some(Position::Schema)),
                (Position::Schema, "properties" | "$defs" | "definitions") => (key, Some(Position::Named)),
                (
                    Position::Schema,
                    "items" | "prefixItems" | "anyOf" | "oneOf" | "allOf" | "additionalProperties",
                ) => (key, Some(Position::Schema)),
                (Position::Schema, _) => (key, None),
            };
            self.out.push_str(&serde_json::Value::from(key).to_string());
            self.out.push(':');
            match position {
                Some(position) => copy(value, position, self.out).map_err(serde::de::Error::custom)?,
                None => self.out.push_str(value.get()),
            }
        }
        self.out.push('}');
        Ok(())
    }
}

/// Whether a schema takes no arguments, for which some models want no schema at all.
pub(super) fn is_empty_object(schema: &RawValue) -> bool {
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Shape {
        properties: Option<std::collections::BTreeMap<String, IgnoredAny>>,
        #[serde(rename = "additionalProperties")]
        additional_properties: Option<Additional>,
        #[serde(rename = "$ref")]
        reference: Option<IgnoredAny>,
        #[serde(rename = "anyOf")]
        any_of: Option<IgnoredAny>,
        #[serde(rename = "oneOf")]
        one_of: Option<IgnoredAny>,
        #[serde(rename = "allOf")]
        all_of: Option<IgnoredAny>,
    }
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Additional {
        Stated(bool),
        Schema(IgnoredAny),
    }
    let Ok(shape) = serde_json::from_str::<Shape>(schema.get()) else {
        return false;
    };
    shape.properties.is_none_or(|properties| properties.is_empty())
        && !matches!(
            shape.additional_properties,
            Some(Additional::Stated(true) | Additional::Schema(_))
        )
        && shape.reference.is_none()
        && shape.any_of.is_none()
        && shape.one_of.is_none()
        && shape.all_of.is_none()
}

#[cfg(test)]
mod tests {
    use super::{adapt, is_empty_object};
    use serde_json::value::RawValue;
    use std::borrow::Cow;

    fn check(schema: &str, expected: &str) {
        let schema: &RawValue = serde_json::from_str(schema).unwrap();
        assert_eq!(adapt(schema).get(), expected);
    }

    #[crate::test]
    fn a_constant_becomes_an_enum_of_one_and_order_is_kept() {
        check(
            r#"{"anyOf":[{"type":"object","properties":{"z":{"const":"a\"b"},"a":{"type":"string"}}},{"properties":{"kind":{"type":"integer","const":3}}}]}"#,
            r#"{"anyOf":[{"type":"object","properties":{"z":{"enum":["a\"b"]},"a":{"type":"string"}}},{"properties":{"kind":{"type":"integer","enum":[3]}}}]}"#,
        );
        check(
            r#"{"$defs":{"k":{"const":null}},"items":{"const":{"const":1}}}"#,
            r#"{"$defs":{"k":{"enum":[null]}},"items":{"enum":[{"const":1}]}}"#,
        );
    }

    #[crate::test]
    fn what_is_no_keyword_is_copied() {
        check(
            r#"{"properties":{"const":{"type":"string"}},"default":{"const":1},"additionalProperties":false}"#,
            r#"{"properties":{"const":{"type":"string"}},"default":{"const":1},"additionalProperties":false}"#,
        );
        let plain: &RawValue = serde_json::from_str(r#"{ "type" : "object" }"#).unwrap();
        assert!(matches!(adapt(plain), Cow::Borrowed(_)));
    }

    #[crate::test]
    fn a_schema_without_arguments_is_told() {
        for (schema, expected) in [
            (r#"{"type":"object","properties":{}}"#, true),
            ("{}", true),
            (r#"{"type":"object","additionalProperties":false}"#, true),
            (r#"{"type":"object","additionalProperties":true}"#, false),
            (r#"{"additionalProperties":{"type":"string"}}"#, false),
            (r#"{"properties":{"a":{}}}"#, false),
            (r##"{"$ref":"#/$defs/a"}"##, false),
        ] {
            let schema: &RawValue = serde_json::from_str(schema).unwrap();
            assert_eq!(is_empty_object(schema), expected, "{schema}");
        }
    }
}
