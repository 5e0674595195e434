// SPDX-License-Identifier: Apache-2.0

//! The answer, and the account.

use super::account::Account;
use super::{Answer, Exchange, HeaderEdit, rescue};
use crate::api_error::ApiError;
use crate::clock::Timestamp;
use crate::handoff::{PROVIDER_HEADER, Phase};
use crate::headers::Headers;
use crate::local_reply::LocalReply;
use crate::policy::rate_limit::Spent;
use crate::shared_store::SharedStore;
use crate::telemetry::Record;
use crate::usage::price::usd;

impl Exchange {
    /// Judges an answer before the client sees it. `headers` reads the answer's, which is only needed when
    /// something went wrong.
    pub fn on_response_headers(&mut self, headers: impl FnOnce() -> Headers, end_of_stream: bool) -> Answer {
        let Some(admitted) = &self.admitted else {
            // We answered ourselves.
            return Answer::Pass(Vec::new());
        };
        let Ok(handoff) = admitted.handoff.try_borrow() else {
            return Answer::Pass(Vec::new());
        };
        let phase = handoff
            .attempt
            .as_ref()
            .map_or(&Phase::Waiting, |attempt| &attempt.phase);
        if matches!(
            phase,
            Phase::Alive | Phase::Answering | Phase::Stopped | Phase::Complete
        ) {
            // The provider seat has set all that there is to set.
            return Answer::Pass(Vec::new());
        }
        let has_no_body = end_of_stream
            || handoff
                .attempt
                .as_ref()
                .is_some_and(|attempt| attempt.has_only_trailers);
        let headers = headers();
        let status = headers
            .str(":status")
            .and_then(|status| status.parse::<u16>().ok())
            .unwrap_or(503);
        match phase {
            Phase::Failed(error) if headers.get(PROVIDER_HEADER).is_some() => {
                if status < 400 {
                    // After content the status has gone: the stream itself tells the failure.
                    Answer::Pass(Vec::new())
                } else if has_no_body {
                    fail(handoff.answer_headers(), error, has_no_body)
                } else {
                    Answer::Pass(vec![HeaderEdit::Set(":status", error.status.to_string())])
                }
            }
            Phase::Waiting | Phase::Begun if headers.get(PROVIDER_HEADER).is_some() => {
                Answer::Pass(Vec::new())
            }
            Phase::Waiting
            | Phase::Begun
            | Phase::Alive
            | Phase::Answering
            | Phase::Stopped
            | Phase::Complete
            | Phase::Failed(_) => {
                self.envoy_status = Some(status);
                // Envoy has answered: no provider seat has spoken, at least not last.
                let mut own = handoff.answer_headers();
                own.retain(|(name, _)| *name != PROVIDER_HEADER);
                let error = match &handoff.attempt {
                    // The provider seat has written a request, and the filter behind it had nothing to put in.
                    Some(attempt) if status == 401 => rescue::no_credential(&attempt.provider),
                    _ => rescue::no_answer(status),
                };
                fail(own, &error, end_of_stream)
            }
        }
    }

    /// Keeps the reservation of an answer that is still streaming from expiring.
    pub fn renew(&self, now: Timestamp, store: &dyn SharedStore) {
        if let Some(admitted) = &self.admitted {
            admitted.lease.renew(now, store);
        }
    }

    /// The exchange is over; `was_broken_off` tells whether the provider or a timeout has ended it, and not the client.
    pub fn on_end(&mut self, was_broken_off: impl FnOnce() -> bool) {
        const BAD_GATEWAY: u16 = 502;
        let Some(admitted) = &self.admitted else { return };
        let has_shown_life_alone = admitted.handoff.try_borrow().is_ok_and(|handoff| {
            let attempt = handoff.attempt.as_ref();
            attempt.is_some_and(|attempt| attempt.phase == Phase::Alive)
        });
        // Of every other answer the provider seat has seen how it ended, or Envoy has put its own in the place of it.
        if has_shown_life_alone && was_broken_off() {
            self.envoy_status = Some(BAD_GATEWAY);
        }
    }

    /// Settles the account. Called once, however the exchange ended.
    pub fn finish(self, now: Timestamp, store: &dyn SharedStore) -> Record {
        let mut record = Record {
            refused_by: self.refused_by,
            refused_rule: self.refused_rule,
            ..Record::default()
        };
        if let Some(principal) = &self.principal {
            record.consumer.clone_from(&principal.consumer);
            record.team.clone_from(&principal.team);
        }
        record.model = self.request_model;
        let Some(admitted) = self.admitted else {
            return record;
        };
        let mut spent = Spent::default();
        if let Ok(handoff) = admitted.handoff.try_borrow() {
            record.attempts = handoff.attempts;
            let account = Account::of(&self.policy, &admitted, &handoff, self.envoy_status, store);
            (spent, record.usage_source) = (account.spent, account.source);
            if let Some(attempt) = &handoff.attempt {
                if let (true, Phase::Failed(error)) = (attempt.is_refused, &attempt.phase) {
                    record.refused_by = Some("request");
                    record.refused_rule = Some(error.rule().to_owned());
                }
                record.provider = attempt.provider.to_string();
                let last = attempt.credential_owner.as_str();
                record.credential = Some(account.payer.unwrap_or(last));
                record.upstream_model.clone_from(&attempt.upstream_model);
                record.input_estimate_error = attempt.tally.usage.input_tokens.and_then(|reported| {
                    let off = admitted.input_tokens.abs_diff(reported);
                    off.saturating_mul(1_000).checked_div(reported)
                });
                self.policy
                    .learn(attempt, handoff.operation, admitted.prompt, store);
            }
        }
        if self.policy.limiter.counts_money() {
            record.cost = Some(usd(spent.cost));
        }
        let would_refuse = admitted.lease.would_refuse();
        record.would_refuse = would_refuse
            .iter()
            .map(|limit| self.policy.limiter.name_of(*limit).to_owned())
            .collect();
        record.limit_evictions = self.policy.limiter.take_evictions();
        record.limit_failures = self.policy.limiter.take_failures();
        record.input_tokens = spent.input_tokens;
        record.output_tokens = spent.output_tokens;
        admitted.lease.settle(spent, now, store);
        record
    }
}

/// An error in place of an answer.
fn fail(own: Vec<(&'static str, String)>, error: &ApiError, end_of_stream: bool) -> Answer {
    let mut reply = LocalReply::from(error);
    reply.headers.extend(own);
    if end_of_stream {
        return Answer::Reply(reply);
    }
    let mut edits = vec![
        HeaderEdit::Set(":status", reply.status.to_string()),
        HeaderEdit::Set("content-length", reply.body.len().to_string()),
    ];
    edits.extend(
        reply
            .headers
            .into_iter()
            .map(|(name, value)| HeaderEdit::Set(name, value)),
    );
    Answer::Replace(edits, reply.body)
}
