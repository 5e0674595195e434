// SPDX-License-Identifier: Apache-2.0

//! Calls for providers' access tokens, made by root contexts of the provider seat.
//!
//! A provider may have several clusters, each with a root context in the same VM. They share one [`AccessToken`], and
//! whichever ticks first makes the call. A call whose root is gone before the answer is made again by another.

use super::abi::{Buffer, Map};
use super::host;
use crate::attempt::{AccessToken, MAX_TOKEN_ANSWER_BYTES, ProviderSeat, TokenCall};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};

/// A token of this worker's.
type Shared = Rc<RefCell<AccessToken>>;

/// How often to look, in milliseconds.
const TICK_MILLIS: u32 = 100;

const FETCHES: &str = "tollgate.access_token_fetches";
const FAILURES: &str = "tollgate.access_token_failures";

thread_local! {
    /// The tokens that some root context uses.
    static TOKENS: RefCell<Vec<Weak<RefCell<AccessToken>>>> = const { RefCell::new(Vec::new()) };
}

/// The access token of a seat's provider, if it has one that the filter fetches.
pub(super) fn of(seat: &ProviderSeat) -> Option<Shared> {
    let wanted = seat.access_token()?;
    TOKENS.with_borrow_mut(|access_tokens| {
        access_tokens.retain(|access_token| access_token.strong_count() > 0);
        let mut known = access_tokens.iter().filter_map(Weak::upgrade);
        let same = known.find(|access_token| {
            access_token
                .try_borrow()
                .is_ok_and(|access_token| access_token.is_same_as(&wanted))
        });
        Some(same.unwrap_or_else(|| {
            let fresh = Rc::new(RefCell::new(wanted));
            access_tokens.push(Rc::downgrade(&fresh));
            fresh
        }))
    })
}

/// The calls of one root context.
pub(super) struct TokenCalls {
    /// Each with its provider's name.
    access_tokens: Vec<(Rc<str>, Shared)>,
    under_way: HashMap<u32, (usize, TokenCall)>,
}

impl TokenCalls {
    /// Begins to tick, if there is any token to fetch.
    pub(super) fn new(access_tokens: Vec<(Rc<str>, Shared)>) -> Option<Self> {
        if access_tokens.is_empty() {
            return None;
        }
        host::counter(FETCHES);
        host::counter(FAILURES);
        host::tick_every(TICK_MILLIS);
        Some(Self {
            access_tokens,
            under_way: HashMap::new(),
        })
    }

    pub(super) fn on_tick(&mut self) {
        let now = host::now();
        for place in 0..self.access_tokens.len() {
            let access_token = self
                .access_tokens
                .get(place)
                .map(|(_, access_token)| access_token);
            let call = access_token.and_then(|access_token| access_token.try_borrow_mut().ok()?.begin(now));
            let Some(call) = call else { continue };
            host::count(FETCHES, 1);
            match host::call_for_token(&call) {
                Some(id) => {
                    self.under_way.insert(id, (place, call));
                }
                None => self.conclude(place, &call, None),
            }
        }
    }

    pub(super) fn on_answer(&mut self, id: u32, header_count: usize, body_size: usize) {
        let Some((place, call)) = self.under_way.remove(&id) else {
            return;
        };
        if header_count == 0 {
            self.conclude(place, &call, None);
            return;
        }
        let headers = host::headers(Map::CallResponse);
        let status = headers.str(":status").and_then(|status| status.parse().ok());
        // One byte more than is taken tells that there is more.
        let body_size = body_size.min(MAX_TOKEN_ANSWER_BYTES + 1);
        let body = host::body(Buffer::CallResponseBody, 0, body_size);
        self.conclude(place, &call, Some((status.unwrap_or(0), &body)));
    }

    fn conclude(&self, place: usize, call: &TokenCall, answer: Option<(u16, &[u8])>) {
        let Some((provider, access_token)) = self.access_tokens.get(place) else {
            return;
        };
        let Ok(mut access_token) = access_token.try_borrow_mut() else {
            return;
        };
        match access_token.on_answer(call, answer, host::now()) {
            Ok(lifetime) => {
                log::info!(
                    "provider {provider}: an access token for {} s",
                    lifetime.as_secs()
                );
            }
            Err(reason) => {
                host::count(FAILURES, 1);
                log::warn!(
                    "provider {provider}: no access token from cluster {}: {reason}",
                    call.cluster
                );
            }
        }
    }
}
