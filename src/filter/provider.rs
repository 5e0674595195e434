// SPDX-License-Identifier: Apache-2.0

//! The provider seat: an upstream filter of one cluster.

use super::abi::{Buffer, Map};
use super::host::{self, SharedData};
use crate::attempt::{Attempt, BodyStep, Credentials, ProviderSeat, ResponseHead};
use crate::clock::Timestamp;
use core::time::Duration;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;
use std::rc::Rc;

/// How long a provider may give signs of life alone before its client gets one too: clients and proxies give up on
/// connections that are silent for a minute, and some for half of one.
const PATIENCE: Duration = Duration::from_secs(15);

/// The counter of attempts whose credential this provider has refused.
pub(super) fn refusals(provider: &str) -> String {
    format!("tollgate.upstream_credential_refused.{provider}")
}

pub(super) struct ProviderFilter {
    seat: Rc<ProviderSeat>,
    credentials: Rc<Credentials>,
    attempt: Option<Attempt>,
    /// How much of a body the host holds: of the request's, and then of the answer's.
    buffered: usize,
    /// How much of what the host holds of the answer has been read.
    consumed: usize,
    /// Since when nothing has come of the answer that a client gets.
    silent_since: Option<Timestamp>,
    /// The path to put back when the answer comes, if the gateway seat cannot do it.
    path: Option<Vec<u8>>,
    /// Whether this is an upstream filter, and not a half of a listener filter.
    is_upstream: bool,
}

impl ProviderFilter {
    pub(super) const fn new(seat: Rc<ProviderSeat>, credentials: Rc<Credentials>, is_upstream: bool) -> Self {
        Self {
            seat,
            credentials,
            attempt: None,
            buffered: 0,
            consumed: 0,
            silent_since: None,
            path: None,
            is_upstream,
        }
    }

    /// Whether the answer's headers have not gone yet.
    pub(super) fn holds_headers(&self) -> bool {
        self.attempt.as_ref().is_some_and(Attempt::holds_headers)
    }

    fn on_whole_request(&mut self) -> Action {
        let headers = host::headers(Map::Request);
        let handoff = host::find_exchange(&headers);
        if let Some(Ok(handoff)) = handoff.as_ref().map(|handoff| handoff.try_borrow()) {
            self.path = handoff.path_to_restore.clone().filter(|_| self.is_upstream);
        }
        let handed = handoff
            .as_ref()
            .and_then(|handoff| handoff.try_borrow_mut().ok()?.take_body(self.buffered));
        let body = handed.unwrap_or_else(|| host::body(Buffer::RequestBody, 0, self.buffered));
        let mut out = Vec::with_capacity(body.len().saturating_add(256));
        let credentials = self.credentials.current(host::now);
        let begun = Attempt::begin(&self.seat, handoff, &headers, &body, &credentials, &mut out);
        match begun {
            Ok((mut attempt, head)) => {
                attempt.extend_with(Box::new(|lease, wanted| {
                    lease.extend(wanted, host::now(), &SharedData)
                }));
                host::set_headers(Map::Request, &head);
                // What the provider gets is often what the client sent.
                if out != body {
                    host::set_body(Buffer::RequestBody, self.buffered, &out);
                }
                self.attempt = Some(attempt);
                Action::Continue
            }
            Err(reply) => {
                host::reply(&reply);
                Action::Pause
            }
        }
    }

    /// Tells the operator of a refused credential.
    fn tell_refusal(&mut self) {
        if !self
            .attempt
            .as_mut()
            .is_some_and(Attempt::take_credential_refusal)
        {
            return;
        }
        let name = &self.seat.name;
        host::count(&refusals(name), 1);
        if self.seat.is_refusal_news(host::now()) {
            log::warn!("provider {name} refused the gateway's credential");
        }
    }

    /// `out` is what goes on of the answer's body, `None` if that is just what came.
    fn carry_out(&mut self, step: BodyStep, size: usize, out: Option<&[u8]>) -> Action {
        self.consumed = 0;
        match step {
            BodyStep::Hold => {
                self.consumed = size;
                return Action::Pause;
            }
            BodyStep::Release(head) => {
                host::set_headers(Map::Response, &head.0);
                pass(size, out);
            }
            BodyStep::Reply(reply) if self.is_upstream => {
                // Replies wait until the host has taken what came, which may be more than it may hold.
                host::set_body(Buffer::ResponseBody, size, &[]);
                host::reply(&reply);
                return Action::Pause;
            }
            // In a filter that holds both seats a reply would bypass the gateway half.
            BodyStep::Reply(reply) => {
                host::set_headers(Map::Response, &ResponseHead::from(&reply).0);
                host::set_body(Buffer::ResponseBody, size, &reply.body);
            }
            BodyStep::Pass => pass(size, out),
            BodyStep::Stop => {
                host::set_body(Buffer::ResponseBody, size, &[]);
                host::stop_upstream();
            }
        }
        Action::Continue
    }

    fn on_response_piece(&mut self, size: usize, end_of_stream: bool) -> Action {
        let Some(attempt) = self.attempt.as_mut() else {
            return Action::Continue;
        };
        let is_whole = attempt.wants_whole_body();
        if is_whole && !attempt.may_hold(size) {
            let mut out = Vec::new();
            let step = attempt.on_response_too_large(size, &mut out);
            return self.carry_out(step, size, Some(&out));
        }
        if is_whole && !end_of_stream {
            return Action::Pause;
        }
        let start = if is_whole { 0 } else { self.consumed };
        let chunk = host::body(Buffer::ResponseBody, start, size);
        let mut out = Vec::with_capacity(room_for_translation(chunk.len()));
        let mut step = attempt.on_response_body(&chunk, end_of_stream, &mut out);
        if step == BodyStep::Hold || (step == BodyStep::Pass && out.is_empty()) {
            let now = host::now();
            if now.since(*self.silent_since.get_or_insert(now)) >= PATIENCE {
                self.silent_since = Some(now);
                step = attempt.show_life(step, &mut out);
            }
        } else {
            self.silent_since = None;
        }
        self.tell_refusal();
        let is_unchanged = start == 0 && out == chunk;
        self.carry_out(step, size, (!is_unchanged).then_some(&out))
    }
}

/// How much room a translated piece of an answer hardly exceeds: a short event becomes a longer one, a long answer
/// keeps about its length.
fn room_for_translation(bytes: usize) -> usize {
    const SHORT: usize = 16 * 1024;
    bytes.saturating_add(bytes.min(SHORT)).saturating_add(256)
}

/// Lets the answer's body go on, as it came or as it is now.
fn pass(size: usize, out: Option<&[u8]>) {
    if let Some(out) = out {
        host::set_body(Buffer::ResponseBody, size, out);
    }
}

impl Context for ProviderFilter {}

impl HttpContext for ProviderFilter {
    fn on_http_request_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        if end_of_stream {
            self.on_whole_request()
        } else {
            Action::Pause
        }
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.buffered = size;
        if end_of_stream {
            self.on_whole_request()
        } else {
            Action::Pause
        }
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        host::clear_trailers(Map::RequestTrailers);
        if self.seat.is_signed() {
            let handoff = host::find_exchange(&host::headers(Map::Request));
            host::reply(&Attempt::refuse_trailers(&self.seat, handoff.as_ref()));
            return Action::Pause;
        }
        self.on_whole_request()
    }

    fn on_http_response_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        let Some(attempt) = self.attempt.as_mut() else {
            return Action::Continue;
        };
        attempt.on_response_headers(&host::headers(Map::Response));
        self.buffered = 0;
        for name in self.seat.credential_header_names() {
            host::forget_credential(name);
        }
        if let Some(path) = self.path.take() {
            host::restore_path(&path);
        }
        if !end_of_stream {
            if !attempt.wants_whole_body() {
                self.silent_since = Some(host::now());
            }
            return Action::Pause;
        }
        // An answer without a body cannot be given one here; the gateway seat does that.
        let mut out = Vec::new();
        if let BodyStep::Release(mut head) = attempt.on_response_body(&[], true, &mut out) {
            head.without_body();
            host::set_headers(Map::Response, &head.0);
        }
        self.tell_refusal();
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let action = self.on_response_piece(size, end_of_stream);
        self.buffered = if action == Action::Continue { 0 } else { size };
        action
    }

    fn on_http_response_trailers(&mut self, _count: usize) -> Action {
        host::clear_trailers(Map::ResponseTrailers);
        if self.buffered > 0 {
            return self.on_response_piece(self.buffered, true);
        }
        match self.attempt.as_mut().map(Attempt::on_trailers_alone) {
            Some(Some(BodyStep::Release(head))) => host::set_headers(Map::Response, &head.0),
            Some(None) => host::stop_upstream(),
            Some(Some(_)) | None => {}
        }
        self.tell_refusal();
        Action::Continue
    }
}
