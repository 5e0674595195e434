// SPDX-License-Identifier: Apache-2.0

//! The request: who calls, for what, and whether there is room for it.

use super::ask::Ask;
use super::endpoint::Endpoint;
use super::{Admitted, Exchange, HeaderEdit, Policy, ROUTE_HEADER, Step, allowance, models, rescue};
use crate::api_error::ApiError;
use crate::clock::Timestamp;
use crate::handoff::Handoff;
use crate::headers::Headers;
use crate::local_reply::LocalReply;
use crate::policy::access::Caller;
use crate::policy::auth::Deny;
use crate::policy::rate_limit::{Demand, Refusal};
use crate::policy::routing::Route;
use crate::shared_store::SharedStore;
use core::time::Duration;
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
            Ok(mut authenticator) => authenticator.authenticate(headers, now),
            Err(_) => return Err(rescue::unreachable().into()),
        };
        let principal = match outcome {
            Ok(principal) => principal,
            Err(Deny::KeysAwaited(_)) if self.may_await_keys(now) => return Ok(Step::AwaitKeys),
            Err(deny) => return Err(self.unauthenticated(deny).into()),
        };
        self.principal = Some(Rc::clone(&principal));
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
        if deny == Deny::TooManyFailures {
            return rescue::too_many_failures();
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
        policy
            .access
            .check(&caller, &ask.as_use(self.operation, estimate.input_tokens))
            .map_err(|refused| {
                self.refused_by = Some("access");
                self.refused_rule = Some(refused.rule.unwrap_or_else(|| "default".to_owned()));
                rescue::access_denied(&ask.model, refused.reason)
            })?;
        let demand = Demand {
            principal: &principal,
            model: &ask.model,
            route: &route.name,
            input_tokens: estimate.input_bound,
            output_tokens: estimate.output_tokens,
            output_is_guess: ask.max_output_tokens.is_none(),
        };
        let reservation = policy.limiter.reserve(&demand, now, store).map_err(|refusal| {
            self.refused_by = Some("limit");
            let (Refusal::Exceeded { limit, .. } | Refusal::TooLarge { limit, .. }) = &refusal;
            self.refused_rule = Some(limit.clone());
            rescue::refused(&refusal)
        })?;
        let mut handoff = Handoff::new(
            Rc::clone(route),
            self.operation,
            ask.model.clone().into_owned(),
            now.as_secs(),
            allowance::of(&reservation),
        );
        handoff.brought = core::mem::take(&mut self.brought);
        if policy.brought_headers.are_for_teams {
            handoff.team.clone_from(&principal.team);
        }
        self.admitted = Some(Admitted {
            reservation,
            prompt: ask.prompt,
            input_tokens: estimate.input_tokens,
            handoff: Rc::new(RefCell::new(handoff)),
        });
        Ok(Step::Forward(self.forward(&route.name)))
    }

    /// What a request will cost, as far as that can be known, and what it may cost.
    fn estimate(&self, ask: &Ask<'_>, route: &Route, store: &dyn SharedStore) -> Estimate {
        let estimator = &self.policy.estimator;
        let provider_model = route.targets.first().map_or(0, |target| target.index);
        let expected = u64::from(route.expected_output_tokens.unwrap_or(EXPECTED_OUTPUT_TOKENS));
        let output_tokens = match ask.max_output_tokens {
            Some(bound) => bound,
            None => estimator.output_tokens(provider_model, expected, store),
        };
        Estimate {
            input_tokens: estimator
                .input_tokens(provider_model, ask.prompt, store)
                .saturating_add(ask.input_ids),
            input_bound: estimator
                .input_tokens_bound(provider_model, ask.prompt, store)
                .saturating_add(ask.input_ids),
            output_tokens: output_tokens.saturating_mul(ask.n),
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

struct Estimate {
    input_tokens: u64,
    input_bound: u64,
    output_tokens: u64,
}

/// A header of the client's that goes no further: its credential, and what only the gateway may set.
fn withheld_name(name: &[u8], policy: &Policy) -> Option<String> {
    let name = core::str::from_utf8(name).ok()?;
    let is_secret =
        policy.credential_sources.is_credential_header(name) || policy.brought_headers.contain(name);
    (name.starts_with("x-tollgate-") || is_secret).then(|| name.to_owned())
}
