// SPDX-License-Identifier: Apache-2.0

//! `GET /v1/tollgate/usage`: the caller's own limits, what is used of them and what is left.
//!
//! A limit that does not depend on the model is told once. One that does is told for each route that the caller
//! may use and that has a counter of its own.

use super::Policy;
use crate::clock::Timestamp;
use crate::local_reply::LocalReply;
use crate::policy::access::Caller;
use crate::policy::auth::Principal;
use crate::policy::rate_limit::{Demand, LimitState, Unit};
use crate::shared_store::SharedStore;
use crate::usage::price::{pico_from_micro, usd};
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeSet;

pub(super) fn tell(
    policy: &Policy,
    principal: &Principal,
    now: Timestamp,
    store: &dyn SharedStore,
) -> LocalReply {
    let mut told = BTreeSet::new();
    let mut limits = Vec::new();
    let caller = Caller::new(principal, policy.connection.as_ref(), now);
    let allowed = policy
        .routes
        .iter()
        .filter(|route| policy.access.shows(&caller, &route.name));
    for route in allowed {
        let demand = Demand {
            principal,
            model: &route.name,
            route: &route.name,
            input_tokens: 0,
            output_tokens: 0,
            choices: 1,
            cost: None,
            output_is_guess: false,
        };
        for state in policy.limiter.judge(&demand, now, store).limits {
            if told.insert(state.key) {
                let model = state.is_per_model.then(|| route.name.clone());
                limits.push(Limit::new(&state, model));
            }
        }
    }
    let usage = Usage {
        object: "tollgate.usage",
        consumer: &principal.consumer,
        team: principal.team.as_deref(),
        limits,
    };
    LocalReply::json(200, serde_json::to_vec(&usage).unwrap_or_default())
}

#[derive(Serialize)]
struct Usage<'a> {
    object: &'static str,
    consumer: &'a str,
    team: Option<&'a str>,
    limits: Vec<Limit>,
}

/// One limit, as a client reads it.
#[derive(Serialize)]
pub(super) struct Limit {
    name: String,
    count: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    max: Option<Box<RawValue>>,
    /// Spent and held together: more than `max` where requests took more than they had reserved.
    used: Option<Box<RawValue>>,
    spent: Option<Box<RawValue>>,
    held: Option<Box<RawValue>>,
    remaining: Option<Box<RawValue>>,
    reset_seconds: f64,
    mode: &'static str,
}

impl Limit {
    pub(super) fn new(state: &LimitState, model: Option<String>) -> Self {
        let allowance = state.allowance;
        Self {
            name: state.name.clone(),
            count: state.count,
            model,
            max: amount(state.unit, allowance.limit),
            used: amount(state.unit, state.spent.saturating_add(state.held)),
            spent: amount(state.unit, state.spent),
            held: amount(state.unit, state.held),
            remaining: amount(state.unit, allowance.remaining),
            reset_seconds: allowance.reset.as_secs_f64(),
            mode: if state.is_shadow { "shadow" } else { "enforce" },
        }
    }
}

/// An amount as a JSON number: money in USD, with all of its places.
pub(super) fn amount(unit: Unit, amount: u64) -> Option<Box<RawValue>> {
    let text = match unit {
        Unit::Requests | Unit::Tokens => amount.to_string(),
        Unit::MicroUsd => usd(pico_from_micro(amount)),
    };
    RawValue::from_string(text).ok()
}
