// SPDX-License-Identifier: Apache-2.0

//! What the two seats tell each other about one exchange.
//!
//! The seats share a VM, so they share this value in memory: the gateway seat opens it before the request is
//! routed, the provider seat of each attempt finds its target in it and writes down what happened, and the
//! gateway seat reads the outcome when it settles. Nothing of it travels in headers.

use crate::api_error::ApiError;
use crate::headers;
use crate::policy::brought::Secret;
use crate::policy::routing::{Route, Target};
use crate::provider::{Operation, Tally};
use std::borrow::Cow;
use std::rc::Rc;

/// The header that tells the client who served, and the gateway seat that a provider seat has spoken: an answer
/// without it was made up by Envoy.
pub const PROVIDER_HEADER: &str = "x-tollgate-provider";

/// One exchange, as both seats see it.
#[derive(Debug)]
pub struct Handoff {
    /// The route that serves the exchange.
    pub route: Rc<Route>,
    /// What the request is for.
    pub operation: Operation,
    /// The model that the client asked for.
    pub request_model: String,
    /// When the exchange began, in Unix seconds: `created` of answers whose provider reports none.
    pub created: u64,
    /// What the client is told of its limits.
    pub allowances: Vec<(&'static str, String)>,
    /// The caller's team, where a provider may have a credential for it.
    pub team: Option<String>,
    /// The credentials that the caller has brought, by provider.
    pub brought: Vec<(String, Secret)>,
    /// The path that the client asked for, where the provider seat has to put it back for access logs and traces.
    pub path_to_restore: Option<Vec<u8>>,
    /// The request's body, for the first attempt: what the gateway seat has read need not be read again.
    body: Option<Vec<u8>>,
    /// How many attempts have begun.
    pub attempts: u32,
    /// The latest attempt.
    pub attempt: Option<AttemptRecord>,
}

/// One attempt, as it stands.
#[derive(Debug)]
pub struct AttemptRecord {
    /// The provider, as configured.
    pub provider: Rc<str>,
    /// The model, as the provider names it.
    pub upstream_model: String,
    /// The target's index for the estimator.
    pub provider_model: usize,
    /// Request fields that were left out.
    pub dropped: Vec<Cow<'static, str>>,
    /// Request fields that were served in the provider's own way.
    pub approximated: Vec<Cow<'static, str>>,
    /// What has been seen of the answer.
    pub tally: Tally,
    /// Whose credential it presents.
    pub credential_owner: CredentialOwner,
    /// How far the attempt has come.
    pub phase: Phase,
}

/// Whose credential an attempt presents, and so who pays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CredentialOwner {
    /// The gateway's own, or none at all.
    #[default]
    Gateway,
    /// The caller's team's.
    Team,
    /// The caller's own.
    Caller,
}

impl CredentialOwner {
    /// The word in access logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Team => "team",
            Self::Caller => "caller",
        }
    }
}

/// How far an attempt has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing has come back.
    Waiting,
    /// An answer has begun, and nothing of it has been passed on.
    Begun,
    /// Content has been passed on.
    Answering,
    /// The provider has answered in full.
    Complete,
    /// The attempt failed, before or after content.
    Failed(ApiError),
}

impl Handoff {
    /// Opens an exchange.
    #[must_use]
    pub const fn new(
        route: Rc<Route>,
        operation: Operation,
        request_model: String,
        created: u64,
        allowances: Vec<(&'static str, String)>,
    ) -> Self {
        Self {
            route,
            operation,
            request_model,
            created,
            allowances,
            team: None,
            brought: Vec::new(),
            path_to_restore: None,
            body: None,
            attempts: 0,
            attempt: None,
        }
    }

    /// The credential that the caller has brought for this provider.
    #[must_use]
    pub fn brought_credential(&self, provider: &str) -> Option<&str> {
        let found = self.brought.iter().find(|(name, _)| name == provider);
        found.map(|(_, secret)| secret.expose())
    }

    /// Keeps the request's body for the first attempt.
    pub fn keep_body(&mut self, body: Vec<u8>) {
        self.body = Some(body);
    }

    /// The body that was kept, if it is what the host now holds. A filter between the seats that rewrites a body
    /// into another of the same length is not noticed.
    pub fn take_body(&mut self, size: usize) -> Option<Vec<u8>> {
        self.body.take().filter(|body| body.len() == size)
    }

    /// Our own headers of the answer: who served, and what is left of the limits. The provider seat sends them
    /// with the headers that it sets anyhow, which spares the gateway seat a call to the host for each.
    #[must_use]
    pub fn answer_headers(&self) -> Vec<(&'static str, String)> {
        let mut own = self.allowances.clone();
        own.push(("x-tollgate-attempts", self.attempts.to_string()));
        if let Some(attempt) = &self.attempt {
            own.push((PROVIDER_HEADER, attempt.provider.to_string()));
            own.push(("x-tollgate-model", headers::value(&attempt.upstream_model)));
            let told = [
                ("x-tollgate-dropped", &attempt.dropped),
                ("x-tollgate-approximated", &attempt.approximated),
            ];
            for (name, fields) in told {
                if !fields.is_empty() {
                    own.push((name, headers::value(&fields.join(","))));
                }
            }
        }
        own
    }

    /// Whether no further group of targets is left for a retry.
    #[must_use]
    pub fn is_last_attempt(&self) -> bool {
        usize::try_from(self.attempts).is_ok_and(|attempts| attempts >= self.route.groups().count())
    }

    /// The target that `cluster` serves on this route, and the model's name there.
    #[must_use]
    pub fn target(&self, cluster: &str) -> Option<(&Target, &str)> {
        let target = self.route.target(cluster)?;
        Some((target, target.model.as_deref().unwrap_or(&self.request_model)))
    }
}
