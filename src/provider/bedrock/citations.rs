// SPDX-License-Identifier: Apache-2.0

//! Citations: those that lead to a page as OpenAI's `url_citation`, all others as they came.
//!
//! OpenAI's annotation says which characters of the answer cite the page. Bedrock cites per block, so the span is
//! that of the block (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Citation.html>).

use crate::protocol::bedrock::answer::Citation;
use crate::protocol::openai::completion::{Annotation, UrlCitation};
use serde_json::value::RawValue;

/// The annotation of a citation that has a URL. `span`: the characters of the answer that cite it.
pub(super) fn annotation(citation: &RawValue, span: (u64, u64)) -> Option<Annotation<'_>> {
    let citation: Citation<'_> = serde_json::from_str(citation.get()).ok()?;
    let page = citation.location.and_then(|location| location.web?.url);
    // The source of a search result is its address; that of a document is its name.
    let source = citation
        .source
        .filter(|source| source.starts_with("https://") || source.starts_with("http://"));
    Some(Annotation {
        kind: "url_citation",
        url_citation: UrlCitation {
            start_index: span.0,
            end_index: span.1,
            url: page.or(source)?,
            title: citation.title.unwrap_or_default(),
        },
    })
}
