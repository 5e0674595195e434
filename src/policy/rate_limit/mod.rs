// SPDX-License-Identifier: Apache-2.0

//! Limits: reserve before, settle after.

use super::auth::Principal;
use crate::clock::Timestamp;
use crate::config::{ConfigError, Limit, LimitStore};
use crate::shared_store::SharedStore;
use core::time::Duration;

/// What a request asks for.
#[derive(Clone, Copy, Debug)]
pub struct Demand<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// The model that the client named.
    pub model: &'a str,
    /// Input tokens, estimated.
    pub input_tokens: u64,
    /// Output tokens, bounded.
    pub output_tokens: u64,
    /// Whether the bound is ours, because the client gave none.
    pub output_is_guess: bool,
}

/// What a request has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Whether the request counts as one: false if no provider was asked.
    pub requests: u64,
    /// Input tokens.
    pub input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
}

/// The state of the tightest limit of one kind, for `x-ratelimit-*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The limit.
    pub limit: u64,
    /// What is left of it, this reservation taken off.
    pub remaining: u64,
    /// Until the limit is whole again.
    pub reset: Duration,
}

/// A reservation under every limit that applies. It must be settled exactly once.
#[derive(Debug, Default)]
pub struct Reservation {
    /// The tightest limit on requests.
    pub requests: Option<Allowance>,
    /// The tightest limit on tokens of any kind.
    pub tokens: Option<Allowance>,
}

/// Why a request was not admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The limit is used up for now.
    Exceeded {
        /// The limit's name.
        limit: String,
        /// What it counts, in words: `total_tokens`.
        count: &'static str,
        /// When enough will be free again.
        retry_after: Duration,
        /// The state of the limit.
        allowance: Allowance,
    },
    /// The request alone is larger than the limit: it can never fit.
    TooLarge {
        /// The limit's name.
        limit: String,
        /// What it counts.
        count: &'static str,
        /// The limit.
        max: u64,
        /// What was asked for.
        asked: u64,
    },
}

/// All limits.
pub struct RateLimiter;

impl RateLimiter {
    /// Reads the limits.
    ///
    /// # Errors
    ///
    /// Every fault of the `limits` and `limit_store` sections.
    pub fn new(limits: &[Limit], store: &LimitStore) -> Result<Self, Vec<ConfigError>> {
        let _ = (limits, store);
        Ok(Self)
    }

    /// keys
    pub fn store_keys(&self) -> impl Iterator<Item = &str> {
        core::iter::empty()
    }

    /// Reserves `demand` under every limit that applies, or under none.
    ///
    /// # Errors
    ///
    /// The limit that refused.
    pub fn reserve(
        &self,
        demand: &Demand<'_>,
        now: Timestamp,
        store: &dyn SharedStore,
    ) -> Result<Reservation, Refusal> {
        let _ = (demand, now, store);
        Ok(Reservation::default())
    }

    /// Replaces what was reserved by what was spent.
    pub fn settle(&self, reservation: Reservation, spent: Spent, now: Timestamp, store: &dyn SharedStore) {
        let _ = (reservation, spent, now, store);
    }
}
