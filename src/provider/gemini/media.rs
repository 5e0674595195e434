// SPDX-License-Identifier: Apache-2.0

//! Images and sound that a model makes (<https://ai.google.dev/gemini-api/docs/image-generation>,
//! `.../speech-generation`), and images on their way back.
//!
//! OpenAI's `audio` holds the sound. It has no place for images: they go where OpenRouter's clients look for them. Those
//! that belong to the model's thoughts are none of its answer, and media of other types have no place at all.

use crate::protocol::gemini::response::Part;
use crate::protocol::openai::completion::{ExtraContent, Image};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What a part holds beside words.
pub(super) enum Media<'a> {
    /// Without its number.
    Image(Image<'a>),
    Sound {
        mime_type: &'a str,
        base64: &'a str,
    },
}

/// The media of a part, if it holds any that the client gets. `index`: how many images came before it.
pub(super) fn media<'a>(part: &'a Part<'a>, index: u32) -> Option<Media<'a>> {
    if part.thought == Some(true) {
        return None;
    }
    let signed = |mut image: Image<'a>| {
        let signature = part.thought_signature.as_deref().map(Cow::Borrowed);
        image.extra_content = signature.map(ExtraContent::thought_signature);
        Media::Image(image)
    };
    if let Some(blob) = &part.inline_data {
        // A type goes into the address, which has no room for anything else.
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b",;\"\\".contains(&byte);
        return match blob.mime_type.split_once('/')? {
            ("image", kind) if kind.bytes().all(is_plain) => {
                Some(signed(Image::inline(&blob.mime_type, &blob.data, index)))
            }
            ("audio", _) => Some(Media::Sound {
                mime_type: &blob.mime_type,
                base64: &blob.data,
            }),
            _ => None,
        };
    }
    let file = part.file_data.as_ref()?;
    let is_image = file.mime_type.starts_with("image/");
    is_image.then(|| signed(Image::at(Cow::Borrowed(&file.file_uri), index)))
}

/// An image that an answer came with, in the message that the answer has become.
#[derive(Deserialize)]
pub(super) struct Returned<'a> {
    #[serde(borrow)]
    pub(super) image_url: ReturnedUrl<'a>,
    #[serde(borrow)]
    pub(super) extra_content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct ReturnedUrl<'a> {
    /// Base64 needs no escapes.
    pub(super) url: &'a str,
}

/// The member that carries images.
pub(super) const MEMBER: &str = "images";

/// The images in the value of `images`; `None` if it holds something else.
pub(super) fn returned(images: &RawValue) -> Option<Vec<Returned<'_>>> {
    serde_json::from_str(images.get()).ok()
}
