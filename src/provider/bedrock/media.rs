// SPDX-License-Identifier: Apache-2.0

//! Images, documents, recordings and videos: what they are and where they are.
//!
//! Bedrock takes bytes in the request, or an object in Amazon S3 that the gateway's credential may read; it fetches
//! nothing from the web
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ImageSource.html>). It wants a format's
//! short name and not a media type.

use crate::protocol::bedrock::converse::Source;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Image,
    Document,
    Audio,
    Video,
}

/// A file's kind and Bedrock's name for its format.
pub(super) type Format = (Kind, &'static str);

/// A file's format, and where it is; `None` if it is in no place or of no format that Bedrock takes.
///
/// `file_name` tells the format where neither a media type nor an S3 key does.
pub(super) fn locate<'r>(url: &'r str, file_name: Option<&str>) -> Option<(Format, Source<'r>)> {
    let (scheme, rest) = url.split_once(':').unwrap_or(("", url));
    if scheme.eq_ignore_ascii_case("s3") {
        let format = by_extension(url).or_else(|| by_extension(file_name?))?;
        return Some((format, Source::S3Location { uri: url }));
    }
    if scheme.eq_ignore_ascii_case("data") {
        let (head, data) = rest.split_once(',')?;
        let mut words = head.split(';').map(str::trim);
        let media_type = words.next()?;
        let is_base64 = words
            .next_back()
            .is_some_and(|word| word.eq_ignore_ascii_case("base64"));
        let format = by_media_type(media_type).or_else(|| by_extension(file_name?))?;
        return (is_base64 && !data.is_empty()).then_some((format, Source::Bytes(data)));
    }
    // Base64 alone, as OpenAI's reference has it for files.
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    let is_plain = !url.is_empty() && url.bytes().all(is_base64);
    is_plain.then_some((by_extension(file_name?)?, Source::Bytes(url)))
}

fn by_media_type(media_type: &str) -> Option<Format> {
    Some(match media_type.to_ascii_lowercase().as_str() {
        "image/png" => (Kind::Image, "png"),
        // The second is no registered name, but a common one.
        "image/jpeg" | "image/jpg" => (Kind::Image, "jpeg"),
        "image/gif" => (Kind::Image, "gif"),
        "image/webp" => (Kind::Image, "webp"),
        "application/pdf" => (Kind::Document, "pdf"),
        "text/csv" => (Kind::Document, "csv"),
        "application/msword" => (Kind::Document, "doc"),
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => (Kind::Document, "docx"),
        "application/vnd.ms-excel" => (Kind::Document, "xls"),
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => (Kind::Document, "xlsx"),
        "text/html" => (Kind::Document, "html"),
        "text/plain" => (Kind::Document, "txt"),
        "text/markdown" => (Kind::Document, "md"),
        "video/mp4" => (Kind::Video, "mp4"),
        "video/quicktime" => (Kind::Video, "mov"),
        "video/x-matroska" => (Kind::Video, "mkv"),
        "video/webm" => (Kind::Video, "webm"),
        "video/x-flv" => (Kind::Video, "flv"),
        "video/mpeg" => (Kind::Video, "mpeg"),
        "video/x-ms-wmv" => (Kind::Video, "wmv"),
        "video/3gpp" => (Kind::Video, "three_gp"),
        "audio/mpeg" | "audio/mp3" => (Kind::Audio, "mp3"),
        "audio/wav" | "audio/x-wav" | "audio/wave" => (Kind::Audio, "wav"),
        "audio/opus" => (Kind::Audio, "opus"),
        "audio/aac" => (Kind::Audio, "aac"),
        "audio/flac" => (Kind::Audio, "flac"),
        "audio/ogg" => (Kind::Audio, "ogg"),
        "audio/webm" => (Kind::Audio, "webm"),
        "audio/mp4" => (Kind::Audio, "mp4"),
        "audio/m4a" | "audio/x-m4a" => (Kind::Audio, "m4a"),
        _ => return None,
    })
}

fn by_extension(name: &str) -> Option<Format> {
    let (_, extension) = name.rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        "png" => (Kind::Image, "png"),
        "jpg" | "jpeg" => (Kind::Image, "jpeg"),
        "gif" => (Kind::Image, "gif"),
        "webp" => (Kind::Image, "webp"),
        "pdf" => (Kind::Document, "pdf"),
        "csv" => (Kind::Document, "csv"),
        "doc" => (Kind::Document, "doc"),
        "docx" => (Kind::Document, "docx"),
        "xls" => (Kind::Document, "xls"),
        "xlsx" => (Kind::Document, "xlsx"),
        "html" | "htm" => (Kind::Document, "html"),
        "txt" => (Kind::Document, "txt"),
        "md" => (Kind::Document, "md"),
        "mp4" => (Kind::Video, "mp4"),
        "mov" => (Kind::Video, "mov"),
        "mkv" => (Kind::Video, "mkv"),
        "webm" => (Kind::Video, "webm"),
        "flv" => (Kind::Video, "flv"),
        "mpeg" => (Kind::Video, "mpeg"),
        "mpg" => (Kind::Video, "mpg"),
        "wmv" => (Kind::Video, "wmv"),
        "3gp" => (Kind::Video, "three_gp"),
        other => return audio_format(other).map(|format| (Kind::Audio, format)),
    })
}

/// Bedrock's name for the format of a recording.
pub(super) fn audio_format(name: &str) -> Option<&'static str> {
    Some(match name {
        "mp3" => "mp3",
        "wav" => "wav",
        "opus" => "opus",
        "aac" => "aac",
        "flac" => "flac",
        "ogg" => "ogg",
        "m4a" => "m4a",
        "pcm" | "pcm16" => "pcm",
        _ => return None,
    })
}

/// The media type of what a model made; `None` if the format is no word.
pub(super) fn mime_type(kind: &str, format: &str) -> Option<String> {
    let is_word = !format.is_empty()
        && format
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_word.then(|| [kind, "/", format].concat())
}

/// The longest name of a document.
const MAX_NAME_BYTES: usize = 200;

/// A file's name without its extension, which Bedrock is told apart.
pub(super) fn stem(file_name: &str) -> &str {
    file_name.rsplit_once('.').map_or(file_name, |(stem, _)| stem)
}

/// A document's name as Bedrock takes it: letters, digits, single spaces, hyphens, parentheses and square brackets.
/// `number` tells documents of one request apart, which may not share a name.
pub(super) fn document_name(file_name: Option<&str>, number: usize) -> String {
    let mut name = String::new();
    for character in file_name.map(stem).unwrap_or_default().chars() {
        let is_plain = character.is_ascii_alphanumeric() || "-()[]".contains(character);
        if is_plain {
            name.push(character);
        } else if !name.is_empty() && !name.ends_with(' ') {
            name.push(' ');
        }
        if name.len() >= MAX_NAME_BYTES.saturating_sub(24) {
            break;
        }
    }
    let name = name.trim_end();
    match (name, number) {
        ("", number) => format!("Document {number}"),
        (name, 1) => name.to_owned(),
        (name, number) => format!("{name} [{number}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, document_name, locate};

    #[crate::test]
    fn files_are_told_by_media_type_then_by_name() {
        for (url, file_name, expected) in [
            ("data:image/png;base64,aGk=", None, Some((Kind::Image, "png"))),
            (
                "DATA:image/JPG; charset=x ;base64,aGk=",
                None,
                Some((Kind::Image, "jpeg")),
            ),
            (
                "data:application/pdf;base64,aGk=",
                Some("a.txt"),
                Some((Kind::Document, "pdf")),
            ),
            (
                "data:application/octet-stream;base64,aGk=",
                Some("a.docx"),
                Some((Kind::Document, "docx")),
            ),
            ("aGk=", Some("sheet.XLSX"), Some((Kind::Document, "xlsx"))),
            ("s3://bucket/a/clip.mp4", None, Some((Kind::Video, "mp4"))),
            ("s3://bucket/key", Some("a.webp"), Some((Kind::Image, "webp"))),
            ("data:audio/wav;base64,aGk=", None, Some((Kind::Audio, "wav"))),
            ("https://example.com/a.png", None, None),
            ("data:image/png,raw", None, None),
            ("data:image/png;base64,", None, None),
            ("data:image/svg+xml;base64,aGk=", None, None),
            ("aGk=", None, None),
            ("not base64!", Some("a.pdf"), None),
            ("", Some("a.pdf"), None),
        ] {
            let found = locate(url, file_name).map(|(format, _)| format);
            assert_eq!(found, expected, "{url} {file_name:?}");
        }
    }

    #[crate::test]
    fn names_of_documents_are_neutral_and_unlike() {
        for (given, number, expected) in [
            (Some("Q3 report.pdf"), 1, "Q3 report"),
            (Some("a__b..c.pdf"), 1, "a b c"),
            (Some("Q3 report.pdf"), 2, "Q3 report [2]"),
            (Some("\u{e9}.pdf"), 1, "Document 1"),
            (None, 3, "Document 3"),
        ] {
            assert_eq!(document_name(given, number), expected);
        }
        assert!(document_name(Some(&"x".repeat(900)), 123_456).len() <= 200);
    }
}
