// SPDX-License-Identifier: Apache-2.0

//! Embeddings (<https://platform.openai.com/docs/api-reference/embeddings>): the request as the gateway and the
//! translators read it, borrowed, and the answer as it is written.
//!
//! A text that a client has tokenized itself comes as ids: their number is the number of input tokens, and only
//! a provider with the same tokenizer can make anything of them.

use super::envelope::{count, given, length, model, parse_object, wrong};
use crate::api_error::ApiError;
use crate::protocol::json_object::{kind_of, unescape};
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

#[cfg(test)]
mod tests;

/// A request for embeddings, its shape judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddingsRequest<'a> {
    /// `model`.
    pub model: Cow<'a, str>,
    /// `input`.
    pub input: Input<'a>,
    /// `encoding_format`; float if absent or null.
    pub encoding_format: EncodingFormat,
    /// `dimensions`: how many numbers each vector has.
    pub dimensions: Option<u64>,
    /// The other members that are not null: each name, and its value as JSON text.
    pub rest: Vec<(Cow<'a, str>, &'a str)>,
}

/// What is embedded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// Texts, in order; at least one.
    Texts(Vec<Cow<'a, str>>),
    /// Texts as ids of tokens: how many ids there are in all.
    Ids(u64),
    /// Objects, which some servers take for texts with images: their size as JSON text, in bytes.
    Objects(u64),
}

/// How a vector is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EncodingFormat {
    /// An array of numbers.
    #[default]
    Float,
    /// Base64 of 32-bit floats, the least significant byte first.
    Base64,
}

/// The members of the request that are read here; all others are in [`EmbeddingsRequest::rest`].
const KNOWN: [&str; 4] = ["model", "input", "encoding_format", "dimensions"];

impl<'a> EmbeddingsRequest<'a> {
    /// Reads a request body.
    ///
    /// # Errors
    ///
    /// 400 that names what is wrong: no JSON object, a repeated key, no `model`, no `input`, or a field of the
    /// wrong type.
    pub fn parse(body: &'a [u8]) -> Result<Self, ApiError> {
        let object = parse_object(body)?;
        let dimensions = count(&object, "dimensions")?;
        if dimensions == Some(0) {
            return Err(wrong("dimensions", "a positive integer", "0"));
        }
        let others = object.fields.iter().filter(|field| !KNOWN.contains(&&*field.key));
        Ok(Self {
            model: model(object.get("model"))?,
            input: Input::parse(object.get("input"))?,
            encoding_format: encoding_format(given(&object, "encoding_format"))?,
            dimensions,
            rest: others
                .filter_map(|field| Some((field.key.clone(), object.value(field)?)))
                .filter(|(_, value)| *value != "null")
                .collect(),
        })
    }
}

impl<'a> Input<'a> {
    fn parse(value: Option<&'a str>) -> Result<Self, ApiError> {
        const EXPECTED: &str = "a string or an array";
        let value = value.ok_or_else(|| wrong("input", EXPECTED, "nothing"))?;
        if value.starts_with('"') {
            return Ok(Self::Texts(vec![text(value)?]));
        }
        let items = array(value).ok_or_else(|| wrong("input", EXPECTED, kind_of(value)))?;
        let first = items.first().map(|item| kind_of(item.get()));
        match first {
            None => Err(wrong("input", "at least one text", "an empty array")),
            Some("a string") => {
                let texts = items.iter().map(|item| text(item.get()));
                Ok(Self::Texts(texts.collect::<Result<_, _>>()?))
            }
            Some("an object") => Ok(Self::Objects(length(value))),
            Some("an array") => {
                let counts = items
                    .iter()
                    .map(|item| ids(&array(item.get()).unwrap_or_default()));
                Ok(Self::Ids(counts.sum::<Result<_, _>>()?))
            }
            Some(_) => Ok(Self::Ids(ids(&items)?)),
        }
    }

    /// Bytes of text that cost input tokens by their length.
    #[must_use]
    pub fn text_bytes(&self) -> u64 {
        match self {
            Self::Texts(texts) => texts.iter().map(|text| length(text)).sum(),
            Self::Ids(_) => 0,
            Self::Objects(bytes) => *bytes,
        }
    }

    /// Input tokens that the client has counted itself.
    #[must_use]
    pub const fn ids(&self) -> u64 {
        match self {
            Self::Ids(ids) => *ids,
            Self::Texts(_) | Self::Objects(_) => 0,
        }
    }
}

fn array(value: &str) -> Option<Vec<&RawValue>> {
    serde_json::from_str(value).ok()
}

fn text(value: &str) -> Result<Cow<'_, str>, ApiError> {
    if value.starts_with('"') {
        unescape(value).map_err(|_| wrong("input", "texts", "a string with an invalid escape"))
    } else {
        Err(wrong("input", "nothing but texts beside a text", kind_of(value)))
    }
}

/// How many ids these are, which must be at least one.
fn ids(items: &[&RawValue]) -> Result<u64, ApiError> {
    let odd = items.iter().find(|item| item.get().parse::<u64>().is_err());
    match (items.is_empty(), odd) {
        (true, _) => Err(wrong(
            "input",
            "arrays of token ids",
            "something else or an empty one",
        )),
        (_, Some(odd)) => Err(wrong("input", "texts or token ids", kind_of(odd.get()))),
        (false, None) => Ok(u64::try_from(items.len()).unwrap_or(u64::MAX)),
    }
}

fn encoding_format(value: Option<&str>) -> Result<EncodingFormat, ApiError> {
    match value {
        None | Some(r#""float""#) => Ok(EncodingFormat::Float),
        Some(r#""base64""#) => Ok(EncodingFormat::Base64),
        Some(other) => {
            let found = match kind_of(other) {
                "a string" => "another string",
                kind => kind,
            };
            Err(wrong("encoding_format", "\"float\" or \"base64\"", found))
        }
    }
}

/// The answer.
#[derive(Debug, Serialize)]
pub struct EmbeddingList<'a> {
    /// Always `list`.
    pub object: &'static str,
    /// One vector for each input, in order.
    pub data: Vec<Embedding<'a>>,
    /// The model that answered.
    pub model: &'a str,
    /// What it cost.
    pub usage: EmbeddingsUsage,
}

/// One vector.
#[derive(Debug, Serialize)]
pub struct Embedding<'a> {
    /// Always `embedding`.
    pub object: &'static str,
    /// Which input it belongs to, from 0.
    pub index: u32,
    /// The numbers.
    pub embedding: Vector<'a>,
}

/// The numbers of a vector, as they are written.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Vector<'a> {
    /// An array of numbers, as the provider spelt them.
    Raw(&'a RawValue),
    /// An array of numbers.
    Float(Vec<f32>),
    /// Base64 of 32-bit floats.
    Base64(String),
}

/// Token counts of embeddings. They have no output.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct EmbeddingsUsage {
    /// Tokens of all inputs; 0 if the provider reports none, since clients require a number.
    pub prompt_tokens: u64,
    /// The same.
    pub total_tokens: u64,
}
