// SPDX-License-Identifier: Apache-2.0

//! `x-tollgate-explain: true`: what would become of a request, and why, without asking a provider.
//!
//! Nothing is reserved and nothing is counted. Only principals of the `explain` section may ask. What would be refused
//! is explained like anything else, as far as it was judged: a model that is not known has no route and no limits.

use super::request::Estimate;
use super::rescue;
use super::usage::{Limit, amount};
use crate::api_error::ApiError;
use crate::local_reply::LocalReply;
use crate::policy::auth::Principal;
use crate::policy::rate_limit::Judgement;
use crate::policy::routing::Route;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// A request for a model that is known.
pub(super) struct Explained<'a> {
    pub(super) route: &'a Route,
    pub(super) estimate: &'a Estimate,
    pub(super) judgement: &'a Judgement,
    /// The rule that lets the principal make the request, by its place.
    pub(super) access_rule: Option<usize>,
    /// The rule that forbids it, by its name or place.
    pub(super) denied_by: Option<&'a str>,
}

/// Explains a request. `refusal` is why it would be refused, limits aside.
pub(super) fn explain(
    principal: &Principal,
    model: &str,
    explained: Option<Explained<'_>>,
    refusal: Option<&ApiError>,
) -> LocalReply {
    let refusal = refusal.map(LocalReply::from);
    let judgement = explained.as_ref().map(|explained| explained.judgement);
    let verdict = judgement.map(|judgement| &judgement.verdict);
    let refused_by_limit = || verdict?.as_ref().err().map(rescue::refused);
    let refusal = refusal.or_else(refused_by_limit);
    let refusal = refusal.and_then(|reply| RawValue::from_string(String::from_utf8(reply.body).ok()?).ok());
    let is_admitted = refusal.is_none();
    let (output_tokens, clamped) = match verdict {
        Some(Ok(fit)) if is_admitted => *fit,
        Some(_) | None => (0, false),
    };
    let states = judgement.map_or(&[][..], |judgement| &judgement.limits);
    let limits = states.iter().map(|state| ExplainedLimit {
        limit: Limit::new(state, None),
        asked: amount(state.unit, state.asked),
        admits: state.wait.is_none(),
        wait_seconds: state.wait.map(|wait| wait.as_secs_f64()),
    });
    let route = explained.as_ref().map(|explained| ExplainedRoute {
        name: &explained.route.name,
        targets: targets(explained.route, model),
    });
    let explanation = Explanation {
        object: "tollgate.explanation",
        principal: ExplainedPrincipal {
            consumer: &principal.consumer,
            team: principal.team.as_deref(),
            labels: &principal.labels,
        },
        access_rule: explained.as_ref().and_then(|explained| explained.access_rule),
        denied_by: explained.as_ref().and_then(|explained| explained.denied_by),
        model,
        route,
        estimate: explained.as_ref().map(|explained| explained.estimate),
        limits: limits.collect(),
        decision: Decision {
            admitted: is_admitted,
            output_tokens,
            clamped,
            refusal,
        },
    };
    LocalReply::json(200, serde_json::to_vec(&explanation).unwrap_or_default())
}

fn targets<'a>(route: &'a Route, model: &'a str) -> Vec<ExplainedTarget<'a>> {
    let explained = route.targets.iter().map(|target| ExplainedTarget {
        provider: &target.provider,
        model: target.model.as_deref().unwrap_or(model),
        cluster: &target.cluster,
        priority: target.priority,
        weight: target.weight,
    });
    explained.collect()
}

#[derive(Serialize)]
struct Explanation<'a> {
    object: &'static str,
    principal: ExplainedPrincipal<'a>,
    /// The first access rule that lets the principal use the model, by its place; null if there are none at all.
    access_rule: Option<usize>,
    /// The rule that denies it, by its name or its place; `default` if no rule allows it.
    denied_by: Option<&'a str>,
    model: &'a str,
    route: Option<ExplainedRoute<'a>>,
    estimate: Option<&'a Estimate>,
    limits: Vec<ExplainedLimit>,
    decision: Decision,
}

#[derive(Serialize)]
struct ExplainedPrincipal<'a> {
    consumer: &'a str,
    team: Option<&'a str>,
    labels: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
struct ExplainedRoute<'a> {
    name: &'a str,
    targets: Vec<ExplainedTarget<'a>>,
}

#[derive(Serialize)]
struct ExplainedTarget<'a> {
    provider: &'a str,
    model: &'a str,
    cluster: &'a str,
    priority: u32,
    weight: u32,
}

#[derive(Serialize)]
struct ExplainedLimit {
    #[serde(flatten)]
    limit: Limit,
    asked: Option<Box<RawValue>>,
    admits: bool,
    wait_seconds: Option<f64>,
}

#[derive(Serialize)]
struct Decision {
    admitted: bool,
    output_tokens: u64,
    clamped: bool,
    refusal: Option<Box<RawValue>>,
}
