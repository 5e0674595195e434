// SPDX-License-Identifier: Apache-2.0

//! The answer, and the account.

use super::{Answer, Exchange, HeaderEdit, allowance, rescue};
use crate::api_error::ApiError;
use crate::clock::Timestamp;
use crate::handoff::{AttemptRecord, PROVIDER_HEADER, Phase};
use crate::headers::Headers;
use crate::local_reply::LocalReply;
use crate::policy::rate_limit::{Reservation, Spent};
use crate::shared_store::SharedStore;
use crate::telemetry::{Record, UsageSource};
use crate::usage::estimate::Learned;

impl Exchange {
    /// Judges an answer by its headers, before the client sees them.
    pub fn on_response_headers(&self, headers: &Headers, end_of_stream: bool) -> Answer {
        let Some(admitted) = &self.admitted else {
            // We answered ourselves.
            return Answer::Pass(Vec::new());
        };
        let mut edits = allowances(&admitted.reservation);
        let Ok(handoff) = admitted.handoff.try_borrow() else {
            return Answer::Pass(edits);
        };
        edits.push(HeaderEdit::Set(
            "x-tollgate-attempts",
            handoff.attempts.to_string(),
        ));
        let status = headers
            .str(":status")
            .and_then(|status| status.parse::<u16>().ok())
            .unwrap_or(503);
        let Some(attempt) = handoff
            .attempt
            .as_ref()
            .filter(|_| headers.get(PROVIDER_HEADER).is_some())
        else {
            return fail(edits, &rescue::no_answer(status), end_of_stream);
        };
        edits.push(HeaderEdit::Set(
            "x-tollgate-model",
            attempt.upstream_model.clone(),
        ));
        if !attempt.dropped.is_empty() {
            edits.push(HeaderEdit::Set("x-tollgate-dropped", attempt.dropped.join(",")));
        }
        match &attempt.phase {
            Phase::Failed(error) if end_of_stream && status >= 400 => {
                edits.push(HeaderEdit::Set(PROVIDER_HEADER, attempt.provider.to_string()));
                fail(edits, error, end_of_stream)
            }
            // After content the status has gone: the stream itself tells the failure.
            Phase::Failed(error) if status >= 400 => {
                edits.push(HeaderEdit::Set(":status", error.status.to_string()));
                Answer::Pass(edits)
            }
            Phase::Waiting | Phase::Answering | Phase::Complete | Phase::Failed(_) => Answer::Pass(edits),
        }
    }

    /// Settles the account. Called once, however the exchange ended.
    pub fn finish(self, now: Timestamp, store: &dyn SharedStore) -> Record {
        let mut record = Record {
            refused_by: self.refused_by,
            ..Record::default()
        };
        if let Some(principal) = &self.principal {
            record.consumer.clone_from(&principal.consumer);
            record.team.clone_from(&principal.team);
        }
        let Some(admitted) = self.admitted else {
            return record;
        };
        let mut spent = Spent::default();
        if let Ok(handoff) = admitted.handoff.try_borrow() {
            record.model.clone_from(&handoff.request_model);
            record.attempts = handoff.attempts;
            if let Some(attempt) = &handoff.attempt {
                let estimator = &self.policy.estimator;
                let output =
                    estimator.tokens_of_output(attempt.provider_model, attempt.tally.output_bytes, store);
                let cost = cost(attempt, admitted.input_tokens, output);
                spent = cost.spent;
                record.provider = attempt.provider.to_string();
                record.upstream_model.clone_from(&attempt.upstream_model);
                record.usage = attempt.tally.usage;
                record.usage_source = Some(cost.source);
                if attempt.phase == Phase::Complete {
                    let learned = Learned {
                        input_tokens: attempt.tally.usage.input_tokens,
                        output_tokens: attempt.tally.usage.output_tokens,
                        output_bytes: attempt.tally.output_bytes,
                    };
                    estimator.learn(attempt.provider_model, admitted.prompt, learned, store);
                }
            }
        }
        record.input_tokens = spent.input_tokens;
        record.output_tokens = spent.output_tokens;
        self.policy
            .limiter
            .settle(admitted.reservation, spent, now, store);
        record
    }
}

/// An error in place of an answer.
fn fail(mut edits: Vec<HeaderEdit>, error: &ApiError, end_of_stream: bool) -> Answer {
    let mut reply = LocalReply::from(error);
    if end_of_stream {
        reply
            .headers
            .extend(edits.into_iter().filter_map(|edit| match edit {
                HeaderEdit::Set(name, value) => Some((name, value)),
                HeaderEdit::Remove(_) => None,
            }));
        return Answer::Reply(reply);
    }
    edits.push(HeaderEdit::Set(":status", reply.status.to_string()));
    edits.push(HeaderEdit::Set("content-length", reply.body.len().to_string()));
    edits.extend(
        reply
            .headers
            .into_iter()
            .map(|(name, value)| HeaderEdit::Set(name, value)),
    );
    Answer::Replace(edits, reply.body)
}

struct Cost {
    spent: Spent,
    source: UsageSource,
}

/// What an attempt has cost. `input_tokens` and `output_tokens` are estimates, for what was not reported.
fn cost(attempt: &AttemptRecord, input_tokens: u64, output_tokens: u64) -> Cost {
    let usage = attempt.tally.usage;
    let was_served = match &attempt.phase {
        Phase::Complete | Phase::Answering => true,
        // A provider that refused or broke down before it produced anything charges nothing.
        Phase::Failed(_) => attempt.tally.output_bytes > 0,
        // The client left, or the connection broke, before anything came back. The provider may have begun.
        Phase::Waiting => true,
    };
    if !was_served {
        return Cost {
            spent: Spent {
                requests: 1,
                ..Spent::default()
            },
            source: UsageSource::Reported,
        };
    }
    let is_whole = attempt.phase == Phase::Complete;
    let (output, source) = match (usage.output_tokens, is_whole) {
        (Some(reported), true) => (reported, UsageSource::Reported),
        // A running total is only a lower bound while the stream runs.
        (Some(reported), false) => (reported.max(output_tokens), UsageSource::Partial),
        (None, true) => (output_tokens, UsageSource::Estimated),
        (None, false) => (output_tokens, UsageSource::Partial),
    };
    let input = usage.input_tokens.unwrap_or(input_tokens);
    Cost {
        spent: Spent {
            requests: 1,
            input_tokens: input,
            output_tokens: output,
        },
        source,
    }
}

/// What is left of the tightest limits, this reservation taken off.
fn allowances(reservation: &Reservation) -> Vec<HeaderEdit> {
    let requests = reservation
        .request_allowance
        .map(|left| allowance::headers(allowance::REQUEST_HEADERS, left));
    let tokens_left = reservation
        .token_allowance
        .map(|left| allowance::headers(allowance::TOKEN_HEADERS, left));
    let headers = requests.into_iter().chain(tokens_left).flatten();
    headers
        .map(|(name, value)| HeaderEdit::Set(name, value))
        .collect()
}
