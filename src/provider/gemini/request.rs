// SPDX-License-Identifier: Apache-2.0

//! The request: OpenAI's Chat Completions as Gemini's `generateContent`
//! (<https://ai.google.dev/api/generate-content>).
//!
//! Parsed once, borrowed, and written once. AI Studio and Vertex AI share the body; they differ in where models
//! are, in how a processing tier is asked for, and in labels, which only Vertex AI has.

use super::content::Reader;
use super::fields::Fields;
use super::function_name::renamed;
use super::model::Generation;
use super::prompt::prompt;
use super::reasoning::thinking_config;
use super::structured_output::set_response_format;
use super::tools::{tool_config, tools};
use crate::api_error::{API_ERROR, ApiError};
use crate::config::ProviderKind;
use crate::protocol::gemini::generate_content::{Content, GenerateContentRequest, GenerationConfig, Tool};
use crate::protocol::json_text;
use crate::protocol::openai::chat::{ChatCompletionRequest, Stop};
use crate::provider::google_path::{studio_path, vertex_path};
use crate::provider::json_slice;
use crate::provider::unsupported::{Place, Report, unsupported};
use crate::provider::{Settings, UpstreamRequest};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The header by which Vertex AI is asked for a processing tier
/// (<https://cloud.google.com/vertex-ai/generative-ai/docs/priority-paygo>).
const TIER_HEADER: &str = "x-vertex-ai-llm-shared-request-type";

/// Translates a request and appends the translated body to `out`.
pub(super) fn translate_request(
    body: &[u8],
    settings: &Settings,
    out: &mut Vec<u8>,
) -> Result<UpstreamRequest, ApiError> {
    let request = ChatCompletionRequest::parse(body)?;
    let mut report = Report::new(settings.on_unsupported);
    let is_vertex = settings.kind == ProviderKind::VertexAi;
    let is_streaming = request.stream == Some(true);
    let translated = generate_content(&request, settings, is_vertex, &mut report)?;
    json_text::write(out, &translated)
        .map_err(|_| ApiError::new(500, API_ERROR, "The request could not be translated."))?;
    let mut headers = Vec::new();
    if is_vertex && let Some(tier @ ("flex" | "priority")) = request.service_tier.as_deref() {
        headers.push((TIER_HEADER, Cow::Owned(tier.to_owned())));
    }
    let (dropped, approximated) = report.into_parts();
    Ok(UpstreamRequest {
        path: path(&settings.upstream_model, is_vertex, is_streaming)?.into(),
        headers,
        dropped,
        approximated,
        is_streaming,
        renamed_tools: renamed(&request),
        include_usage: request
            .stream_options
            .as_ref()
            .is_some_and(|options| options.include_usage == Some(true)),
        keeps_text: is_streaming && translated.tools.iter().any(Tool::cites_sources),
        ..UpstreamRequest::default()
    })
}

fn path(model: &str, is_vertex: bool, is_streaming: bool) -> Result<String, ApiError> {
    let mut path = if is_vertex {
        vertex_path(model, "google")?
    } else {
        studio_path(model)?
    };
    path.push_str(if is_streaming {
        ":streamGenerateContent?alt=sse"
    } else {
        ":generateContent"
    });
    Ok(path)
}

fn generate_content<'r>(
    request: &'r ChatCompletionRequest<'r>,
    settings: &Settings,
    is_vertex: bool,
    report: &mut Report,
) -> Result<GenerateContentRequest<'r>, ApiError> {
    // Their answer has a form of its own, which only OpenAI's older clients read.
    for (field, value) in [
        ("functions", request.functions),
        ("function_call", request.function_call),
    ] {
        if value.is_some() {
            return Err(unsupported(field.to_owned()));
        }
    }
    let generation = Generation::of(&settings.upstream_model);
    let fields = Fields::read(request, report)?;
    if let Some(options) = &request.stream_options {
        report.drop_rest(Place::TOP, &options.rest)?;
    }
    for (field, is_present) in [
        ("user", request.user.is_some()),
        ("safety_identifier", request.safety_identifier.is_some()),
        ("cache_control", request.cache_control.is_some()),
    ] {
        if is_present {
            report.drop_field(field)?;
        }
    }
    let mut reader = Reader::new(is_vertex);
    let prompt = prompt(request, generation, &mut reader, report)?;
    let mut generation_config = GenerationConfig {
        temperature: request.temperature.clone(),
        top_p: request.top_p.clone(),
        top_k: request.top_k.clone(),
        candidate_count: request.n.filter(|n| *n != 1),
        max_output_tokens: settings.output_bound(request.max_completion_tokens.or(request.max_tokens)),
        stop_sequences: stop_sequences(request, report)?,
        seed: fields.seed,
        presence_penalty: fields.presence_penalty.clone(),
        frequency_penalty: fields.frequency_penalty.clone(),
        response_logprobs: fields.logprobs,
        logprobs: fields.top_logprobs.filter(|_| fields.logprobs),
        thinking_config: thinking_config(request, &fields, generation, report)?,
        media_resolution: reader.media_resolution(report)?,
        response_modalities: fields.response_modalities.clone(),
        speech_config: fields.speech_config.clone(),
        ..GenerationConfig::default()
    };
    if let Some(format) = &request.response_format {
        set_response_format(format, &mut generation_config, report)?;
    }
    Ok(GenerateContentRequest {
        system_instruction: (!prompt.system.is_empty()).then_some(Content {
            role: None,
            parts: prompt.system,
        }),
        contents: prompt.contents,
        tools: tools(request, &fields, report)?,
        tool_config: tool_config(request, generation, report)?,
        generation_config,
        safety_settings: fields.safety_settings,
        service_tier: service_tier(request, is_vertex, report)?,
        labels: labels(request, is_vertex, report)?,
        cached_content: fields.cached_content,
    })
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
        // What is empty would end the answer before it begins; Gemini refuses it.
        if sequence.is_empty() {
            report.drop_field("stop")?;
        } else {
            sequences.push(&**sequence);
        }
    }
    Ok(sequences)
}

/// The processing tier, where it is a field (<https://ai.google.dev/gemini-api/docs/priority-inference>).
fn service_tier(
    request: &ChatCompletionRequest<'_>,
    is_vertex: bool,
    report: &mut Report,
) -> Result<Option<&'static str>, ApiError> {
    Ok(match request.service_tier.as_deref() {
        None | Some("auto") => None,
        Some("default" | "flex" | "priority") if is_vertex => None,
        Some("default") => Some("standard"),
        Some("flex") => Some("flex"),
        Some("priority") => Some("priority"),
        Some(_) => {
            report.drop_field("service_tier")?;
            None
        }
    })
}

/// The request's metadata as labels for billing, as far as their letters allow
/// (<https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/add-labels-to-api-calls>).
fn labels<'r>(
    request: &'r ChatCompletionRequest<'r>,
    is_vertex: bool,
    report: &mut Report,
) -> Result<BTreeMap<&'r str, Cow<'r, str>>, ApiError> {
    let mut labels = BTreeMap::new();
    let Some(metadata) = &request.metadata else {
        return Ok(labels);
    };
    if !is_vertex {
        if metadata.user_id.is_some() || !metadata.rest.is_empty() {
            report.drop_field("metadata")?;
        }
        return Ok(labels);
    }
    let user_id = metadata.user_id.map(|value| ("user_id", value));
    let given = metadata.rest.iter().map(|(name, value)| (&**name, *value));
    for (name, value) in user_id.into_iter().chain(given) {
        let value = json_slice::text(value).filter(|value| is_label(name, value));
        match value {
            Some(value) => {
                labels.insert(name, value);
            }
            None => report.drop_member(Place::TOP, &format!("metadata.{name}"))?,
        }
    }
    Ok(labels)
}

fn is_label(name: &str, value: &str) -> bool {
    let is_plain = |text: &str| {
        text.len() <= 63
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte))
    };
    name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase()) && is_plain(name) && is_plain(value)
}

#[cfg(test)]
mod tests;
