// SPDX-License-Identifier: Apache-2.0

//! What the two seats tell each other about one exchange.
//!
//! The seats share a VM, so they share this value in memory: the gateway seat opens it before the request is
//! routed, the provider seat of each attempt finds its target in it and writes down what happened, and the
//! gateway seat reads the outcome when it settles. Nothing of it travels in headers.

use crate::api_error::ApiError;
use crate::headers;
use crate::policy::brought::Secret;
use crate::policy::prices::Prices;
pub use crate::policy::rate_limit::Lease;
use crate::policy::routing::{Route, Target};
use crate::provider::{Operation, Tally};
use crate::usage::TokenUsage;
use crate::usage::price::usd;
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
    /// The most output tokens that each choice may have, where that is less than the client asked for.
    pub max_output_tokens: Option<u64>,
    /// How much output may pass, where a limit counts it.
    pub ceiling: Option<Ceiling>,
    /// What is reserved for the exchange, for whoever needs more of it.
    pub lease: Option<Rc<Lease>>,
    /// Where prices are found, if the client wants to know what the answer costs.
    pub prices: Option<Rc<Prices>>,
    /// How many images the prompt holds.
    pub images: u64,
    /// The request's body, for the first attempt: what the gateway seat has read need not be read again.
    body: Option<Vec<u8>>,
    /// How many attempts have begun.
    pub attempts: u32,
    /// The latest attempt.
    pub attempt: Option<AttemptRecord>,
    /// The attempts before it, all of which have failed. What they have cost is the client's to pay.
    pub failed_attempts: Vec<AttemptRecord>,
}

/// How much output may pass before the answer is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// Output tokens that are reserved, of all choices together.
    pub output_tokens: u64,
    /// Bytes that a thousand output tokens usually take, for providers whose events hold several tokens.
    pub bytes_per_thousand: u64,
    /// Bytes that a thousand output tokens take at least.
    pub least_bytes_per_thousand: u64,
    /// The output tokens that a thousand events hold at most.
    pub most_per_thousand_events: u64,
    /// The output tokens that were first reserved, where the client has set no bound: then more may be reserved as
    /// the answer goes on.
    pub output_guess: Option<u64>,
    /// How many choices were asked for.
    pub choices: u64,
    /// Input tokens, estimated: what a stopped answer tells of its input if the provider has not reported it.
    pub input_tokens: u64,
}

/// What has passed of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputSeen {
    /// Events with output, for each holds a token at least.
    pub events: u64,
    /// The most that these can have been, where several may come as one.
    pub most_events: u64,
    /// Bytes of output.
    pub bytes: u64,
    /// Output tokens that the provider itself has told of.
    pub reported: u64,
}

/// How many times the bytes of the usual output may pass before an answer with a bound is stopped for them.
const BYTES_TO_SPARE: u64 = 2;

/// Bytes that each choice may have beyond that. A few tokens tell nothing of what is usual: a word of twenty
/// letters may be a single one.
const LEAST_BYTES: u64 = 256;

impl Ceiling {
    /// How many output tokens more an answer without a bound needs for what has passed. Nobody but the gateway stops
    /// it, so this goes by the most tokens that it can have been. 0: there is room.
    #[must_use]
    pub fn needed(&self, seen: OutputSeen) -> u64 {
        let by_bytes = thousandfold(seen.bytes)
            .checked_div(self.least_bytes_per_thousand)
            .unwrap_or(0);
        let by_events = seen.most_events.saturating_mul(self.most_per_thousand_events) / 1_000;
        let at_most = by_bytes.min(by_events);
        at_most.max(seen.at_least()).saturating_sub(self.output_tokens)
    }

    /// Whether what has passed is more than may. A provider that was told its bound keeps it by its own count, so it
    /// is stopped only where it clearly does not.
    #[must_use]
    pub fn is_exceeded(&self, seen: OutputSeen) -> bool {
        if self.output_guess.is_some() {
            return self.needed(seen) > 0;
        }
        let usual = self.output_tokens.saturating_mul(self.bytes_per_thousand) / 1_000;
        let most_bytes = usual
            .saturating_mul(BYTES_TO_SPARE)
            .saturating_add(LEAST_BYTES.saturating_mul(self.choices));
        seen.at_least() > self.output_tokens || seen.bytes > most_bytes
    }
}

impl OutputSeen {
    fn at_least(self) -> u64 {
        self.events.max(self.reported)
    }
}

const fn thousandfold(number: u64) -> u64 {
    number.saturating_mul(1_000)
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
    /// How many events with output have been seen, each at least a token, if they were counted.
    pub output_events: u64,
    /// How many bytes were seen of a successful answer that could not be read; `None` where that is not what happened.
    pub unread_bytes: Option<u64>,
    /// Whether the answer had trailers and no body: then the host has no place for one.
    pub has_only_trailers: bool,
    /// Whether this provider was not asked, because it cannot serve such a request.
    pub is_refused: bool,
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
    /// Signs of life have been passed on, and no content.
    Alive,
    /// Content has been passed on.
    Answering,
    /// The answer was stopped, because its limit has no more.
    Stopped,
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
            max_output_tokens: None,
            ceiling: None,
            lease: None,
            prices: None,
            images: 0,
            body: None,
            attempts: 0,
            attempt: None,
            failed_attempts: Vec::new(),
        }
    }

    /// The credential that the caller has brought for this provider.
    #[must_use]
    pub fn brought_credential(&self, provider: &str) -> Option<&str> {
        let found = self.brought.iter().find(|(name, _)| name == provider);
        found.map(|(_, secret)| secret.expose())
    }

    /// Begins another attempt.
    pub fn begin(&mut self, attempt: AttemptRecord) {
        self.failed_attempts.extend(self.attempt.replace(attempt));
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

    /// Lets so many output tokens more pass.
    pub const fn raise_ceiling(&mut self, output_tokens: u64) {
        if let Some(ceiling) = self.ceiling.as_mut() {
            ceiling.output_tokens = ceiling.output_tokens.saturating_add(output_tokens);
        }
    }

    /// What the present attempt costs in USD with this usage, if the client asked for that and a price is known.
    #[must_use]
    pub fn cost(&self, usage: &TokenUsage) -> Option<String> {
        let attempt = self.attempt.as_ref()?;
        let price = self
            .prices
            .as_ref()?
            .find(&attempt.provider, &attempt.upstream_model)?;
        Some(usd(price.cost(usage, self.images)))
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
