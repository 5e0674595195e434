// SPDX-License-Identifier: Apache-2.0

//! What all workers know of one issuer's keys: when they were fetched, who fetches them now, and the keys.
//!
//! It is one value in shared data, changed by compare-and-swap alone, so whoever writes that a fetch has begun is the
//! only one who makes it. The claim expires by itself, should its worker not live to tell the end. Times that lie
//! further ahead than anybody may have put them come from a clock that was set back, and do not count.

use crate::clock::Timestamp;
use core::time::Duration;

/// The first wait after a failure; each further one doubles it.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
/// The longest wait after a failure.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// The layout of the value.
const VERSION: u8 = 1;
/// The bytes before the key set: the layout, five points in time and a count.
const HEAD: usize = 1 + 5 * 8 + 4;

/// The shared value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FetchState {
    /// When the keys came; the epoch if they never did.
    pub(super) fetched_at: Timestamp,
    /// When they are to be fetched again.
    pub(super) refresh_at: Timestamp,
    /// Until when somebody may be fetching them.
    pub(super) attempt_until: Timestamp,
    /// When they may be tried again after a failure.
    pub(super) retry_at: Timestamp,
    /// When a token with an unknown `kid` last had them fetched.
    pub(super) demanded_at: Timestamp,
    /// How many fetches have failed since the last that succeeded.
    pub(super) failures: u32,
    /// The key set, as the issuer wrote it.
    pub(super) text: Vec<u8>,
}

impl FetchState {
    /// Writes the value.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD.saturating_add(self.text.len()));
        bytes.push(VERSION);
        for time in [
            self.fetched_at,
            self.refresh_at,
            self.attempt_until,
            self.retry_at,
            self.demanded_at,
        ] {
            bytes.extend_from_slice(&time.as_nanos().to_le_bytes());
        }
        bytes.extend_from_slice(&self.failures.to_le_bytes());
        bytes.extend_from_slice(&self.text);
        bytes
    }

    /// Reads the value; of another layout, or cut short, it is as if it had never been written.
    pub(super) fn decode(bytes: &[u8]) -> Self {
        Self::read(bytes).unwrap_or_default()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (version, mut rest) = bytes.split_first()?;
        if *version != VERSION {
            return None;
        }
        let mut time = || {
            let (nanos, after) = rest.split_first_chunk::<8>()?;
            rest = after;
            Some(Timestamp::from_nanos(u64::from_le_bytes(*nanos)))
        };
        let [fetched_at, refresh_at, attempt_until, retry_at, demanded_at] =
            [time()?, time()?, time()?, time()?, time()?];
        let (failures, text) = rest.split_first_chunk::<4>()?;
        Some(Self {
            fetched_at,
            refresh_at,
            attempt_until,
            retry_at,
            demanded_at,
            failures: u32::from_le_bytes(*failures),
            text: text.to_vec(),
        })
    }

    /// Whether somebody is fetching, who may take `lease` at most.
    pub(super) fn is_under_way(&self, lease: Duration, now: Timestamp) -> bool {
        lies_ahead(self.attempt_until, lease, now)
    }

    /// How long to wait after a failure; zero if there was none.
    pub(super) fn backoff(&self, now: Timestamp) -> Duration {
        if lies_ahead(self.retry_at, LONGEST_BACKOFF, now) {
            self.retry_at.since(now)
        } else {
            Duration::ZERO
        }
    }

    /// Whether the planned time has come. `longest` is how far ahead a plan may lie.
    pub(super) fn is_due(&self, longest: Duration, now: Timestamp) -> bool {
        !lies_ahead(self.refresh_at, longest, now)
    }

    /// How long it is until an unknown `kid` may have the keys fetched.
    pub(super) fn until_demand(&self, interval: Duration, now: Timestamp) -> Duration {
        let at = self.demanded_at.plus(interval);
        if lies_ahead(at, interval, now) {
            at.since(now)
        } else {
            Duration::ZERO
        }
    }

    /// Whether keys came from a fetch that an unknown `kid` has asked for, at `time` or later.
    pub(super) fn was_demanded_since(&self, time: Timestamp) -> bool {
        self.demanded_at >= time && self.fetched_at >= self.demanded_at
    }

    /// Writes down a failure.
    pub(super) fn fail(&mut self, now: Timestamp) {
        let doubled = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        let wait = FIRST_BACKOFF.saturating_mul(doubled).min(LONGEST_BACKOFF);
        self.failures = self.failures.saturating_add(1);
        self.attempt_until = Timestamp::default();
        self.retry_at = now.plus(wait);
    }

    /// Writes down the keys, which are to be fetched again after `refresh`.
    pub(super) fn succeed(&mut self, text: &[u8], refresh: Duration, now: Timestamp) {
        self.failures = 0;
        self.attempt_until = Timestamp::default();
        self.retry_at = Timestamp::default();
        self.fetched_at = now;
        self.refresh_at = now.plus(refresh);
        self.text = text.to_vec();
    }
}

fn lies_ahead(time: Timestamp, most: Duration, now: Timestamp) -> bool {
    now < time && time.since(now) <= most
}

#[cfg(test)]
mod tests {
    use super::FetchState;
    use crate::clock::Timestamp;
    use core::time::Duration;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    #[crate::test]
    fn what_was_written_is_read_and_nothing_else() {
        let mut state = FetchState::default();
        state.fail(NOW);
        state.succeed(b"{}", Duration::from_secs(60), NOW);
        state.demanded_at = NOW;
        let bytes = state.encode();
        assert_eq!(FetchState::decode(&bytes), state);
        for cut in 0..bytes.len() - 2 {
            assert_eq!(FetchState::decode(&bytes[..cut]), FetchState::default(), "{cut}");
        }
        let other_layout = [&[2], &bytes[1..]].concat();
        assert_eq!(FetchState::decode(&other_layout), FetchState::default());
    }

    #[crate::test]
    fn failures_are_followed_by_longer_and_longer_waits() {
        let mut state = FetchState::default();
        assert_eq!(state.backoff(NOW), Duration::ZERO);
        let mut waits = Vec::new();
        for _ in 0..40 {
            state.fail(NOW);
            waits.push(state.backoff(NOW).as_millis());
        }
        assert_eq!(waits[..4], [500, 1000, 2000, 4000]);
        assert!(waits[7..].iter().all(|wait| *wait == 60_000), "{waits:?}");
        state.succeed(b"{}", Duration::from_secs(60), NOW);
        assert_eq!(state.backoff(NOW), Duration::ZERO);
    }

    #[crate::test]
    fn a_clock_that_was_set_back_does_not_stop_anything() {
        let mut state = FetchState::default();
        state.fail(NOW);
        state.attempt_until = NOW.plus(Duration::from_secs(10));
        state.refresh_at = NOW.plus(Duration::from_secs(60));
        state.demanded_at = NOW;
        let lease = Duration::from_secs(10);
        let hour = Duration::from_secs(3600);
        let second = Duration::from_secs(1);
        assert!(state.is_under_way(lease, NOW) && !state.is_due(hour, NOW));
        assert!(state.until_demand(second, NOW) == second && state.backoff(NOW) > Duration::ZERO);
        let earlier = Timestamp::from_secs(1_700_000_000);
        assert!(!state.is_under_way(lease, earlier) && state.is_due(hour, earlier));
        assert!(state.until_demand(second, earlier).is_zero() && state.backoff(earlier).is_zero());
    }
}
