// SPDX-License-Identifier: Apache-2.0

//! Calls for issuers' keys, made by the root context of the gateway seat.
//!
//! Every worker ticks, but [`Policy::calls_for_keys`] gives each call to one of them alone. A tick is also when a
//! worker sees what another one has fetched, and when requests that have waited long enough are told so.

use super::abi::{Buffer, Map};
use super::host::{self, SharedData};
use super::waiting;
use crate::exchange::Policy;
use crate::policy::auth::{KeyAnswer, KeyCall, KeyOutcome, MAX_ANSWER_BYTES};
use std::collections::HashMap;
use std::rc::Rc;

/// How often to look, in milliseconds.
const TICK_MILLIS: u32 = 100;
/// How many ticks go by between two looks while nobody waits.
const IDLE_TICKS: u32 = 10;

const FETCHES: &str = "tollgate.jwks_fetches";
const FAILURES: &str = "tollgate.jwks_failures";

/// The calls of one root context.
pub(super) struct KeyCalls {
    root: u32,
    policy: Rc<Policy>,
    under_way: HashMap<u32, KeyCall>,
    ticks: u32,
}

impl KeyCalls {
    /// Begins to tick.
    pub(super) fn new(root: u32, policy: Rc<Policy>) -> Self {
        host::counter(FETCHES);
        host::counter(FAILURES);
        host::tick_every(TICK_MILLIS);
        Self {
            root,
            policy,
            under_way: HashMap::new(),
            ticks: 0,
        }
    }

    pub(super) fn on_tick(&mut self) {
        self.ticks = self.ticks.wrapping_add(1);
        let is_any_waiting = waiting::is_any();
        if !is_any_waiting && self.ticks % IDLE_TICKS != 1 {
            return;
        }
        let is_news = self.policy.sync_keys(&SharedData);
        for call in self.policy.calls_for_keys(host::now(), &SharedData) {
            self.make(call);
        }
        // Those who wait are judged again when there is something new, and once in a while to end their wait.
        if is_any_waiting && (is_news || self.ticks % IDLE_TICKS == 1) {
            waiting::resume(self.root);
        }
    }

    fn make(&mut self, call: KeyCall) {
        host::count(FETCHES, 1);
        match host::call_for_keys(&call) {
            Some(id) => {
                self.under_way.insert(id, call);
            }
            None => self.conclude(&call, KeyAnswer::None),
        }
    }

    pub(super) fn on_answer(&mut self, id: u32, header_count: usize, body_size: usize) {
        let Some(call) = self.under_way.remove(&id) else {
            return;
        };
        if header_count == 0 {
            self.conclude(&call, KeyAnswer::None);
            return;
        }
        let headers = host::headers(Map::CallResponse);
        let number = |name| headers.str(name).and_then(|text| text.trim().parse::<u64>().ok());
        // One byte more than is taken tells that there is more.
        let body_size = body_size.min(MAX_ANSWER_BYTES + 1);
        let body = host::body(Buffer::CallResponseBody, 0, body_size);
        let answer = KeyAnswer::Http {
            status: number(":status")
                .and_then(|status| u16::try_from(status).ok())
                .unwrap_or(0),
            cache_control: headers.str("cache-control"),
            age: number("age"),
            body: &body,
        };
        self.conclude(&call, answer);
    }

    fn conclude(&mut self, call: &KeyCall, answer: KeyAnswer<'_>) {
        let Some((outcome, issuer)) = self.policy.on_key_answer(call, answer, host::now(), &SharedData)
        else {
            return;
        };
        match outcome {
            KeyOutcome::Call(next) => return self.make(next),
            KeyOutcome::Fetched(count) => log::info!("issuer {issuer}: fetched {count} keys"),
            KeyOutcome::Failed(reason) => {
                host::count(FAILURES, 1);
                log::warn!("issuer {issuer}: no keys from cluster {}: {reason}", call.cluster);
            }
        }
        waiting::resume(self.root);
    }
}
