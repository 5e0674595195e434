// SPDX-License-Identifier: Apache-2.0

//! The request: OpenAI's Chat Completions as Anthropic's Messages (<https://docs.claude.com/en/api/messages>).
//!
//! Parsed once, borrowed, and written once; text without escapes is not copied in between. `max_tokens` is
//! required by Anthropic, so a request without a bound gets the configured one. OpenAI's temperature ends at 2,
//! Anthropic's at 1: what lies above becomes 1 and is reported as approximated.

use super::prompt::prompt;
use super::reasoning::{Circumstances, Generation, Reasoning, reasoning};
use super::structured_output::output_format;
use super::tools::Tools;
use crate::api_error::{API_ERROR, ApiError};
use crate::config::ProviderKind;
use crate::protocol::anthropic::messages::{Block, MessagesRequest, Metadata, OutputConfig, ToolChoice};
use crate::protocol::json_text;
use crate::protocol::openai::Text;
use crate::protocol::openai::chat::{ChatCompletionRequest, Stop};
use crate::provider::google_path::vertex_path;
use crate::provider::json_slice;
use crate::provider::tool_names::Rule;
use crate::provider::unsupported::{Place, Report, unsupported};
use crate::provider::{Settings, UpstreamRequest};
use serde_json::Number;
use serde_json::value::RawValue;
use std::borrow::Cow;

type Headers = Vec<(&'static str, Cow<'static, str>)>;

const VERSION_HEADER: (&str, Cow<'_, str>) = ("anthropic-version", Cow::Borrowed("2023-06-01"));

/// Translates a request and appends the translated body to `out`.
pub(in crate::provider) fn translate_request(
    body: &[u8],
    settings: &Settings,
    out: &mut Vec<u8>,
) -> Result<UpstreamRequest, ApiError> {
    let request = ChatCompletionRequest::parse(body)?;
    let mut report = Report::new(settings.on_unsupported);
    let is_streaming = request.stream == Some(true);
    let is_vertex = settings.kind == ProviderKind::VertexAi;
    let mut translated = messages_request(&request, settings, &mut report)?;
    let (path, headers) = if is_vertex {
        vertex(&mut translated, settings)?
    } else {
        (Cow::Borrowed("/v1/messages"), vec![VERSION_HEADER])
    };
    json_text::write(out, &translated)
        .map_err(|_| ApiError::new(500, API_ERROR, "The request could not be translated."))?;
    let (dropped, approximated) = report.into_parts();
    Ok(UpstreamRequest {
        path,
        headers,
        dropped,
        approximated,
        is_streaming,
        renamed_tools: Rule::ANTHROPIC.renamed(&request),
        include_usage: request
            .stream_options
            .as_ref()
            .is_some_and(|options| options.include_usage == Some(true)),
        ..UpstreamRequest::default()
    })
}

/// What differs at Vertex AI: the path names the model and whether it streams, and the body the version of the API
/// (<https://docs.claude.com/en/api/claude-on-vertex-ai>).
fn vertex(
    request: &mut MessagesRequest<'_>,
    settings: &Settings,
) -> Result<(Cow<'static, str>, Headers), ApiError> {
    request.model = None;
    request.anthropic_version = Some("vertex-2023-10-16");
    // Vertex AI has no caching of the whole request: the mark goes where Anthropic would put it.
    if let Some(mark) = request.cache_control.take() {
        mark_last(request, mark);
    }
    let mut path = vertex_path(&settings.upstream_model, "anthropic")?;
    path.push_str(if request.stream {
        ":streamRawPredict"
    } else {
        ":rawPredict"
    });
    Ok((path.into(), Headers::new()))
}

/// Marks the last block that can be cached, unless it is marked already.
fn mark_last<'r>(request: &mut MessagesRequest<'r>, mark: &'r RawValue) {
    let said = request.messages.iter_mut().rev();
    let mut blocks = said
        .flat_map(|turn| turn.content.0.iter_mut().rev())
        .chain(request.system.0.iter_mut().rev());
    let last = blocks.find_map(Block::cache_control);
    if let Some(last) = last {
        last.get_or_insert(mark);
    }
}

fn messages_request<'r>(
    request: &'r ChatCompletionRequest<'r>,
    settings: &'r Settings,
    report: &mut Report,
) -> Result<MessagesRequest<'r>, ApiError> {
    refuse(request)?;
    report.drop_rest(Place::TOP, &request.rest)?;
    if let Some(options) = &request.stream_options {
        report.drop_rest(Place::TOP, &options.rest)?;
    }
    let asked = request.max_completion_tokens.or(request.max_tokens);
    let asked = asked.unwrap_or_else(|| settings.default_max_tokens.into());
    let max_tokens = settings.output_bound(Some(asked)).unwrap_or(asked);
    let prompt = prompt(request, report)?;
    let tools = Tools::read(request, report)?;
    let circumstances = Circumstances {
        generation: Generation::of(&settings.upstream_model),
        max_tokens,
        is_lowered: max_tokens < asked,
        is_tool_forced: matches!(
            tools.choice,
            Some(ToolChoice::Any { .. } | ToolChoice::Tool { .. })
        ),
        lacks_thinking: prompt.lacks_thinking(),
    };
    let reasoning = reasoning(request, &circumstances, report)?;
    let sampling = Sampling::read(request, circumstances.generation, &reasoning, report)?;
    let format = match &request.response_format {
        Some(format) => output_format(format, report)?,
        None => None,
    };
    Ok(MessagesRequest {
        model: Some(&settings.upstream_model),
        anthropic_version: None,
        max_tokens,
        system: prompt.system,
        messages: prompt.turns,
        tools: tools.tools,
        tool_choice: tools.choice,
        thinking: reasoning.thinking,
        output_config: OutputConfig {
            effort: reasoning.effort,
            format,
        },
        stop_sequences: stop_sequences(request, report)?,
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        top_k: sampling.top_k,
        metadata: metadata(request, report)?,
        service_tier: service_tier(request, report)?,
        cache_control: request.cache_control,
        stream: request.stream == Some(true),
    })
}

/// Refuses what would change the form of the answer.
fn refuse(request: &ChatCompletionRequest<'_>) -> Result<(), ApiError> {
    if request.n.is_some_and(|n| n != 1) {
        return Err(unsupported("n".to_owned()));
    }
    // Their answer has a form of its own, which only OpenAI's older clients read.
    for (field, value) in [
        ("functions", request.functions),
        ("function_call", request.function_call),
    ] {
        if value.is_some() {
            return Err(unsupported(field.to_owned()));
        }
    }
    Ok(())
}

struct Sampling {
    temperature: Option<Number>,
    top_p: Option<Number>,
    top_k: Option<Number>,
}

impl Sampling {
    /// The sampling parameters, as far as the model and its thinking allow them.
    fn read(
        request: &ChatCompletionRequest<'_>,
        generation: Generation,
        reasoning: &Reasoning<'_>,
        report: &mut Report,
    ) -> Result<Self, ApiError> {
        let is_thinking = reasoning.is_thinking();
        let mut temperature = request.temperature.clone();
        if let Some(value) = request.temperature.as_ref().and_then(Number::as_f64) {
            if value > 1.0 {
                report.approximate_field("temperature");
                temperature = Some(Number::from(1));
            } else if value < 1.0 && (is_thinking || !generation.has_sampling) {
                report.drop_field("temperature")?;
                temperature = None;
            }
            if !generation.has_sampling {
                // 1 is what holds without it.
                temperature = None;
            }
        }
        let mut top_p = request.top_p.clone();
        if let Some(value) = request.top_p.as_ref().and_then(Number::as_f64) {
            let is_possible = generation.has_sampling
                && (!is_thinking || (0.95..=1.0).contains(&value))
                && (generation.has_joint_sampling || temperature.is_none());
            if !is_possible {
                // 1 is what holds without it.
                if value < 1.0 {
                    report.drop_field("top_p")?;
                }
                top_p = None;
            }
        }
        let mut top_k = request.top_k.clone();
        if top_k.is_some() && (is_thinking || !generation.has_sampling) {
            report.drop_field("top_k")?;
            top_k = None;
        }
        Ok(Self {
            temperature,
            top_p,
            top_k,
        })
    }
}

fn stop_sequences<'r>(
    request: &'r ChatCompletionRequest<'r>,
    report: &mut Report,
) -> Result<Vec<&'r str>, ApiError> {
    let given = match &request.stop {
        None => &[],
        Some(Stop::One(one)) => core::slice::from_ref(one),
        Some(Stop::Many(many)) => many.as_slice(),
    };
    let mut sequences = Vec::with_capacity(given.len());
    for sequence in given {
        // Anthropic refuses a sequence without visible characters.
        if sequence.trim().is_empty() {
            report.drop_field("stop")?;
        } else {
            sequences.push(&**sequence);
        }
    }
    Ok(sequences)
}

/// The end user, by the newest of the names that OpenAI's API has had for it; the others are reported.
fn metadata<'r>(
    request: &'r ChatCompletionRequest<'r>,
    report: &mut Report,
) -> Result<Option<Metadata<'r>>, ApiError> {
    let named = |name: &'r Option<Text<'r>>| name.as_deref().map(Cow::Borrowed);
    let mut user_id = named(&request.safety_identifier);
    if user_id.is_none() {
        user_id = named(&request.user);
    } else if named(&request.user).is_some_and(|other| user_id.as_ref() != Some(&other)) {
        report.drop_field("user")?;
    }
    if let Some(metadata) = &request.metadata {
        let labelled = metadata.user_id.and_then(json_slice::text);
        if metadata.user_id.is_some() && (labelled.is_none() || (user_id.is_some() && user_id != labelled)) {
            report.drop_field("metadata.user_id")?;
        }
        user_id = user_id.or(labelled);
        for (name, _) in &metadata.rest {
            report.drop_member(Place::TOP, &format!("metadata.{}", &**name))?;
        }
    }
    Ok(user_id.map(|user_id| Metadata { user_id }))
}

fn service_tier(
    request: &ChatCompletionRequest<'_>,
    report: &mut Report,
) -> Result<Option<&'static str>, ApiError> {
    match request.service_tier.as_deref() {
        None => Ok(None),
        Some("auto") => Ok(Some("auto")),
        // OpenAI's `default` is Anthropic's `standard_only`: never the priority tier.
        Some("default" | "standard_only") => Ok(Some("standard_only")),
        Some(_) => report.drop_field("service_tier").map(|()| None),
    }
}

#[cfg(test)]
mod tests;
