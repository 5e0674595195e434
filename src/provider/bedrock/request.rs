// SPDX-License-Identifier: Apache-2.0

//! The request: OpenAI's Chat Completions as Bedrock's Converse
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>).
//!
//! Parsed once, borrowed, and written once. What only Bedrock has, clients send as members of its own names
//! (`guardrailConfig`, `additionalModelRequestFields` and so on), which are passed on; where one of the model's own
//! fields is given and could also be derived from a field of OpenAI's, the given one wins.

use super::family::Family;
use super::metadata::request_metadata;
use super::prompt::prompt;
use super::reasoning::{Context, Reasoning, reasoning};
use super::sampling::{Sampling, stop_sequences};
use super::structured_output::text_format;
use super::tools::{is_forced, tool_config, unwritten};
use super::{cache, model_path};
use crate::api_error::ApiError;
use crate::protocol::bedrock::converse::{
    ConverseRequest, InferenceConfig, Labels, Members, OutputConfig, ServiceTier,
};
use crate::protocol::json_text;
use crate::protocol::openai::chat::ChatCompletionRequest;
use crate::provider::tool_names::Rule;
use crate::provider::unsupported::{Place, Report, unsupported, wrong};
use crate::provider::{Settings, UpstreamRequest};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Bedrock's own members that are passed on, beside those of [`OWN_OBJECTS`].
const OWN_FIELDS: &str = "additionalModelRequestFields";
const OWN_LABELS: &str = "requestMetadata";
const OWN_OBJECTS: [&str; 3] = ["guardrailConfig", "performanceConfig", "promptVariables"];

/// Translates a request and appends the translated body to `out`.
pub(super) fn translate_request(
    body: &[u8],
    settings: &Settings,
    out: &mut Vec<u8>,
) -> Result<UpstreamRequest, ApiError> {
    let request = ChatCompletionRequest::parse(body)?;
    let is_streaming = request.stream == Some(true);
    let operation = if is_streaming {
        "converse-stream"
    } else {
        "converse"
    };
    let path = model_path::path(&settings.upstream_model, operation)?;
    let mut report = Report::new(settings.on_unsupported);
    let translated = converse_request(&request, settings, &mut report)?;
    json_text::write(out, &translated).map_err(|_| unwritten())?;
    let (dropped, approximated) = report.into_parts();
    let options = request.stream_options.as_ref();
    Ok(UpstreamRequest {
        path: Cow::Owned(path),
        dropped,
        approximated,
        is_streaming,
        include_usage: options.is_some_and(|options| options.include_usage == Some(true)),
        renamed_tools: Rule::BEDROCK.renamed(&request),
        ..UpstreamRequest::default()
    })
}

fn converse_request<'r>(
    request: &'r ChatCompletionRequest<'r>,
    settings: &Settings,
    report: &mut Report,
) -> Result<ConverseRequest<'r>, ApiError> {
    refuse(request)?;
    report_rest(request, report)?;
    let family = Family::of(&settings.upstream_model);
    let mut prompt = prompt(request, family, report)?;
    if let Some(point) = cache::point(request.cache_control, &request.rest) {
        prompt.end_with(point);
    }
    let tool_config = tool_config(request, &prompt, report)?;
    let asked = request.max_completion_tokens.or(request.max_tokens);
    let max_tokens = settings.output_bound(asked);
    let context = Context {
        max_tokens,
        is_lowered: max_tokens != asked,
        has_sampling: request.temperature.is_some() || request.top_p.is_some(),
        is_tool_forced: is_forced(tool_config.as_ref()),
        lacks_thinking: prompt.lacks_thinking(),
    };
    let reasoning = reasoning(request, family, &context, report)?;
    let sampling = Sampling::read(request, family, reasoning.is_thinking, report)?;
    let text_format = match &request.response_format {
        Some(format) => text_format(format, report)?,
        None => None,
    };
    // A budget must lie below the bound, and a model's default bound may be small.
    let room = u64::from(settings.default_max_tokens);
    let bound = reasoning.budget_tokens.map(|budget| budget.saturating_add(room));
    let Reasoning { field, effort, .. } = reasoning;
    let derived = field.into_iter().chain(sampling.top_k);
    let mut converse = ConverseRequest {
        messages: prompt.turns,
        system: prompt.system,
        inference_config: InferenceConfig {
            max_tokens: max_tokens.or(bound),
            temperature: sampling.temperature,
            top_p: sampling.top_p,
            stop_sequences: stop_sequences(request, family, report)?,
        },
        tool_config,
        output_config: OutputConfig { text_format, effort },
        additional_model_request_fields: model_fields(derived, own(request, OWN_FIELDS))?,
        request_metadata: match own(request, OWN_LABELS) {
            Some(labels) => Some(Labels::Given(labels)),
            None => request_metadata(request, report)?,
        },
        service_tier: service_tier(request, report)?,
        guardrail_config: own(request, "guardrailConfig"),
        performance_config: own(request, "performanceConfig"),
        prompt_variables: own(request, "promptVariables"),
    };
    cache::keep_supported(&mut converse, family, report)?;
    Ok(converse)
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

/// Reports what has no counterpart at the top.
fn report_rest(request: &ChatCompletionRequest<'_>, report: &mut Report) -> Result<(), ApiError> {
    let is_own =
        |name: &str| OWN_OBJECTS.contains(&name) || [OWN_FIELDS, OWN_LABELS, cache::MEMBER].contains(&name);
    for member in request.rest.iter().filter(|(name, _)| !is_own(name)) {
        report.drop_rest(Place::TOP, core::slice::from_ref(member))?;
    }
    if let Some(options) = &request.stream_options {
        report.drop_rest(Place::TOP, &options.rest)?;
    }
    for (field, is_given) in [
        ("user", request.user.is_some()),
        ("safety_identifier", request.safety_identifier.is_some()),
        (
            "metadata",
            request.metadata.is_some() && own(request, OWN_LABELS).is_some(),
        ),
    ] {
        if is_given {
            report.drop_field(field)?;
        }
    }
    Ok(())
}

/// A member of Bedrock's own.
fn own<'r>(request: &'r ChatCompletionRequest<'r>, name: &str) -> Option<&'r RawValue> {
    let member = request.rest.iter().find(|(found, _)| &**found == name);
    member.map(|(_, value)| *value)
}

/// The model's own fields: those derived, and those that the client gave, which win.
fn model_fields<'r>(
    derived: impl Iterator<Item = (&'static str, Box<RawValue>)>,
    given: Option<&'r RawValue>,
) -> Result<Members<'r>, ApiError> {
    let mut members: Vec<(Cow<'r, str>, Cow<'r, RawValue>)> = derived
        .map(|(name, value)| (Cow::Borrowed(name), Cow::Owned(value)))
        .collect();
    if let Some(given) = given {
        let given: BTreeMap<Cow<'r, str>, &'r RawValue> =
            serde_json::from_str(given.get()).map_err(|_| wrong(OWN_FIELDS.to_owned(), "an object"))?;
        members.retain(|(name, _)| !given.contains_key(name));
        members.extend(
            given
                .into_iter()
                .map(|(name, value)| (name, Cow::Borrowed(value))),
        );
    }
    Ok(Members(members))
}

fn service_tier(
    request: &ChatCompletionRequest<'_>,
    report: &mut Report,
) -> Result<Option<ServiceTier>, ApiError> {
    let kind = match request.service_tier.as_deref() {
        None | Some("auto") => return Ok(None),
        Some("default") => "default",
        Some("flex") => "flex",
        Some("priority") => "priority",
        Some("reserved") => "reserved",
        Some(_) => return report.drop_field("service_tier").map(|()| None),
    };
    Ok(Some(ServiceTier { kind }))
}

#[cfg(test)]
mod tests;
