// SPDX-License-Identifier: Apache-2.0

//! The request: who calls, for what, and whether there is room for it.

use super::EXPLAIN_HEADER;
use super::ask::Ask;
use super::endpoint::Endpoint;
use super::explain::{Explained, explain};
use super::{
    Admitted, COST_HEADER, Exchange, HeaderEdit, Policy, ROUTE_HEADER, Step, allowance, models, rescue, usage,
};
use crate::api_error::ApiError;
use crate::clock::Timestamp;
use crate::handoff::{Ceiling, Handoff};
use crate::headers::Headers;
use crate::local_reply::LocalReply;
use crate::policy::access::Caller;
use crate::policy::auth::Deny;
use crate::policy::rate_limit::{Demand, Lease, Refusal, Reservation};
use crate::policy::routing::Route;
use crate::shared_store::SharedStore;
use crate::usage::estimate::Prediction;
use core::time::Duration;
use serde::Serialize;
use std::cell::RefCell;
use std::rc::Rc;

/// How long a request waits for its issuer's keys.
const LONGEST_KEY_WAIT: Duration = Duration::from_secs(10);

/// Output tokens to reserve for a request without a bound, while nothing was learned and nothing configured.
const EXPECTED_OUTPUT_TOKENS: u32 = 1024;

/// How many times the usual output is reserved for an answer without a bound that comes whole.
const OUTPUT_TO_SPARE: u64 = 4;

/// An output bound that providers accept of any model.
const ALWAYS_ALLOWED: u64 = 4096;

impl Exchange {
    /// The path to go on with, if the one that came carries a credential.
    #[must_use]
    pub fn path_without_credential(&self, path: &[u8]) -> Option<String> {
        self.policy
            .credential_sources
            .without_credential(core::str::from_utf8(path).ok()?)
    }

    /// Judges a request by its headers. `has_body` tells whether a body follows.
    pub fn on_request_headers(&mut self, headers: &Headers, has_body: bool, now: Timestamp) -> Step {
        self.withheld = headers
            .iter()
            .filter_map(|(name, _)| withheld_name(name, &self.policy))
            .collect();
        self.read_headers(headers, has_body, now)
            .unwrap_or_else(|error| self.refuse(&error))
    }

    fn read_headers(&mut self, headers: &Headers, has_body: bool, now: Timestamp) -> Result<Step, ApiError> {
        let method = headers.str(":method").unwrap_or_default();
        let endpoint = Endpoint::find(method, headers.str(":path").unwrap_or_default())?;
        if endpoint == Endpoint::Health {
            return Ok(Step::Reply(LocalReply::json(200, br#"{"status":"ok"}"#.to_vec())));
        }
        let outcome = match self.policy.authenticator.try_borrow_mut() {
            Ok(mut authenticator) => {
                let asked_at = self.awaits_keys.map_or(now, |(_, since)| since);
                authenticator.authenticate_waiting(headers, asked_at, now)
            }
            Err(_) => return Err(rescue::unreachable()),
        };
        let principal = match outcome {
            Ok(principal) => principal,
            Err(Deny::KeysAwaited(issuer)) if self.may_await_keys(issuer, now) => return Ok(Step::AwaitKeys),
            Err(deny) => return Err(self.unauthenticated(deny)),
        };
        self.principal = Some(Rc::clone(&principal));
        if endpoint == Endpoint::Usage {
            return Ok(Step::TellUsage);
        }
        let Endpoint::Inference(operation) = endpoint else {
            return Ok(Step::Reply(LocalReply::json(
                200,
                models::list(&self.policy, &principal, now),
            )));
        };
        self.operation = operation;
        self.brought = self
            .policy
            .brought_headers
            .find(headers)
            .map_err(|header| rescue::bad_provider_credential(&header))?;
        if headers.str(EXPLAIN_HEADER) == Some("true") {
            if !self.policy.may_explain(&principal) {
                return Err(rescue::explain_not_allowed());
            }
            self.wants_explanation = true;
        }
        self.wants_cost = headers.str(COST_HEADER) == Some("true");
        if headers
            .get("content-encoding")
            .is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity"))
        {
            return Err(rescue::compressed_request());
        }
        let length = headers
            .str("content-length")
            .and_then(|length| length.parse::<u64>().ok());
        if length.is_some_and(|length| length > u64::from(self.policy.bounds.max_request_body_bytes.0)) {
            return Err(rescue::too_large(&self.policy.bounds));
        }
        if has_body {
            Ok(Step::Buffer)
        } else {
            Ask::read(operation, b"").map(|_| Step::Buffer)
        }
    }

    fn may_await_keys(&mut self, issuer: usize, now: Timestamp) -> bool {
        let (_, since) = *self.awaits_keys.get_or_insert((issuer, now));
        now.since(since) < LONGEST_KEY_WAIT
    }

    /// Stops waiting for the issuer's keys, for too many wait.
    pub fn on_no_room_to_wait(&mut self) -> Step {
        let error = match self.awaits_keys {
            Some((issuer, _)) => self.unauthenticated(Deny::KeysUnavailable(issuer)),
            None => rescue::unreachable(),
        };
        self.refuse(&error)
    }

    fn unauthenticated(&mut self, deny: Deny) -> ApiError {
        self.refused_by = Some("authentication");
        self.refused_rule = Some(deny.code().to_owned());
        if let Deny::KeysAwaited(place) | Deny::KeysUnavailable(place) = deny {
            let authenticator = self.policy.authenticator.try_borrow().ok();
            let issuer = authenticator.as_ref().and_then(|keeper| keeper.issuer(place));
            return rescue::keys_unavailable(issuer);
        }
        if matches!(deny, Deny::TooManyFailures | Deny::TooManyVerifications) {
            return rescue::too_many_verifications(deny);
        }
        rescue::unauthenticated(deny)
    }

    /// Whether `bytes` of a body are more than may be read. The answer to it is [`Exchange::on_body_too_large`].
    #[must_use]
    pub fn is_too_large(&self, bytes: usize) -> bool {
        u32::try_from(bytes).map_or(true, |bytes| bytes > self.policy.bounds.max_request_body_bytes.0)
    }

    /// Refuses a body that is larger than may be read.
    pub fn on_body_too_large(&mut self) -> Step {
        let error = rescue::too_large(&self.policy.bounds);
        self.refuse(&error)
    }

    /// Judges a request by its whole body, and admits it.
    pub fn on_request_body(&mut self, body: Vec<u8>, now: Timestamp, store: &dyn SharedStore) -> Step {
        match self.admit(&body, now, store) {
            Ok(step) => {
                if let Some(Ok(mut handoff)) = self
                    .admitted
                    .as_ref()
                    .map(|admitted| admitted.handoff.try_borrow_mut())
                {
                    handoff.keep_body(body);
                }
                step
            }
            Err(error) => self.refuse(&error),
        }
    }

    fn admit(&mut self, body: &[u8], now: Timestamp, store: &dyn SharedStore) -> Result<Step, ApiError> {
        let principal = self.principal.clone().ok_or_else(rescue::unreachable)?;
        let ask = Ask::read(self.operation, body)?;
        self.request_model = ask.model.clone().into_owned();
        let policy = Rc::clone(&self.policy);
        let Some(route) = policy.routes.resolve(&ask.model) else {
            let error = rescue::unknown_model(&ask.model);
            if self.wants_explanation {
                return Ok(Step::Reply(explain(&principal, &ask.model, None, Some(&error))));
            }
            return Err(error);
        };
        let estimate = self.estimate(&ask, route, store);
        let caller = Caller::new(&principal, policy.connection.as_ref(), now);
        let asked = ask.as_use(self.operation, estimate.prediction.input_tokens);
        let demand = Demand {
            principal: &principal,
            model: &ask.model,
            route: &route.name,
            input_tokens: estimate.prediction.input_bound,
            output_tokens: estimate.output_tokens,
            choices: ask.n,
            cost: policy.cost_bound(
                route,
                &ask.model,
                estimate.prediction.input_bound,
                ask.prompt.images,
            ),
            output_is_guess: estimate.output_is_guess,
        };
        let refused = policy.access.check(&caller, &asked).err();
        let refusal = match &refused {
            Some(refused) => Some(rescue::access_denied(&ask.model, refused.reason)),
            None => policy.check_detours(&ask.detours, &demand).err(),
        };
        let refused_by = refused.map(|refused| refused.rule.unwrap_or_else(|| "default".to_owned()));
        if self.wants_explanation {
            let explained = Explained {
                route,
                estimate: &estimate,
                judgement: &policy.limiter.judge(&demand, now, store),
                access_rule: policy.access.rule_for(&caller, &asked),
                denied_by: refused_by.as_deref(),
            };
            let reply = explain(&principal, &ask.model, Some(explained), refusal.as_ref());
            return Ok(Step::Reply(reply));
        }
        if let Some(error) = refusal {
            self.refused_by = refused_by.as_ref().map(|_| "access");
            self.refused_rule = refused_by;
            return Err(error);
        }
        let reservation = match policy.limiter.reserve(&demand, now, store) {
            Ok(reservation) => reservation,
            Err(refusal) => return Ok(self.refuse_by_limit(&refusal)),
        };
        let mut handoff = self.open(&ask, route, &estimate, &reservation, now);
        handoff.brought = core::mem::take(&mut self.brought);
        if policy.brought_headers.are_for_teams {
            handoff.team.clone_from(&principal.team);
        }
        let lease = Rc::new(Lease::new(Rc::clone(&policy.limiter), reservation));
        handoff.lease = Some(Rc::clone(&lease));
        self.admitted = Some(Admitted {
            lease,
            prompt: ask.prompt,
            is_streaming: ask.is_streaming,
            input_tokens: estimate.prediction.input_tokens,
            handoff: Rc::new(RefCell::new(handoff)),
        });
        Ok(Step::Forward(self.forward(&route.name)))
    }

    /// What the provider seat has to know of a request.
    fn open(
        &self,
        ask: &Ask<'_>,
        route: &Rc<Route>,
        estimate: &Estimate,
        reservation: &Reservation,
        now: Timestamp,
    ) -> Handoff {
        let mut handoff = Handoff::new(
            Rc::clone(route),
            self.operation,
            ask.model.clone().into_owned(),
            now.as_secs(),
            allowance::of(reservation),
        );
        if reservation.is_clamped() {
            let cap = reservation.output_tokens() / ask.n.max(1);
            handoff.max_output_tokens = Some(cap);
            handoff.allowances.push(allowance::clamped(cap));
        } else if ask.max_output_tokens.is_none() {
            handoff.max_output_tokens = route.default_max_output_tokens.map(u64::from);
            // Nobody can stop an answer that comes whole, so its provider has to know what is reserved for it.
            if handoff.max_output_tokens.is_none() && reservation.bounds_output() && !ask.is_streaming {
                let cap = (reservation.output_tokens() / ask.n.max(1)).max(1);
                handoff.max_output_tokens = Some(cap);
                if reservation.output_tokens() < estimate.output_tokens {
                    handoff.allowances.push(allowance::clamped(cap));
                }
            }
        }
        if self.wants_cost {
            handoff.prices = Some(Rc::clone(&self.policy.prices));
            handoff.images = ask.prompt.images;
        }
        if reservation.bounds_output() {
            let output_tokens = reservation.output_tokens();
            handoff.ceiling = Some(Ceiling {
                output_tokens,
                bytes_per_thousand: estimate.prediction.bytes_of_output(1_000),
                least_bytes_per_thousand: thousandfold(estimate.prediction.least_bytes_per_output_token),
                most_per_thousand_events: thousandfold(estimate.prediction.most_tokens_per_event),
                output_guess: estimate.output_is_guess.then_some(output_tokens),
                choices: ask.n,
                input_tokens: estimate.prediction.input_tokens,
            });
        }
        handoff
    }

    /// What a request will cost, as far as that can be known, and what it may cost.
    fn estimate(&self, ask: &Ask<'_>, route: &Route, store: &dyn SharedStore) -> Estimate {
        let estimator = &self.policy.estimator;
        let provider_models = route.targets.iter().map(|target| target.index);
        let expected = u64::from(route.expected_output_tokens.unwrap_or(EXPECTED_OUTPUT_TOKENS));
        let bound = ask
            .max_output_tokens
            .or_else(|| route.default_max_output_tokens.map(u64::from));
        let mut prediction = estimator.predict_any(provider_models, ask.prompt, store);
        prediction.input_tokens = prediction.input_tokens.saturating_add(ask.input_ids);
        prediction.input_bound = prediction.input_bound.saturating_add(ask.input_ids);
        let output_tokens = bound.unwrap_or_else(|| guess(&prediction, expected, ask.is_streaming));
        Estimate {
            output_tokens: output_tokens.saturating_mul(ask.n),
            output_is_guess: bound.is_none(),
            prompt_bytes: ask.prompt.text_bytes,
            prompt_images: ask.prompt.images,
            prompt_audio_bytes: ask.prompt.audio_bytes,
            prompt_file_bytes: ask.prompt.file_bytes,
            prompt_schema_bytes: ask.prompt.schema_bytes,
            prediction,
        }
    }

    /// Tells the caller its own limits.
    pub fn usage(&mut self, now: Timestamp, store: &dyn SharedStore) -> Step {
        match &self.principal {
            Some(principal) => Step::Reply(usage::tell(&self.policy, principal, now, store)),
            None => self.refuse(&rescue::unreachable()),
        }
    }

    fn forward(&mut self, route: &str) -> Vec<HeaderEdit> {
        let mut edits: Vec<_> = core::mem::take(&mut self.withheld)
            .into_iter()
            .map(HeaderEdit::Remove)
            .collect();
        edits.push(HeaderEdit::Set(ROUTE_HEADER, route.to_owned()));
        edits
    }

    fn refuse_by_limit(&mut self, refusal: &Refusal) -> Step {
        let (Refusal::Exceeded { limit, .. }
        | Refusal::TooLarge { limit, .. }
        | Refusal::Unpriced { limit, .. }) = refusal;
        self.refused_by = Some("limit");
        self.refused_rule = Some(limit.clone());
        Step::Reply(rescue::refused(refusal))
    }

    fn refuse(&mut self, error: &ApiError) -> Step {
        self.refused_by.get_or_insert(match error.status {
            401 => "authentication",
            403 => "access",
            _ => "request",
        });
        self.refused_rule.get_or_insert_with(|| error.rule().to_owned());
        Step::Reply(error.into())
    }
}

/// The output to reserve for each answer to a request without a bound. What a stream usually takes is enough to begin
/// with, for more can be had on the way. An answer that comes whole is cut at what is reserved for it, so that has to
/// be what such answers hardly ever take, but never more than a provider is sure to allow: what it has served before,
/// or what the oldest models allow.
fn guess(prediction: &Prediction, expected: u64, is_streaming: bool) -> u64 {
    let usual = prediction.expected_output_tokens.unwrap_or(expected).max(1);
    if is_streaming {
        return usual;
    }
    let largest = prediction.largest_output_tokens.unwrap_or(0);
    usual
        .saturating_mul(OUTPUT_TO_SPARE)
        .min(largest.max(ALWAYS_ALLOWED))
        .max(largest)
        .max(usual)
}

fn thousandfold(figure: f64) -> u64 {
    (figure * 1_000.0) as u64
}

/// What a request will cost, as far as that can be known, and on what that rests.
#[derive(Serialize)]
pub(super) struct Estimate {
    output_tokens: u64,
    output_is_guess: bool,
    prompt_bytes: u64,
    prompt_images: u64,
    prompt_audio_bytes: u64,
    prompt_file_bytes: u64,
    prompt_schema_bytes: u64,
    #[serde(flatten)]
    prediction: Prediction,
}

/// A header of the client's that goes no further: its credential, and what only the gateway may set.
fn withheld_name(name: &[u8], policy: &Policy) -> Option<String> {
    let name = core::str::from_utf8(name).ok()?;
    let is_secret =
        policy.credential_sources.is_credential_header(name) || policy.brought_headers.contain(name);
    (name.starts_with("x-tollgate-") || is_secret).then(|| name.to_owned())
}
