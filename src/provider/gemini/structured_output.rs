// SPDX-License-Identifier: Apache-2.0

//! The form of the answer: `response_format` as `responseMimeType` and `responseJsonSchema`
//! (<https://ai.google.dev/gemini-api/docs/structured-output>).

use super::schema::adapt;
use crate::api_error::ApiError;
use crate::protocol::gemini::generate_content::GenerationConfig;
use crate::protocol::openai::chat::ResponseFormat;
use crate::provider::unsupported::{Place, Report, missing, unsupported};

const JSON: &str = "application/json";

/// Writes the counterpart of a response format into `config`.
pub(super) fn set_response_format<'r>(
    format: &'r ResponseFormat<'r>,
    config: &mut GenerationConfig<'r>,
    report: &mut Report,
) -> Result<(), ApiError> {
    match format.kind.as_deref() {
        Some("text") => {}
        Some("json_object") => config.response_mime_type = Some(JSON),
        Some("json_schema") => {
            let absent = || missing("response_format.json_schema.schema".to_owned(), "an object");
            let json_schema = format.json_schema.as_ref().ok_or_else(absent)?;
            let schema = json_schema.schema.ok_or_else(absent)?;
            for (name, _) in &json_schema.rest {
                report.drop_member(Place::TOP, &format!("response_format.json_schema.{}", &**name))?;
            }
            config.response_mime_type = Some(JSON);
            config.response_json_schema = Some(adapt(schema));
        }
        _ => return Err(unsupported("response_format.type".to_owned())),
    }
    Ok(())
}
