// SPDX-License-Identifier: Apache-2.0

//! Both seats in one listener filter, for places where upstream filters cannot be loaded.
//!
//! The two filters are the same as elsewhere, one behind the other. What differs: the target is picked here and
//! not by the router, and Envoy's retries resend what was translated, so they stay with one provider.

use super::abi::Map;
use super::gateway::GatewayFilter;
use super::host;
use super::provider::ProviderFilter;
use super::root::ProviderSeats;
use super::waiting::AwaitsKeys;
use crate::attempt::misconfigured;
use crate::exchange::{CLUSTER_HEADER, HeaderEdit, Policy, ROUTE_HEADER};
use crate::local_reply::LocalReply;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;
use std::rc::Rc;

/// Envoy chooses no route for a request without it.
const FORWARDED_PROTO: &str = "x-forwarded-proto";

pub(super) struct BothFilter {
    gateway: GatewayFilter,
    provider: Option<ProviderFilter>,
    seats: Rc<ProviderSeats>,
}

impl BothFilter {
    pub(super) fn new(policy: Rc<Policy>, seats: Rc<ProviderSeats>) -> Self {
        Self {
            gateway: GatewayFilter::new(policy),
            provider: None,
            seats,
        }
    }

    /// The gateway half has let the request go on: picks the target, translates, and routes to its cluster.
    fn attempt(&mut self, size: usize) -> Action {
        // A request that is not translated must not go on: it still has what is not for a provider.
        let picked = self.gateway.pick(host::now().scattered());
        let Some((route, cluster, (seat, credentials))) =
            picked.and_then(|(route, cluster)| self.seats.get(&cluster).map(|seat| (route, cluster, seat)))
        else {
            host::reply(&LocalReply::from(misconfigured()));
            return Action::Pause;
        };
        let forwarded_proto = host::header(Map::Request, FORWARDED_PROTO);
        let mut provider = ProviderFilter::new(Rc::clone(seat), Rc::clone(credentials), false);
        let action = provider.on_http_request_body(size, true);
        self.provider = Some(provider);
        let routing = [
            HeaderEdit::Set(ROUTE_HEADER, route),
            HeaderEdit::Set(CLUSTER_HEADER, cluster),
            HeaderEdit::Set(FORWARDED_PROTO, forwarded_proto.unwrap_or_default()),
        ];
        host::edit_headers(Map::Request, &routing);
        host::clear_route_cache();
        action
    }

    /// The provider half lets the answer's headers go: the gateway half's turn.
    fn pass_headers(&mut self, action: Action, was_held: bool, end_of_stream: bool) -> Action {
        if action == Action::Pause || !was_held {
            return action;
        }
        self.gateway.on_http_response_headers(0, end_of_stream)
    }
}

impl AwaitsKeys for BothFilter {
    fn awaits_keys(&self) -> bool {
        self.gateway.awaits_keys()
    }

    fn held_bytes(&self) -> usize {
        self.gateway.held_bytes()
    }

    fn on_keys(&mut self) -> Action {
        let action = self.gateway.on_keys();
        if action == Action::Continue {
            self.attempt(self.gateway.buffered())
        } else {
            action
        }
    }

    fn on_no_room_to_wait(&mut self) {
        self.gateway.on_no_room_to_wait();
    }
}

impl Context for BothFilter {}

impl HttpContext for BothFilter {
    fn on_http_request_headers(&mut self, count: usize, end_of_stream: bool) -> Action {
        self.gateway.on_http_request_headers(count, end_of_stream)
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let action = self.gateway.on_http_request_body(size, end_of_stream);
        if action == Action::Continue {
            self.attempt(size)
        } else {
            action
        }
    }

    fn on_http_request_trailers(&mut self, count: usize) -> Action {
        let action = self.gateway.on_http_request_trailers(count);
        if action == Action::Continue {
            self.attempt(self.gateway.buffered())
        } else {
            action
        }
    }

    fn on_http_response_headers(&mut self, count: usize, end_of_stream: bool) -> Action {
        if !host::is_from_upstream() {
            // Envoy answered in the provider's place: there is nothing to translate.
            self.provider = None;
        }
        let Some(provider) = self.provider.as_mut() else {
            return self.gateway.on_http_response_headers(count, end_of_stream);
        };
        let action = provider.on_http_response_headers(count, end_of_stream);
        self.pass_headers(action, true, end_of_stream)
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let Some(provider) = self.provider.as_mut() else {
            return self.gateway.on_http_response_body(size, end_of_stream);
        };
        self.gateway.renew();
        let was_held = provider.holds_headers();
        let action = provider.on_http_response_body(size, end_of_stream);
        self.pass_headers(action, was_held, false)
    }

    fn on_http_response_trailers(&mut self, count: usize) -> Action {
        let Some(provider) = self.provider.as_mut() else {
            return self.gateway.on_http_response_trailers(count);
        };
        let was_held = provider.holds_headers();
        let action = provider.on_http_response_trailers(count);
        self.pass_headers(action, was_held, false)
    }

    fn on_log(&mut self) {
        self.gateway.on_log();
    }
}
