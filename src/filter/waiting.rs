// SPDX-License-Identifier: Apache-2.0

//! Requests that wait for their issuer's keys.
//!
//! The answer to a call for keys comes to the root context, and the requests that wait are contexts of their own, so
//! the root has to reach them: it makes each the effective context and lets it go on. Only filters whose policy
//! fetches keys are wrapped so.
//!
//! How many wait is bounded, and how much of their bodies is held meanwhile: nothing is known yet of who sends them.

use super::host::{self, HostConnection};
use crate::policy::connection::Connection as _;
use core::net::IpAddr;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;
use std::cell::RefCell;
use std::rc::{Rc, Weak};

/// The most requests of one worker that wait.
const MOST_WAITING: usize = 256;
/// The most of them from one address, so that nobody takes all the room with made-up key names.
const MOST_WAITING_OF_ONE: usize = 128;
/// The most bytes of bodies that are held for them, all together.
const MOST_HELD_BYTES: usize = 64 << 20;

/// A filter that may wait for keys.
pub(super) trait AwaitsKeys: HttpContext {
    /// Whether it waits.
    fn awaits_keys(&self) -> bool;
    /// How much of the request's body is held.
    fn held_bytes(&self) -> usize;
    /// Keys have come, or did not: judges the request again, and tells whether it goes on.
    fn on_keys(&mut self) -> Action;
    /// Refuses the request, because too many wait.
    fn on_no_room_to_wait(&mut self);
}

struct Waiter {
    context: u32,
    filter: Weak<RefCell<dyn AwaitsKeys>>,
    held_bytes: usize,
    source: Option<IpAddr>,
}

thread_local! {
    static WAITING: RefCell<Vec<Waiter>> = const { RefCell::new(Vec::new()) };
}

/// Lets every request that waits be judged again. The effective context is the root's again afterwards.
pub(super) fn resume(root: u32) {
    for waiter in WAITING.take() {
        let Some(filter) = waiter.filter.upgrade() else {
            continue;
        };
        let Ok(mut inner) = filter.try_borrow_mut() else {
            continue;
        };
        if !inner.awaits_keys() || !host::enter(waiter.context) {
            continue;
        }
        if inner.on_keys() == Action::Continue {
            host::resume_request();
        } else if inner.awaits_keys() {
            WAITING.with_borrow_mut(|waiting| waiting.push(waiter));
        }
    }
    host::enter(root);
}

/// Whether any request waits.
pub(super) fn is_any() -> bool {
    WAITING.with_borrow(|waiting| !waiting.is_empty())
}

/// A filter that the root can reach.
pub(super) struct Reachable<F> {
    context: u32,
    filter: Rc<RefCell<F>>,
}

impl<F: AwaitsKeys + 'static> Reachable<F> {
    pub(super) fn new(context: u32, filter: F) -> Self {
        Self {
            context,
            filter: Rc::new(RefCell::new(filter)),
        }
    }

    /// `otherwise` is the answer should the filter be in use, which it never is: a request stays where it is then.
    fn with<T>(&self, otherwise: T, ask: impl FnOnce(&mut F) -> T) -> T {
        let Ok(mut filter) = self.filter.try_borrow_mut() else {
            return otherwise;
        };
        let answer = ask(&mut filter);
        if filter.awaits_keys() && !self.wait(filter.held_bytes()) {
            filter.on_no_room_to_wait();
        }
        answer
    }

    /// Notes that the request waits and how much it holds; `false` if there is no room.
    fn wait(&self, held_bytes: usize) -> bool {
        let source = HostConnection.source_address();
        WAITING.with_borrow_mut(|waiting| {
            waiting.retain(|waiter| waiter.context != self.context && waiter.filter.strong_count() > 0);
            let held = waiting
                .iter()
                .fold(held_bytes, |sum, waiter| sum.saturating_add(waiter.held_bytes));
            let of_one = waiting.iter().filter(|waiter| waiter.source == source).count();
            let has_room =
                waiting.len() < MOST_WAITING && of_one < MOST_WAITING_OF_ONE && held <= MOST_HELD_BYTES;
            if has_room {
                let filter: Weak<RefCell<F>> = Rc::downgrade(&self.filter);
                waiting.push(Waiter {
                    context: self.context,
                    filter,
                    held_bytes,
                    source,
                });
            }
            has_room
        })
    }
}

impl<F: AwaitsKeys + 'static> Context for Reachable<F> {}

impl<F: AwaitsKeys + 'static> HttpContext for Reachable<F> {
    fn on_http_request_headers(&mut self, count: usize, end_of_stream: bool) -> Action {
        self.with(Action::Pause, |filter| {
            filter.on_http_request_headers(count, end_of_stream)
        })
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.with(Action::Pause, |filter| {
            filter.on_http_request_body(size, end_of_stream)
        })
    }

    fn on_http_request_trailers(&mut self, count: usize) -> Action {
        self.with(Action::Pause, |filter| filter.on_http_request_trailers(count))
    }

    fn on_http_response_headers(&mut self, count: usize, end_of_stream: bool) -> Action {
        self.with(Action::Continue, |filter| {
            filter.on_http_response_headers(count, end_of_stream)
        })
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.with(Action::Continue, |filter| {
            filter.on_http_response_body(size, end_of_stream)
        })
    }

    fn on_http_response_trailers(&mut self, count: usize) -> Action {
        self.with(Action::Continue, |filter| filter.on_http_response_trailers(count))
    }

    fn on_log(&mut self) {
        self.with((), HttpContext::on_log);
    }
}
