// SPDX-License-Identifier: Apache-2.0

//! Parts of a message as Gemini's parts (<https://ai.google.dev/gemini-api/docs/image-understanding>,
//! `.../document-processing`, `.../audio`).
//!
//! Media are passed on in base64 or as addresses; their bytes are not looked at. Gemini wants to be told the type
//! of what is at an address, and OpenAI's clients do not tell it: it is read from the address's ending.

use crate::api_error::ApiError;
use crate::protocol::gemini::generate_content::{Blob, Data, FileData};
use crate::protocol::openai::chat::{Content, ContentPart, FilePart, ImageUrl, InputAudio};
use crate::provider::unsupported::{Place, Report, missing, unsupported, wrong};
use std::borrow::Cow;

/// Which parts a message may hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kinds {
    /// Instructions and the assistant's words.
    Text,
    /// The user's words, and what tools answer.
    Any,
}

/// How parts are read, and what was seen of images.
pub(super) struct Reader {
    /// The type of what is at an address has to be told (Vertex AI).
    demands_types: bool,
    images: usize,
    /// Of these, the ones that need no close look.
    cursory_images: usize,
    cursory_place: Option<Place>,
}

impl Reader {
    pub(super) const fn new(demands_types: bool) -> Self {
        Self {
            demands_types,
            images: 0,
            cursory_images: 0,
            cursory_place: None,
        }
    }

    /// How closely media are looked at: one word for all of them, so it is said only if all images agree.
    pub(super) fn media_resolution(&self, report: &mut Report) -> Result<Option<&'static str>, ApiError> {
        match self.cursory_place {
            None => Ok(None),
            Some(_) if self.cursory_images == self.images => Ok(Some("MEDIA_RESOLUTION_LOW")),
            Some(place) => report.drop_member(place, "image_url.detail").map(|()| None),
        }
    }

    /// Appends the parts of a message's content. `place` is the message.
    pub(super) fn read<'r>(
        &mut self,
        content: &'r Content<'r>,
        kinds: Kinds,
        place: Place,
        report: &mut Report,
        into: &mut Vec<Data<'r>>,
    ) -> Result<(), ApiError> {
        match content {
            Content::Text(text) => push_text(text, into),
            Content::Parts(parts) => {
                for (number, given) in parts.iter().enumerate() {
                    self.part(given, kinds, place.item("content", number), report, into)?;
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
        into: &mut Vec<Data<'r>>,
    ) -> Result<(), ApiError> {
        // Google caches prompts by itself.
        if part.cache_control.is_some() {
            report.drop_member(place, "cache_control")?;
        }
        report.drop_rest(place, &part.rest)?;
        match (part.kind.as_deref(), kinds) {
            (Some("text"), _) => {
                let text = part.text.as_deref();
                push_text(text.ok_or_else(|| missing(place.path("text"), "a string"))?, into);
            }
            (Some("refusal"), Kinds::Text) => {
                let text = part.refusal.as_deref();
                push_text(
                    text.ok_or_else(|| missing(place.path("refusal"), "a string"))?,
                    into,
                );
            }
            (Some("image_url"), Kinds::Any) => {
                let image = part.image_url.as_ref();
                let image = image.ok_or_else(|| missing(place.path("image_url"), "an object"))?;
                into.push(self.image(image, place, report)?);
            }
            (Some("file"), Kinds::Any) => {
                let file = part.file.as_ref();
                let file = file.ok_or_else(|| missing(place.path("file"), "an object"))?;
                into.push(self.file(file, place, report)?);
            }
            (Some("input_audio"), Kinds::Any) => {
                let audio = part.input_audio.as_ref();
                let audio = audio.ok_or_else(|| missing(place.path("input_audio"), "an object"))?;
                report.drop_rest(place, &audio.rest)?;
                into.push(audio_blob(audio, place)?);
            }
            (None, _) => return Err(missing(place.path("type"), "a string")),
            _ => return Err(unsupported(place.path("type"))),
        }
        Ok(())
    }

    /// An image that an answer came with.
    pub(super) fn generated<'r>(&self, url: &'r str) -> Option<Data<'r>> {
        self.media(url, &IMAGE).map(|media| media.data)
    }

    fn image<'r>(
        &mut self,
        image: &'r ImageUrl<'r>,
        place: Place,
        report: &mut Report,
    ) -> Result<Data<'r>, ApiError> {
        report.drop_rest(place, &image.rest)?;
        self.images = self.images.saturating_add(1);
        // All but `low` ask for what the model does anyway.
        if image.detail.as_deref() == Some("low") {
            self.cursory_images = self.cursory_images.saturating_add(1);
            self.cursory_place = Some(place);
        }
        let url = image.url.as_deref();
        let url = url.ok_or_else(|| missing(place.path("image_url.url"), "a string"))?;
        let media = self.media(url, &IMAGE).ok_or_else(|| {
            wrong(
                place.path("image_url.url"),
                "an http(s) or gs URL, or a base64 data URL of an image type",
            )
        })?;
        media.told(place, "image_url.url", report)
    }

    fn file<'r>(
        &self,
        file: &'r FilePart<'r>,
        place: Place,
        report: &mut Report,
    ) -> Result<Data<'r>, ApiError> {
        report.drop_rest(place, &file.rest)?;
        if file.filename.is_some() {
            report.drop_told(place, "file.filename");
        }
        let data = match (file.file_data.as_deref(), file.file_id.as_deref()) {
            (Some(data), _) => data,
            // An id names a file in OpenAI's store, which Google cannot see; Google's own are named by their address.
            (None, Some(id)) if is_address(id) => id,
            (None, _) => return Err(unsupported(place.path("file.file_id"))),
        };
        let media = self.media(data, &FILE).ok_or_else(|| {
            wrong(
                place.path("file.file_data"),
                "a base64 data URL, or an http(s) or gs URL",
            )
        })?;
        media.told(place, "file.file_data", report)
    }

    /// What a `data:` URL holds, or where another leads; `None` if it is neither, or of no type that is taken.
    fn media<'r>(&self, url: &'r str, taken: &Taken) -> Option<Media<'r>> {
        if is_address(url) {
            let mime_type = type_of(url).filter(|media_type| media_type.starts_with(taken.prefix));
            let is_guessed = mime_type.is_none() && self.demands_types;
            let data = Data::FileData(FileData {
                mime_type: mime_type.or_else(|| is_guessed.then_some(taken.usual)),
                file_uri: url,
            });
            return Some(Media { data, is_guessed });
        }
        let (scheme, rest) = url.split_once(':')?;
        if !scheme.eq_ignore_ascii_case("data") {
            return None;
        }
        let (head, data) = rest.split_once(',')?;
        let mut words = head.split(';');
        let media_type = words.next()?.trim().to_ascii_lowercase();
        let is_base64 = words
            .next_back()
            .is_some_and(|word| word.trim().eq_ignore_ascii_case("base64"));
        if !is_base64 || data.is_empty() || !media_type.contains('/') || !media_type.starts_with(taken.prefix)
        {
            return None;
        }
        let mime_type = match media_type.as_str() {
            // No registered name, but a common one.
            "image/jpg" => Cow::Borrowed("image/jpeg"),
            _ => Cow::Owned(media_type),
        };
        Some(Media {
            data: Data::InlineData(Blob { mime_type, data }),
            is_guessed: false,
        })
    }
}

/// Which media types are taken.
struct Taken {
    /// How they begin.
    prefix: &'static str,
    /// What is said of an address that does not tell, where something must be said.
    usual: &'static str,
}

const IMAGE: Taken = Taken {
    prefix: "image/",
    usual: "image/jpeg",
};

const FILE: Taken = Taken {
    prefix: "",
    usual: "application/pdf",
};

struct Media<'r> {
    data: Data<'r>,
    /// The type is the usual one, for want of a better.
    is_guessed: bool,
}

impl<'r> Media<'r> {
    fn told(self, place: Place, member: &str, report: &mut Report) -> Result<Data<'r>, ApiError> {
        if self.is_guessed {
            report.approximate_member(place, member);
        }
        Ok(self.data)
    }
}

/// Appends text, unless it is empty: Gemini refuses a part that says nothing.
pub(super) fn push_text<'r>(text: &'r str, into: &mut Vec<Data<'r>>) {
    if !text.is_empty() {
        into.push(Data::Text(text));
    }
}

fn audio_blob<'r>(audio: &'r InputAudio<'r>, place: Place) -> Result<Data<'r>, ApiError> {
    let data = audio.data.as_deref();
    let data = data.ok_or_else(|| missing(place.path("input_audio.data"), "a string"))?;
    let format = audio.format.as_deref();
    let format = format.ok_or_else(|| missing(place.path("input_audio.format"), "a string"))?;
    let mime_type = match format {
        "wav" => "audio/wav",
        "mp3" => "audio/mp3",
        "aac" => "audio/aac",
        "aiff" => "audio/aiff",
        "flac" => "audio/flac",
        "ogg" => "audio/ogg",
        _ => {
            let expected = "wav, mp3, aac, aiff, flac or ogg";
            return Err(wrong(place.path("input_audio.format"), expected));
        }
    };
    Ok(Data::InlineData(Blob {
        mime_type: Cow::Borrowed(mime_type),
        data,
    }))
}

/// Whether Google can fetch it: from the web, or from Cloud Storage.
fn is_address(url: &str) -> bool {
    url.split_once("://").is_some_and(|(scheme, _)| {
        ["https", "http", "gs"]
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known))
    })
}

/// The type that an address's ending stands for.
fn type_of(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next()?;
    let (_, name) = path.rsplit_once('/')?;
    let (_, ending) = name.rsplit_once('.')?;
    Some(match ending.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "heic" => "image/heic",
        "heif" => "image/heif",
        "bmp" => "image/bmp",
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "md" => "text/markdown",
        "csv" => "text/csv",
        "htm" | "html" => "text/html",
        "json" => "application/json",
        "wav" => "audio/wav",
        "mp3" => "audio/mp3",
        "aac" => "audio/aac",
        "flac" => "audio/flac",
        "ogg" => "audio/ogg",
        "mp4" => "video/mp4",
        "mov" => "video/mov",
        "mpeg" | "mpg" => "video/mpeg",
        "webm" => "video/webm",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{Kinds, Reader};
    use crate::api_error::ApiError;
    use crate::config::OnUnsupported;
    use crate::protocol::json_text;
    use crate::protocol::openai::chat::ChatCompletionRequest;
    use crate::provider::unsupported::{Place, Report};

    fn read(part: &str, demands_types: bool) -> (Result<String, ApiError>, Vec<String>) {
        let body = format!(r#"{{"messages":[{{"content":[{part}]}}]}}"#);
        let request = ChatCompletionRequest::parse(body.as_bytes()).unwrap();
        let mut report = Report::new(OnUnsupported::Drop);
        let messages = request.messages.unwrap();
        let mut parts = Vec::new();
        let mut reader = Reader::new(demands_types);
        let place = Place::element("messages", 0);
        let content = messages[0].content.as_ref().unwrap();
        let read = reader.read(content, Kinds::Any, place, &mut report, &mut parts);
        let resolution = reader.media_resolution(&mut report).unwrap();
        let (dropped, approximated) = report.into_parts();
        let told = dropped.into_iter().chain(approximated).map(String::from);
        let mut sent = Vec::new();
        json_text::write(&mut sent, &parts).unwrap();
        let sent = String::from_utf8(sent).unwrap() + resolution.unwrap_or_default();
        (read.map(|()| sent), told.collect())
    }

    #[crate::test]
    fn every_part_has_its_counterpart() {
        for (part, demands_types, expected, told) in [
            (
                r#"{"type":"image_url","image_url":{"url":"data:image/jpg;base64,AA==","detail":"high"}}"#,
                false,
                r#"[{"inlineData":{"mimeType":"image/jpeg","data":"AA=="}}]"#,
                "",
            ),
            (
                r#"{"type":"image_url","image_url":{"url":"https://a.example/b.PNG?c=d.gif"}}"#,
                true,
                r#"[{"fileData":{"mimeType":"image/png","fileUri":"https://a.example/b.PNG?c=d.gif"}}]"#,
                "",
            ),
            (
                r#"{"type":"image_url","image_url":{"url":"https://a.example/b"}}"#,
                false,
                r#"[{"fileData":{"fileUri":"https://a.example/b"}}]"#,
                "",
            ),
            (
                r#"{"type":"image_url","image_url":{"url":"https://a.example/b"}}"#,
                true,
                r#"[{"fileData":{"mimeType":"image/jpeg","fileUri":"https://a.example/b"}}]"#,
                "messages[].content[].image_url.url",
            ),
            (
                r#"{"type":"image_url","image_url":{"url":"gs://b/c.webp","detail":"low"}}"#,
                true,
                r#"[{"fileData":{"mimeType":"image/webp","fileUri":"gs://b/c.webp"}}]MEDIA_RESOLUTION_LOW"#,
                "",
            ),
            (
                r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AA==","detail":"low"}},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}"#,
                false,
                r#"[{"inlineData":{"mimeType":"image/png","data":"AA=="}},{"inlineData":{"mimeType":"image/png","data":"AA=="}}]"#,
                "messages[].content[].image_url.detail",
            ),
            (
                r#"{"type":"file","file":{"file_data":"data:application/pdf;base64,AA==","filename":"a.pdf"}}"#,
                false,
                r#"[{"inlineData":{"mimeType":"application/pdf","data":"AA=="}}]"#,
                "messages[].content[].file.filename",
            ),
            (
                r#"{"type":"input_audio","input_audio":{"data":"AA==","format":"mp3"}}"#,
                false,
                r#"[{"inlineData":{"mimeType":"audio/mp3","data":"AA=="}}]"#,
                "",
            ),
            (
                r#"{"type":"text","text":""},{"type":"text","text":" ","cache_control":{}}"#,
                false,
                r#"[{"text":" "}]"#,
                "messages[].content[].cache_control",
            ),
        ] {
            let (sent, found) = read(part, demands_types);
            assert_eq!(sent.unwrap(), expected, "{part}");
            assert_eq!(found.join(","), told, "{part}");
        }
    }

    #[crate::test]
    fn what_google_could_not_see_is_refused_with_its_place() {
        for (part, param) in [
            (
                r#"{"type":"file","file":{"file_id":"file-1"}}"#,
                "messages[0].content[0].file.file_id",
            ),
            (
                r#"{"type":"image_url","image_url":{"url":"data:text/plain;base64,AA=="}}"#,
                "messages[0].content[0].image_url.url",
            ),
            (
                r#"{"type":"image_url","image_url":{"url":"file:///etc/passwd"}}"#,
                "messages[0].content[0].image_url.url",
            ),
            (
                r#"{"type":"input_audio","input_audio":{"data":"AA==","format":"pcm16"}}"#,
                "messages[0].content[0].input_audio.format",
            ),
            (r#"{"type":"hologram"}"#, "messages[0].content[0].type"),
            (r#"{"type":"text"}"#, "messages[0].content[0].text"),
        ] {
            let error = read(part, false).0.unwrap_err();
            assert_eq!((error.status, error.param.as_deref()), (400, Some(param)));
        }
    }
}
