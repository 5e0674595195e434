// SPDX-License-Identifier: Apache-2.0

//! Labels: OpenAI's `metadata` as `requestMetadata`, by which Bedrock's invocation log may be filtered
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>).
//!
//! Bedrock takes 16 pairs of up to 256 characters from a small alphabet. What does not fit is reported by name.

use crate::api_error::ApiError;
use crate::protocol::bedrock::converse::Labels;
use crate::protocol::openai::chat::ChatCompletionRequest;
use crate::provider::json_slice::text;
use crate::provider::unsupported::{Place, Report};
use serde_json::value::RawValue;

const MAX_PAIRS: usize = 16;
const MAX_BYTES: usize = 256;

/// The counterpart of `metadata`.
pub(super) fn request_metadata<'r>(
    request: &'r ChatCompletionRequest<'r>,
    report: &mut Report,
) -> Result<Option<Labels<'r>>, ApiError> {
    let Some(metadata) = &request.metadata else {
        return Ok(None);
    };
    let user = metadata.user_id.map(|value| ("user_id", value));
    let others = metadata.rest.iter().map(|(name, value)| (&**name, *value));
    let mut pairs = Vec::new();
    for (name, value) in user.into_iter().chain(others) {
        match label(name, value).filter(|_| pairs.len() < MAX_PAIRS) {
            Some(value) => pairs.push((name, value)),
            None => report.drop_member(Place::TOP, &format!("metadata.{name}"))?,
        }
    }
    Ok((!pairs.is_empty()).then_some(Labels::Pairs(pairs)))
}

/// The value of a label that fits.
fn label<'r>(name: &str, value: &'r RawValue) -> Option<std::borrow::Cow<'r, str>> {
    let is_plain = |text: &str| {
        let is_taken = |byte: u8| {
            byte.is_ascii_alphanumeric() || byte.is_ascii_whitespace() || b":_@$#=/+,-.".contains(&byte)
        };
        text.len() <= MAX_BYTES && text.bytes().all(is_taken)
    };
    let value = text(value)?;
    (!name.is_empty() && is_plain(name) && is_plain(&value)).then_some(value)
}
