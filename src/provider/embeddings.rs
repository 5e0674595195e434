// SPDX-License-Identifier: Apache-2.0

//! Embeddings in the form that the client asked for, whatever form the provider has.
//!
//! OpenAI's own SDKs ask for base64 and decode what comes; many servers answer with numbers all the same.

use crate::api_error::ApiError;
use crate::protocol::json_text;
use crate::protocol::openai::embeddings::{
    Embedding, EmbeddingList, EmbeddingsRequest, EmbeddingsUsage, EncodingFormat, Input, Vector,
};
use crate::provider::{Tally, UpstreamFault};
use crate::usage::TokenUsage;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Writes OpenAI's list of the given vectors. Each is an array of numbers or base64 of 32-bit floats, as JSON text.
///
/// # Errors
///
/// A vector that is neither.
pub(super) fn write_list<'v>(
    vectors: impl IntoIterator<Item = &'v RawValue>,
    model: &str,
    encoding_format: EncodingFormat,
    input_tokens: Option<u64>,
    out: &mut Vec<u8>,
) -> Result<Tally, UpstreamFault> {
    let mut data = Vec::new();
    for (index, raw) in (0..).zip(vectors) {
        data.push(Embedding {
            object: "embedding",
            index,
            embedding: vector(raw, encoding_format).ok_or_else(not_embeddings)?,
        });
    }
    let prompt_tokens = input_tokens.unwrap_or(0);
    let list = EmbeddingList {
        object: "list",
        data,
        model,
        usage: EmbeddingsUsage {
            prompt_tokens,
            total_tokens: prompt_tokens,
        },
    };
    json_text::write(out, &list).map_err(|_| not_embeddings())?;
    Ok(tally(input_tokens))
}

/// What embeddings cost: input alone. Where the provider reports none, nothing is reported.
pub(super) fn tally(input_tokens: Option<u64>) -> Tally {
    Tally {
        usage: TokenUsage {
            input_tokens,
            output_tokens: input_tokens.map(|_| 0),
            ..TokenUsage::default()
        },
        output_bytes: 0,
    }
}

/// A vector in the form asked for; `None` if it is no vector.
pub(super) fn vector(raw: &RawValue, encoding_format: EncodingFormat) -> Option<Vector<'_>> {
    let is_array = raw.get().starts_with('[');
    match encoding_format {
        EncodingFormat::Float if is_array => Some(Vector::Raw(raw)),
        EncodingFormat::Base64 if is_array => {
            let numbers: Vec<f32> = serde_json::from_str(raw.get()).ok()?;
            let bytes: Vec<u8> = numbers.into_iter().flat_map(f32::to_le_bytes).collect();
            Some(Vector::Base64(STANDARD.encode(bytes)))
        }
        EncodingFormat::Base64 => raw.get().starts_with('"').then_some(Vector::Raw(raw)),
        EncodingFormat::Float => {
            let text: &str = serde_json::from_str(raw.get()).ok()?;
            let bytes = STANDARD.decode(text).ok()?;
            let numbers = bytes.chunks(4).map(|chunk| {
                let number = f32::from_le_bytes(*chunk.first_chunk()?);
                number.is_finite().then_some(number)
            });
            Some(Vector::Float(numbers.collect::<Option<_>>()?))
        }
    }
}

/// The texts to embed, for providers that take nothing else.
///
/// # Errors
///
/// 400: the client has sent ids of tokens, or objects.
pub(super) fn texts<'r, 'a>(request: &'r EmbeddingsRequest<'a>) -> Result<&'r [Cow<'a, str>], ApiError> {
    match &request.input {
        Input::Texts(texts) => Ok(texts),
        Input::Ids(_) | Input::Objects(_) => {
            let message = "input: expected texts, the only form that the provider of this model takes";
            Err(ApiError::bad_request("input", message).with_code("unsupported_parameter"))
        }
    }
}

pub(super) fn not_embeddings() -> UpstreamFault {
    UpstreamFault::misbehaved("The provider's answer is not a list of embeddings.")
}

#[cfg(test)]
mod tests {
    use super::{EncodingFormat, vector, write_list};
    use serde_json::value::RawValue;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    fn check(given: &str, encoding_format: EncodingFormat, expected: Option<&str>) {
        let given = raw(given);
        let found = vector(&given, encoding_format).map(|vector| serde_json::to_string(&vector).unwrap());
        assert_eq!(found.as_deref(), expected, "{given}");
    }

    #[crate::test]
    fn a_vector_takes_the_form_asked_for() {
        // 1.0, -0.5: 0000803f 000000bf.
        let base64 = r#""AACAPwAAAL8=""#;
        check("[1.0, -5e-1]", EncodingFormat::Float, Some("[1.0, -5e-1]"));
        check("[1.0, -5e-1]", EncodingFormat::Base64, Some(base64));
        check(base64, EncodingFormat::Base64, Some(base64));
        check(base64, EncodingFormat::Float, Some("[1.0,-0.5]"));
        for odd in ["null", "7", "{}"] {
            check(odd, EncodingFormat::Float, None);
            check(odd, EncodingFormat::Base64, None);
        }
        // Five bytes; an infinity.
        check(r#""AACAPwA=""#, EncodingFormat::Float, None);
        check(r#""AACAfw==""#, EncodingFormat::Float, None);
        check(r#"["a"]"#, EncodingFormat::Base64, None);
    }

    #[crate::test]
    fn a_list_is_numbered_and_counted() {
        let vectors = [raw("[1]"), raw("[2]")];
        let mut out = Vec::new();
        let tally = write_list(
            vectors.iter().map(|raw| &**raw),
            "m",
            EncodingFormat::Float,
            Some(7),
            &mut out,
        )
        .unwrap();
        let expected = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1]},{"object":"embedding","index":1,"embedding":[2]}],"model":"m","usage":{"prompt_tokens":7,"total_tokens":7}}"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        assert_eq!(
            (tally.usage.input_tokens, tally.usage.output_tokens),
            (Some(7), Some(0))
        );
        assert_eq!(super::tally(None).usage.output_tokens, None);
    }
}
