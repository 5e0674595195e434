// SPDX-License-Identifier: Apache-2.0

//! Parts of a message as content blocks
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html>).
//!
//! Bedrock refuses a message that holds blank text, so text that is empty or only white space is left out. Blocks
//! of Bedrock's own that OpenAI has no part for (`guardContent`, `searchResult`) are taken as parts of that name
//! and passed on as they stand.

use super::cache;
use super::media::{self, Kind, locate};
use crate::api_error::ApiError;
use crate::protocol::bedrock::converse::{Block, CachePoint, Document, Media, Members};
use crate::protocol::openai::chat::{Content, ContentPart};
use crate::provider::unsupported::{Place, Report, missing, unsupported, wrong};
use std::borrow::Cow;

/// Which parts a message may hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kinds {
    /// Instructions.
    System,
    /// The assistant's words.
    Assistant,
    /// The user's words.
    User,
    /// What a tool answered.
    Result,
}

/// Bedrock's own blocks, and who may say them.
const GIVEN: [(&str, &[Kinds]); 2] = [
    ("guardContent", &[Kinds::System, Kinds::User]),
    ("searchResult", &[Kinds::User, Kinds::Result]),
];

/// Reads parts, counting the request's documents.
#[derive(Debug, Default)]
pub(super) struct Parts {
    documents: usize,
}

impl Parts {
    /// Appends the blocks of a message's content. `place` is the message.
    pub(super) fn blocks<'r>(
        &mut self,
        content: &'r Content<'r>,
        kinds: Kinds,
        place: Place,
        report: &mut Report,
        into: &mut Vec<Block<'r>>,
    ) -> Result<(), ApiError> {
        match content {
            Content::Text(text) => push_text(text, None, into),
            Content::Parts(parts) => {
                for (number, part) in parts.iter().enumerate() {
                    self.part(part, kinds, place.item("content", number), report, into)?;
                }
            }
        }
        Ok(())
    }

    fn part<'r>(
        &mut self,
        part: &'r ContentPart<'r>,
        kinds: Kinds,
        place: Place,
        report: &mut Report,
        into: &mut Vec<Block<'r>>,
    ) -> Result<(), ApiError> {
        let kind = part.kind.as_deref();
        if let Some(block) = given(part, kinds) {
            into.push(block);
            return Ok(());
        }
        for member in &part.rest {
            if &*member.0 != cache::MEMBER {
                report.drop_rest(place, core::slice::from_ref(member))?;
            }
        }
        let point = cache::point(part.cache_control, &part.rest);
        match (kind, kinds) {
            (Some("text"), _) => {
                let text = part.text.as_deref();
                let text = text.ok_or_else(|| missing(place.path("text"), "a string"))?;
                push_text(text, point, into);
                return Ok(());
            }
            (Some("refusal"), Kinds::Assistant) => {
                let text = part.refusal.as_deref();
                let text = text.ok_or_else(|| missing(place.path("refusal"), "a string"))?;
                push_text(text, point, into);
                return Ok(());
            }
            (Some("image_url"), Kinds::User | Kinds::Result) => into.push(image(part, place, report)?),
            (Some("file"), Kinds::User | Kinds::Result) => into.push(self.file(part, kinds, place, report)?),
            (Some("input_audio"), Kinds::User) => into.push(audio(part, place, report)?),
            // A part that is nothing but a cache point.
            (None | Some(cache::MEMBER), _) if point.is_some() => {}
            (None, _) => return Err(missing(place.path("type"), "a string")),
            _ => return Err(unsupported(place.path("type"))),
        }
        into.extend(point.map(Block::CachePoint));
        Ok(())
    }

    fn file<'r>(
        &mut self,
        part: &'r ContentPart<'r>,
        kinds: Kinds,
        place: Place,
        report: &mut Report,
    ) -> Result<Block<'r>, ApiError> {
        let file = part.file.as_ref();
        let file = file.ok_or_else(|| missing(place.path("file"), "an object"))?;
        report.drop_rest(place, &file.rest)?;
        let file_name = file.filename.as_deref();
        // An id names a file in OpenAI's store, which Bedrock cannot see; in S3 it can.
        let id = file.file_id.as_deref().filter(|id| id.starts_with("s3://"));
        let data = file.file_data.as_deref().or(id);
        let data = data.ok_or_else(|| unsupported(place.path("file.file_id")))?;
        let expected = "a base64 data URL or an s3:// URL of a document, an image or a video";
        let ((kind, format), source) =
            locate(data, file_name).ok_or_else(|| wrong(place.path("file.file_data"), expected))?;
        let media = |source| Media { format, source };
        Ok(match kind {
            Kind::Document => {
                self.documents = self.documents.saturating_add(1);
                let name = media::document_name(file_name, self.documents);
                if file_name.is_some_and(|given| media::stem(given) != name) {
                    report.approximate_member(place, "file.filename");
                }
                Block::Document(Document { format, name, source })
            }
            Kind::Image => Block::Image(media(source)),
            Kind::Video => Block::Video(media(source)),
            Kind::Audio if kinds == Kinds::User => Block::Audio(media(source)),
            Kind::Audio => return Err(wrong(place.path("file.file_data"), expected)),
        })
    }
}

/// Appends a text block, and the cache point after it, unless the text says nothing.
pub(super) fn push_text<'r>(text: &'r str, point: Option<CachePoint>, into: &mut Vec<Block<'r>>) {
    if !text.trim().is_empty() {
        into.push(Block::Text(text));
        into.extend(point.map(Block::CachePoint));
    }
}

/// A part that is a block of Bedrock's own.
fn given<'r>(part: &'r ContentPart<'r>, kinds: Kinds) -> Option<Block<'r>> {
    let (name, value) = part.rest.iter().find_map(|(name, value)| {
        let (known, speakers) = GIVEN.iter().find(|(known, _)| *known == &**name)?;
        speakers.contains(&kinds).then_some((*known, *value))
    })?;
    let is_alone = part.kind.as_deref().is_none_or(|kind| kind == name);
    let member = (Cow::Borrowed(name), Cow::Borrowed(value));
    is_alone.then(|| Block::Given(Members(vec![member])))
}

fn image<'r>(part: &'r ContentPart<'r>, place: Place, report: &mut Report) -> Result<Block<'r>, ApiError> {
    let image = part.image_url.as_ref();
    let image = image.ok_or_else(|| missing(place.path("image_url"), "an object"))?;
    if image.detail.as_deref().is_some_and(|detail| detail != "auto") {
        report.drop_member(place, "image_url.detail")?;
    }
    report.drop_rest(place, &image.rest)?;
    let url = image.url.as_deref();
    let url = url.ok_or_else(|| missing(place.path("image_url.url"), "a string"))?;
    match locate(url, None) {
        Some(((Kind::Image, format), source)) => Ok(Block::Image(Media { format, source })),
        _ => {
            let expected = "a base64 data URL of type image/jpeg, image/png, image/gif or image/webp, or an s3:// \
                            URL; Bedrock fetches nothing from the web";
            Err(wrong(place.path("image_url.url"), expected))
        }
    }
}

fn audio<'r>(part: &'r ContentPart<'r>, place: Place, report: &mut Report) -> Result<Block<'r>, ApiError> {
    let audio = part.input_audio.as_ref();
    let audio = audio.ok_or_else(|| missing(place.path("input_audio"), "an object"))?;
    report.drop_rest(place, &audio.rest)?;
    let data = audio.data.as_deref().filter(|data| !data.is_empty());
    let data = data.ok_or_else(|| missing(place.path("input_audio.data"), "a string"))?;
    let format = audio.format.as_deref().and_then(media::audio_format);
    let format = format.ok_or_else(|| wrong(place.path("input_audio.format"), "wav or mp3"))?;
    Ok(Block::Audio(Media {
        format,
        source: crate::protocol::bedrock::converse::Source::Bytes(data),
    }))
}
