// SPDX-License-Identifier: Apache-2.0

//! The gateway half of a request: one exchange, from the client's headers to the settled account.
//!
//! `filter` drives it with what the host reports and carries out the [`Step`] it gets back, in this order:
//! [`Exchange::on_request_headers`], [`Exchange::on_request_body`] with the whole body,
//! [`Exchange::on_response_headers`], [`Exchange::finish`]. The last is called exactly once for every exchange,
//! however it ended, so no reservation is left hanging and no usage goes uncounted.
//!
//! It never speaks a provider's dialect: what it learns of an answer it reads in the [`Handoff`].

mod account;
mod allowance;
mod ask;
mod detours;
mod endpoint;
mod explain;
mod models;
mod policy;
mod request;
mod rescue;
mod response;
#[cfg(test)]
mod tests;
mod usage;

pub use policy::Policy;

use crate::clock::Timestamp;
use crate::handoff::Handoff;
use crate::local_reply::LocalReply;
use crate::policy::auth::Principal;
use crate::policy::brought::Secret;
use crate::policy::rate_limit::Lease;
use crate::provider::Operation;
use crate::usage::estimate::PromptSize;
use std::cell::RefCell;
use std::rc::Rc;

/// The header that the rendered routes match on.
pub const ROUTE_HEADER: &str = "x-tollgate-route";

/// The header by which a client asks for an explanation.
pub(crate) const EXPLAIN_HEADER: &str = "x-tollgate-explain";

/// The header by which a client asks for `usage.cost`.
pub(crate) const COST_HEADER: &str = "x-tollgate-usage-cost";

/// The header that names the cluster where both seats are one filter.
pub const CLUSTER_HEADER: &str = "x-tollgate-cluster";

/// What the host has to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Wait until the body is whole.
    Buffer,
    /// Wait until the keys of the caller's issuer have come, or did not, and ask again.
    AwaitKeys,
    /// Answer the client; no provider is asked.
    Reply(LocalReply),
    /// Answer the client with [`Exchange::usage`], which needs the shared store.
    TellUsage,
    /// Let the request go on to its route, with these changes to its headers.
    Forward(Vec<HeaderEdit>),
}

/// One change to a header map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderEdit {
    /// Sets a header, in place of all its values.
    Set(&'static str, String),
    /// Removes a header.
    Remove(String),
}

/// What to do with an answer before it reaches the client.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// Let it pass with these changes to its headers.
    Pass(Vec<HeaderEdit>),
    /// The same, but send this body in place of the one that comes.
    Replace(Vec<HeaderEdit>, Vec<u8>),
    /// It has no body to replace: send this answer instead.
    Reply(LocalReply),
}

/// One client request and its answer.
pub struct Exchange {
    policy: Rc<Policy>,
    principal: Option<Rc<Principal>>,
    operation: Operation,
    /// The request's headers that go no further: credentials, and `x-tollgate-*`, which is ours alone.
    withheld: Vec<String>,
    /// The credentials for providers that the caller has brought.
    brought: Vec<(String, Secret)>,
    /// Whether the client wants to know what the answer costs.
    wants_cost: bool,
    /// Whether it wants an explanation and no answer.
    wants_explanation: bool,
    /// The model that the client asked for, once it is known.
    request_model: String,
    admitted: Option<Admitted>,
    /// The status of an answer that Envoy made up because no provider gave one.
    envoy_status: Option<u16>,
    refused_by: Option<&'static str>,
    refused_rule: Option<String>,
    /// Whose keys the request waits for, by the issuer's place in the configuration, and since when.
    awaits_keys: Option<(usize, Timestamp)>,
}

/// A request that holds a reservation.
struct Admitted {
    lease: Rc<Lease>,
    prompt: PromptSize,
    /// Whether the answer was to come in pieces.
    is_streaming: bool,
    input_tokens: u64,
    handoff: Rc<RefCell<Handoff>>,
}

impl Exchange {
    /// Opens an exchange.
    #[must_use]
    pub const fn new(policy: Rc<Policy>) -> Self {
        Self {
            policy,
            principal: None,
            operation: Operation::Chat,
            withheld: Vec::new(),
            brought: Vec::new(),
            wants_cost: false,
            wants_explanation: false,
            request_model: String::new(),
            admitted: None,
            envoy_status: None,
            refused_by: None,
            refused_rule: None,
            awaits_keys: None,
        }
    }

    /// The route and the cluster of a target of the first priority, by weight. Only for where both seats are one
    /// filter: elsewhere the router picks.
    #[must_use]
    pub fn pick(&self, random: u64) -> Option<(String, String)> {
        let handoff = self.admitted.as_ref()?.handoff.try_borrow().ok()?;
        let target = handoff.route.pick(random)?;
        Some((handoff.route.name.clone(), target.cluster.clone()))
    }

    /// What the provider seat needs to know, once the request was admitted.
    #[must_use]
    pub fn handoff(&self) -> Option<Rc<RefCell<Handoff>>> {
        Some(Rc::clone(&self.admitted.as_ref()?.handoff))
    }
}
