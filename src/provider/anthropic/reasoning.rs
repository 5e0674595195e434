// SPDX-License-Identifier: Apache-2.0

//! How hard the model thinks: `reasoning_effort`, or Anthropic's own `thinking`, and what it rules out.
//!
//! Anthropic's models differ, and the model's name is all there is to tell them apart
//! (<https://docs.claude.com/en/docs/build-with-claude/extended-thinking>,
//! <https://docs.claude.com/en/docs/build-with-claude/adaptive-thinking>,
//! <https://docs.claude.com/en/docs/build-with-claude/effort>):
//!
//! | version in the name | thinking | sampling parameters |
//! |---|---|---|
//! | below 3.7 | none | all |
//! | 3.7 to 4.5 | with a budget of tokens | all; from 4.1 on not `temperature` and `top_p` together |
//! | 4.6 | adaptive, with an effort up to `max` but without `xhigh` | as before |
//! | from 4.7 on | adaptive, with any effort | none |
//! | no version | adaptive, with any effort | all |
//!
//! Whatever cannot be kept exactly is reported under the client's own field, never guessed at in silence:
//! thinking does not go with a forced tool, with a prompt that continues a tool call without the thinking that
//! led to it (budget only), nor with an output bound that leaves no room. An object `thinking` of the client's
//! wins over `reasoning_effort` and is passed on as it is, but for what the model would answer with an error: a budget
//! where there are none, which becomes adaptive thinking, and `disabled` where thinking cannot be.
//!
//! From 4.7 on models keep their thoughts to themselves unless `display` asks for them
//! (<https://docs.claude.com/en/docs/build-with-claude/thinking#controlling-thinking-display>): it does.

use crate::api_error::ApiError;
use crate::protocol::anthropic::messages::Thinking;
use crate::protocol::openai::chat::ChatCompletionRequest;
use crate::provider::unsupported::Report;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The smallest budget that Anthropic accepts.
const MIN_BUDGET_TOKENS: u64 = 1024;

/// What thinking must get along with.
pub(in crate::provider) struct Circumstances {
    pub(in crate::provider) generation: Generation,
    pub(in crate::provider) max_tokens: u64,
    /// The client had asked for more output than it may have.
    pub(in crate::provider) is_lowered: bool,
    /// `tool_choice` makes the model call a tool.
    pub(in crate::provider) is_tool_forced: bool,
    /// The prompt ends with a tool's answer to a call that comes without its thinking.
    pub(in crate::provider) lacks_thinking: bool,
}

/// What is sent.
#[derive(Debug, Default)]
pub(in crate::provider) struct Reasoning<'r> {
    pub(in crate::provider) thinking: Option<Thinking<'r>>,
    pub(in crate::provider) effort: Option<&'static str>,
}

impl Reasoning<'_> {
    /// The tokens that thinking may take, if they are told.
    pub(in crate::provider) fn budget_tokens(&self) -> Option<u64> {
        #[derive(Deserialize)]
        struct Budget {
            budget_tokens: Option<u64>,
        }
        match &self.thinking {
            Some(Thinking::Enabled { budget_tokens }) => Some(*budget_tokens),
            Some(Thinking::Given(given)) => serde_json::from_str::<Budget>(given.get()).ok()?.budget_tokens,
            Some(Thinking::Adaptive { .. } | Thinking::Disabled) | None => None,
        }
    }

    /// Whether the model will think, which bounds the sampling parameters.
    pub(in crate::provider) fn is_thinking(&self) -> bool {
        match &self.thinking {
            Some(Thinking::Enabled { .. } | Thinking::Adaptive { .. }) => true,
            Some(Thinking::Given(given)) => kind_of(given.get()).is_none_or(|kind| kind != "disabled"),
            Some(Thinking::Disabled) | None => false,
        }
    }
}

/// The counterpart of the client's wish.
pub(in crate::provider) fn reasoning<'r>(
    request: &'r ChatCompletionRequest<'r>,
    circumstances: &Circumstances,
    report: &mut Report,
) -> Result<Reasoning<'r>, ApiError> {
    if let Some(given) = request.thinking {
        let Some(kind) = kind_of(given.get()) else {
            let message = "thinking: expected an object with a type";
            return Err(ApiError::bad_request("thinking", message));
        };
        if request.reasoning_effort.is_some() {
            report.drop_field("reasoning_effort")?;
        }
        if circumstances.is_tool_forced && kind != "disabled" {
            report.drop_field("thinking")?;
            return Ok(Reasoning::default());
        }
        let generation = circumstances.generation;
        let thinking = match &*kind {
            "disabled" if !generation.may_disable => None,
            // Their successors of a budget.
            "enabled" if generation.refuses_budgets => {
                report.approximate_field("thinking");
                return Ok(Reasoning {
                    thinking: Some(generation.adaptive()),
                    effort: None,
                });
            }
            _ => fitted(given, circumstances),
        };
        if thinking.is_none() {
            report.drop_field("thinking")?;
        }
        return Ok(Reasoning {
            thinking,
            effort: None,
        });
    }
    let Some(effort) = request.reasoning_effort.as_deref() else {
        return Ok(Reasoning::default());
    };
    let effort = Effort::expect(effort)?;
    let (reasoning, is_exact) = match circumstances.generation.thinking {
        ThinkingMode::None => (Reasoning::default(), effort == Effort::None),
        ThinkingMode::Budget => with_budget(effort, circumstances),
        ThinkingMode::Adaptive => adaptive(effort, circumstances),
    };
    if !is_exact {
        report.drop_field("reasoning_effort")?;
    }
    Ok(reasoning)
}

/// What the client gave, unless a limit has lowered the output bound to the budget or below: Anthropic refuses
/// that, and the client could not know.
fn fitted<'r>(given: &'r RawValue, circumstances: &Circumstances) -> Option<Thinking<'r>> {
    #[derive(Deserialize)]
    struct Given {
        budget_tokens: u64,
    }
    let max_tokens = circumstances.max_tokens;
    let budget = serde_json::from_str::<Given>(given.get()).map(|given| given.budget_tokens);
    if !circumstances.is_lowered || !budget.is_ok_and(|budget| budget >= max_tokens) {
        return Some(Thinking::Given(given));
    }
    (max_tokens > MIN_BUDGET_TOKENS).then(|| Thinking::Enabled {
        budget_tokens: MIN_BUDGET_TOKENS.max(max_tokens / 2),
    })
}

fn with_budget(effort: Effort, circumstances: &Circumstances) -> (Reasoning<'static>, bool) {
    let Some(wanted) = effort.budget_tokens() else {
        return (Reasoning::default(), true);
    };
    let max_tokens = circumstances.max_tokens;
    let is_possible =
        max_tokens > MIN_BUDGET_TOKENS && !circumstances.is_tool_forced && !circumstances.lacks_thinking;
    if !is_possible {
        return (Reasoning::default(), false);
    }
    // Half of the output stays for the answer, as far as the smallest budget allows.
    let budget_tokens = wanted.min(max_tokens / 2).max(MIN_BUDGET_TOKENS);
    let reasoning = Reasoning {
        thinking: Some(Thinking::Enabled { budget_tokens }),
        effort: None,
    };
    (reasoning, true)
}

fn adaptive(effort: Effort, circumstances: &Circumstances) -> (Reasoning<'static>, bool) {
    if effort == Effort::None {
        let reasoning = Reasoning {
            thinking: circumstances.generation.may_disable.then_some(Thinking::Disabled),
            effort: None,
        };
        return (reasoning, circumstances.generation.may_disable);
    }
    let (level, is_exact) = match effort {
        Effort::Low | Effort::None => ("low", true),
        Effort::Medium => ("medium", true),
        Effort::High => ("high", true),
        Effort::ExtraHigh if circumstances.generation.has_extra_high => ("xhigh", true),
        Effort::ExtraHigh => ("high", false),
        Effort::Max => ("max", true),
    };
    let reasoning = Reasoning {
        thinking: (!circumstances.is_tool_forced).then(|| circumstances.generation.adaptive()),
        effort: Some(level),
    };
    (reasoning, is_exact && !circumstances.is_tool_forced)
}

/// OpenAI's levels; `minimal` and `low` are one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::provider) enum Effort {
    None,
    Low,
    Medium,
    High,
    ExtraHigh,
    Max,
}

impl Effort {
    fn read(word: &str) -> Option<Self> {
        Some(match word {
            "none" => Self::None,
            "minimal" | "low" => Self::Low,
            "medium" => Self::Medium,
            "high" => Self::High,
            "xhigh" => Self::ExtraHigh,
            "max" => Self::Max,
            _ => return None,
        })
    }

    /// Reads a level.
    ///
    /// # Errors
    ///
    /// 400 for another word.
    pub(in crate::provider) fn expect(word: &str) -> Result<Self, ApiError> {
        Self::read(word).ok_or_else(|| {
            let message = "reasoning_effort: expected none, minimal, low, medium, high, xhigh or max";
            ApiError::bad_request("reasoning_effort", message)
        })
    }

    const fn budget_tokens(self) -> Option<u64> {
        match self {
            Self::None => None,
            Self::Low => Some(MIN_BUDGET_TOKENS),
            Self::Medium => Some(4096),
            Self::High => Some(16_384),
            Self::ExtraHigh | Self::Max => Some(32_000),
        }
    }
}

/// How a model thinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::provider) enum ThinkingMode {
    None,
    Budget,
    Adaptive,
}

/// What a model's name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::provider) struct Generation {
    pub(in crate::provider) thinking: ThinkingMode,
    /// `temperature`, `top_p` and `top_k` are accepted.
    pub(in crate::provider) has_sampling: bool,
    /// `temperature` and `top_p` are accepted together.
    pub(in crate::provider) has_joint_sampling: bool,
    has_extra_high: bool,
    may_disable: bool,
    /// A budget of tokens is answered with an error.
    refuses_budgets: bool,
    /// Thoughts are not told unless they are asked for.
    omits_thoughts: bool,
}

impl Generation {
    /// Thinking as much as the model finds right, and telling of it.
    fn adaptive(self) -> Thinking<'static> {
        Thinking::Adaptive {
            display: self.omits_thoughts.then_some("summarized"),
        }
    }

    /// Reads a model's name, for example `claude-3-7-sonnet-20250219` or `claude-opus-4-7`.
    pub(in crate::provider) fn of(model: &str) -> Self {
        let version = version(model);
        let since = |least: (u32, u32)| version.is_none_or(|version| version >= least);
        Self {
            thinking: match () {
                () if since((4, 6)) => ThinkingMode::Adaptive,
                () if since((3, 7)) => ThinkingMode::Budget,
                () => ThinkingMode::None,
            },
            has_sampling: version.is_none_or(|version| version < (4, 7)),
            has_joint_sampling: version.is_none_or(|version| version < (4, 1)),
            has_extra_high: since((4, 7)),
            may_disable: !(model.contains("mythos") || model.contains("fable")),
            refuses_budgets: version.is_some_and(|version| version >= (4, 7)),
            omits_thoughts: since((4, 7)),
        }
    }
}

/// Major and minor version: the first one or two short numbers. Longer numbers are dates.
fn version(model: &str) -> Option<(u32, u32)> {
    let mut words = model.split(['-', '.', '@', ':', '/']);
    let short = |word: &str| {
        if word.len() <= 2 {
            word.parse::<u32>().ok()
        } else {
            None
        }
    };
    let major = words.find_map(short)?;
    Some((major, words.next().and_then(short).unwrap_or(0)))
}

fn kind_of(object: &str) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Typed<'a> {
        #[serde(rename = "type", borrow)]
        kind: Cow<'a, str>,
    }
    serde_json::from_str::<Typed<'_>>(object)
        .ok()
        .map(|typed| typed.kind)
}

#[cfg(test)]
mod tests {
    use super::{Circumstances, Generation, Report, ThinkingMode, reasoning, version};
    use crate::config::OnUnsupported;
    use crate::protocol::openai::chat::ChatCompletionRequest;

    #[crate::test]
    fn versions_are_read_from_names_of_every_age() {
        for (model, expected) in [
            ("claude-3-5-haiku-20241022", Some((3, 5))),
            ("claude-3-opus-latest", Some((3, 0))),
            ("claude-3-7-sonnet-20250219", Some((3, 7))),
            ("claude-sonnet-4-20250514", Some((4, 0))),
            ("claude-opus-4-7", Some((4, 7))),
            ("anthropic.claude-haiku-4-5-20251001-v1:0", Some((4, 5))),
            ("claude-sonnet-4.6", Some((4, 6))),
            ("claude-fable-5", Some((5, 0))),
            ("claude-mythos-preview", None),
        ] {
            assert_eq!(version(model), expected, "{model}");
        }
        assert_eq!(
            Generation::of("claude-3-haiku-20240307").thinking,
            ThinkingMode::None
        );
        assert!(!Generation::of("claude-opus-4-8").has_sampling);
    }

    fn check(model: &str, body: &str, max_tokens: u64, is_tool_forced: bool, expected: (&str, &[&str])) {
        let request = ChatCompletionRequest::parse(body.as_bytes()).unwrap();
        let mut report = Report::new(OnUnsupported::Drop);
        let circumstances = Circumstances {
            generation: Generation::of(model),
            max_tokens,
            is_lowered: false,
            is_tool_forced,
            lacks_thinking: false,
        };
        let reasoning = reasoning(&request, &circumstances, &mut report).unwrap();
        let sent = serde_json::to_string(&(reasoning.thinking, reasoning.effort)).unwrap();
        assert_eq!(sent, expected.0, "{model} {body}");
        assert_eq!(report.into_parts().0, expected.1, "{model} {body}");
    }

    #[crate::test]
    fn effort_becomes_what_the_model_understands() {
        let high = r#"{"reasoning_effort":"high"}"#;
        let budget = r#"[{"type":"enabled","budget_tokens":16384},null]"#;
        check("claude-sonnet-4-5", high, 64_000, false, (budget, &[]));
        let budget = r#"[{"type":"enabled","budget_tokens":2048},null]"#;
        check("claude-sonnet-4-5", high, 4096, false, (budget, &[]));
        check(
            "claude-opus-4-6",
            high,
            4096,
            false,
            (r#"[{"type":"adaptive"},"high"]"#, &[]),
        );
        check(
            "claude-3-5-haiku-20241022",
            high,
            4096,
            false,
            ("[null,null]", &["reasoning_effort"]),
        );
    }

    #[crate::test]
    fn thinking_that_is_impossible_is_reported() {
        let high = r#"{"reasoning_effort":"high"}"#;
        check(
            "claude-sonnet-4-5",
            high,
            1024,
            false,
            ("[null,null]", &["reasoning_effort"]),
        );
        check(
            "claude-sonnet-4-5",
            high,
            64_000,
            true,
            ("[null,null]", &["reasoning_effort"]),
        );
        check(
            "claude-opus-4-7",
            high,
            64_000,
            true,
            (r#"[null,"high"]"#, &["reasoning_effort"]),
        );
        let given = r#"{"thinking":{"type":"adaptive"}}"#;
        check(
            "claude-opus-4-7",
            given,
            64_000,
            true,
            ("[null,null]", &["thinking"]),
        );
    }

    #[crate::test]
    fn the_levels_that_a_model_lacks_are_approximated() {
        let extra = r#"{"reasoning_effort":"xhigh"}"#;
        let high = r#"[{"type":"adaptive"},"high"]"#;
        check(
            "claude-opus-4-6",
            extra,
            4096,
            false,
            (high, &["reasoning_effort"]),
        );
        check(
            "claude-opus-4-7",
            extra,
            4096,
            false,
            (r#"[{"type":"adaptive","display":"summarized"},"xhigh"]"#, &[]),
        );
        let none = r#"{"reasoning_effort":"none"}"#;
        check(
            "claude-opus-4-7",
            none,
            4096,
            false,
            (r#"[{"type":"disabled"},null]"#, &[]),
        );
        check(
            "claude-fable-5",
            none,
            4096,
            false,
            ("[null,null]", &["reasoning_effort"]),
        );
        check("claude-sonnet-4-5", none, 4096, false, ("[null,null]", &[]));
    }

    #[crate::test]
    fn a_given_thinking_is_what_the_model_takes() {
        let disabled = r#"{"thinking":{"type":"disabled"}}"#;
        let sent = r#"[{"type":"disabled"},null]"#;
        check("claude-opus-4-8", disabled, 4096, false, (sent, &[]));
        check(
            "claude-fable-5",
            disabled,
            4096,
            false,
            ("[null,null]", &["thinking"]),
        );
        let budget = r#"{"thinking":{"type":"enabled","budget_tokens":2000}}"#;
        let sent = r#"[{"type":"enabled","budget_tokens":2000},null]"#;
        check("claude-opus-4-6", budget, 4096, false, (sent, &[]));
        let sent = r#"[{"type":"adaptive","display":"summarized"},null]"#;
        check("claude-opus-4-7", budget, 4096, false, (sent, &[]));
    }
}
