// SPDX-License-Identifier: Apache-2.0

//! Prompt caching: hints as cache points
//! (<https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html>).
//!
//! Clients mark what is to be cached in Anthropic's words (`cache_control`, on a part, a message, a tool or a call)
//! or in Bedrock's (`cachePoint`, as a member of the same, or as a part of its own). Bedrock's point is a block
//! that follows what it marks.

use crate::protocol::bedrock::converse::CachePoint;
use crate::protocol::openai::Text;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Bedrock's own name of a hint.
pub(super) const MEMBER: &str = "cachePoint";

/// The cache point that an object asks for, by either name.
pub(super) fn point(cache_control: Option<&RawValue>, rest: &[(Text<'_>, &RawValue)]) -> Option<CachePoint> {
    let given = rest.iter().find(|(name, _)| &**name == MEMBER);
    cache_control.or_else(|| given.map(|(_, value)| *value)).map(read)
}

/// A hint as a cache point. Lifetimes that Bedrock does not know are left to the model.
pub(super) fn read(hint: &RawValue) -> CachePoint {
    #[derive(Deserialize)]
    struct Hint<'a> {
        #[serde(borrow)]
        ttl: Option<&'a str>,
    }
    let ttl = serde_json::from_str::<Hint<'_>>(hint.get())
        .ok()
        .and_then(|hint| hint.ttl);
    CachePoint {
        kind: "default",
        ttl: match ttl {
            Some("5m") => Some("5m"),
            Some("1h") => Some("1h"),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::read;
    use serde_json::value::RawValue;

    #[crate::test]
    fn hints_of_both_vendors_are_read() {
        for (hint, ttl) in [
            (r#"{"type":"ephemeral"}"#, None),
            (r#"{"type":"ephemeral","ttl":"1h"}"#, Some("1h")),
            (r#"{"type":"default","ttl":"5m"}"#, Some("5m")),
            (r#"{"ttl":"2w"}"#, None),
            ("true", None),
        ] {
            let hint: &RawValue = serde_json::from_str(hint).unwrap();
            assert_eq!(read(hint).ttl, ttl, "{hint}");
        }
    }
}
