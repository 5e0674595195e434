// SPDX-License-Identifier: Apache-2.0

//! How hard the model thinks, and the thoughts themselves.
//!
//! Converse has no parameter of its own for the former; each family has its own, in
//! `additionalModelRequestFields`:
//!
//! | family | sent | levels |
//! |---|---|---|
//! | Claude | `thinking`, and `outputConfig.effort` | as at Anthropic, by the version in the name |
//! | Nova 2 | `reasoningConfig` | `low`, `medium`; `high` goes with no output bound and no sampling parameter |
//! | gpt-oss | `reasoning_effort` | `low`, `medium`, `high` |
//! | OpenAI's other models | `reasoning.effort` | all but `minimal` |
//! | others | nothing | reported, unless `none` |
//!
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-extended-thinking.html>,
//! <https://docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html>,
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-openai.html>
//!
//! Thoughts travel as `thinking_blocks`, in the form that Anthropic's own API gives them, so that a conversation may
//! move between the two. What Bedrock calls `redactedContent` is base64 of what Anthropic calls `data`; bytes that
//! are no such text are marked and kept as base64.

use super::family::Family;
use crate::api_error::ApiError;
use crate::protocol::bedrock::converse;
use crate::protocol::openai::chat::ChatCompletionRequest;
use crate::provider::anthropic::{self, Circumstances, Effort};
use crate::provider::unsupported::Report;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use std::borrow::Cow;

/// What is sent.
#[derive(Debug, Default)]
pub(super) struct Reasoning {
    /// The member of the model's own fields, and its value.
    pub(super) field: Option<(&'static str, Box<RawValue>)>,
    pub(super) effort: Option<&'static str>,
    /// Whether the model will think, which bounds Claude's sampling parameters.
    pub(super) is_thinking: bool,
    /// The tokens that thinking may take of the output bound.
    pub(super) budget_tokens: Option<u64>,
}

/// What thinking must get along with.
pub(super) struct Context {
    /// The output bound that the client gave, as far as its limits leave room for it.
    pub(super) max_tokens: Option<u64>,
    /// A limit has lowered it.
    pub(super) is_lowered: bool,
    /// Whether the client gave a sampling parameter.
    pub(super) has_sampling: bool,
    /// `tool_choice` makes the model call a tool.
    pub(super) is_tool_forced: bool,
    /// The prompt ends with a tool's answer to a call that comes without its thinking.
    pub(super) lacks_thinking: bool,
}

impl Family {
    /// Whether signed reasoning may be put back. Families that sign nothing refuse that of others.
    pub(super) const fn takes_reasoning(self) -> bool {
        matches!(self, Self::Claude(_) | Self::Gpt | Self::Other)
    }
}

/// The counterpart of the client's wish.
pub(super) fn reasoning(
    request: &ChatCompletionRequest<'_>,
    family: Family,
    context: &Context,
    report: &mut Report,
) -> Result<Reasoning, ApiError> {
    if let Family::Claude(generation) = family {
        let circumstances = Circumstances {
            generation,
            // Without a bound of the client's, one is sent that leaves room for both.
            max_tokens: context.max_tokens.unwrap_or(u64::MAX),
            is_lowered: context.is_lowered,
            is_tool_forced: context.is_tool_forced,
            lacks_thinking: context.lacks_thinking,
        };
        return claude(&anthropic::reasoning(request, &circumstances, report)?);
    }
    if request.thinking.is_some() {
        report.drop_field("thinking")?;
    }
    let Some(word) = request.reasoning_effort.as_deref() else {
        return Ok(Reasoning::default());
    };
    let effort = Effort::expect(word)?;
    let is_bounded = context.max_tokens.is_some() || context.has_sampling;
    let level = level(effort, family, is_bounded);
    let Some((level, is_exact)) = level else {
        // Open models of OpenAI think in any case.
        if effort != Effort::None || family == Family::GptOss {
            report.drop_field("reasoning_effort")?;
        }
        return Ok(Reasoning::default());
    };
    // `minimal` and `low` are one here, and are two to the client.
    if !is_exact || word == "minimal" {
        report.approximate_field("reasoning_effort");
    }
    let field = match family {
        Family::Nova2 if level == "none" => (
            "reasoningConfig",
            raw(&Nova {
                kind: "disabled",
                level: None,
            }),
        ),
        Family::Nova2 => (
            "reasoningConfig",
            raw(&Nova {
                kind: "enabled",
                level: Some(level),
            }),
        ),
        Family::Gpt => ("reasoning", raw(&Gpt { effort: level })),
        _ => ("reasoning_effort", raw(&level)),
    };
    Ok(Reasoning {
        field: Some((field.0, field.1?)),
        ..Reasoning::default()
    })
}

/// The family's word for an effort, and whether it says the same; `None` if the family has none.
const fn level(effort: Effort, family: Family, is_bounded: bool) -> Option<(&'static str, bool)> {
    Some(match (family, effort) {
        (Family::Nova2 | Family::Gpt, Effort::None) => ("none", true),
        (Family::Nova2 | Family::Gpt | Family::GptOss, Effort::Low) => ("low", true),
        (Family::Nova2 | Family::Gpt | Family::GptOss, Effort::Medium) => ("medium", true),
        (Family::Nova2, Effort::High) if is_bounded => ("medium", false),
        (Family::Nova2 | Family::Gpt | Family::GptOss, Effort::High) => ("high", true),
        (Family::Gpt, Effort::ExtraHigh) => ("xhigh", true),
        (Family::Gpt, Effort::Max) => ("max", true),
        (Family::Nova2, Effort::ExtraHigh | Effort::Max) if is_bounded => ("medium", false),
        (Family::Nova2 | Family::GptOss, Effort::ExtraHigh | Effort::Max) => ("high", false),
        _ => return None,
    })
}

#[derive(Serialize)]
struct Nova {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "maxReasoningEffort", skip_serializing_if = "Option::is_none")]
    level: Option<&'static str>,
}

#[derive(Serialize)]
struct Gpt {
    effort: &'static str,
}

fn claude(wanted: &anthropic::Reasoning<'_>) -> Result<Reasoning, ApiError> {
    let field = match &wanted.thinking {
        Some(thinking) => Some(("thinking", raw(thinking)?)),
        None => None,
    };
    Ok(Reasoning {
        field,
        effort: wanted.effort,
        is_thinking: wanted.is_thinking(),
        budget_tokens: wanted.budget_tokens(),
    })
}

/// Words and numbers: writing them cannot fail.
fn raw(value: &impl Serialize) -> Result<Box<RawValue>, ApiError> {
    to_raw_value(value).map_err(|_| {
        ApiError::new(
            500,
            crate::api_error::API_ERROR,
            "The request could not be translated.",
        )
    })
}

/// Marks redacted reasoning that is not text below its base64.
const BYTES_MARK: &str = "base64:";

/// A thinking block as Bedrock wants it back; `None` if it lacks its signature.
pub(super) fn put_back(block: &RawValue) -> Option<converse::Reasoning<'_>> {
    #[derive(Deserialize)]
    #[serde(tag = "type", rename_all = "snake_case")]
    enum Told<'a> {
        Thinking {
            #[serde(borrow)]
            thinking: Cow<'a, str>,
            #[serde(borrow)]
            signature: Cow<'a, str>,
        },
        RedactedThinking {
            #[serde(borrow)]
            data: Cow<'a, str>,
        },
    }
    match serde_json::from_str(block.get()).ok()? {
        Told::Thinking { thinking, signature } => {
            (!signature.is_empty()).then_some(converse::Reasoning::ReasoningText {
                text: thinking,
                signature,
            })
        }
        Told::RedactedThinking { data } => {
            let encoded = match data.strip_prefix(BYTES_MARK) {
                Some(bytes) => bytes.to_owned(),
                None => STANDARD.encode(data.as_bytes()),
            };
            Some(converse::Reasoning::RedactedContent(encoded))
        }
    }
}

/// Bytes of redacted reasoning as the client gets them.
pub(super) fn redacted(bytes: &[u8]) -> String {
    match core::str::from_utf8(bytes) {
        Ok(text) if text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.starts_with(BYTES_MARK) => {
            text.to_owned()
        }
        _ => format!("{BYTES_MARK}{}", STANDARD.encode(bytes)),
    }
}

/// The bytes of a base64 text; `None` if it is none.
pub(super) fn decode(base64: &str) -> Option<Vec<u8>> {
    STANDARD.decode(base64).ok()
}

#[cfg(test)]
mod tests {
    use super::{Context, Family, decode, put_back, reasoning, redacted};
    use crate::config::OnUnsupported;
    use crate::protocol::openai::chat::ChatCompletionRequest;
    use crate::provider::unsupported::Report;
    use serde_json::value::RawValue;

    fn check(model: &str, body: &str, expected: &str, dropped: &[&str], approximated: &[&str]) {
        let request = ChatCompletionRequest::parse(body.as_bytes()).unwrap();
        let mut report = Report::new(OnUnsupported::Drop);
        let context = Context {
            max_tokens: request.max_tokens,
            is_lowered: false,
            has_sampling: false,
            is_tool_forced: false,
            lacks_thinking: false,
        };
        let found = reasoning(&request, Family::of(model), &context, &mut report).unwrap();
        let sent = serde_json::to_string(&(found.field, found.effort)).unwrap();
        assert_eq!(sent, expected, "{model} {body}");
        let (left_out, served) = report.into_parts();
        assert_eq!(left_out, dropped, "{model} {body}");
        assert_eq!(served, approximated, "{model} {body}");
    }

    #[crate::test]
    fn each_family_is_asked_in_its_own_words() {
        let high = r#"{"reasoning_effort":"high"}"#;
        check(
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            high,
            r#"[["thinking",{"type":"enabled","budget_tokens":16384}],null]"#,
            &[],
            &[],
        );
        check(
            "us.anthropic.claude-opus-4-7-v1",
            high,
            r#"[["thinking",{"type":"adaptive","display":"summarized"}],"high"]"#,
            &[],
            &[],
        );
        let nova = r#"[["reasoningConfig",{"type":"enabled","maxReasoningEffort":"high"}],null]"#;
        check("us.amazon.nova-2-lite-v1:0", high, nova, &[], &[]);
        check(
            "openai.gpt-oss-20b-1:0",
            high,
            r#"[["reasoning_effort","high"],null]"#,
            &[],
            &[],
        );
        check(
            "openai.gpt-5.6",
            high,
            r#"[["reasoning",{"effort":"high"}],null]"#,
            &[],
            &[],
        );
        check(
            "us.deepseek.r1-v1:0",
            high,
            "[null,null]",
            &["reasoning_effort"],
            &[],
        );
    }

    #[crate::test]
    fn what_a_family_lacks_is_told() {
        let medium = r#"[["reasoningConfig",{"type":"enabled","maxReasoningEffort":"medium"}],null]"#;
        let bounded = r#"{"reasoning_effort":"high","max_tokens":100}"#;
        check(
            "amazon.nova-2-lite-v1:0",
            bounded,
            medium,
            &[],
            &["reasoning_effort"],
        );
        let off = r#"[["reasoningConfig",{"type":"disabled"}],null]"#;
        check(
            "amazon.nova-2-lite-v1:0",
            r#"{"reasoning_effort":"none"}"#,
            off,
            &[],
            &[],
        );
        let minimal = r#"{"reasoning_effort":"minimal"}"#;
        check(
            "openai.gpt-6",
            minimal,
            r#"[["reasoning",{"effort":"low"}],null]"#,
            &[],
            &["reasoning_effort"],
        );
        check(
            "meta.llama3-1-8b-instruct-v1:0",
            r#"{"reasoning_effort":"none"}"#,
            "[null,null]",
            &[],
            &[],
        );
        let thinking = r#"{"thinking":{"type":"enabled","budget_tokens":2000}}"#;
        check(
            "amazon.nova-pro-v1:0",
            thinking,
            "[null,null]",
            &["thinking"],
            &[],
        );
    }

    #[crate::test]
    fn a_thought_goes_back_as_it_came() {
        let back = |block: &str| {
            let block: &RawValue = serde_json::from_str(block).unwrap();
            put_back(block).map(|reasoning| serde_json::to_string(&reasoning).unwrap())
        };
        assert_eq!(
            back(r#"{"type":"thinking","thinking":"a\n\"b\"","signature":"c2ln"}"#).unwrap(),
            r#"{"reasoningText":{"text":"a\n\"b\"","signature":"c2ln"}}"#
        );
        assert_eq!(back(r#"{"type":"thinking","thinking":"a","signature":""}"#), None);
        assert_eq!(back(r#"{"type":"text","text":"a"}"#), None);
        // "RXRr" is base64 of "Etk".
        assert_eq!(redacted(&decode("RXRr").unwrap()), "Etk");
        for bytes in [&b"Etk"[..], b"\xff\x00", b"base64:x", b"two words", b""] {
            let block = format!(r#"{{"type":"redacted_thinking","data":"{}"}}"#, redacted(bytes));
            let sent = back(&block).unwrap();
            let value: serde_json::Value = serde_json::from_str(&sent).unwrap();
            assert_eq!(decode(value["redactedContent"].as_str().unwrap()).unwrap(), bytes);
        }
    }
}
