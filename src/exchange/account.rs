// SPDX-License-Identifier: Apache-2.0

//! What an exchange has cost, over all of its attempts.
//!
//! A provider is paid for what it produced, whether or not the client got it. So every attempt counts: a stream that
//! broke off before another provider was asked has its prompt read and its output written. What was not reported is
//! estimated, on the side of the limit where there is nothing to go by.

use super::{Admitted, Policy};
use crate::handoff::{AttemptRecord, Handoff, Phase};
use crate::policy::rate_limit::Spent;
use crate::shared_store::SharedStore;
use crate::telemetry::UsageSource;

/// What an exchange has cost.
pub(super) struct Account {
    pub(super) spent: Spent,
    /// Where the counts come from; `None` if no provider was asked.
    pub(super) source: Option<UsageSource>,
    /// Whose credentials the attempts that cost something have presented: an owner, or `several`.
    pub(super) payer: Option<&'static str>,
    rank: u8,
}

impl Account {
    pub(super) fn of(
        policy: &Policy,
        admitted: &Admitted,
        handoff: &Handoff,
        envoy_status: Option<u16>,
        store: &dyn SharedStore,
    ) -> Self {
        let mut account = Self {
            spent: Spent::default(),
            source: None,
            payer: None,
            rank: 0,
        };
        let failed = handoff
            .failed_attempts
            .iter()
            .map(|attempt| (attempt, Outcome::Retried));
        let last = match envoy_status {
            Some(status) => Outcome::Envoy(status),
            None => Outcome::Passed,
        };
        let last = handoff.attempt.iter().map(|attempt| (attempt, last));
        for (attempt, outcome) in failed.chain(last) {
            let reserved = Reserved {
                is_streaming: admitted.is_streaming,
                input_tokens: admitted.input_tokens,
                output_tokens: admitted.lease.output_tokens(),
            };
            let output_seen = || output_seen(policy, attempt, reserved.output_tokens, store);
            let mut cost = cost(attempt, outcome, reserved, output_seen);
            if !cost.is_free {
                policy.price(&mut cost.spent, attempt, admitted.prompt.images);
                let owner = attempt.credential_owner.as_str();
                account.payer = Some(match account.payer {
                    Some(other) if other != owner => "several",
                    Some(_) | None => owner,
                });
            }
            account.add(&cost);
        }
        account
    }

    /// The counts of several attempts are as good as the worst of them.
    fn add(&mut self, cost: &Cost) {
        self.spent = self.spent.plus(cost.spent);
        // What has cost nothing has nothing to say, unless there is nothing else.
        let rank = |source, is_free| match source {
            _ if is_free => 0,
            UsageSource::Reported => 1,
            UsageSource::Partial => 2,
            UsageSource::Estimated => 3,
        };
        let rank = rank(cost.source, cost.is_free);
        if self.source.is_none() || rank > self.rank {
            (self.source, self.rank) = (Some(cost.source), rank);
        }
    }
}

/// The output that an attempt without a count has produced: what was seen of it, and the reasoning that usually comes
/// before and is not seen, as far as it was reserved.
fn output_seen(policy: &Policy, attempt: &AttemptRecord, reserved: u64, store: &dyn SharedStore) -> u64 {
    let estimator = &policy.estimator;
    // Of what could not be read nobody knows how much was output.
    let (bytes, most) = match attempt.unread_bytes {
        Some(bytes) => (bytes, reserved),
        None => (attempt.tally.output_bytes, u64::MAX),
    };
    let by_bytes = estimator.tokens_of_output(attempt.provider_model, bytes, store);
    let seen = by_bytes.max(attempt.output_events).min(most);
    if seen == 0 {
        return 0;
    }
    let hidden = estimator.hidden_tokens(attempt.provider_model, store);
    seen.saturating_add(hidden).min(reserved).max(seen)
}

/// What became of an attempt, beside what its provider seat knows.
#[derive(Clone, Copy)]
enum Outcome {
    /// Another attempt followed.
    Retried,
    /// Envoy made up an answer with this status.
    Envoy(u16),
    /// Its answer, as far as there was one, is what the client got.
    Passed,
}

/// What was reserved for each attempt.
#[derive(Clone, Copy)]
struct Reserved {
    is_streaming: bool,
    input_tokens: u64,
    output_tokens: u64,
}

struct Cost {
    spent: Spent,
    source: UsageSource,
    /// Nothing was produced, and nothing is charged.
    is_free: bool,
}

impl Cost {
    /// A provider that refused, broke down before it produced anything, or was never reached, charges nothing.
    const NONE: Self = Self {
        is_free: true,
        ..Self::new(0, 0, UsageSource::Estimated)
    };

    const fn new(input_tokens: u64, output_tokens: u64, source: UsageSource) -> Self {
        Self {
            spent: Spent {
                input_tokens,
                output_tokens,
                ..Spent::ONE_REQUEST
            },
            source,
            is_free: false,
        }
    }
}

/// What an attempt has cost. What was not reported is charged by the estimated input, and by its reserved output or
/// the estimate of the output that was seen.
fn cost(
    attempt: &AttemptRecord,
    outcome: Outcome,
    reserved: Reserved,
    output_seen: impl FnOnce() -> u64,
) -> Cost {
    const GATEWAY_TIMEOUT: u16 = 504;
    let usage = attempt.tally.usage;
    let in_full = Cost::new(
        reserved.input_tokens,
        reserved.output_tokens,
        UsageSource::Estimated,
    );
    // The provider has answered and will charge for it, whether or not anybody can read it.
    if attempt.unread_bytes.is_some() {
        let input = usage.input_tokens.unwrap_or(reserved.input_tokens);
        return Cost::new(input, output_seen(), UsageSource::Estimated);
    }
    match (&attempt.phase, outcome) {
        // The client left before anything came back, and the provider may answer in full to nobody.
        (Phase::Waiting | Phase::Begun | Phase::Alive, Outcome::Passed) => return in_full,
        // Nobody was reached. One that was and kept silent until the time was up may charge.
        (Phase::Waiting, Outcome::Retried) => return Cost::NONE,
        (Phase::Waiting, Outcome::Envoy(status)) if status != GATEWAY_TIMEOUT => return Cost::NONE,
        // An answer that comes whole is written before its first byte is sent.
        (Phase::Waiting | Phase::Begun, Outcome::Envoy(_) | Outcome::Retried) if !reserved.is_streaming => {
            return in_full;
        }
        (Phase::Failed(_), _) if attempt.tally.output_bytes == 0 && usage.output_tokens.unwrap_or(0) == 0 => {
            return match usage.input_tokens {
                Some(reported) if reported > 0 => Cost::new(reported, 0, UsageSource::Partial),
                Some(_) | None => Cost::NONE,
            };
        }
        _ => {}
    }
    let is_whole = attempt.phase == Phase::Complete;
    let (output, source) = match (usage.output_tokens, is_whole) {
        (Some(reported), true) => (reported, UsageSource::Reported),
        // A running total is only a lower bound while the stream runs.
        (Some(reported), false) => (reported.max(output_seen()), UsageSource::Partial),
        (None, true) => (output_seen(), UsageSource::Estimated),
        (None, false) => (output_seen(), UsageSource::Partial),
    };
    Cost::new(
        usage.input_tokens.unwrap_or(reserved.input_tokens),
        output,
        source,
    )
}
