// SPDX-License-Identifier: Apache-2.0

//! The form of the answer: `response_format` as `outputConfig.textFormat`
//! (<https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html>).
//!
//! Bedrock takes the schema as text. One that it does not enforce as it stands is adapted, which is reported
//! ([`crate::provider::closed_schema`]). There is no counterpart of `json_object`, which promises JSON of any shape: it
//! is reported.

use crate::api_error::ApiError;
use crate::protocol::bedrock::converse::{JsonSchema, Structure, TextFormat};
use crate::protocol::openai::chat::ResponseFormat;
use crate::provider::closed_schema::closed;
use crate::provider::unsupported::{Place, Report, unsupported};
use std::borrow::Cow;

/// The counterpart of a response format.
pub(super) fn text_format<'r>(
    format: &'r ResponseFormat<'r>,
    report: &mut Report,
) -> Result<Option<TextFormat<'r>>, ApiError> {
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
            let schema = match closed(schema) {
                Cow::Owned(closed) => {
                    report.approximate_field("response_format");
                    Cow::Owned(closed.get().to_owned())
                }
                Cow::Borrowed(schema) => Cow::Borrowed(schema.get()),
            };
            Ok(Some(TextFormat {
                kind: "json_schema",
                structure: Structure::JsonSchema(JsonSchema {
                    schema,
                    name: json_schema.name.as_deref().filter(|name| !name.is_empty()),
                    description: json_schema.description.as_deref(),
                }),
            }))
        }
        _ => Err(unsupported("response_format.type".to_owned())),
    }
}
