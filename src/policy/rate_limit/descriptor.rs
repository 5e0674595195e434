// SPDX-License-Identifier: Apache-2.0

//! From a request to its counters: which limits apply, and which counter of each.
//!
//! A counter's key is the first half of the SHA-256 of the limit's definition and the request's values. A
//! cryptographic digest, because callers choose some of the values (the model, under a prefix route) and must not
//! be able to choose whose counter they share. The definition is part of it, `max` aside, so that a limit whose
//! window or meaning changes starts afresh, and one that is raised keeps its state. Each value is preceded by its
//! length, so no two lists of values look alike. The definition is digested once, at configuration, and each worker
//! remembers the keys of the values that it met lately: most requests come from callers that have just called.

use super::Demand;
use super::calendar::Calendar;
use super::measure::Measure;
use super::shard::CounterKey;
use super::window::{Pace, Window};
use crate::clock::Timestamp;
use crate::policy::auth::Principal;
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

mod compile;

pub(super) use compile::compile;

/// How many keys a worker remembers before it forgets them all, and of how long values.
const MOST_KEYS: usize = 4096;
const MOST_VALUE_BYTES: usize = 256;

thread_local! {
    /// Keys by what they are digests of: the definition's own digest, and the values with their lengths.
    static KEYS: RefCell<HashMap<Box<[u8]>, CounterKey>> = RefCell::default();
}

/// One limit, ready to be asked.
pub(super) struct CompiledLimit {
    pub(super) name: String,
    pub(super) measure: Measure,
    /// The least output of a choice that a request is lowered to when the limit runs short. `None`: it is refused.
    pub(super) min_useful_output: Option<u64>,
    /// Whether it only tells what it would refuse.
    pub(super) is_shadow: bool,
    max: u64,
    overrides: Vec<(Who, u64)>,
    pace: LimitPace,
    who: Who,
    per: Vec<Part>,
    /// The digest of the definition, to be continued with the values.
    definition: Sha256,
    /// The same, ended: what tells this definition from others.
    identity: CounterKey,
}

enum LimitPace {
    Fixed(Window),
    Calendar(Calendar),
}

/// Conditions that all have to hold.
struct Who {
    consumer: Option<String>,
    team: Option<String>,
    model: Option<ModelPattern>,
    labels: BTreeMap<String, String>,
}

impl Who {
    fn matches(&self, demand: &Demand<'_>) -> bool {
        let Principal {
            consumer,
            team,
            labels,
            ..
        } = demand.principal;
        self.consumer.as_ref().is_none_or(|wanted| wanted == consumer)
            && self
                .team
                .as_ref()
                .is_none_or(|wanted| Some(wanted) == team.as_ref())
            && self
                .model
                .as_ref()
                .is_none_or(|pattern| pattern.fits(demand.model))
            && self
                .labels
                .iter()
                .all(|(name, value)| labels.get(name) == Some(value))
    }
}

enum ModelPattern {
    Exact(String),
    Prefix(String),
}

impl ModelPattern {
    fn fits(&self, model: &str) -> bool {
        match self {
            Self::Exact(name) => name == model,
            Self::Prefix(prefix) => model.starts_with(prefix.as_str()),
        }
    }
}

/// What makes a counter of its own.
enum Part {
    Consumer,
    Team,
    Model,
    Label(String),
}

impl CompiledLimit {
    /// Whether the limit concerns the request.
    pub(super) fn applies_to(&self, demand: &Demand<'_>) -> bool {
        self.who.matches(demand)
    }

    /// Whether the limit may concern a route, under its configured name.
    pub(super) fn may_concern(&self, route: &str) -> bool {
        self.who.model.as_ref().is_none_or(|pattern| pattern.fits(route))
    }

    /// Whether what is left depends on the model that is asked for.
    pub(super) fn is_per_model(&self) -> bool {
        let of_model = |who: &Who| who.model.is_some();
        of_model(&self.who)
            || self.overrides.iter().any(|(who, _)| of_model(who))
            || self.per.iter().any(|part| matches!(part, Part::Model))
    }

    /// The counter that the request uses. A missing team or label is the empty value.
    pub(super) fn key(&self, demand: &Demand<'_>) -> CounterKey {
        let mut values = self.identity.to_vec();
        for part in &self.per {
            let value = match part {
                Part::Consumer => demand.principal.consumer.as_str(),
                Part::Team => demand.principal.team.as_deref().unwrap_or_default(),
                Part::Model => demand.route,
                Part::Label(name) => demand.principal.labels.get(name).map_or("", String::as_str),
            };
            values.extend_from_slice(&(value.len() as u64).to_le_bytes());
            values.extend_from_slice(value.as_bytes());
        }
        if let Some(key) = KEYS.with_borrow(|keys| keys.get(values.as_slice()).copied()) {
            return key;
        }
        let mut digest = self.definition.clone();
        digest.update(values.get(self.identity.len()..).unwrap_or_default());
        let key = half(digest);
        if values.len() <= MOST_VALUE_BYTES {
            KEYS.with_borrow_mut(|keys| {
                if keys.len() >= MOST_KEYS {
                    keys.clear();
                }
                keys.insert(values.into_boxed_slice(), key);
            });
        }
        key
    }

    /// How much the requester may use.
    pub(super) fn max_for(&self, demand: &Demand<'_>) -> u64 {
        let other = self.overrides.iter().find(|(who, _)| who.matches(demand));
        other.map_or(self.max, |(_, max)| *max)
    }

    /// How the limit forgets, at this time.
    pub(super) fn window(&self, now: Timestamp) -> Window {
        match &self.pace {
            LimitPace::Fixed(window) => *window,
            LimitPace::Calendar(calendar) => Window::new(Pace::Calendar(calendar.period(now))),
        }
    }

    /// Decides which block the counter lies in: the consumer's, else the team's, else that of the first value that
    /// tells counters apart, else the one that all share. What a request touches lies together that way.
    pub(super) fn anchor(&self, demand: &Demand<'_>) -> u64 {
        let names = |part: fn(&Part) -> bool| self.per.iter().any(part);
        let principal = demand.principal;
        if self.who.consumer.is_some() || names(|part| matches!(part, Part::Consumer)) {
            return scattered(b'c', &principal.consumer);
        }
        if self.who.team.is_some() || names(|part| matches!(part, Part::Team)) {
            return scattered(b't', principal.team.as_deref().unwrap_or_default());
        }
        match self.per.first() {
            Some(Part::Label(name)) => scattered(b'l', principal.labels.get(name).map_or("", String::as_str)),
            Some(Part::Model) => scattered(b'm', demand.route),
            Some(Part::Consumer | Part::Team) | None => scattered(b'*', ""),
        }
    }
}

/// A hash that scatters names over the blocks (FNV-1a, <http://www.isthe.com/chongo/tech/comp/fnv/>, with its bits
/// mixed). Who can choose names can gather counters in one block, and could with any hash that needs no secret;
/// the counters in it are told apart by a digest.
fn scattered(kind: u8, value: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = value.bytes().fold(step(0xcbf2_9ce4_8422_2325, kind), step);
    let hash = (hash ^ (hash >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^ (hash >> 32)
}

/// The first half of a digest.
fn half(digest: Sha256) -> CounterKey {
    digest.finalize().first_chunk().copied().unwrap_or_default()
}

fn absorb(digest: &mut Sha256, value: &str) {
    digest.update((value.len() as u64).to_le_bytes());
    digest.update(value.as_bytes());
}
