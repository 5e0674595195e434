// SPDX-License-Identifier: Apache-2.0

//! What a limit counts, and in which unit.
//!
//! Amounts in the store are whole numbers of the measure's own unit: tokens and requests as they are, weighted
//! tokens in millionths, money in pico-USD. A weight or a price has up to six decimal places, so nothing is rounded.

use super::Demand;
use super::reservation::Spent;
use crate::config::{Decimal, Limit, LimitCount, Weights};
use crate::usage::price::pico_from_micro;

/// Weights in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WeightRates {
    input: u64,
    cached_input: u64,
    output: u64,
    reasoning: u64,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    ConcurrentRequests,
    ConcurrentTokens,
    InputTokens,
    OutputTokens,
    Requests,
    TotalTokens,
    Usd,
    WeightedTokens(WeightRates),
}

/// In what the client is told of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Requests.
    Requests,
    /// Tokens, weighted ones rounded down.
    Tokens,
    /// Micro-USD, rounded down.
    MicroUsd,
}

impl Measure {
    pub(super) fn new(limit: &Limit) -> Self {
        match limit.count {
            LimitCount::ConcurrentRequests => Self::ConcurrentRequests,
            LimitCount::ConcurrentTokens => Self::ConcurrentTokens,
            LimitCount::InputTokens => Self::InputTokens,
            LimitCount::OutputTokens => Self::OutputTokens,
            LimitCount::Requests => Self::Requests,
            LimitCount::TotalTokens => Self::TotalTokens,
            LimitCount::Usd => Self::Usd,
            LimitCount::WeightedTokens => {
                let Weights {
                    input,
                    cached_input,
                    output,
                    reasoning,
                } = limit.weights.unwrap_or_default();
                Self::WeightedTokens(WeightRates {
                    input: input.0,
                    cached_input: cached_input.0,
                    output: output.0,
                    reasoning: reasoning.0,
                })
            }
        }
    }

    /// The name in configuration and in refusals.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::ConcurrentRequests => "concurrent_requests",
            Self::ConcurrentTokens => "concurrent_tokens",
            Self::InputTokens => "input_tokens",
            Self::OutputTokens => "output_tokens",
            Self::Requests => "requests",
            Self::TotalTokens => "total_tokens",
            Self::Usd => "usd",
            Self::WeightedTokens(_) => "weighted_tokens",
        }
    }

    /// Whether only requests in flight count.
    pub(super) const fn is_in_flight(self) -> bool {
        matches!(self, Self::ConcurrentRequests | Self::ConcurrentTokens)
    }

    /// In what the client is told of it.
    pub(super) const fn unit(self) -> Unit {
        match self {
            Self::ConcurrentRequests | Self::Requests => Unit::Requests,
            Self::Usd => Unit::MicroUsd,
            Self::ConcurrentTokens
            | Self::InputTokens
            | Self::OutputTokens
            | Self::TotalTokens
            | Self::WeightedTokens(_) => Unit::Tokens,
        }
    }

    /// An amount, as configured, in the measure's own unit. `None`: it has decimal places where there is no use for
    /// them.
    pub(super) fn amount_of(self, configured: Decimal) -> Option<u64> {
        match self {
            Self::Usd => Some(pico_from_micro(configured.0)),
            Self::WeightedTokens(_) => Some(configured.0),
            _ => configured.whole(),
        }
    }

    /// An amount, as the client is told it.
    pub(super) const fn told(self, amount: u64) -> u64 {
        match self {
            Self::Usd | Self::WeightedTokens(_) => amount / 1_000_000,
            _ => amount,
        }
    }

    /// What is counted at most for each thing that a request takes.
    pub(super) fn rates(self, demand: &Demand<'_>) -> Rates {
        let (request, input, output) = match self {
            Self::ConcurrentRequests | Self::Requests => (1, 0, 0),
            Self::ConcurrentTokens | Self::TotalTokens => (0, 1, 1),
            Self::InputTokens => (0, 1, 0),
            Self::OutputTokens => (0, 0, 1),
            Self::Usd => {
                let cost = demand.cost.unwrap_or_default();
                (cost.fixed, cost.input, cost.output)
            }
            Self::WeightedTokens(weights) => (
                0,
                weights.input.max(weights.cached_input),
                weights.output.max(weights.reasoning),
            ),
        };
        Rates {
            request,
            input,
            output,
        }
    }

    /// The part of what was spent that the limit counts.
    pub(super) fn of(self, spent: Spent) -> u64 {
        match self {
            Self::ConcurrentRequests | Self::ConcurrentTokens => 0,
            Self::InputTokens => spent.input_tokens,
            Self::OutputTokens => spent.output_tokens,
            Self::Requests => spent.requests,
            Self::TotalTokens => spent.input_tokens.saturating_add(spent.output_tokens),
            Self::Usd => spent.cost,
            Self::WeightedTokens(weights) => {
                let cached = spent.cached_input_tokens.min(spent.input_tokens);
                let reasoning = spent.reasoning_tokens.min(spent.output_tokens);
                [
                    (spent.input_tokens.saturating_sub(cached), weights.input),
                    (cached, weights.cached_input),
                    (spent.output_tokens.saturating_sub(reasoning), weights.output),
                    (reasoning, weights.reasoning),
                ]
                .iter()
                .fold(0, |sum: u64, (count, weight)| {
                    sum.saturating_add(count.saturating_mul(*weight))
                })
            }
        }
    }
}

/// What a limit counts for each thing that a request takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rates {
    request: u64,
    input: u64,
    output: u64,
}

impl Rates {
    /// What is counted for a request with so many tokens.
    pub(super) const fn amount(self, input_tokens: u64, output_tokens: u64) -> u64 {
        self.request
            .saturating_add(self.input.saturating_mul(input_tokens))
            .saturating_add(self.output.saturating_mul(output_tokens))
    }

    /// Whether output counts.
    pub(super) const fn counts_output(self) -> bool {
        self.output > 0
    }

    /// What is counted for so many output tokens.
    pub(super) const fn of_output(self, output_tokens: u64) -> u64 {
        self.output.saturating_mul(output_tokens)
    }

    /// How many output tokens an amount suffices for if nothing else counts; no end of them if they do not.
    pub(super) fn output_within_all_of(self, amount: u64) -> u64 {
        amount.checked_div(self.output).unwrap_or(u64::MAX)
    }

    /// How many output tokens an amount suffices for, beside the input. `None` if output does not count.
    pub(super) const fn output_within(self, amount: u64, input_tokens: u64) -> Option<u64> {
        amount
            .saturating_sub(self.amount(input_tokens, 0))
            .checked_div(self.output)
    }
}
