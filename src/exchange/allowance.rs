// SPDX-License-Identifier: Apache-2.0

//! `x-ratelimit-*`, in OpenAI's words (<https://platform.openai.com/docs/guides/rate-limits>), and what they did to
//! the request.

use crate::policy::rate_limit::{Allowance, Reservation};

/// The limit, what remains of it, and when it is whole again: for a limit on requests.
pub(super) const REQUEST_HEADERS: [&str; 3] = [
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
];

/// The same for a limit on tokens of any kind.
pub(super) const TOKEN_HEADERS: [&str; 3] = [
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
];

/// The state of one limit.
pub(super) fn headers(names: [&'static str; 3], allowance: Allowance) -> [(&'static str, String); 3] {
    let Allowance {
        limit,
        remaining,
        reset,
    } = allowance;
    let [limit_name, remaining_name, reset_name] = names;
    [
        (limit_name, limit.to_string()),
        (remaining_name, remaining.to_string()),
        (reset_name, format!("{}ms", reset.as_millis())),
    ]
}

/// What is left of the tightest limits, the reservation taken off.
pub(super) fn of(reservation: &Reservation) -> Vec<(&'static str, String)> {
    let requests = reservation
        .request_allowance
        .map(|left| headers(REQUEST_HEADERS, left));
    let tokens_left = reservation
        .token_allowance
        .map(|left| headers(TOKEN_HEADERS, left));
    requests.into_iter().chain(tokens_left).flatten().collect()
}

/// Tells that the output of each choice was lowered to what is left.
pub(super) fn clamped(max_output_tokens: u64) -> (&'static str, String) {
    (
        "x-tollgate-clamped",
        format!("max_output_tokens={max_output_tokens}"),
    )
}
