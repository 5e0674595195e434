// SPDX-License-Identifier: Apache-2.0

//! The request: OpenAI's fields under Cohere's names.

use super::messages::messages;
use super::tools::Tools;
use crate::api_error::{API_ERROR, ApiError};
use crate::protocol::cohere::chat::{ChatRequest, ResponseFormat, Thinking};
use crate::protocol::json_text;
use crate::protocol::openai::chat::{ChatCompletionRequest, Stop};
use crate::provider::tool_names::Rule;
use crate::provider::unsupported::{Place, Report, unsupported};
use crate::provider::{Settings, UpstreamRequest};
use serde::Deserialize;
use serde_json::Number;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Members of Cohere's own that clients may send through OpenAI's SDKs.
const OWN: [&str; 6] = [
    "citation_options",
    "documents",
    "priority",
    "raw_prompting",
    "safety_mode",
    "strict_tools",
];

/// Translates a request and appends the translated body to `out`.
///
/// # Errors
///
/// A field that Cohere cannot serve.
pub(super) fn translate_request(
    body: &[u8],
    settings: &Settings,
    out: &mut Vec<u8>,
) -> Result<UpstreamRequest, ApiError> {
    let request = ChatCompletionRequest::parse(body)?;
    let mut report = Report::new(settings.on_unsupported);
    let translated = chat_request(&request, settings, &mut report)?;
    json_text::write(out, &translated)
        .map_err(|_| ApiError::new(500, API_ERROR, "The request could not be translated."))?;
    let options = request.stream_options.as_ref();
    let (dropped, approximated) = report.into_parts();
    Ok(UpstreamRequest {
        path: Cow::Borrowed("/v2/chat"),
        dropped,
        approximated,
        is_streaming: translated.stream,
        renamed_tools: Rule::COHERE.renamed(&request),
        include_usage: options.is_some_and(|options| options.include_usage == Some(true)),
        ..UpstreamRequest::default()
    })
}

fn chat_request<'r>(
    request: &'r ChatCompletionRequest<'r>,
    settings: &'r Settings,
    report: &mut Report,
) -> Result<ChatRequest<'r>, ApiError> {
    if request.n.is_some_and(|n| n != 1) {
        return Err(unsupported("n".to_owned()));
    }
    for (field, value) in [
        ("functions", request.functions),
        ("function_call", request.function_call),
    ] {
        if value.is_some() {
            return Err(unsupported(field.to_owned()));
        }
    }
    let Rest {
        own,
        seed,
        frequency_penalty,
        presence_penalty,
    } = Rest::read(request, report)?;
    for (field, is_given) in [
        ("user", request.user.is_some()),
        ("safety_identifier", request.safety_identifier.is_some()),
        ("metadata", request.metadata.is_some()),
        ("service_tier", request.service_tier.is_some()),
        ("cache_control", request.cache_control.is_some()),
    ] {
        if is_given {
            report.drop_field(field)?;
        }
    }
    let tools = Tools::read(request, report)?;
    Ok(ChatRequest {
        model: &settings.upstream_model,
        messages: messages(request.messages.as_deref().unwrap_or_default(), report)?,
        stream: request.stream == Some(true),
        tools: tools.tools,
        tool_choice: tools.choice,
        strict_tools: tools.strict.filter(|_| !own.contains_key("strict_tools")),
        response_format: response_format(request)?,
        thinking: thinking(request, report)?,
        max_tokens: settings.output_bound(request.max_completion_tokens.or(request.max_tokens)),
        stop_sequences: match &request.stop {
            None => Vec::new(),
            Some(Stop::One(one)) => vec![&**one],
            Some(Stop::Many(many)) => many.iter().map(|one| &**one).collect(),
        },
        temperature: request.temperature.clone(),
        // 1 is what holds without it, and more than Cohere takes.
        p: request.top_p.clone().filter(|p| p.as_f64() < Some(1.0)),
        k: request.top_k.clone(),
        seed,
        frequency_penalty,
        presence_penalty,
        own,
    })
}

/// What OpenAI's typed request does not hold.
#[derive(Default)]
struct Rest<'r> {
    own: BTreeMap<&'r str, &'r RawValue>,
    seed: Option<&'r RawValue>,
    frequency_penalty: Option<Number>,
    presence_penalty: Option<Number>,
}

impl<'r> Rest<'r> {
    fn read(request: &'r ChatCompletionRequest<'r>, report: &mut Report) -> Result<Self, ApiError> {
        let mut found = Self::default();
        for member in &request.rest {
            let (name, value) = (&*member.0, member.1);
            match name {
                "seed" => found.seed = Some(value),
                "frequency_penalty" => found.frequency_penalty = penalty("frequency_penalty", value, report)?,
                "presence_penalty" => found.presence_penalty = penalty("presence_penalty", value, report)?,
                own if OWN.contains(&own) => {
                    found.own.insert(own, value);
                }
                _ => report.drop_rest(Place::TOP, core::slice::from_ref(member))?,
            }
        }
        if let Some(options) = &request.stream_options {
            report.drop_rest(Place::TOP, &options.rest)?;
        }
        Ok(found)
    }
}

/// OpenAI's penalties go from -2 to 2, Cohere's from 0 to 1.
fn penalty(field: &'static str, value: &RawValue, report: &mut Report) -> Result<Option<Number>, ApiError> {
    let number: f64 = value.get().parse().map_err(|_| {
        ApiError::bad_request(field, format!("{field}: expected a number, found something else"))
    })?;
    let clamped = number.clamp(0.0, 1.0);
    if !(0.0..=1.0).contains(&number) {
        report.approximate_field(field);
    }
    Ok(Number::from_f64(clamped).filter(|_| clamped > 0.0))
}

fn response_format<'r>(
    request: &'r ChatCompletionRequest<'r>,
) -> Result<Option<ResponseFormat<'r>>, ApiError> {
    let Some(format) = &request.response_format else {
        return Ok(None);
    };
    let json_schema = match format.kind.as_deref() {
        None | Some("text") => return Ok(None),
        Some("json_object") => None,
        Some("json_schema") => format.json_schema.as_ref().and_then(|schema| schema.schema),
        Some(_) => return Err(unsupported("response_format.type".to_owned())),
    };
    Ok(Some(ResponseFormat {
        kind: "json_object",
        json_schema,
    }))
}

/// What the client gave, in Cohere's words: Anthropic's, which clients send to any model, have another for the budget
/// and one more for thinking without one.
fn given_thinking(given: &RawValue) -> Thinking<'_> {
    #[derive(Deserialize)]
    struct Anthropic<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
        budget_tokens: Option<u32>,
        token_budget: Option<u32>,
    }
    match serde_json::from_str(given.get()) {
        Ok(Anthropic {
            kind,
            budget_tokens,
            token_budget: None,
        }) if budget_tokens.is_some() || kind == "adaptive" => Thinking::Effort {
            kind: "enabled",
            token_budget: budget_tokens,
        },
        _ => Thinking::Given(given),
    }
}

/// Efforts become budgets, of about the size that they have with others; the largest has none.
fn thinking<'r>(
    request: &'r ChatCompletionRequest<'r>,
    report: &mut Report,
) -> Result<Option<Thinking<'r>>, ApiError> {
    if let Some(given) = request.thinking {
        if request.reasoning_effort.is_some() {
            report.drop_field("reasoning_effort")?;
        }
        return Ok(Some(given_thinking(given)));
    }
    let Some(effort) = request.reasoning_effort.as_deref() else {
        return Ok(None);
    };
    let token_budget = match effort {
        "none" => {
            return Ok(Some(Thinking::Effort {
                kind: "disabled",
                token_budget: None,
            }));
        }
        "minimal" | "low" => Some(1024),
        "medium" => Some(4096),
        "high" => Some(16_384),
        "xhigh" | "max" => None,
        _ => return Err(unsupported("reasoning_effort".to_owned())),
    };
    report.approximate_field("reasoning_effort");
    Ok(Some(Thinking::Effort {
        kind: "enabled",
        token_budget,
    }))
}

#[cfg(test)]
mod tests;
