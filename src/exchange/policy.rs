// SPDX-License-Identifier: Apache-2.0

//! Everything that one configuration says about requests, ready for use.

use super::detours::{Detours, Judged};
use crate::api_error::ApiError;
use crate::clock::Timestamp;
use crate::config::{ConfigError, Gateway, Listener, PrincipalMatch};
use crate::handoff::{AttemptRecord, Phase};
use crate::policy::access::AccessRules;
use crate::policy::auth::{Authenticator, KeyAnswer, KeyCall, KeyOutcome, Principal, SignatureHost, Sources};
use crate::policy::brought::BroughtHeaders;
use crate::policy::connection::{Connection, NoConnection};
use crate::policy::prices::Prices;
use crate::policy::rate_limit::{Demand, RateLimiter, Spent};
use crate::policy::routing::{Route, Routes};
use crate::provider::Operation;
use crate::shared_store::SharedStore;
use crate::usage::TokenUsage;
use crate::usage::estimate::{Estimator, Learned, PromptSize};
use crate::usage::price::CostBound;
use std::cell::RefCell;
use std::rc::Rc;

/// The policy of one gateway configuration.
pub struct Policy {
    pub(super) bounds: Listener,
    pub(super) authenticator: RefCell<Authenticator>,
    pub(super) credential_sources: Rc<Sources>,
    pub(super) brought_headers: BroughtHeaders,
    pub(super) access: AccessRules,
    pub(super) connection: Rc<dyn Connection>,
    pub(super) routes: Routes,
    pub(super) limiter: Rc<RateLimiter>,
    pub(super) estimator: Estimator,
    pub(super) prices: Rc<Prices>,
    explain: Vec<PrincipalMatch>,
}

impl Policy {
    /// Reads a configuration.
    ///
    /// # Errors
    ///
    /// Every fault of the configuration, not only the first.
    pub fn new(gateway: &Gateway) -> Result<Self, Vec<ConfigError>> {
        let mut faults = Vec::new();
        let authenticator = keep(Authenticator::new(&gateway.identity), &mut faults);
        let routes = keep(Routes::new(&gateway.models, &gateway.providers), &mut faults);
        let limiter = keep(
            RateLimiter::new(&gateway.limits, &gateway.limit_store),
            &mut faults,
        );
        let access = keep(
            AccessRules::new(&gateway.access, gateway.access_options),
            &mut faults,
        );
        let brought = keep(BroughtHeaders::new(&gateway.providers), &mut faults);
        let prices = keep(Prices::new(&gateway.prices, &gateway.providers), &mut faults);
        let (
            Some(mut authenticator),
            Some(routes),
            Some(limiter),
            Some(access),
            Some(brought_headers),
            Some(prices),
        ) = (authenticator, routes, limiter, access, brought, prices)
        else {
            return Err(faults);
        };
        let faults = prices.missing(&routes, &limiter);
        if !faults.is_empty() {
            return Err(faults);
        }
        authenticator.keep_claims(access.claims());
        Ok(Self {
            bounds: gateway.listener.clone(),
            credential_sources: authenticator.sources(),
            brought_headers,
            authenticator: RefCell::new(authenticator),
            access,
            connection: Rc::new(NoConnection),
            estimator: Estimator::new(routes.provider_models()),
            routes,
            limiter: Rc::new(limiter),
            prices: Rc::new(prices),
            explain: gateway.explain.clone(),
        })
    }
}

impl Policy {
    /// Asks this host about requests from now on.
    #[must_use]
    pub fn connected(mut self, connection: Rc<dyn Connection>) -> Self {
        self.with_keys(|keeper| keeper.connect(Rc::clone(&connection)));
        self.connection = connection;
        self
    }

    /// Has this host verify the signatures that it can from now on.
    #[must_use]
    pub fn verified_by(self, host: &Rc<dyn SignatureHost>) -> Self {
        self.with_keys(|keeper| keeper.verify_with(Rc::clone(host)));
        self
    }

    /// Whether a principal may have decisions explained.
    pub(super) fn may_explain(&self, principal: &Principal) -> bool {
        self.explain.iter().any(|who| {
            who.consumer
                .as_ref()
                .is_none_or(|wanted| *wanted == principal.consumer)
                && who
                    .team
                    .as_ref()
                    .is_none_or(|wanted| Some(wanted) == principal.team.as_ref())
                && who
                    .labels
                    .iter()
                    .all(|(name, value)| principal.labels.get(name) == Some(value))
        })
    }

    /// Whether access logs are to tell of each exchange.
    #[must_use]
    pub const fn writes_log(&self) -> bool {
        self.bounds.access_log
    }

    /// The most that a request may cost, whichever target serves it. `None` if no limit wants to know, or a price
    /// is not known.
    pub(super) fn cost_bound(
        &self,
        route: &Route,
        model: &str,
        input_tokens: u64,
        images: u64,
    ) -> Option<CostBound> {
        if !self.limiter.counts_money() {
            return None;
        }
        let mut bound = CostBound::default();
        for target in &route.targets {
            let name = target.model.as_deref().unwrap_or(model);
            let price = self.prices.find(&target.provider, name)?;
            bound = bound.max(price.bound(input_tokens, images));
        }
        Some(bound)
    }

    /// Adds to what was spent which part of it has a price or a weight of its own, and what it costs.
    pub(super) fn price(&self, spent: &mut Spent, attempt: &AttemptRecord, images: u64) {
        let usage = TokenUsage {
            input_tokens: Some(spent.input_tokens),
            output_tokens: Some(spent.output_tokens),
            ..attempt.tally.usage
        };
        spent.cached_input_tokens = usage.cache_read_input_tokens.unwrap_or(0);
        spent.reasoning_tokens = usage.reasoning_output_tokens.unwrap_or(0);
        if self.limiter.counts_money() {
            let price = self.prices.find(&attempt.provider, &attempt.upstream_model);
            spent.cost = price.map_or(0, |price| price.cost(&usage, images));
        }
    }

    /// Refuses what would get around the judgement of a request.
    pub(super) fn check_detours(&self, detours: &Detours, demand: &Demand<'_>) -> Result<(), ApiError> {
        if detours.is_none() {
            return Ok(());
        }
        let by_price = self.limiter.budgets_of(demand.route).next().is_some();
        let has_rules = demand.principal.models.is_some() || !self.access.is_empty();
        detours.check(Judged {
            by_output: self.limiter.bounds_output(demand),
            by_model: by_price || has_rules,
            by_price,
        })
    }

    /// Teaches the estimate what an answer has told. One that is not whole teaches nothing.
    pub(super) fn learn(
        &self,
        attempt: &AttemptRecord,
        operation: Operation,
        prompt: PromptSize,
        store: &dyn SharedStore,
    ) {
        // Ids of tokens that a client sent say nothing of bytes.
        if attempt.phase != Phase::Complete || prompt.is_empty() {
            return;
        }
        let usage = attempt.tally.usage;
        let has_output = operation == Operation::Chat;
        let learned = Learned {
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens.filter(|_| has_output),
            reasoning_tokens: usage.reasoning_output_tokens,
            output_bytes: attempt.tally.output_bytes,
            output_events: attempt.output_events,
        };
        self.estimator
            .learn(attempt.provider_model, prompt, learned, store);
    }

    /// Every cluster that a route uses, with the provider that it belongs to.
    pub fn clusters(&self) -> impl Iterator<Item = (&str, &str)> {
        let targets = self.routes.iter().flat_map(|route| &route.targets);
        targets.map(|target| (target.cluster.as_str(), target.provider.as_str()))
    }

    /// Makes the shared store ready. Call it while the filter is being configured, before it serves.
    pub fn prepare(&self, now: Timestamp, store: &dyn SharedStore) {
        self.limiter.prepare(now, store);
        self.with_keys(|keeper| keeper.prepare_keys(store));
    }

    /// Whether keys are fetched while the filter serves: then it has to call the next three.
    #[must_use]
    pub fn has_remote_keys(&self) -> bool {
        self.with_keys(Authenticator::has_remote_keys)
    }

    /// Reads the keys that other workers have fetched; whether there was anything new.
    pub fn sync_keys(&self, store: &dyn SharedStore) -> bool {
        self.with_keys(|keeper| keeper.sync_keys(store))
    }

    /// The calls for keys that this worker has to make now.
    #[must_use]
    pub fn calls_for_keys(&self, now: Timestamp, store: &dyn SharedStore) -> Vec<KeyCall> {
        self.with_keys(|keeper| keeper.calls_for_keys(now, store))
    }

    /// Takes what came of such a call. The second value is the issuer's name.
    #[must_use]
    pub fn on_key_answer(
        &self,
        call: &KeyCall,
        answer: KeyAnswer<'_>,
        now: Timestamp,
        store: &dyn SharedStore,
    ) -> Option<(KeyOutcome, String)> {
        self.with_keys(|keeper| {
            let outcome = keeper.on_key_answer(call, answer, now, store);
            Some((outcome, keeper.issuer(call.issuer)?.to_owned()))
        })
    }

    fn with_keys<T: Default>(&self, ask: impl FnOnce(&mut Authenticator) -> T) -> T {
        let keeper = self.authenticator.try_borrow_mut();
        keeper.map_or_else(|_| T::default(), |mut keeper| ask(&mut keeper))
    }
}

fn keep<T>(result: Result<T, Vec<ConfigError>>, faults: &mut Vec<ConfigError>) -> Option<T> {
    result.map_err(|errors| faults.extend(errors)).ok()
}
