// SPDX-License-Identifier: Apache-2.0

//! `GET /v1/models`: the routes that the caller may use.
//!
//! A pattern such as `claude-*` is listed as it is written: the gateway does not know which models stand behind
//! it (<https://platform.openai.com/docs/api-reference/models/list>). It is listed if the caller may use any of its
//! names, whatever patterns the rules have.

use super::Policy;
use crate::clock::Timestamp;
use crate::policy::access::Caller;
use crate::policy::auth::Principal;
use crate::policy::routing::Route;
use serde::Serialize;

pub(super) fn list(policy: &Policy, principal: &Principal, now: Timestamp) -> Vec<u8> {
    let caller = Caller::new(principal, policy.connection.as_ref(), now);
    let data = policy
        .routes
        .iter()
        .filter(|route| is_of_use(policy, principal, &caller, route))
        .map(|route| Model {
            id: &route.name,
            object: "model",
            created: 0,
            owned_by: route
                .targets
                .first()
                .map_or("tollgate", |target| &target.provider),
        });
    serde_json::to_vec(&List {
        object: "list",
        data: data.collect(),
    })
    .unwrap_or_default()
}

/// Whether the caller may use any name that this route serves.
fn is_of_use(policy: &Policy, principal: &Principal, caller: &Caller<'_>, route: &Route) -> bool {
    let Some(prefix) = route.name.strip_suffix('*') else {
        return policy.access.shows(caller, &route.name);
    };
    let is_served_here = |name: &str| {
        let served = policy.routes.resolve(name);
        served.is_some_and(|served| served.name == route.name)
    };
    policy
        .access
        .distinct_names(principal, prefix)
        .iter()
        .any(|name| is_served_here(name) && policy.access.shows(caller, name))
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Model<'a>>,
}

#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'a str,
}
