// SPDX-License-Identifier: Apache-2.0

//! Bad signatures, counted by where they come from.
//!
//! To find out that a signature is bad costs as much as to find out that it is good: the better part of a millisecond.
//! Whoever sends one bad token after another would take the worker's time from everybody else. So each source has a
//! budget of bad signatures; when it is used up, tokens from there that were not verified before are refused unread.
//! Tokens that are remembered, API keys, and everybody else are not concerned.
//!
//! The table's size is fixed. Two sources that share a place in it share a budget, and an IPv6 source is its /64, since
//! a subscriber has at least that many addresses.

use crate::clock::Timestamp;
use core::net::IpAddr;
use core::time::Duration;

/// How many places the table has.
const PLACES: usize = 1024;
/// The time in which a used-up budget has room for one more bad signature.
const INTERVAL: Duration = Duration::from_millis(50);
/// How many bad signatures may come at once.
const BURST: u32 = 100;

/// For each place, when its budget is whole again (the generic cell rate algorithm).
pub(super) struct Failures(Vec<Timestamp>);

impl Default for Failures {
    fn default() -> Self {
        Self(vec![Timestamp::default(); PLACES])
    }
}

impl Failures {
    /// Whether `source` has sent so many bad signatures that it is not to be heard now.
    pub(super) fn is_too_many(&self, source: IpAddr, now: Timestamp) -> bool {
        let used = self.0.get(place(source)).map(|whole_at| whole_at.since(now));
        // More than can have been used is a clock that was set back.
        used.is_some_and(|used| used > INTERVAL * (BURST - 1) && used <= INTERVAL * BURST)
    }

    /// Counts a bad signature.
    pub(super) fn count(&mut self, source: IpAddr, now: Timestamp) {
        if let Some(whole_at) = self.0.get_mut(place(source)) {
            let is_sound = whole_at.since(now) <= INTERVAL * BURST;
            let from = if is_sound { (*whole_at).max(now) } else { now };
            *whole_at = from.plus(INTERVAL).min(now.plus(INTERVAL * BURST));
        }
    }
}

fn place(source: IpAddr) -> usize {
    // Fowler, Noll and Vo's hash, 1a.
    let mix = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    let hash = match source.to_canonical() {
        IpAddr::V4(address) => address.octets().iter().fold(0x811c_9dc5, mix),
        IpAddr::V6(address) => address.octets().iter().take(8).fold(0x811c_9dc5, mix),
    };
    usize::try_from(hash).unwrap_or(0) % PLACES
}

#[cfg(test)]
mod tests {
    use super::{BURST, Failures};
    use crate::clock::Timestamp;
    use core::net::IpAddr;
    use core::time::Duration;

    const START: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn used_up(source: IpAddr) -> Failures {
        let mut failures = Failures::default();
        for n in 0..BURST {
            assert!(!failures.is_too_many(source, START), "{n}");
            failures.count(source, START);
        }
        failures
    }

    #[crate::test]
    fn a_budget_is_used_up_and_comes_back() {
        let (evil, good) = (ip("192.0.2.1"), ip("192.0.2.2"));
        let mut failures = used_up(evil);
        assert!(failures.is_too_many(evil, START) && !failures.is_too_many(good, START));
        for _ in 0..1000 {
            failures.count(evil, START);
        }
        let later = START.plus(Duration::from_millis(51));
        assert!(!failures.is_too_many(evil, later), "one more");
        failures.count(evil, later);
        assert!(failures.is_too_many(evil, later));
        assert!(!failures.is_too_many(evil, START.plus(Duration::from_secs(10))));
    }

    #[crate::test]
    fn a_network_of_ipv6_is_one_source_and_a_mapped_address_is_ipv4() {
        let failures = used_up(ip("2001:db8:1:2::1"));
        assert!(failures.is_too_many(ip("2001:db8:1:2:ffff::2"), START));
        assert!(!failures.is_too_many(ip("2001:db8:1:3::1"), START));
        assert!(used_up(ip("192.0.2.1")).is_too_many(ip("::ffff:192.0.2.1"), START));
    }

    #[crate::test]
    fn a_clock_that_was_set_back_frees_the_budget() {
        let mut failures = used_up(ip("192.0.2.1"));
        let earlier = Timestamp::from_secs(1_700_000_000);
        assert!(!failures.is_too_many(ip("192.0.2.1"), earlier));
        failures.count(ip("192.0.2.1"), earlier);
        assert!(!failures.is_too_many(ip("192.0.2.1"), earlier));
    }
}
