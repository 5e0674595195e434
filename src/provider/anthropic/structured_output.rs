// SPDX-License-Identifier: Apache-2.0

//! The form of the answer: `response_format` as `output_config.format`
//! (<https://docs.claude.com/en/docs/build-with-claude/structured-outputs>).
//!
//! Anthropic takes a schema only if every object in it says `additionalProperties: false`. OpenAI demands the
//! same of strict schemas, which are therefore passed on as they are; in others the member is added where it is
//! missing, in one pass that keeps every other byte and the order of properties, which decides the order of the
//! answer. A schema that says `additionalProperties: true` is left for Anthropic to judge.
//!
//! There is no counterpart of `json_object`, which promises JSON of any shape: it is reported.

use crate::api_error::ApiError;
use crate::protocol::anthropic::messages::OutputFormat;
use crate::protocol::openai::chat::ResponseFormat;
use crate::provider::unsupported::{Place, Report, unsupported};
use core::fmt;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The counterpart of a response format.
pub(super) fn output_format<'r>(
    format: &'r ResponseFormat<'r>,
    report: &mut Report,
) -> Result<Option<OutputFormat<'r>>, ApiError> {
    match format.kind.as_deref() {
        Some("text") => Ok(None),
        Some("json_object") => report.drop_field("response_format").map(|()| None),
        Some("json_schema") => {
            let missing = || {
                let param = "response_format.json_schema.schema";
                ApiError::bad_request(param, format!("{param}: expected an object, found nothing"))
            };
            let json_schema = format.json_schema.as_ref().ok_or_else(missing)?;
            let schema = json_schema.schema.ok_or_else(missing)?;
            for (name, _) in &json_schema.rest {
                report.drop_member(Place::TOP, &format!("response_format.json_schema.{}", &**name))?;
            }
            let schema = if json_schema.strict == Some(true) {
                Cow::Borrowed(schema)
            } else {
                close(schema).map_or(Cow::Borrowed(schema), Cow::Owned)
            };
            Ok(Some(OutputFormat::JsonSchema { schema }))
        }
        _ => Err(unsupported("response_format.type".to_owned())),
    }
}

/// The schema with `additionalProperties: false` in every object that does not mention it.
pub(in crate::provider) fn close(schema: &RawValue) -> Option<Box<RawValue>> {
    let mut out = String::with_capacity(schema.get().len().saturating_add(64));
    let seed = Copy {
        position: Position::Schema,
        out: &mut out,
    };
    seed.deserialize(&mut serde_json::Deserializer::from_str(schema.get()))
        .ok()?;
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

/// Copies a value, closing the objects in it.
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
        formatter.write_str("a JSON schema")
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.out.push_str(if value { "true" } else { "false" });
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.out.push_str(&value.to_string());
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.out.push_str(&value.to_string());
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.out.push_str(&serde_json::Value::from(value).to_string());
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.out.push_str("null");
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.out.push_str(&serde_json::Value::from(value).to_string());
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut separator = '[';
        loop {
            let mark = self.out.len();
            self.out.push(separator);
            let seed = Copy {
                position: self.position,
                out: &mut *self.out,
            };
            if items.next_element_seed(seed)?.is_none() {
                self.out.truncate(mark);
                break;
            }
            separator = ',';
        }
        if separator == '[' {
            self.out.push('[');
        }
        self.out.push(']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut is_object = false;
        let mut is_closed = false;
        let mut separator = '{';
        while let Some(key) = members.next_key::<String>()? {
            self.out.push(separator);
            separator = ',';
            self.out
                .push_str(&serde_json::Value::from(key.as_str()).to_string());
            self.out.push(':');
            let position = match (self.position, key.as_str()) {
                (Position::Named, _)
                | (Position::Schema, "items" | "prefixItems" | "anyOf" | "allOf" | "oneOf" | "not") => {
                    Position::Schema
                }
                (Position::Schema, "properties" | "$defs" | "definitions" | "patternProperties") => {
                    is_object |= key == "properties";
                    Position::Named
                }
                (Position::Schema, key) => {
                    let value: &RawValue = members.next_value()?;
                    is_object |= key == "type" && names_object(value);
                    is_closed |= key == "additionalProperties";
                    self.out.push_str(value.get());
                    continue;
                }
            };
            members.next_value_seed(Copy {
                position,
                out: &mut *self.out,
            })?;
        }
        if separator == '{' {
            self.out.push('{');
        }
        if self.position == Position::Schema && is_object && !is_closed {
            if separator == ',' {
                self.out.push(',');
            }
            self.out.push_str(r#""additionalProperties":false"#);
        }
        self.out.push('}');
        Ok(())
    }
}

/// Whether a schema's `type` is, or may be, an object.
fn names_object(kind: &RawValue) -> bool {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Kind {
        One(String),
        Several(Vec<String>),
    }
    match serde_json::from_str(kind.get()) {
        Ok(Kind::One(kind)) => kind == "object",
        Ok(Kind::Several(kinds)) => kinds.iter().any(|kind| kind == "object"),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::close;
    use serde_json::value::RawValue;

    fn check(schema: &str, expected: &str) {
        let schema: &RawValue = serde_json::from_str(schema).unwrap();
        assert_eq!(close(schema).unwrap().get(), expected);
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
    fn what_is_no_schema_is_copied() {
        check(
            r#"{"type":"object","additionalProperties":true,"default":{"type":"object"},"enum":[{"properties":1}]}"#,
            r#"{"type":"object","additionalProperties":true,"default":{"type":"object"},"enum":[{"properties":1}]}"#,
        );
        check(
            r#"{"properties":{"type":{"const":"ob\"ject"}}}"#,
            r#"{"properties":{"type":{"const":"ob\"ject"}},"additionalProperties":false}"#,
        );
        check(r#"{"items":[],"not":{}}"#, r#"{"items":[],"not":{}}"#);
    }
}
