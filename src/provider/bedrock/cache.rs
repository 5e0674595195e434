// SPDX-License-Identifier: Apache-2.0

//! Prompt caching: hints as cache points
//! (<https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html>).
//!
//! Clients mark what is to be cached in Anthropic's words (`cache_control`, on a part, a message, a tool or a call)
//! or in Bedrock's (`cachePoint`, as a member of the same, or as a part of its own). Bedrock's point is a block
//! that follows what it marks. Models that cache nothing refuse it.

use super::family::Family;
use crate::api_error::ApiError;
use crate::protocol::bedrock::converse::{Block, CachePoint, ConverseRequest, SystemBlock, Tool};
use crate::protocol::openai::Text;
use crate::provider::unsupported::Report;
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

/// Takes out the points of a model that would answer them with an error, and reports them
/// (<https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html#prompt-caching-models>).
pub(super) fn keep_supported(
    request: &mut ConverseRequest<'_>,
    family: Family,
    report: &mut Report,
) -> Result<(), ApiError> {
    let mut removed = 0;
    if !family.caches_prompts() {
        for turn in &mut request.messages {
            removed += without(&mut turn.content, |block| matches!(block, Block::CachePoint(_)));
        }
        removed += without(&mut request.system, |block| {
            matches!(block, SystemBlock::CachePoint(_))
        });
    }
    if !family.caches_tools()
        && let Some(config) = &mut request.tool_config
    {
        removed += without(&mut config.tools, |tool| matches!(tool, Tool::CachePoint(_)));
    }
    if removed > 0 {
        report.drop_field("cache_control")?;
    }
    Ok(())
}

/// How many went.
fn without<T>(items: &mut Vec<T>, is_point: impl Fn(&T) -> bool) -> usize {
    let before = items.len();
    items.retain(|item| !is_point(item));
    before.saturating_sub(items.len())
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
