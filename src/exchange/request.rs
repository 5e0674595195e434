// SPDX-License-Identifier: Apache-2.0

//! The request: who calls, for what, and whether there is room for it.

use super::EXPLAIN_HEADER;
use super::ask::Ask;
use super::endpoint::Endpoint;
use super::explain::{Explained, explain};
use super::response::BYTES_TO_SPARE;
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
            .unwrap_or_else(|reply| self.refuse(reply))
    }

    fn read_headers(
        &mut self,
        headers: &Headers,
        has_body: bool,
        now: Timestamp,
    ) -> Result<Step, LocalReply> {
        let method = headers.str(":method").unwrap_or_default();
        let endpoint = Endpoint::find(method, headers.str(":path").unwrap_or_default())?;
        if endpoint == Endpoint::Health {
            return Ok(Step::Reply(LocalReply::json(200, br#"{"status":"ok"}"#.to_vec())));
        }
        let outcome = match self.policy.authenticator.try_borrow_mut() {
            Ok(mut authenticator) => {
                let asked_at = self.awaits_keys_since.unwrap_or(now);
                authenticator.authenticate_waiting(headers, asked_at, now)
            }
            Err(_) => return Err(rescue::unreachable().into()),
        };
        let principal = match outcome {
            Ok(principal) => principal,
            Err(Deny::KeysAwaited(_)) if self.may_await_keys(now) => return Ok(Step::AwaitKeys),
            Err(deny) => return Err(self.unauthenticated(deny).into()),
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
                return Err(rescue::explain_not_allowed().into());
            }
            self.wants_explanation = true;
        }
        self.wants_cost = headers.str(COST_HEADER) == Some("true");
        if headers
            .get("content-encoding")
            .is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity"))
        {
            return Err(rescue::compressed_request().into());
        }
        let length = headers
            .str("content-length")
            .and_then(|length| length.parse::<u64>().ok());
        if length.is_some_and(|length| length > u64::from(self.policy.bounds.max_request_body_bytes.0)) {
            return Err(rescue::too_large(&self.policy.bounds).into());
        }
        if has_body {
            Ok(Step::Buffer)
        } else {
            Ok(Ask::read(operation, b"").map(|_| Step::Buffer)?)
        }
    }

    fn may_await_keys(&mut self, now: Timestamp) -> bool {
        now.since(*self.awaits_keys_since.get_or_insert(now)) < LONGEST_KEY_WAIT
    }

    /// Stops waiting for the issuer's keys.
    pub fn on_no_room_to_wait(&mut self) -> Step {
        let error = rescue::keys_unavailable(None);
        self.refused_by = Some("authentication");
        self.refused_rule = Some(Deny::KeysUnavailable(0).code().to_owned());
        self.refuse(error.into())
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
        self.refuse(error.into())
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
            Err(reply) => self.refuse(reply),
        }
    }

    fn admit(&mut self, body: &[u8], now: Timestamp, store: &dyn SharedStore) -> Result<Step, LocalReply> {
        let principal = self.principal.clone().ok_or_else(rescue::unreachable)?;
        let ask = Ask::read(self.operation, body)?;
        self.request_model = ask.model.clone().into_owned();
        let policy = Rc::clone(&self.policy);
        let route = policy
            .routes
            .resolve(&ask.model)
            .ok_or_else(|| rescue::unknown_model(&ask.model))?;
        let estimate = self.estimate(&ask, route, store);
        let caller = Caller::new(&principal, policy.connection.as_ref(), now);
        let asked = ask.as_use(self.operation, estimate.prediction.input_tokens);
        policy.access.check(&caller, &asked).map_err(|refused| {
            self.refused_by = Some("access");
            self.refused_rule = Some(refused.rule.unwrap_or_else(|| "default".to_owned()));
            rescue::access_denied(&ask.model, refused.reason)
        })?;
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
        if self.wants_explanation {
            let judgement = policy.limiter.judge(&demand, now, store);
            let explained = Explained {
                principal: &principal,
                model: &ask.model,
                route,
                estimate: &estimate,
                judgement: &judgement,
                access_rule: policy.access.rule_for(&caller, &asked),
            };
            return Ok(Step::Reply(explain(&explained)));
        }
        let reservation = policy.limiter.reserve(&demand, now, store).map_err(|refusal| {
            self.refused_by = Some("limit");
            let (Refusal::Exceeded { limit, .. }
            | Refusal::TooLarge { limit, .. }
            | Refusal::Unpriced { limit, .. }) = &refusal;
            self.refused_rule = Some(limit.clone());
            rescue::refused(&refusal)
        })?;
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
        }
        if self.wants_cost {
            handoff.prices = Some(Rc::clone(&self.policy.prices));
            handoff.images = ask.prompt.images;
        }
        if reservation.bounds_output() {
            let output_tokens = reservation.output_tokens();
            let output_bytes = estimate.prediction.bytes_of_output(output_tokens);
            handoff.ceiling = Some(Ceiling {
                output_tokens,
                output_bytes: output_bytes.saturating_mul(BYTES_TO_SPARE),
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
        let provider_model = route.targets.first().map_or(0, |target| target.index);
        let expected = u64::from(route.expected_output_tokens.unwrap_or(EXPECTED_OUTPUT_TOKENS));
        let bound = ask
            .max_output_tokens
            .or_else(|| route.default_max_output_tokens.map(u64::from));
        let mut prediction = estimator.predict(provider_model, ask.prompt, store);
        prediction.input_tokens = prediction.input_tokens.saturating_add(ask.input_ids);
        prediction.input_bound = prediction.input_bound.saturating_add(ask.input_ids);
        let output_tokens = bound
            .or(prediction.expected_output_tokens)
            .unwrap_or_else(|| expected.max(1));
        Estimate {
            output_tokens: output_tokens.saturating_mul(ask.n),
            output_is_guess: bound.is_none(),
            prompt_bytes: ask.prompt.text_bytes,
            prompt_images: ask.prompt.images,
            prediction,
        }
    }

    /// Tells the caller its own limits.
    pub fn usage(&mut self, now: Timestamp, store: &dyn SharedStore) -> Step {
        match &self.principal {
            Some(principal) => Step::Reply(usage::tell(&self.policy, principal, now, store)),
            None => self.refuse(rescue::unreachable().into()),
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

    fn refuse(&mut self, reply: LocalReply) -> Step {
        self.refused_by.get_or_insert(match reply.status {
            401 => "authentication",
            403 => "access",
            _ => "request",
        });
        Step::Reply(reply)
    }
}

/// What a request will cost, as far as that can be known, and on what that rests.
#[derive(Serialize)]
pub(super) struct Estimate {
    output_tokens: u64,
    output_is_guess: bool,
    prompt_bytes: u64,
    prompt_images: u64,
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
