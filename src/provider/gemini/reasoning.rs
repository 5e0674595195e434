// SPDX-License-Identifier: Apache-2.0

//! How hard the model thinks: `reasoning_effort`, or a budget, as `thinkingConfig`
//! (<https://ai.google.dev/gemini-api/docs/thinking>).
//!
//! The levels become what Google's own OpenAI endpoint makes of them
//! (<https://ai.google.dev/gemini-api/docs/openai#thinking>): 1024, 8192 and 24576 tokens for Gemini 2.5, a level for
//! later models. What a model lacks becomes the nearest that it has, and is reported. Whoever asks for an effort is
//! told a summary of the thoughts. Google's `extra_body.google.thinking_config` wins and is passed on as it is;
//! then comes an object `thinking`, as Anthropic has it, then the effort.

use super::fields::Fields;
use super::model::{Generation, ThinkingMode};
use crate::api_error::ApiError;
use crate::protocol::gemini::generate_content::{ThinkingConfig, ThinkingLevel};
use crate::protocol::openai::chat::ChatCompletionRequest;
use crate::provider::unsupported::Report;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// As many tokens as the model finds right.
const AUTOMATIC: i64 = -1;

/// The counterpart of the client's wish.
pub(super) fn thinking_config<'r>(
    request: &'r ChatCompletionRequest<'r>,
    fields: &Fields<'r>,
    generation: Generation,
    report: &mut Report,
) -> Result<Option<ThinkingConfig<'r>>, ApiError> {
    if let Some(given) = fields.thinking_config {
        if request.thinking.is_some() {
            report.drop_field("thinking")?;
        }
        if request.reasoning_effort.is_some() {
            report.drop_field("reasoning_effort")?;
        }
        return Ok(Some(ThinkingConfig::Given(given)));
    }
    if let Some(thinking) = request.thinking {
        if request.reasoning_effort.is_some() {
            report.drop_field("reasoning_effort")?;
        }
        return from_budget(thinking, generation.thinking, report);
    }
    match request.reasoning_effort.as_deref() {
        Some(effort) => from_effort(effort, generation.thinking, report),
        None => Ok(None),
    }
}

fn from_budget(
    thinking: &RawValue,
    mode: ThinkingMode,
    report: &mut Report,
) -> Result<Option<ThinkingConfig<'static>>, ApiError> {
    #[derive(Deserialize)]
    struct Thinking<'a> {
        #[serde(rename = "type", borrow)]
        kind: Cow<'a, str>,
        budget_tokens: Option<u32>,
    }
    let Ok(Thinking { kind, budget_tokens }) = serde_json::from_str(thinking.get()) else {
        let message = "thinking: expected an object with a type";
        return Err(ApiError::bad_request("thinking", message));
    };
    if kind == "disabled" {
        let (config, is_exact) = off(mode);
        if !is_exact {
            report.approximate_field("thinking");
        }
        return Ok(config);
    }
    if mode == ThinkingMode::None {
        return report.drop_field("thinking").map(|()| None);
    }
    Ok(Some(budget(budget_tokens.map_or(AUTOMATIC, i64::from))))
}

fn from_effort(
    effort: &str,
    mode: ThinkingMode,
    report: &mut Report,
) -> Result<Option<ThinkingConfig<'static>>, ApiError> {
    const WORDS: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
    let Some(wanted) = WORDS.iter().position(|word| *word == effort) else {
        let message = "reasoning_effort: expected none, minimal, low, medium, high, xhigh or max";
        return Err(ApiError::bad_request("reasoning_effort", message));
    };
    if mode == ThinkingMode::None && wanted > 0 {
        return report.drop_field("reasoning_effort").map(|()| None);
    }
    let (config, is_exact) = match (effort, mode) {
        ("none", _) => off(mode),
        (_, ThinkingMode::Budget { most, least }) => match effort {
            "minimal" | "low" => (Some(budget(1024.max(least))), true),
            "medium" => (Some(budget(8192)), true),
            "high" => (Some(budget(24_576)), true),
            _ => (Some(budget(most)), false),
        },
        (
            _,
            ThinkingMode::Level {
                has_minimal,
                has_medium,
            },
        ) => match effort {
            "minimal" if has_minimal => (Some(level(ThinkingLevel::Minimal)), true),
            "minimal" => (Some(level(ThinkingLevel::Low)), false),
            "low" => (Some(level(ThinkingLevel::Low)), true),
            "medium" if has_medium => (Some(level(ThinkingLevel::Medium)), true),
            "high" => (Some(level(ThinkingLevel::High)), true),
            _ => (Some(level(ThinkingLevel::High)), false),
        },
        (_, ThinkingMode::None) => (None, true),
    };
    if !is_exact {
        report.approximate_field("reasoning_effort");
    }
    Ok(config)
}

/// As little thinking as the model can do, and whether that is none.
fn off(mode: ThinkingMode) -> (Option<ThinkingConfig<'static>>, bool) {
    let chosen = |thinking_budget, thinking_level| {
        Some(ThinkingConfig::Chosen {
            thinking_budget,
            thinking_level,
            include_thoughts: false,
        })
    };
    match mode {
        ThinkingMode::None => (None, true),
        ThinkingMode::Budget { least, .. } => (chosen(Some(least), None), least == 0),
        ThinkingMode::Level {
            has_minimal: true, ..
        } => (chosen(None, Some(ThinkingLevel::Minimal)), false),
        ThinkingMode::Level { .. } => (chosen(None, Some(ThinkingLevel::Low)), false),
    }
}

const fn budget(amount: i64) -> ThinkingConfig<'static> {
    ThinkingConfig::Chosen {
        thinking_budget: Some(amount),
        thinking_level: None,
        include_thoughts: true,
    }
}

const fn level(level: ThinkingLevel) -> ThinkingConfig<'static> {
    ThinkingConfig::Chosen {
        thinking_budget: None,
        thinking_level: Some(level),
        include_thoughts: true,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fields::Fields;
    use super::{Generation, thinking_config};
    use crate::config::OnUnsupported;
    use crate::protocol::openai::chat::ChatCompletionRequest;
    use crate::provider::unsupported::Report;

    /// What is sent, what is dropped and what is approximated.
    fn check(model: &str, body: &str, expected: (&str, &[&str], &[&str])) {
        let request = ChatCompletionRequest::parse(body.as_bytes()).unwrap();
        let mut report = Report::new(OnUnsupported::Drop);
        let fields = Fields::read(&request, &mut report).unwrap();
        let config = thinking_config(&request, &fields, Generation::of(model), &mut report).unwrap();
        let (dropped, approximated) = report.into_parts();
        let sent = serde_json::to_string(&config).unwrap();
        assert_eq!(sent, expected.0, "{model} {body}");
        assert_eq!(dropped, expected.1, "{model} {body}");
        assert_eq!(approximated, expected.2, "{model} {body}");
    }

    const EFFORT: &[&str] = &["reasoning_effort"];

    #[crate::test]
    fn effort_becomes_what_the_model_understands() {
        for (model, effort, sent, is_exact) in [
            (
                "gemini-2.5-flash",
                "low",
                r#"{"thinkingBudget":1024,"includeThoughts":true}"#,
                true,
            ),
            (
                "gemini-2.5-pro",
                "high",
                r#"{"thinkingBudget":24576,"includeThoughts":true}"#,
                true,
            ),
            (
                "gemini-2.5-pro",
                "max",
                r#"{"thinkingBudget":32768,"includeThoughts":true}"#,
                false,
            ),
            ("gemini-2.5-flash", "none", r#"{"thinkingBudget":0}"#, true),
            ("gemini-2.5-pro", "none", r#"{"thinkingBudget":128}"#, false),
            (
                "gemini-3-flash-preview",
                "minimal",
                r#"{"thinkingLevel":"MINIMAL","includeThoughts":true}"#,
                true,
            ),
            (
                "gemini-3-pro-preview",
                "minimal",
                r#"{"thinkingLevel":"LOW","includeThoughts":true}"#,
                false,
            ),
            (
                "gemini-3-pro-preview",
                "medium",
                r#"{"thinkingLevel":"HIGH","includeThoughts":true}"#,
                false,
            ),
            (
                "gemini-3.1-pro-preview",
                "medium",
                r#"{"thinkingLevel":"MEDIUM","includeThoughts":true}"#,
                true,
            ),
            (
                "gemini-3-flash-preview",
                "none",
                r#"{"thinkingLevel":"MINIMAL"}"#,
                false,
            ),
            (
                "gemini-3.8-flash",
                "xhigh",
                r#"{"thinkingLevel":"HIGH","includeThoughts":true}"#,
                false,
            ),
        ] {
            let body = format!(r#"{{"reasoning_effort":"{effort}"}}"#);
            let approximated = if is_exact { &[] } else { EFFORT };
            check(model, &body, (sent, &[], approximated));
        }
        check(
            "gemini-2.0-flash",
            r#"{"reasoning_effort":"low"}"#,
            ("null", EFFORT, &[]),
        );
        check(
            "gemini-2.0-flash",
            r#"{"reasoning_effort":"none"}"#,
            ("null", &[], &[]),
        );
    }

    #[crate::test]
    fn a_budget_is_kept() {
        let given = r#"{"thinking":{"type":"enabled","budget_tokens":2000}}"#;
        let sent = r#"{"thinkingBudget":2000,"includeThoughts":true}"#;
        check("gemini-2.5-flash", given, (sent, &[], &[]));
        check("gemini-2.0-flash", given, ("null", &["thinking"], &[]));
        let adaptive = r#"{"thinking":{"type":"adaptive"},"reasoning_effort":"low"}"#;
        let sent = r#"{"thinkingBudget":-1,"includeThoughts":true}"#;
        check("gemini-2.5-pro", adaptive, (sent, EFFORT, &[]));
        let disabled = r#"{"thinking":{"type":"disabled"}}"#;
        check(
            "gemini-2.5-flash",
            disabled,
            (r#"{"thinkingBudget":0}"#, &[], &[]),
        );
    }

    #[crate::test]
    fn google_s_own_words_win() {
        let body = r#"{"reasoning_effort":"low","extra_body":{"google":{"thinking_config":{"thinking_level":"low"}}}}"#;
        check(
            "gemini-3-pro-preview",
            body,
            (r#"{"thinking_level":"low"}"#, EFFORT, &[]),
        );
    }
}
