// SPDX-License-Identifier: Apache-2.0

//! Signatures of thoughts, as they come back from the client
//! (<https://ai.google.dev/gemini-api/docs/thought-signatures>).

use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What Google names for calls that come without a signature: they were made by another model, or by hand.
pub(super) const NONE: &str = "skip_thought_signature_validator";

/// The member that carries signatures.
pub(super) const MEMBER: &str = "extra_content";

/// The signature in the value of `extra_content`; `None` if it holds none.
pub(super) fn read(extra_content: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct ExtraContent<'a> {
        #[serde(borrow)]
        google: Google<'a>,
    }
    #[derive(Deserialize)]
    struct Google<'a> {
        #[serde(borrow)]
        thought_signature: Cow<'a, str>,
    }
    let extra: ExtraContent<'_> = serde_json::from_str(extra_content.get()).ok()?;
    Some(extra.google.thought_signature).filter(|signature| !signature.is_empty())
}
