// SPDX-License-Identifier: Apache-2.0

//! The gateway seat: a filter of the listener.

use super::abi::{Buffer, Map};
use super::host::{self, SharedData};
use super::waiting::AwaitsKeys;
use crate::clock::Timestamp;
use crate::exchange::{Answer, Exchange, HeaderEdit, Policy, Step};
use crate::headers::Headers;
use core::time::Duration;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;
use std::rc::Rc;

/// How often a reservation is kept alive while pieces of its answer pass. It lasts an hour at least.
const RENEWAL: Duration = Duration::from_secs(600);

const EVICTIONS: &str = "tollgate.limit_evictions";
const FAILURES: &str = "tollgate.limit_failures";
const WOULD_REFUSE: &str = "tollgate.limit_would_refuse";

/// What this seat counts.
pub(super) const COUNTERS: [&str; 3] = [EVICTIONS, FAILURES, WOULD_REFUSE];

pub(super) struct GatewayFilter {
    exchange: Option<Exchange>,
    /// The request's id.
    request_id: Vec<u8>,
    /// The key under which the provider seat finds the exchange.
    key: Option<Vec<u8>>,
    /// When the reservation was last kept alive.
    renewed_at: Timestamp,
    /// Whether access logs are to tell of the exchange.
    writes_log: bool,
    /// The path that the client asked for.
    path: Vec<u8>,
    /// How much of the request's body the host holds, while it is not whole.
    buffered: usize,
    /// The body to send in place of the one that comes.
    replacement: Option<Vec<u8>>,
    is_replaced: bool,
    /// The request's headers, and whether a body follows, while its issuer's keys are awaited.
    awaiting_keys: Option<(Headers, bool)>,
    /// Whether the body has come in full meanwhile.
    is_whole: bool,
    /// Whether the request went on after it was whole: the host has taken its headers away from this seat.
    is_released: bool,
}

impl GatewayFilter {
    pub(super) fn new(policy: Rc<Policy>) -> Self {
        Self {
            writes_log: policy.writes_log(),
            exchange: Some(Exchange::new(policy)),
            request_id: Vec::new(),
            key: None,
            renewed_at: Timestamp::default(),
            path: Vec::new(),
            buffered: 0,
            replacement: None,
            is_replaced: false,
            awaiting_keys: None,
            is_whole: false,
            is_released: false,
        }
    }

    pub(super) const fn buffered(&self) -> usize {
        self.buffered
    }

    /// The route and the cluster to use, where the router does not pick.
    pub(super) fn pick(&self, random: u64) -> Option<(String, String)> {
        self.exchange.as_ref()?.pick(random)
    }

    fn forget_credentials(&self) {
        if !self.is_released {
            host::forget_credentials();
        }
    }

    /// The request goes on at our word, and not as the answer to a callback of the host's.
    fn release(&mut self) {
        self.is_released = true;
        let handoff = self.exchange.as_ref().and_then(Exchange::handoff);
        if let Some(Ok(mut handoff)) = handoff.as_ref().map(|handoff| handoff.try_borrow_mut())
            && self.writes_log
        {
            handoff.path_to_restore = Some(self.path.clone());
        }
    }

    /// A piece of the answer passes: keeps the reservation alive.
    pub(super) fn renew(&mut self) {
        let now = host::now();
        if now.since(self.renewed_at) >= RENEWAL
            && let Some(exchange) = &self.exchange
        {
            self.renewed_at = now;
            exchange.renew(now, &SharedData);
        }
    }

    fn carry_out(&mut self, step: Step) -> Action {
        match step {
            Step::Buffer | Step::AwaitKeys => Action::Pause,
            Step::Reply(reply) => {
                host::reply(&reply);
                Action::Pause
            }
            Step::TellUsage => {
                if let Some(Step::Reply(reply)) = self
                    .exchange
                    .as_mut()
                    .map(|exchange| exchange.usage(host::now(), &SharedData))
                {
                    host::reply(&reply);
                }
                Action::Pause
            }
            Step::Forward(edits) => {
                host::edit_headers(Map::Request, &edits);
                let handoff = self.exchange.as_ref().and_then(Exchange::handoff);
                self.key = handoff.map(|handoff| host::open_exchange(&self.request_id, handoff));
                host::clear_route_cache();
                Action::Continue
            }
        }
    }

    fn on_whole_body(&mut self) -> Action {
        let body = host::body(Buffer::RequestBody, 0, self.buffered);
        let Some(exchange) = self.exchange.as_mut() else {
            return Action::Pause;
        };
        let step = exchange.on_request_body(body, host::now(), &SharedData);
        self.carry_out(step)
    }
}

impl AwaitsKeys for GatewayFilter {
    fn awaits_keys(&self) -> bool {
        self.awaiting_keys.is_some()
    }

    fn held_bytes(&self) -> usize {
        self.buffered
    }

    fn on_keys(&mut self) -> Action {
        let (Some((headers, has_body)), Some(exchange)) = (self.awaiting_keys.take(), self.exchange.as_mut())
        else {
            return Action::Pause;
        };
        let step = exchange.on_request_headers(&headers, has_body, host::now());
        match step {
            Step::AwaitKeys => {
                self.awaiting_keys = Some((headers, has_body));
                Action::Pause
            }
            Step::Buffer if self.is_whole => {
                let action = self.on_whole_body();
                if action == Action::Continue {
                    self.release();
                }
                action
            }
            Step::Buffer | Step::Forward(_) | Step::Reply(_) | Step::TellUsage => self.carry_out(step),
        }
    }

    fn on_no_room_to_wait(&mut self) {
        self.awaiting_keys = None;
        if let Some(exchange) = self.exchange.as_mut() {
            let step = exchange.on_no_room_to_wait();
            self.carry_out(step);
        }
    }
}

impl Context for GatewayFilter {}

impl HttpContext for GatewayFilter {
    fn on_http_request_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        let headers = host::headers(Map::Request);
        // Without an exchange nobody judges the request, so it goes nowhere.
        let Some(exchange) = self.exchange.as_mut() else {
            return Action::Pause;
        };
        self.request_id = headers.get(host::REQUEST_ID).unwrap_or_default().to_vec();
        self.path = headers.get(":path").unwrap_or_default().to_vec();
        if let Some(path) = exchange.path_without_credential(&self.path) {
            host::edit_headers(Map::Request, &[HeaderEdit::Set(":path", path.clone())]);
            self.path = path.into_bytes();
        }
        let step = exchange.on_request_headers(&headers, !end_of_stream, host::now());
        if step == Step::AwaitKeys {
            self.awaiting_keys = Some((headers, !end_of_stream));
        }
        self.carry_out(step)
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.buffered = size;
        if let Some(exchange) = self.exchange.as_mut()
            && exchange.is_too_large(size)
        {
            let step = exchange.on_body_too_large();
            // The reply waits until the host has taken what came, which may be more than it may hold.
            host::set_body(Buffer::RequestBody, size, &[]);
            self.awaiting_keys = None;
            return self.carry_out(step);
        }
        if !end_of_stream {
            Action::Pause
        } else if self.awaiting_keys.is_some() {
            self.is_whole = true;
            Action::Pause
        } else {
            self.on_whole_body()
        }
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        host::clear_trailers(Map::RequestTrailers);
        // Trailers end the body in place of its last chunk.
        if self.awaiting_keys.is_some() {
            self.is_whole = true;
            return Action::Pause;
        }
        self.on_whole_body()
    }

    fn on_http_response_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        let Some(exchange) = self.exchange.as_mut() else {
            return Action::Continue;
        };
        if self.key.is_some() && self.writes_log && !self.is_released {
            host::restore_path(&self.path);
        }
        let headers = || host::headers(Map::Response);
        match exchange.on_response_headers(headers, end_of_stream) {
            Answer::Pass(edits) => host::edit_headers(Map::Response, &edits),
            Answer::Replace(edits, body) => {
                self.forget_credentials();
                host::edit_headers(Map::Response, &edits);
                self.replacement = Some(body);
            }
            Answer::Reply(reply) => {
                self.forget_credentials();
                host::reply(&reply);
                return Action::Pause;
            }
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, _end_of_stream: bool) -> Action {
        self.renew();
        if let Some(body) = self.replacement.take() {
            host::set_body(Buffer::ResponseBody, size, &body);
            self.is_replaced = true;
        } else if self.is_replaced {
            host::set_body(Buffer::ResponseBody, size, &[]);
        }
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, _count: usize) -> Action {
        host::clear_trailers(Map::ResponseTrailers);
        Action::Continue
    }

    fn on_log(&mut self) {
        self.awaiting_keys = None;
        if let Some(key) = self.key.take() {
            host::close_exchange(&key);
        }
        if let Some(mut exchange) = self.exchange.take() {
            exchange.on_end(host::was_broken_off);
            let record = exchange.finish(host::now(), &SharedData);
            host::count(EVICTIONS, record.limit_evictions);
            host::count(FAILURES, record.limit_failures);
            if let Some(error) = record.input_estimate_error {
                host::observe("tollgate.input_estimate_error_permille", error);
            }
            let would_refuse = u64::from(!record.would_refuse.is_empty());
            host::count(WOULD_REFUSE, would_refuse);
            if self.writes_log {
                for (name, value) in record.fields() {
                    host::set_property(&["tollgate.", name].concat(), value.as_bytes());
                }
            }
        }
    }
}
