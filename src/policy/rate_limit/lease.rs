// SPDX-License-Identifier: Apache-2.0

//! A reservation that both seats can reach: the gateway seat that settles it, and whoever sees the answer pass and
//! needs more of it.

use super::{RateLimiter, Reservation, Spent};
use crate::clock::Timestamp;
use crate::shared_store::SharedStore;
use core::cell::RefCell;
use core::fmt;
use std::rc::Rc;

/// A reservation and the limiter that made it.
pub struct Lease {
    limiter: Rc<RateLimiter>,
    reservation: RefCell<Reservation>,
}

impl Lease {
    /// Takes over a reservation. Whoever opens a lease settles it.
    #[must_use]
    pub const fn new(limiter: Rc<RateLimiter>, reservation: Reservation) -> Self {
        Self {
            limiter,
            reservation: RefCell::new(reservation),
        }
    }

    /// The output tokens that are reserved now.
    #[must_use]
    pub fn output_tokens(&self) -> u64 {
        self.reservation
            .try_borrow()
            .map_or(0, |reservation| reservation.output_tokens())
    }

    /// Reserves up to `wanted` output tokens more, and returns how many: see [`RateLimiter::extend`].
    pub fn extend(&self, wanted: u64, now: Timestamp, store: &dyn SharedStore) -> u64 {
        self.reservation.try_borrow_mut().map_or(0, |mut reservation| {
            self.limiter.extend(&mut reservation, wanted, now, store)
        })
    }

    /// The limits in shadow mode that would have refused the request, by their place in the configuration.
    #[must_use]
    pub fn would_refuse(&self) -> Vec<usize> {
        self.reservation
            .try_borrow()
            .map_or_else(|_| Vec::new(), |reservation| reservation.would_refuse().to_vec())
    }

    /// Keeps the reservation from expiring: see [`RateLimiter::renew`].
    pub fn renew(&self, now: Timestamp, store: &dyn SharedStore) {
        if let Ok(mut reservation) = self.reservation.try_borrow_mut() {
            self.limiter.renew(&mut reservation, now, store);
        }
    }

    /// Replaces what is reserved by what was spent. After that the lease is empty.
    pub fn settle(&self, spent: Spent, now: Timestamp, store: &dyn SharedStore) {
        if let Ok(mut reservation) = self.reservation.try_borrow_mut() {
            let reservation = core::mem::take(&mut *reservation);
            self.limiter.settle(reservation, spent, now, store);
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("output_tokens", &self.output_tokens())
            .finish_non_exhaustive()
    }
}
