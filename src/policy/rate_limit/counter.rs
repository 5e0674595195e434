// SPDX-License-Identifier: Apache-2.0

//! A counter: what is used, by when it was used.
//!
//! Two short series of amounts. What was *spent* has an index that its pace gives meaning to (`window`); what is
//! *held* by requests in flight has that of the generation in which it was reserved.

/// Amounts by index, ascending, none of them zero.
pub(super) type Series = Vec<(u64, u64)>;

/// The most elements that a live series of spent amounts can have: the window, the current part and rounding.
pub(super) const MAX_SPENT: usize = super::sliding_window::SUB_BUCKETS as usize + 2;

/// The most elements that a live series of holds can have.
pub(super) const MAX_HELD: usize = 2 * super::window::GENERATIONS as usize + 2;

/// The most bytes of an encoded counter: two series, each a length, a first index and amounts with gaps.
pub(super) const MAX_COUNTER_BYTES: usize = 2 * (1 + 10) + (MAX_SPENT + MAX_HELD) * (1 + 10);

/// The state of one counter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counter {
    pub(super) spent: Series,
    pub(super) held: Series,
}

impl Counter {
    /// Spent and held together.
    pub(super) fn used(&self) -> u64 {
        self.spent_in_all().saturating_add(self.held_in_all())
    }

    /// What requests that have ended used.
    pub(super) fn spent_in_all(&self) -> u64 {
        sum(&self.spent)
    }

    /// What requests in flight have reserved.
    pub(super) fn held_in_all(&self) -> u64 {
        sum(&self.held)
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

fn sum(series: &[(u64, u64)]) -> u64 {
    series
        .iter()
        .fold(0, |total, &(_, amount)| total.saturating_add(amount))
}

pub(super) fn add(series: &mut Series, index: u64, amount: u64) {
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

pub(super) fn subtract(series: &mut Series, index: u64, amount: u64) {
    if let Ok(found) = series.binary_search_by_key(&index, |&(index, _)| index)
        && let Some((_, old)) = series.get_mut(found)
    {
        *old = old.saturating_sub(amount);
        if *old == 0 {
            series.remove(found);
        }
    }
}

/// The same, whatever the indices: of the latest first.
pub(super) fn subtract_latest(series: &mut Series, mut amount: u64) {
    while let Some((_, latest)) = series.last_mut() {
        let part = amount.min(*latest);
        (*latest, amount) = (*latest - part, amount - part);
        if *latest > 0 {
            break;
        }
        series.pop();
    }
}

/// Moves what stands under later indices to this one.
pub(super) fn bring_back(series: &mut Series, latest: u64) {
    let first = series.partition_point(|&(index, _)| index <= latest);
    if first < series.len() {
        let amount = sum(&series.split_off(first));
        add(series, latest, amount);
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
