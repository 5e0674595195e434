// SPDX-License-Identifier: Apache-2.0

//! Sampling parameters: those that all models have, and those of each family.
//!
//! OpenAI's temperature ends at 2, Bedrock's at 1: what lies above becomes 1 and is reported. `top_k` is no
//! parameter of Converse; each family has its own name for it, in the model's own fields
//! (<https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html>). Claude's bounds are those of
//! Anthropic's API.

use super::family::Family;
use crate::api_error::ApiError;
use crate::protocol::openai::chat::{ChatCompletionRequest, Stop};
use crate::provider::unsupported::Report;
use serde::Serialize;
use serde_json::Number;
use serde_json::value::{RawValue, to_raw_value};

/// What is sent.
#[derive(Debug, Default)]
pub(super) struct Sampling {
    pub(super) temperature: Option<Number>,
    pub(super) top_p: Option<Number>,
    /// The member of the model's own fields, and its value.
    pub(super) top_k: Option<(&'static str, Box<RawValue>)>,
}

impl Sampling {
    /// The sampling parameters, as far as the model and its thinking allow them.
    pub(super) fn read(
        request: &ChatCompletionRequest<'_>,
        family: Family,
        is_thinking: bool,
        report: &mut Report,
    ) -> Result<Self, ApiError> {
        let mut sampling = Self {
            temperature: request.temperature.clone(),
            top_p: request.top_p.clone(),
            top_k: None,
        };
        let value = |number: &Option<Number>| number.as_ref().and_then(Number::as_f64);
        if value(&sampling.temperature).is_some_and(|value| value > 1.0) {
            report.approximate_field("temperature");
            sampling.temperature = Some(Number::from(1));
        }
        let mut takes_top_k = true;
        if let Family::Claude(generation) = family {
            takes_top_k = generation.has_sampling && !is_thinking;
            // 1 is what holds without it.
            if value(&sampling.temperature).is_some_and(|value| value < 1.0) && !takes_top_k {
                report.drop_field("temperature")?;
                sampling.temperature = None;
            }
            if !generation.has_sampling {
                sampling.temperature = None;
            }
            if let Some(top_p) = value(&sampling.top_p) {
                let is_possible = generation.has_sampling
                    && (!is_thinking || (0.95..=1.0).contains(&top_p))
                    && (generation.has_joint_sampling || sampling.temperature.is_none());
                if !is_possible {
                    if top_p < 1.0 {
                        report.drop_field("top_p")?;
                    }
                    sampling.top_p = None;
                }
            }
        }
        if let Some(top_k) = &request.top_k {
            sampling.top_k = takes_top_k.then(|| own_top_k(top_k, family)).flatten();
            if sampling.top_k.is_none() {
                report.drop_field("top_k")?;
            }
        }
        Ok(sampling)
    }
}

#[derive(Serialize)]
struct NovaConfig<'a> {
    #[serde(rename = "topK")]
    top_k: &'a Number,
}

/// The family's own name for `top_k`, and its value; `None` if it has none.
fn own_top_k(top_k: &Number, family: Family) -> Option<(&'static str, Box<RawValue>)> {
    let number = || to_raw_value(top_k).ok();
    Some(match family {
        Family::Claude(_) | Family::Mistral => ("top_k", number()?),
        Family::Cohere => ("k", number()?),
        Family::Nova | Family::Nova2 => ("inferenceConfig", to_raw_value(&NovaConfig { top_k }).ok()?),
        Family::GptOss | Family::Gpt | Family::Other | Family::Untold => return None,
    })
}

/// The counterpart of `stop`.
pub(super) fn stop_sequences<'r>(
    request: &'r ChatCompletionRequest<'r>,
    family: Family,
    report: &mut Report,
) -> Result<Option<Vec<&'r str>>, ApiError> {
    let given = match &request.stop {
        None => return Ok(None),
        Some(Stop::One(one)) => core::slice::from_ref(one),
        Some(Stop::Many(many)) => many.as_slice(),
    };
    let mut sequences = Vec::with_capacity(given.len());
    for sequence in given {
        // Claude refuses a sequence without visible characters, and Bedrock an empty one.
        let is_possible = match family {
            Family::Claude(_) => !sequence.trim().is_empty(),
            _ => !sequence.is_empty(),
        };
        if is_possible {
            sequences.push(&**sequence);
        } else {
            report.drop_field("stop")?;
        }
    }
    Ok(Some(sequences))
}

#[cfg(test)]
mod tests {
    use super::{Family, Sampling, stop_sequences};
    use crate::config::OnUnsupported;
    use crate::protocol::openai::chat::ChatCompletionRequest;
    use crate::provider::unsupported::Report;

    fn check(model: &str, body: &str, is_thinking: bool, expected: &str, told: (&[&str], &[&str])) {
        let request = ChatCompletionRequest::parse(body.as_bytes()).unwrap();
        let mut report = Report::new(OnUnsupported::Drop);
        let family = Family::of(model);
        let found = Sampling::read(&request, family, is_thinking, &mut report).unwrap();
        let stop = stop_sequences(&request, family, &mut report).unwrap();
        let sent = serde_json::to_string(&(found.temperature, found.top_p, found.top_k, stop)).unwrap();
        assert_eq!(sent, expected, "{model} {body}");
        let (dropped, approximated) = report.into_parts();
        assert_eq!(dropped, told.0, "{model} {body}");
        assert_eq!(approximated, told.1, "{model} {body}");
    }

    #[crate::test]
    fn top_k_has_a_name_in_each_family() {
        let body = r#"{"top_k":5}"#;
        let claude = "anthropic.claude-3-haiku-20240307-v1:0";
        check(claude, body, false, r#"[null,null,["top_k",5],null]"#, (&[], &[]));
        check(
            "cohere.command-r-v1:0",
            body,
            false,
            r#"[null,null,["k",5],null]"#,
            (&[], &[]),
        );
        let nova = r#"[null,null,["inferenceConfig",{"topK":5}],null]"#;
        check("amazon.nova-lite-v1:0", body, false, nova, (&[], &[]));
        check(
            "meta.llama3-8b-instruct-v1:0",
            body,
            false,
            "[null,null,null,null]",
            (&["top_k"], &[]),
        );
        check(claude, body, true, "[null,null,null,null]", (&["top_k"], &[]));
    }

    #[crate::test]
    fn what_does_not_fit_is_told() {
        let nova = "amazon.nova-lite-v1:0";
        check(
            nova,
            r#"{"temperature":1.5}"#,
            false,
            "[1,null,null,null]",
            (&[], &["temperature"]),
        );
        check(
            nova,
            r#"{"temperature":0.0}"#,
            false,
            "[0.0,null,null,null]",
            (&[], &[]),
        );
        let body = r#"{"temperature":0.7,"top_p":0.9,"stop":["x"," ",""]}"#;
        check(nova, body, false, r#"[0.7,0.9,null,["x"," "]]"#, (&["stop"], &[]));
        let claude = "anthropic.claude-sonnet-4-5-v1:0";
        check(
            claude,
            body,
            false,
            r#"[0.7,null,null,["x"]]"#,
            (&["top_p", "stop"], &[]),
        );
        check(
            claude,
            body,
            true,
            r#"[null,null,null,["x"]]"#,
            (&["temperature", "top_p", "stop"], &[]),
        );
        let newest = "anthropic.claude-opus-4-7-v1";
        check(
            newest,
            r#"{"temperature":1,"top_p":1}"#,
            false,
            "[null,null,null,null]",
            (&[], &[]),
        );
    }
}
