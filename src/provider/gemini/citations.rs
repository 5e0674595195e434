// SPDX-License-Identifier: Apache-2.0

//! What an answer rests on: Gemini's grounding as OpenAI's `url_citation`
//! (<https://ai.google.dev/gemini-api/docs/google-search#understanding-the-grounding-response>).
//!
//! Gemini names the citing text by its part and in bytes, OpenAI in characters of the whole. Sources that no text is
//! named for cite the whole.

use crate::protocol::gemini::response::{GroundingChunk, GroundingMetadata, Segment};
use crate::protocol::openai::completion::{Annotation, UrlCitation};
use std::borrow::Cow;

/// More citations than this are not told.
const MAX_ANNOTATIONS: usize = 256;

/// The visible text of an answer, and where Gemini's parts begin in it.
#[derive(Debug, Default)]
pub(super) struct Text<'a> {
    pub(super) joined: Cow<'a, str>,
    /// The first byte of each part, parts without visible text among them.
    pub(super) part_starts: Vec<usize>,
}

impl Text<'_> {
    /// The first character of a segment and the one after its last.
    fn span(&self, segment: Segment) -> (u64, u64) {
        let start = self.part_starts.get(segment.part_index).copied();
        let start = start.unwrap_or(0);
        let characters = |byte: usize| {
            let before = self.joined.get(..start.saturating_add(byte));
            let count = before.unwrap_or(&self.joined).chars().count();
            u64::try_from(count).unwrap_or(u64::MAX)
        };
        (characters(segment.start_index), characters(segment.end_index))
    }
}

/// The citations of an answer.
pub(super) fn annotations<'a>(grounding: &GroundingMetadata<'a>, text: &Text<'_>) -> Vec<Annotation<'a>> {
    let sources = grounding.grounding_chunks.as_deref().unwrap_or_default();
    let supports = grounding.grounding_supports.as_deref().unwrap_or_default();
    let whole = Segment {
        part_index: 0,
        start_index: 0,
        end_index: usize::MAX,
    };
    let cited = supports.iter().flat_map(|support| {
        let span = text.span(support.segment.unwrap_or(whole));
        let indices = support.grounding_chunk_indices.as_deref().unwrap_or_default();
        indices
            .iter()
            .filter_map(move |index| annotation(sources.get(*index)?, span))
    });
    let uncited = sources
        .iter()
        .filter(|_| supports.is_empty())
        .filter_map(|source| annotation(source, text.span(whole)));
    cited.chain(uncited).take(MAX_ANNOTATIONS).collect()
}

fn annotation<'a>(source: &GroundingChunk<'a>, span: (u64, u64)) -> Option<Annotation<'a>> {
    let source = source.web.as_ref().or(source.retrieved_context.as_ref())?;
    Some(Annotation {
        kind: "url_citation",
        url_citation: UrlCitation {
            start_index: span.0,
            end_index: span.1,
            url: source.uri.clone()?,
            title: source.title.clone().unwrap_or_default(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::{Text, annotations};
    use crate::protocol::gemini::response::GroundingMetadata;

    fn spans(grounding: &str) -> Vec<(u64, u64, String)> {
        let grounding: GroundingMetadata<'_> = serde_json::from_str(grounding).unwrap();
        let text = Text {
            joined: "d\u{e9}j\u{e0} vu".into(),
            part_starts: vec![0, 0, 6],
        };
        annotations(&grounding, &text)
            .into_iter()
            .map(|found| found.url_citation)
            .map(|found| (found.start_index, found.end_index, found.url.into_owned()))
            .collect()
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
        let found = spans(r#"{"groundingChunks":[{"retrievedContext":{"uri":"u"}}]}"#);
        assert_eq!(found, [(0, 7, "u".to_owned())]);
    }

    #[crate::test]
    fn an_offset_inside_a_character_does_not_stop_the_answer() {
        let found = spans(
            r#"{"groundingChunks":[{"web":{"uri":"u"}}],"groundingSupports":[{"segment":{"startIndex":2,"endIndex":99},"groundingChunkIndices":[0]}]}"#,
        );
        assert_eq!(found.len(), 1);
    }
}
