// SPDX-License-Identifier: Apache-2.0

//! The form of the answer: `response_format` as `output_config.format`
//! (<https://docs.claude.com/en/docs/build-with-claude/structured-outputs>).
//!
//! A schema that Anthropic does not enforce as it stands is adapted, which is reported
//! ([`crate::provider::closed_schema`]).
//!
//! There is no counterpart of `json_object`, which promises JSON of any shape: it is reported.

use crate::api_error::ApiError;
use crate::protocol::anthropic::messages::OutputFormat;
use crate::protocol::openai::chat::ResponseFormat;
use crate::provider::closed_schema::closed;
use crate::provider::unsupported::{Place, Report, unsupported};
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
            let schema = closed(schema);
            if matches!(schema, Cow::Owned(_)) {
                report.approximate_field("response_format");
            }
            Ok(Some(OutputFormat::JsonSchema { schema }))
        }
        _ => Err(unsupported("response_format.type".to_owned())),
    }
}
