// SPDX-License-Identifier: Apache-2.0

//! What an answer rests on: Gemini's grounding, and what it recites, as OpenAI's `url_citation`
//! (<https://ai.google.dev/gemini-api/docs/google-search#understanding-the-grounding-response>,
//! <https://ai.google.dev/api/generate-content#citationmetadata>). A source without an address is told in Google's form.
//!
//! Gemini names the citing text in bytes, of a part or of the whole, OpenAI in characters of the whole. Sources that no
//! text is named for cite the whole, and so do all where the text was not kept and its bytes are not its characters.

use crate::protocol::gemini::response::{
    Citation, CitationMetadata, GroundingChunk, GroundingMetadata, Segment,
};
use crate::protocol::openai::completion::{Annotation, UrlCitation};
use crate::provider::json_slice::Size;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// More citations than this are not told.
pub(super) const MAX_CITATIONS: usize = 256;

/// The visible text of an answer, and where Gemini's parts begin in it.
#[derive(Debug)]
pub(super) struct Text<'a> {
    /// What was kept of it.
    pub(super) joined: Cow<'a, str>,
    /// The first byte of each part, parts without visible text among them.
    pub(super) part_starts: Vec<usize>,
    /// How large it is, kept or not.
    pub(super) size: Size,
}

impl Text<'_> {
    pub(super) const fn new() -> Self {
        Self {
            joined: Cow::Borrowed(""),
            part_starts: Vec::new(),
            size: Size {
                bytes: 0,
                characters: 0,
            },
        }
    }

    /// It goes on for so long.
    pub(super) const fn add(&mut self, size: Size) {
        self.size.bytes = self.size.bytes.saturating_add(size.bytes);
        self.size.characters = self.size.characters.saturating_add(size.characters);
    }

    /// The first character of a segment and the one after its last.
    fn span(&self, segment: Segment) -> (u64, u64) {
        if self.joined.is_empty() {
            return self.span_of_unkept(segment);
        }
        let start = self.part_starts.get(segment.part_index).copied();
        let start = start.unwrap_or(0);
        let characters = |byte: usize| {
            let before = self.joined.get(..start.saturating_add(byte));
            let count = before.unwrap_or(&self.joined).chars().count();
            u64::try_from(count).unwrap_or(u64::MAX)
        };
        (characters(segment.start_index), characters(segment.end_index))
    }

    fn span_of_unkept(&self, segment: Segment) -> (u64, u64) {
        let Size { bytes, characters } = self.size;
        if bytes != characters || segment.part_index > 0 {
            return (0, characters);
        }
        let at = |byte: usize| u64::try_from(byte).unwrap_or(u64::MAX).min(characters);
        (at(segment.start_index), at(segment.end_index))
    }
}

/// The sources of an answer.
#[derive(Debug, Default)]
pub(super) struct Sources<'a> {
    /// Those with an address.
    pub(super) annotations: Vec<Annotation<'a>>,
    /// The others.
    pub(super) citations: Vec<&'a RawValue>,
}

impl<'a> Sources<'a> {
    /// Adds what the answer rests on.
    pub(super) fn ground(&mut self, grounding: &'a RawValue, text: &Text<'_>) {
        let Ok(grounding) = serde_json::from_str::<GroundingMetadata<'a>>(grounding.get()) else {
            return;
        };
        let chunks = grounding.grounding_chunks.unwrap_or_default();
        let supports = grounding.grounding_supports.as_deref().unwrap_or_default();
        let whole = Segment {
            part_index: 0,
            start_index: 0,
            end_index: usize::MAX,
        };
        for support in supports {
            let span = text.span(support.segment.unwrap_or(whole));
            let indices = support.grounding_chunk_indices.as_deref().unwrap_or_default();
            let named = indices.iter().filter_map(|index| chunks.get(*index));
            self.annotations
                .extend(named.filter_map(|chunk| annotation(chunk, span)));
        }
        for chunk in &chunks {
            match annotation(chunk, text.span(whole)) {
                Some(source) if supports.is_empty() => self.annotations.push(source),
                Some(_) => {}
                None => self.citations.push(chunk),
            }
        }
        self.bound();
    }

    /// Adds what the answer recites: each of `citations` is a [`Citation`].
    pub(super) fn recite(&mut self, citations: impl Iterator<Item = &'a RawValue>, text: &Text<'_>) {
        for given in citations.take(MAX_CITATIONS) {
            let Ok(citation) = serde_json::from_str::<Citation<'a>>(given.get()) else {
                continue;
            };
            let Some(url) = citation.uri else {
                self.citations.push(given);
                continue;
            };
            let span = text.span(Segment {
                part_index: 0,
                start_index: citation.start_index,
                end_index: citation.end_index,
            });
            self.annotations
                .push(url_citation(url, citation.title.unwrap_or_default(), span));
        }
        self.bound();
    }

    fn bound(&mut self) {
        self.annotations.truncate(MAX_CITATIONS);
        self.citations.truncate(MAX_CITATIONS);
    }
}

/// The members of `citationMetadata`, one by one.
pub(super) fn citations(metadata: &RawValue) -> Vec<&RawValue> {
    let metadata: Option<CitationMetadata<'_>> = serde_json::from_str(metadata.get()).ok();
    metadata
        .and_then(|metadata| metadata.citations)
        .unwrap_or_default()
}

fn annotation<'a>(chunk: &'a RawValue, span: (u64, u64)) -> Option<Annotation<'a>> {
    let chunk: GroundingChunk<'a> = serde_json::from_str(chunk.get()).ok()?;
    let sources = [chunk.web, chunk.retrieved_context, chunk.maps, chunk.image];
    let source = sources.into_iter().flatten().next()?;
    Some(url_citation(source.uri?, source.title.unwrap_or_default(), span))
}

const fn url_citation<'a>(url: Cow<'a, str>, title: Cow<'a, str>, span: (u64, u64)) -> Annotation<'a> {
    Annotation {
        kind: "url_citation",
        url_citation: UrlCitation {
            start_index: span.0,
            end_index: span.1,
            url,
            title,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{Sources, Text, citations};
    use crate::provider::json_slice::Size;
    use serde_json::value::RawValue;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    fn text() -> Text<'static> {
        Text {
            joined: "d\u{e9}j\u{e0} vu".into(),
            part_starts: vec![0, 0, 6],
            ..Text::new()
        }
    }

    fn told(sources: Sources<'_>) -> Vec<(u64, u64, String)> {
        let found = sources.annotations.into_iter().map(|found| found.url_citation);
        found
            .map(|found| (found.start_index, found.end_index, found.url.into_owned()))
            .collect()
    }

    fn spans(grounding: &str) -> Vec<(u64, u64, String)> {
        let mut sources = Sources::default();
        sources.ground(raw(grounding), &text());
        told(sources)
    }

    #[crate::test]
    fn bytes_of_a_part_become_characters_of_the_whole() {
        let found = spans(
            r#"{"groundingChunks":[{"web":{"uri":"u0","title":"t"}},{"web":{"uri":"u1"}},{"other":{}}],"groundingSupports":[{"segment":{"endIndex":6},"groundingChunkIndices":[0,1,2,9]},{"segment":{"partIndex":2,"startIndex":1,"endIndex":3},"groundingChunkIndices":[1]}]}"#,
        );
        let expected = [(0, 4, "u0"), (0, 4, "u1"), (5, 7, "u1")].map(|(a, b, url)| (a, b, url.to_owned()));
        assert_eq!(found, expected);
    }

    #[crate::test]
    fn sources_alone_cite_the_whole() {
        for source in [
            r#"{"retrievedContext":{"uri":"u"}}"#,
            r#"{"maps":{"uri":"u","placeId":"p"}}"#,
            r#"{"image":{"sourceUri":"u","imageUri":"i"}}"#,
        ] {
            let found = spans(&format!(r#"{{"groundingChunks":[{source}]}}"#));
            assert_eq!(found, [(0, 7, "u".to_owned())], "{source}");
        }
    }

    #[crate::test]
    fn a_source_without_an_address_is_told_as_it_came() {
        let grounding = r#"{"groundingChunks":[{"retrievedContext":{"title":"t","text":"x"}}],"groundingSupports":[{"groundingChunkIndices":[0,0]}]}"#;
        let mut sources = Sources::default();
        sources.ground(raw(grounding), &text());
        let found: Vec<_> = sources.citations.iter().map(|source| source.get()).collect();
        assert_eq!(found, [r#"{"retrievedContext":{"title":"t","text":"x"}}"#]);
        assert!(sources.annotations.is_empty());
    }

    #[crate::test]
    fn an_offset_inside_a_character_does_not_stop_the_answer() {
        let found = spans(
            r#"{"groundingChunks":[{"web":{"uri":"u"}}],"groundingSupports":[{"segment":{"startIndex":2,"endIndex":99},"groundingChunkIndices":[0]}]}"#,
        );
        assert_eq!(found.len(), 1);
    }

    #[crate::test]
    fn what_is_recited_is_cited() {
        for name in ["citationSources", "citations"] {
            let metadata = format!(
                r#"{{"{name}":[{{"startIndex":1,"endIndex":6,"uri":"u","license":"l"}},{{"endIndex":3,"title":"A book"}}]}}"#
            );
            let mut sources = Sources::default();
            sources.recite(citations(raw(&metadata)).into_iter(), &text());
            let others: Vec<_> = sources.citations.iter().map(|source| source.get()).collect();
            assert_eq!(others, [r#"{"endIndex":3,"title":"A book"}"#]);
            assert_eq!(told(sources), [(1, 4, "u".to_owned())]);
        }
    }

    #[crate::test]
    fn a_text_that_was_not_kept_is_cited_as_far_as_its_bytes_tell() {
        let recited = r#"{"startIndex":2,"endIndex":9,"uri":"u"}"#;
        for (bytes, characters, span) in [(20, 20, (2, 9)), (5, 5, (2, 5)), (20, 12, (0, 12))] {
            let mut sources = Sources::default();
            let text = Text {
                size: Size { bytes, characters },
                ..Text::new()
            };
            sources.recite([raw(recited)].into_iter(), &text);
            assert_eq!(told(sources), [(span.0, span.1, "u".to_owned())]);
        }
    }
}
