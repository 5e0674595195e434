// SPDX-License-Identifier: Apache-2.0

//! `x-tollgate-explain: true`: what would become of a request, and why, without asking a provider.
//!
//! Nothing is reserved and nothing is counted. Only principals of the `explain` section may ask.

use super::request::Estimate;
use super::rescue;
use super::usage::{Limit, amount};
use crate::local_reply::LocalReply;
use crate::policy::auth::Principal;
use crate::policy::rate_limit::Judgement;
use crate::policy::routing::Route;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The request, as far as it was understood.
pub(super) struct Explained<'a> {
    pub(super) principal: &'a Principal,
    pub(super) model: &'a str,
    pub(super) route: &'a Route,
    pub(super) estimate: &'a Estimate,
    pub(super) judgement: &'a Judgement,
    /// The rule that lets the principal make the request, by its place.
    pub(super) access_rule: Option<usize>,
}

pub(super) fn explain(explained: &Explained<'_>) -> LocalReply {
    let Explained {
        principal,
        model,
        route,
        estimate,
        judgement,
        access_rule,
    } = explained;
    let limits = judgement.limits.iter().map(|state| ExplainedLimit {
        limit: Limit::new(state, None),
        asked: amount(state.unit, state.asked),
        admits: state.wait.is_none(),
        wait_seconds: state.wait.map(|wait| wait.as_secs_f64()),
    });
    let targets = route.targets.iter().map(|target| ExplainedTarget {
        provider: &target.provider,
        model: target.model.as_deref().unwrap_or(model),
        cluster: &target.cluster,
        priority: target.priority,
        weight: target.weight,
    });
    let (output_tokens, clamped) = *judgement.verdict.as_ref().unwrap_or(&(0, false));
    let refusal = judgement
        .verdict
        .as_ref()
        .err()
        .map(rescue::refused)
        .and_then(|reply| RawValue::from_string(String::from_utf8(reply.body).ok()?).ok());
    let explanation = Explanation {
        object: "tollgate.explanation",
        principal: ExplainedPrincipal {
            consumer: &principal.consumer,
            team: principal.team.as_deref(),
            labels: &principal.labels,
        },
        access_rule: *access_rule,
        model,
        route: ExplainedRoute {
            name: &route.name,
            targets: targets.collect(),
        },
        estimate,
        limits: limits.collect(),
        decision: Decision {
            admitted: judgement.verdict.is_ok(),
            output_tokens,
            clamped,
            refusal,
        },
    };
    LocalReply::json(200, serde_json::to_vec(&explanation).unwrap_or_default())
}

#[derive(Serialize)]
struct Explanation<'a> {
    object: &'static str,
    principal: ExplainedPrincipal<'a>,
    /// The first access rule that lets the principal use the model, by its place; null if there are none at all.
    access_rule: Option<usize>,
    model: &'a str,
    route: ExplainedRoute<'a>,
    estimate: &'a Estimate,
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
