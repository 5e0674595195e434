// SPDX-License-Identifier: Apache-2.0

//! How much of a worker's time strangers may take.
//!
//! To verify a signature takes the better part of a millisecond, and a good one costs as much as a bad one. Whoever
//! sends one fresh JSON Web Token after another would take the worker's time from everybody else. So that time is a
//! budget, in four buckets that run dry at a fixed rate (the generic cell rate algorithm):
//!
//! - The *worker* spends at most [`WORKER_SHARE`] of its time on signatures, whoever sends them.
//! - Each *source* may take [`SOURCE_SHARE`] of it. That is asked for only when the worker has used up half of its own
//!   burst, so a source that is alone, such as a load balancer that hides everybody, has it all.
//! - Each source has a budget of *failures*: tokens that were verified in vain, whatever was wrong with them.
//! - A source whose failures are used up is not shut out, since good callers may stand behind the same address. Its
//!   tokens are verified out of a *trickle* that all such sources share, [`TRICKLE_SHARE`] of the worker's time. And a
//!   caller that was verified from there before is *familiar*: its next token is not concerned. Only a token that names
//!   the same issuer and consumer is taken for the same caller's, and one that does so and fails ends that.
//!
//! Tokens that are remembered, good or bad, and API keys are never counted here.
//!
//! Everything is of fixed size. Where a source stands in the table depends on a key that each worker draws for itself,
//! so nobody can choose addresses that share another's place. An IPv6 source is its /64, since a subscriber has at
//! least that many addresses.

use super::deny::Deny;
use super::fingerprint::{Fingerprint, FingerprintMap, Fingerprints};
use crate::clock::Timestamp;
use core::net::IpAddr;
use core::time::Duration;

/// How many places the table of sources has.
const PLACES: usize = 1024;
/// One part in so many of a worker's time may go into signatures.
const WORKER_SHARE: u32 = 2;
/// The same for each source, while the worker is short of time.
const SOURCE_SHARE: u32 = 8;
/// The same for all sources together whose failures are used up.
const TRICKLE_SHARE: u32 = 16;
/// How much may be spent ahead of time, as the time in which it comes back.
const BURST: Duration = Duration::from_secs(2);
/// The trickle's burst.
const TRICKLE_BURST: Duration = Duration::from_millis(250);
/// The time in which a used-up budget of failures has room for one more.
const FAILURE_INTERVAL: Duration = Duration::from_millis(50);
/// How many failures may come at once.
const FAILURE_BURST: u32 = 100;
/// How many familiar callers are kept, in two generations.
const MOST_FAMILIAR: usize = 4096;

/// A bucket, as the time at which it is dry again.
#[derive(Clone, Copy, Default)]
struct Bucket(Timestamp);

impl Bucket {
    /// What is in it. More than it can hold is a clock that was set back, and counts as nothing.
    fn level(self, burst: Duration, now: Timestamp) -> Duration {
        let level = self.0.since(now);
        if level > burst.saturating_mul(2) {
            Duration::ZERO
        } else {
            level
        }
    }

    fn is_full(self, burst: Duration, now: Timestamp) -> bool {
        self.level(burst, now) >= burst
    }

    fn pour(&mut self, amount: Duration, burst: Duration, now: Timestamp) {
        let level = self.level(burst, now).saturating_add(amount);
        self.0 = now.plus(level.min(burst.saturating_mul(2)));
    }
}

#[derive(Clone, Copy, Default)]
struct Source {
    failures: Bucket,
    time: Bucket,
}

/// Who asks to have a signature verified.
#[derive(Clone, Copy)]
pub(super) struct Asker {
    source: Option<IpAddr>,
    caller: Option<Fingerprint>,
    is_trickle: bool,
}

/// What one worker may spend on signatures.
pub(super) struct VerificationBudget {
    worker: Bucket,
    trickle: Bucket,
    sources: Vec<Source>,
    young: FingerprintMap<()>,
    old: FingerprintMap<()>,
    key: Fingerprints,
}

impl VerificationBudget {
    pub(super) fn new() -> Self {
        Self {
            worker: Bucket::default(),
            trickle: Bucket::default(),
            sources: vec![Source::default(); PLACES],
            young: FingerprintMap::default(),
            old: FingerprintMap::default(),
            key: Fingerprints::new(),
        }
    }

    /// Asks for a verification. `caller` is the issuer and the consumer that the token names.
    ///
    /// # Errors
    ///
    /// That there is no time for it now.
    pub(super) fn ask(
        &self,
        source: Option<IpAddr>,
        caller: Option<(&str, &str)>,
        now: Timestamp,
    ) -> Result<Asker, Deny> {
        let of_source = source.and_then(|source| self.sources.get(self.place(source)));
        let worker = self.worker.level(BURST, now);
        let is_greedy = of_source.is_some_and(|source| source.time.is_full(BURST, now));
        if worker >= BURST || (worker > BURST / 2 && is_greedy) {
            return Err(Deny::TooManyVerifications);
        }
        let caller = source
            .zip(caller)
            .map(|(source, (issuer, consumer))| self.caller(source, issuer, consumer));
        let is_familiar =
            caller.is_some_and(|caller| self.young.contains_key(&caller) || self.old.contains_key(&caller));
        let burst = FAILURE_INTERVAL * FAILURE_BURST;
        let has_failed = of_source.is_some_and(|source| {
            // Room for one more is room.
            source.failures.level(burst, now) > burst.saturating_sub(FAILURE_INTERVAL)
        });
        let is_trickle = has_failed && !is_familiar;
        if is_trickle && self.trickle.is_full(TRICKLE_BURST, now) {
            return Err(Deny::TooManyFailures);
        }
        Ok(Asker {
            source,
            caller,
            is_trickle,
        })
    }

    /// Notes what a verification has cost, and whether it was in vain.
    pub(super) fn spend(&mut self, asker: Asker, cost: Duration, is_failure: bool, now: Timestamp) {
        self.worker.pour(cost.saturating_mul(WORKER_SHARE), BURST, now);
        if asker.is_trickle {
            self.trickle
                .pour(cost.saturating_mul(TRICKLE_SHARE), TRICKLE_BURST, now);
        }
        if let Some(address) = asker.source {
            let place = self.place(address);
            if let Some(source) = self.sources.get_mut(place) {
                source.time.pour(cost.saturating_mul(SOURCE_SHARE), BURST, now);
                let burst = FAILURE_INTERVAL * FAILURE_BURST;
                // A source that goes on failing out of the trickle is forgiven as soon as it stops.
                if is_failure && !source.failures.is_full(burst, now) {
                    source.failures.pour(FAILURE_INTERVAL, burst, now);
                }
            }
        }
        if let Some(caller) = asker.caller {
            if is_failure {
                self.young.remove(&caller);
                self.old.remove(&caller);
            } else {
                if self.young.len() >= MOST_FAMILIAR / 2 {
                    self.old = core::mem::take(&mut self.young);
                }
                self.young.insert(caller, ());
            }
        }
    }

    fn caller(&self, source: IpAddr, issuer: &str, consumer: &str) -> Fingerprint {
        let length = u64::try_from(issuer.len()).unwrap_or(u64::MAX).to_le_bytes();
        let (octets, count) = network(source);
        let address = octets.get(..count).unwrap_or_default();
        self.key
            .of_parts([address, &length, issuer.as_bytes(), consumer.as_bytes()])
    }

    /// An address of 192.0.2.0/24 that has another place than 192.0.2.1.
    #[cfg(test)]
    pub(super) fn another_source(&self) -> IpAddr {
        let first = self.place([192, 0, 2, 1].into());
        let mut others = (2..=255).map(|last| IpAddr::from([192, 0, 2, last]));
        others
            .find(|other| self.place(*other) != first)
            .unwrap_or_else(|| panic!("all addresses have one place"))
    }

    /// Has 192.0.2.1 fail so often, at no cost.
    #[cfg(test)]
    pub(super) fn have_failed(&mut self, times: u32, now: Timestamp) {
        for _ in 0..times {
            let asker = self.ask(Some([192, 0, 2, 1].into()), None, now);
            self.spend(
                asker.unwrap_or_else(|deny| panic!("{deny}")),
                Duration::ZERO,
                true,
                now,
            );
        }
    }

    /// Fills the trickle, if 192.0.2.1 has to use it.
    #[cfg(test)]
    pub(super) fn fill_trickle(&mut self, now: Timestamp) {
        let asker = self.ask(Some([192, 0, 2, 1].into()), None, now);
        let asker = asker.unwrap_or_else(|deny| panic!("{deny}"));
        self.spend(asker, TRICKLE_BURST, false, now);
    }

    fn place(&self, source: IpAddr) -> usize {
        let (octets, count) = network(source);
        let fingerprint = self.key.of_parts([octets.get(..count).unwrap_or_default()]);
        fingerprint.place_among(PLACES)
    }
}

/// An address as far as it tells sources apart: whole, or an IPv6 /64.
fn network(source: IpAddr) -> ([u8; 8], usize) {
    let mut network = [0; 8];
    let count = match source.to_canonical() {
        IpAddr::V4(address) => {
            network
                .iter_mut()
                .zip(address.octets())
                .for_each(|(to, from)| *to = from);
            4
        }
        IpAddr::V6(address) => {
            network
                .iter_mut()
                .zip(address.octets())
                .for_each(|(to, from)| *to = from);
            8
        }
    };
    (network, count)
}

#[cfg(test)]
mod tests {
    use super::{BURST, FAILURE_BURST, MOST_FAMILIAR, VerificationBudget, network};
    use crate::clock::Timestamp;
    use crate::policy::auth::Deny;
    use core::net::IpAddr;
    use core::time::Duration;

    const START: Timestamp = Timestamp::from_secs(1_800_000_000);
    const COST: Duration = Duration::from_millis(1);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// One attempt; whether the signature was looked at.
    fn attempt(
        budget: &mut VerificationBudget,
        source: &str,
        caller: Option<(&str, &str)>,
        is_failure: bool,
        now: Timestamp,
    ) -> Result<(), Deny> {
        let asker = budget.ask(Some(ip(source)), caller, now)?;
        budget.spend(asker, COST, is_failure, now);
        Ok(())
    }

    /// A budget in which `source` has failed as often as it may, some time before `START`.
    fn used_up(source: &str) -> VerificationBudget {
        let mut budget = VerificationBudget::new();
        for n in 0..FAILURE_BURST {
            assert_eq!(attempt(&mut budget, source, None, true, START), Ok(()), "{n}");
        }
        budget
    }

    /// How many of `count` attempts within a second were looked at.
    fn in_a_second(
        budget: &mut VerificationBudget,
        source: &str,
        count: u32,
        is_failure: bool,
        from: Timestamp,
    ) -> u32 {
        let looked_at = (0..count).filter(|n| {
            let now = from.plus(Duration::from_secs(1) * *n / count);
            attempt(budget, source, None, is_failure, now).is_ok()
        });
        u32::try_from(looked_at.count()).unwrap()
    }

    #[crate::test]
    fn failures_are_used_up_and_come_back() {
        let mut budget = used_up("192.0.2.1");
        while attempt(&mut budget, "192.0.2.1", None, true, START).is_ok() {}
        assert_eq!(
            attempt(&mut budget, "192.0.2.1", None, true, START),
            Err(Deny::TooManyFailures)
        );
        let other = budget.another_source().to_string();
        assert_eq!(attempt(&mut budget, &other, None, true, START), Ok(()));
        let later = START.plus(Duration::from_secs(10));
        assert_eq!(in_a_second(&mut budget, "192.0.2.1", 100, true, later), 100);
    }

    #[crate::test]
    fn a_flood_of_failures_from_any_number_of_sources_gets_a_trickle_of_time() {
        let mut budget = VerificationBudget::new();
        for second in 0..20 {
            let from = START.plus(Duration::from_secs(second));
            for source in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
                in_a_second(&mut budget, source, 1_000, true, from);
            }
        }
        let from = START.plus(Duration::from_secs(20));
        let looked_at = in_a_second(&mut budget, "192.0.2.1", 1_000, true, from);
        // A millisecond each: a sixteenth of the time, and 20 that are forgiven.
        assert!((10..=100).contains(&looked_at), "{looked_at}");
        // A stranger with a clean address is heard.
        let fresh = VerificationBudget {
            sources: vec![super::Source::default(); super::PLACES],
            ..budget
        };
        let good = in_a_second(
            &mut { fresh },
            "192.0.2.9",
            100,
            false,
            from.plus(Duration::from_secs(1)),
        );
        assert_eq!(good, 100);
    }

    #[crate::test]
    fn a_familiar_caller_behind_the_same_address_is_served_and_another_gets_a_chance() {
        let mut budget = VerificationBudget::new();
        let nat = "192.0.2.1";
        let alice = Some(("https://issuer.example", "alice"));
        assert_eq!(attempt(&mut budget, nat, alice, false, START), Ok(()));
        let (mut served, mut strangers) = (0, 0);
        for n in 0..4_000_u32 {
            let now = START.plus(Duration::from_millis(u64::from(n)));
            let _ = attempt(
                &mut budget,
                nat,
                Some(("https://issuer.example", "mallory")),
                true,
                now,
            );
            if n % 100 == 0 {
                served += u32::from(attempt(&mut budget, nat, alice, false, now).is_ok());
            }
            if n % 100 == 7 {
                strangers += u32::from(attempt(&mut budget, nat, None, false, now).is_ok());
            }
        }
        assert_eq!(served, 40, "every token of a familiar caller");
        assert!(strangers > 0, "not shut out");
        // Whoever names alice and fails is not taken for her any more.
        let later = START.plus(Duration::from_secs(4));
        let _ = attempt(&mut budget, nat, alice, true, later);
        while attempt(&mut budget, nat, None, true, later).is_ok() {}
        assert_eq!(
            attempt(&mut budget, nat, alice, true, later),
            Err(Deny::TooManyFailures)
        );
    }

    #[crate::test]
    fn good_verifications_take_half_of_the_time_and_leave_room_for_other_sources() {
        let mut budget = VerificationBudget::new();
        let mut looked_at = 0;
        let other = budget.another_source().to_string();
        for n in 0..20_000_u32 {
            let now = START.plus(Duration::from_micros(500) * n);
            looked_at += u32::from(attempt(&mut budget, "192.0.2.1", None, false, now).is_ok());
            if n % 40 == 0 {
                assert_eq!(attempt(&mut budget, &other, None, false, now), Ok(()), "{n}");
            }
        }
        // In ten seconds: no more than half of the time, and what may be spent ahead.
        assert!((1_000..=6_000).contains(&looked_at), "{looked_at}");
        // Nobody else is there to be starved: a source that is alone has half of the time.
        let mut alone = VerificationBudget::new();
        let total: u32 = (0..20)
            .map(|second| {
                let from = START.plus(Duration::from_secs(second));
                in_a_second(&mut alone, "192.0.2.1", 450, false, from)
            })
            .sum();
        assert!(total >= 20 * 100, "{total}");
    }

    #[crate::test]
    fn a_network_of_ipv6_is_one_source_and_a_mapped_address_is_ipv4() {
        assert_eq!(
            network(ip("2001:db8:1:2::1")),
            network(ip("2001:db8:1:2:ffff::2"))
        );
        assert_ne!(network(ip("2001:db8:1:2::1")), network(ip("2001:db8:1:3::1")));
        assert_eq!(network(ip("192.0.2.1")), network(ip("::ffff:192.0.2.1")));
    }

    #[crate::test]
    fn a_clock_that_was_set_back_frees_the_budget() {
        let mut budget = used_up("192.0.2.1");
        let earlier = Timestamp::from_secs(1_700_000_000);
        assert_eq!(in_a_second(&mut budget, "192.0.2.1", 90, true, earlier), 90);
    }

    #[crate::test]
    fn memory_is_bounded_whatever_the_number_of_callers_and_sources() {
        let mut budget = VerificationBudget::new();
        for n in 0..20_000_u32 {
            let now = START.plus(BURST * n);
            let source = IpAddr::from(n.to_be_bytes());
            let caller = n.to_string();
            let asker = budget.ask(Some(source), Some(("i", &caller)), now).unwrap();
            budget.spend(asker, COST, n % 3 == 0, now);
            assert!(budget.young.len() + budget.old.len() <= MOST_FAMILIAR);
        }
        assert_eq!(budget.sources.len(), super::PLACES);
    }

    #[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
    #[crate::test]
    fn the_places_of_sources_are_each_worker_s_own() {
        let places = |budget: &VerificationBudget| -> Vec<usize> {
            (0..32_u8)
                .map(|n| budget.place(IpAddr::from([192, 0, 2, n])))
                .collect()
        };
        assert_ne!(
            places(&VerificationBudget::new()),
            places(&VerificationBudget::new())
        );
    }
}
