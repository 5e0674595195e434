// SPDX-License-Identifier: Apache-2.0

//! Parts of a message as content blocks
//! (<https://docs.claude.com/en/docs/build-with-claude/vision>, `.../pdf-support`).
//!
//! Text that is empty or only white space is left out, since Anthropic refuses a message that holds such a
//! block. Images and PDFs are passed on in base64 or as URLs; their bytes are not looked at, their media type
//! is. Plain text is passed on as text.

use crate::api_error::ApiError;
use crate::protocol::anthropic::messages::{Block, Source};
use crate::protocol::openai::chat::{Content, ContentPart};
use crate::provider::unsupported::{Place, Report, missing, unsupported, wrong};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

/// Which parts a message may hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kinds {
    /// Instructions and the assistant's words.
    Text,
    /// The user's words, and what tools answer.
    Any,
}

/// Appends the blocks of a message's content. `place` is the message.
pub(super) fn blocks<'r>(
    content: &'r Content<'r>,
    kinds: Kinds,
    place: Place,
    report: &mut Report,
    into: &mut Vec<Block<'r>>,
) -> Result<(), ApiError> {
    match content {
        Content::Text(text) => push_text(text, None, into),
        Content::Parts(parts) => {
            for (number, given) in parts.iter().enumerate() {
                part(given, kinds, place.item("content", number), report, into)?;
            }
        }
    }
    Ok(())
}

/// Appends a text block, unless the text says nothing.
pub(super) fn push_text<'r>(text: &'r str, cache_control: Option<&'r RawValue>, into: &mut Vec<Block<'r>>) {
    if text.bytes().any(|byte| !byte.is_ascii_whitespace()) {
        into.push(Block::Text { text, cache_control });
    }
}

fn part<'r>(
    part: &'r ContentPart<'r>,
    kinds: Kinds,
    place: Place,
    report: &mut Report,
    into: &mut Vec<Block<'r>>,
) -> Result<(), ApiError> {
    report.drop_rest(place, &part.rest)?;
    let cache_control = part.cache_control;
    match (part.kind.as_deref(), kinds) {
        (Some("text"), _) => {
            let text = part.text.as_deref();
            push_text(
                text.ok_or_else(|| missing(place.path("text"), "a string"))?,
                cache_control,
                into,
            );
        }
        (Some("refusal"), Kinds::Text) => {
            let text = part.refusal.as_deref();
            push_text(
                text.ok_or_else(|| missing(place.path("refusal"), "a string"))?,
                cache_control,
                into,
            );
        }
        (Some("image_url"), Kinds::Any) => {
            let image = part.image_url.as_ref();
            let image = image.ok_or_else(|| missing(place.path("image_url"), "an object"))?;
            if image.detail.as_deref().is_some_and(|detail| detail != "auto") {
                report.drop_member(place, "image_url.detail")?;
            }
            report.drop_rest(place, &image.rest)?;
            let url = image.url.as_deref();
            let url = url.ok_or_else(|| missing(place.path("image_url.url"), "a string"))?;
            let source = source(url, image_type).ok_or_else(|| {
                let expected = "an http(s) URL, or a base64 data URL of type image/jpeg, image/png, image/gif or image/webp";
                wrong(place.path("image_url.url"), expected)
            })?;
            into.push(Block::Image {
                source,
                cache_control,
            });
        }
        (Some("file"), Kinds::Any) => {
            let file = part.file.as_ref();
            let file = file.ok_or_else(|| missing(place.path("file"), "an object"))?;
            report.drop_rest(place, &file.rest)?;
            // An id names a file in OpenAI's store, which Anthropic cannot see.
            let data = file
                .file_data
                .as_deref()
                .ok_or_else(|| unsupported(place.path("file.file_id")))?;
            let source = plain_text(data).or_else(|| source(data, document_type));
            let source = source.ok_or_else(|| {
                wrong(
                    place.path("file.file_data"),
                    "a base64 data URL of type application/pdf or text/plain",
                )
            })?;
            into.push(Block::Document {
                source,
                title: file.filename.as_deref(),
                cache_control,
            });
        }
        (None, _) => return Err(missing(place.path("type"), "a string")),
        _ => return Err(unsupported(place.path("type"))),
    }
    Ok(())
}

/// Where a `data:` or web URL leads; `None` if it is neither, or of no type that is taken.
fn source(url: &str, accept: fn(&str) -> Option<&'static str>) -> Option<Source<'_>> {
    let scheme = url.split(':').next().unwrap_or(url);
    if scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http") {
        return Some(Source::Url { url });
    }
    if !scheme.eq_ignore_ascii_case("data") {
        return None;
    }
    let (head, data) = url.split_once(',')?;
    let (_, head) = head.split_once(':')?;
    let mut words = head.split(';');
    let media_type = accept(words.next()?.trim())?;
    let is_base64 = words
        .next_back()
        .is_some_and(|word| word.trim().eq_ignore_ascii_case("base64"));
    (is_base64 && !data.is_empty()).then_some(Source::Base64 { media_type, data })
}

fn image_type(given: &str) -> Option<&'static str> {
    match given.to_ascii_lowercase().as_str() {
        // The second is no registered name, but a common one.
        "image/jpeg" | "image/jpg" => Some("image/jpeg"),
        "image/png" => Some("image/png"),
        "image/gif" => Some("image/gif"),
        "image/webp" => Some("image/webp"),
        _ => None,
    }
}

/// A document that is plain text, which Anthropic takes as text alone.
fn plain_text(url: &str) -> Option<Source<'_>> {
    let text = |given: &str| given.eq_ignore_ascii_case("text/plain").then_some("text/plain");
    match source(url, text)? {
        Source::Base64 { media_type, data } => Some(Source::Text {
            media_type,
            data: String::from_utf8(STANDARD.decode(data).ok()?).ok()?,
        }),
        _ => None,
    }
}

fn document_type(given: &str) -> Option<&'static str> {
    given
        .eq_ignore_ascii_case("application/pdf")
        .then_some("application/pdf")
}
