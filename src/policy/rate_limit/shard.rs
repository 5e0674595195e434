// SPDX-License-Identifier: Apache-2.0

//! One block of counters, as it lies in shared data.
//!
//! Shared data cannot delete keys, so counters do not get keys of their own: each lives in one of a fixed number
//! of blocks, and a block forgets idle counters whenever it is rewritten. A block is a version byte, the latest
//! time that anyone has seen, and entries sorted by key. An entry is its key (16 bytes), the second from which on
//! it is empty (4), its length and whether it holds anything (2), and the counter. Everything is little-endian.
//!
//! The clock of a block hardly ever goes back: an edit that comes with an earlier time (workers disagree by
//! microseconds, an operator sets the clock) happens at the block's time, so nothing is credited twice. A block that
//! is more than [`FURTHEST_AHEAD`] ahead has seen a clock that was wrong and has been set right. It takes the present time,
//! and whatever it dated later counts as of now (`Window::expire`), lest its limits stand still until then.
//!
//! Bytes that are no such block count as an empty one. A change of this format therefore needs no migration, but
//! it needs a new version in the key, lest two versions erase each other's blocks during an upgrade.
//!
//! Reading and writing are linear in the block; `capacity` bounds it.

use super::counter::{Counter, MAX_COUNTER_BYTES};
use super::window::Window;
use std::borrow::Cow;

/// The name of a counter: a digest, so that its length does not depend on what callers send.
pub type CounterKey = [u8; 16];

/// How far a block may be ahead of the clock, in nanoseconds: one minute.
const FURTHEST_AHEAD: u64 = 60 * 1_000_000_000;

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 1 + 8;
const ENTRY_HEADER_BYTES: usize = 16 + 4 + 2;
const HOLDS: u16 = 1 << 15;

/// The most bytes that a block of this capacity takes.
pub(super) const fn max_bytes(capacity: u64) -> u64 {
    HEADER_BYTES as u64 + capacity * (ENTRY_HEADER_BYTES + MAX_COUNTER_BYTES) as u64
}

/// A block, opened for an edit.
pub(super) struct Block<'a> {
    clock: u64,
    /// By how much that is ahead of the time at which the block was opened.
    ahead: u64,
    entries: Vec<Entry<'a>>,
}

struct Entry<'a> {
    key: CounterKey,
    empty_at_secs: u32,
    holds: bool,
    /// Whether this edit wrote it: then it is not evicted by the same edit.
    is_fresh: bool,
    counter: Cow<'a, [u8]>,
}

/// The block has no room for a further counter: all that it has belong to requests in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl<'a> Block<'a> {
    /// Opens a block at `now` (nanoseconds), without its idle counters.
    pub(super) fn open(bytes: &'a [u8], now: u64) -> Self {
        Self::read(bytes, now).unwrap_or(Self {
            clock: now,
            ahead: 0,
            entries: Vec::new(),
        })
    }

    fn read(bytes: &'a [u8], now: u64) -> Option<Self> {
        let (&[VERSION, ref clock @ ..], mut rest) = bytes.split_first_chunk::<HEADER_BYTES>()? else {
            return None;
        };
        let seen = u64::from_le_bytes(*clock);
        let is_astray = seen > now.saturating_add(FURTHEST_AHEAD);
        let clock = if is_astray { now } else { seen.max(now) };
        let now_secs = clock / 1_000_000_000;
        let mut entries = Vec::with_capacity(rest.len() / (ENTRY_HEADER_BYTES + 8) + 2);
        let mut last: Option<CounterKey> = None;
        while !rest.is_empty() {
            let (key, after) = rest.split_first_chunk::<16>()?;
            let (empty_at, after) = after.split_first_chunk::<4>()?;
            let (shape, after) = after.split_first_chunk::<2>()?;
            let shape = u16::from_le_bytes(*shape);
            let (counter, after) = after.split_at_checked(usize::from(shape & !HOLDS))?;
            rest = after;
            if last.is_some_and(|last| last >= *key) {
                return None;
            }
            last = Some(*key);
            let empty_at_secs = u32::from_le_bytes(*empty_at);
            if u64::from(empty_at_secs) > now_secs {
                entries.push(Entry {
                    key: *key,
                    empty_at_secs,
                    holds: shape & HOLDS != 0,
                    is_fresh: false,
                    counter: Cow::Borrowed(counter),
                });
            }
        }
        Some(Self {
            clock,
            ahead: clock.saturating_sub(now),
            entries,
        })
    }

    /// The time at which edits of this block happen, in nanoseconds: never before an earlier edit.
    pub(super) const fn clock(&self) -> u64 {
        self.clock
    }

    /// How much longer than by the block's time a caller has to wait, in nanoseconds: so long it stands still.
    pub(super) const fn ahead(&self) -> u64 {
        self.ahead
    }

    /// The counters that are not idle.
    pub(super) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// The counter of `key` at the block's time; an empty one if there is none.
    pub(super) fn counter(&self, key: &CounterKey, window: Window) -> Counter {
        let found = self.entries.binary_search_by(|entry| entry.key.cmp(key)).ok();
        let mut counter = found
            .and_then(|index| self.entries.get(index))
            .and_then(|entry| Counter::decode(&entry.counter))
            .unwrap_or_default();
        window.expire(&mut counter, self.clock);
        counter
    }

    /// Replaces the counter of `key`.
    pub(super) fn put(&mut self, key: &CounterKey, counter: &Counter, window: Window) {
        let place = self.entries.binary_search_by(|entry| entry.key.cmp(key));
        if counter.is_empty() {
            if let Ok(index) = place {
                self.entries.remove(index);
            }
            return;
        }
        let mut encoded = Vec::with_capacity(48);
        counter.encode(&mut encoded);
        let entry = Entry {
            key: *key,
            empty_at_secs: u32::try_from(window.empty_at(counter).div_ceil(1_000_000_000))
                .unwrap_or(u32::MAX),
            holds: counter.holds(),
            is_fresh: true,
            counter: Cow::Owned(encoded),
        };
        match place {
            Ok(index) => {
                if let Some(old) = self.entries.get_mut(index) {
                    *old = entry;
                }
            }
            Err(index) => self.entries.insert(index, entry),
        }
    }

    /// Brings the block down to `capacity` counters: those that hold nothing and would be empty soonest make
    /// room. Returns how many did.
    ///
    /// # Errors
    ///
    /// The block would outgrow both its capacity and the `before` counters that it had when it was opened.
    pub(super) fn make_room(&mut self, capacity: usize, before: usize) -> Result<u64, Full> {
        let excess = self.entries.len().saturating_sub(capacity);
        if excess == 0 {
            return Ok(0);
        }
        let is_spare = |entry: &Entry<'_>| !entry.holds && !entry.is_fresh;
        let mut spare: Vec<(u32, CounterKey)> = self
            .entries
            .iter()
            .filter(|entry| is_spare(entry))
            .map(|entry| (entry.empty_at_secs, entry.key))
            .collect();
        if spare.len() < excess && self.entries.len() - spare.len() > capacity.max(before) {
            return Err(Full);
        }
        let evicted = excess.min(spare.len());
        if let Some(last) = evicted.checked_sub(1) {
            let (_, last, _) = spare.select_nth_unstable(last);
            self.entries
                .retain(|entry| !is_spare(entry) || (entry.empty_at_secs, entry.key) > *last);
        }
        Ok(u64::try_from(evicted).unwrap_or(u64::MAX))
    }

    /// The block's bytes.
    pub(super) fn write(&self) -> Vec<u8> {
        let counters: usize = self.entries.iter().map(|entry| entry.counter.len()).sum();
        let mut out = Vec::with_capacity(HEADER_BYTES + self.entries.len() * ENTRY_HEADER_BYTES + counters);
        out.push(VERSION);
        out.extend_from_slice(&self.clock.to_le_bytes());
        for entry in &self.entries {
            let len = u16::try_from(entry.counter.len()).unwrap_or(0);
            let shape = if entry.holds { len | HOLDS } else { len };
            out.extend_from_slice(&entry.key);
            out.extend_from_slice(&entry.empty_at_secs.to_le_bytes());
            out.extend_from_slice(&shape.to_le_bytes());
            out.extend_from_slice(&entry.counter);
        }
        out
    }
}
