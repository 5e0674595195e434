// SPDX-License-Identifier: Apache-2.0

//! Citations: those of web pages as OpenAI's `url_citation`, all others as they came.
//!
//! OpenAI's annotation says which characters of the answer cite the page. Anthropic cites per block, so the
//! span is that of the block (<https://docs.claude.com/en/docs/build-with-claude/citations>).

use crate::protocol::anthropic::messages::Citation;
use crate::protocol::openai::completion::{Annotation, UrlCitation};
use serde_json::value::RawValue;

/// The annotation of a citation that has a URL. `span`: the characters of the answer that cite it.
pub(super) fn annotation(citation: &RawValue, span: (u64, u64)) -> Option<Annotation<'_>> {
    let citation: Citation<'_> = serde_json::from_str(citation.get()).ok()?;
    Some(Annotation {
        kind: "url_citation",
        url_citation: UrlCitation {
            start_index: span.0,
            end_index: span.1,
            url: citation.url?,
            title: citation.title.unwrap_or_default(),
        },
    })
}
