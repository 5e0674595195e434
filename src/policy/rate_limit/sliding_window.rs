// SPDX-License-Identifier: Apache-2.0

//! The sliding window, as a fold over a small state.
//!
//! A counter is two short series of amounts: what was *spent*, by the sub-bucket of time in which it was
//! charged, and what is *held* by requests in flight, by the generation in which it was reserved. Nothing
//! ticks: every function takes `now`, and the caller stores the result by compare-and-swap.
//!
//! The promise: in any interval of length `window`, ends included, at most `max` is served, as long as every
//! request stays within its reservation. Two rules carry it. A held amount counts in full however long its
//! request takes, and becomes a spent amount only when the request has ended, so it is charged no earlier than
//! its last output. And a sub-bucket expires as a whole, when even its youngest moment is older than the window.
//! Do not replace this by the usual two buckets with a weight: that assumes an even flow and overshoots without
//! one. `docs/decisions/0004-sliding-window.md` has the proof.
//!
//! The price: a charge is remembered for `window` to `window * (1 + 1/SUB_BUCKETS)`. A hold that nobody settles
//! (its worker crashed) expires `LONGEST_EXCHANGE + window` after the end of its generation.
//!
//! Other algorithms (token bucket, calendar windows) belong beside this one, with the same verbs.

use core::time::Duration;

/// Parts of a window that expire one by one. Steady demand gets `SUB_BUCKETS / (SUB_BUCKETS + 1)` = 96 % of a limit.
pub(super) const SUB_BUCKETS: u64 = 24;

/// How long an exchange may take before its hold has to be renewed, in nanoseconds: one hour.
pub(super) const LONGEST_EXCHANGE: u64 = 3_600 * 1_000_000_000;

/// Generations of holds in `max(window, LONGEST_EXCHANGE)`.
const GENERATIONS: u64 = 4;

/// The most elements that a live series of spent amounts can have: the window, the current part and rounding.
const MAX_SPENT: usize = SUB_BUCKETS as usize + 2;

/// The most elements that a live series of holds can have: `hold <= 2 * max(window, LONGEST_EXCHANGE)`.
const MAX_HELD: usize = 2 * GENERATIONS as usize + 2;

/// The most bytes of an encoded counter: two series, each a length, a first index and amounts with gaps.
pub(super) const MAX_COUNTER_BYTES: usize = 2 * (1 + 10) + (MAX_SPENT + MAX_HELD) * (1 + 10);

/// The wait that is named when only requests in flight stand in the way: nobody knows when they end.
pub(super) const WAIT_FOR_FLIGHTS: Duration = Duration::from_secs(1);

/// The shortest wait that is named.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// Amounts by index, ascending, none of them zero.
type Series = Vec<(u64, u64)>;

/// The state of one counter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counter {
    spent: Series,
    held: Series,
}

/// A window's length and what follows from it, all in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SlidingWindow {
    window: u64,
    sub_bucket: u64,
    generation: u64,
}

impl SlidingWindow {
    /// A window of this length; lengths outside 1 ns to 100 years are brought inside.
    pub(super) fn new(length: Duration) -> Self {
        const CENTURY: u64 = 100 * 365 * 86_400 * 1_000_000_000;
        let window = u64::try_from(length.as_nanos())
            .unwrap_or(CENTURY)
            .clamp(1, CENTURY);
        Self {
            window,
            sub_bucket: window.div_ceil(SUB_BUCKETS),
            generation: window.max(LONGEST_EXCHANGE) / GENERATIONS,
        }
    }

    /// Forgets what has expired. Every other function expects that this was done for the same `now`.
    pub(super) fn expire(self, counter: &mut Counter, now: u64) {
        counter.spent.retain(|&(index, _)| self.spent_until(index) > now);
        counter.held.retain(|&(index, _)| self.held_until(index) > now);
    }

    /// Holds `amount` for a request in flight, whether it fits or not.
    pub(super) fn hold(self, counter: &mut Counter, amount: u64, now: u64) {
        add(&mut counter.held, now / self.generation, amount);
    }

    /// Lets go what was held at `held_at`. Nothing happens if the hold has expired since.
    pub(super) fn release(self, counter: &mut Counter, amount: u64, held_at: u64) {
        subtract(&mut counter.held, held_at / self.generation, amount);
    }

    /// Counts `amount` as spent now, whether it fits or not.
    pub(super) fn charge(self, counter: &mut Counter, amount: u64, now: u64) {
        add(&mut counter.spent, now / self.sub_bucket, amount);
    }

    /// Takes back what was charged at `charged_at`. Nothing happens if the charge has expired since.
    pub(super) fn take_back(self, counter: &mut Counter, amount: u64, charged_at: u64) {
        subtract(&mut counter.spent, charged_at / self.sub_bucket, amount);
    }

    /// Whether `amount` fits under `max` now.
    ///
    /// # Errors
    ///
    /// When enough will have expired, if all that is held stays held; [`WAIT_FOR_FLIGHTS`] if that never suffices.
    pub(super) fn check(self, counter: &Counter, amount: u64, max: u64, now: u64) -> Result<(), Duration> {
        let excess = counter.used().saturating_add(amount).saturating_sub(max);
        if excess == 0 || amount == 0 {
            return Ok(());
        }
        let mut freed = 0_u64;
        for &(index, spent) in &counter.spent {
            freed = freed.saturating_add(spent);
            if freed >= excess {
                let wait = Duration::from_nanos(self.spent_until(index).saturating_sub(now));
                return Err(wait.max(SHORTEST_WAIT));
            }
        }
        Err(WAIT_FOR_FLIGHTS)
    }

    /// How long until the counter is empty again, if all that is held were spent right now.
    pub(super) fn reset(self, counter: &Counter, now: u64) -> Duration {
        let newest = if counter.held.is_empty() {
            counter.spent.last().map(|&(index, _)| index)
        } else {
            Some(now / self.sub_bucket)
        };
        Duration::from_nanos(newest.map_or(0, |index| self.spent_until(index).saturating_sub(now)))
    }

    /// When nothing of the counter will be left, if nothing more happens to it.
    pub(super) fn empty_at(self, counter: &Counter) -> u64 {
        let spent = counter
            .spent
            .last()
            .map_or(0, |&(index, _)| self.spent_until(index));
        let held = counter
            .held
            .last()
            .map_or(0, |&(index, _)| self.held_until(index));
        spent.max(held)
    }

    /// From this moment on, everything in the sub-bucket is older than the window.
    fn spent_until(self, index: u64) -> u64 {
        index
            .saturating_add(1)
            .saturating_mul(self.sub_bucket)
            .saturating_add(self.window)
    }

    /// From this moment on, a hold of the generation has lost its request: it may have been served for
    /// `LONGEST_EXCHANGE`, and what was served last then lies a window back.
    fn held_until(self, index: u64) -> u64 {
        index
            .saturating_add(1)
            .saturating_mul(self.generation)
            .saturating_add(LONGEST_EXCHANGE)
            .saturating_add(self.window)
    }
}

impl Counter {
    /// Spent and held together.
    pub(super) fn used(&self) -> u64 {
        sum(&self.spent).saturating_add(sum(&self.held))
    }

    /// Whether a request in flight has something reserved here.
    pub(super) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether there is nothing to remember.
    pub(super) fn is_empty(&self) -> bool {
        self.spent.is_empty() && self.held.is_empty()
    }

    /// Appends the compact form: per series its length, then per element the gap to the last index and the
    /// amount, as LEB128 numbers.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        for series in [&self.spent, &self.held] {
            put(out, u64::try_from(series.len()).unwrap_or(u64::MAX));
            let mut last = 0;
            for &(index, amount) in series {
                put(out, index.saturating_sub(last));
                put(out, amount);
                last = index;
            }
        }
    }

    /// Reads the compact form; `None` if these bytes are no counter.
    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let spent = take_series(&mut bytes, MAX_SPENT)?;
        let held = take_series(&mut bytes, MAX_HELD)?;
        bytes.is_empty().then_some(Self { spent, held })
    }
}

fn sum(series: &Series) -> u64 {
    series
        .iter()
        .fold(0, |total, &(_, amount)| total.saturating_add(amount))
}

fn add(series: &mut Series, index: u64, amount: u64) {
    if amount == 0 {
        return;
    }
    match series.binary_search_by_key(&index, |&(index, _)| index) {
        Ok(found) => {
            if let Some((_, old)) = series.get_mut(found) {
                *old = old.saturating_add(amount);
            }
        }
        Err(gap) => series.insert(gap, (index, amount)),
    }
}

fn subtract(series: &mut Series, index: u64, amount: u64) {
    if let Ok(found) = series.binary_search_by_key(&index, |&(index, _)| index)
        && let Some((_, old)) = series.get_mut(found)
    {
        *old = old.saturating_sub(amount);
        if *old == 0 {
            series.remove(found);
        }
    }
}

fn take_series(bytes: &mut &[u8], max_len: usize) -> Option<Series> {
    let len = usize::try_from(take(bytes)?).ok().filter(|len| *len <= max_len)?;
    // Room for one more: the usual edit adds at most one element.
    let mut series = Series::with_capacity(len + 1);
    let mut index = 0_u64;
    for position in 0..len {
        let gap = take(bytes)?;
        let amount = take(bytes)?;
        if amount == 0 || (position > 0 && gap == 0) {
            return None;
        }
        index = index.checked_add(gap)?;
        series.push((index, amount));
    }
    Some(series)
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
