// SPDX-License-Identifier: Apache-2.0

//! What was asked and what was really sent.
//!
//! Each request opens an entry and gets a [`Flight`], which travels with the answer. The flight adds what is
//! written and closes the entry; one that is dropped before it landed was aborted by the client, since the
//! server drops an answer only when the connection is gone. "Written" means handed to the connection, which
//! holds at most a handful of events back.
//!
//! Memory is bounded: the entries by count and by bytes of bodies, the production log by count.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::clock::unix_seconds;

const MOST_ENTRIES: usize = 10_000;
const MOST_BODY_BYTES: usize = 256 << 20;
const MOST_PRODUCTION: usize = 2_000_000;

/// One request and its fate.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub(crate) time: f64,
    pub(crate) listen: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) model: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
    pub(crate) outcome: Outcome,
}

/// What became of a request; filled in by its [`Flight`].
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    status: u16,
    input_tokens: u32,
    output_tokens_sent: u64,
    events: u64,
    is_completed: bool,
    is_aborted_by_client: bool,
    is_cut: bool,
    finished_at: Option<f64>,
}

#[derive(Debug, Default)]
struct Totals {
    requests: u64,
    completed: u64,
    aborted: u64,
    cut: u64,
    input_tokens: u64,
    output_tokens_sent: u64,
}

/// The record of one run; cheap to clone, shared by all connections.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recorder(Rc<RefCell<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    is_off: bool,
    generation: u64,
    first: u64,
    body_bytes: usize,
    entries: VecDeque<Entry>,
    totals: BTreeMap<(String, String), Totals>,
    production: VecDeque<(f64, u32)>,
}

impl Inner {
    fn entry(&mut self, number: u64) -> Option<&mut Entry> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.entries.get_mut(index)
    }

    fn produce(&mut self, count: u32) {
        if count == 0 || self.is_off {
            return;
        }
        if self.production.len() >= MOST_PRODUCTION {
            self.production.pop_front();
        }
        self.production.push_back((unix_seconds(), count));
    }
}

impl Recorder {
    /// A recorder that keeps totals only.
    pub(crate) fn switched_off() -> Self {
        Self(Rc::new(RefCell::new(Inner {
            is_off: true,
            ..Inner::default()
        })))
    }

    /// Whether requests are kept.
    pub(crate) fn is_on(&self) -> bool {
        !self.0.borrow().is_off
    }

    /// Opens an entry and counts the request under its path and model.
    pub(crate) fn open(&self, entry: Entry) -> Flight {
        let mut inner = self.0.borrow_mut();
        let key = (entry.path.clone(), entry.model.clone());
        inner.totals.entry(key.clone()).or_default().requests += 1;
        let number = inner.first + inner.entries.len() as u64;
        if !inner.is_off {
            inner.body_bytes += entry.body.len();
            inner.entries.push_back(entry);
            while inner.entries.len() > MOST_ENTRIES || inner.body_bytes > MOST_BODY_BYTES {
                let Some(gone) = inner.entries.pop_front() else {
                    break;
                };
                inner.body_bytes -= gone.body.len();
                inner.first += 1;
            }
        }
        let generation = inner.generation;
        Flight {
            recorder: self.clone(),
            generation,
            number,
            key,
            has_landed: false,
        }
    }

    /// Forgets everything. Answers still under way then leave no trace.
    pub(crate) fn reset(&self) {
        let mut inner = self.0.borrow_mut();
        let next = inner.first + inner.entries.len() as u64;
        *inner = Inner {
            is_off: inner.is_off,
            generation: inner.generation + 1,
            first: next,
            ..Inner::default()
        };
    }

    /// The entries, oldest first.
    pub(crate) fn requests(&self) -> Value {
        self.0.borrow().entries.iter().map(entry_json).collect()
    }

    /// The totals per path and model.
    pub(crate) fn totals(&self) -> Value {
        let inner = self.0.borrow();
        inner
            .totals
            .iter()
            .map(|((path, model), totals)| {
                json!({
                    "path": path,
                    "model": model,
                    "requests": totals.requests,
                    "completed": totals.completed,
                    "aborted": totals.aborted,
                    "cut": totals.cut,
                    "input_tokens": totals.input_tokens,
                    "output_tokens_sent": totals.output_tokens_sent,
                })
            })
            .collect()
    }

    /// When how many tokens were produced.
    pub(crate) fn production(&self) -> Value {
        self.0
            .borrow()
            .production
            .iter()
            .map(|(time, count)| json!([time, count]))
            .collect()
    }
}

fn entry_json(entry: &Entry) -> Value {
    let body = serde_json::from_slice(&entry.body)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&entry.body).into_owned()));
    json!({
        "time": entry.time,
        "listen": entry.listen,
        "method": entry.method,
        "path": entry.path,
        "query": entry.query,
        "headers": entry.headers,
        "body": body,
        "body_text": String::from_utf8_lossy(&entry.body),
        "outcome": {
            "status": entry.outcome.status,
            "input_tokens": entry.outcome.input_tokens,
            "output_tokens_sent": entry.outcome.output_tokens_sent,
            "events": entry.outcome.events,
            "completed": entry.outcome.is_completed,
            "aborted_by_client": entry.outcome.is_aborted_by_client,
            "cut": entry.outcome.is_cut,
            "finished_at": entry.outcome.finished_at,
        },
    })
}

/// One answer under way.
#[derive(Debug)]
pub(crate) struct Flight {
    recorder: Recorder,
    generation: u64,
    number: u64,
    key: (String, String),
    has_landed: bool,
}

impl Flight {
    /// Notes the status and the input that the provider will charge for.
    pub(crate) fn answered(&self, status: u16, input_tokens: u32) {
        self.note(|inner| {
            inner.produce(input_tokens);
            if let Some(totals) = inner.totals.get_mut(&self.key) {
                totals.input_tokens += u64::from(input_tokens);
            }
            if let Some(entry) = inner.entry(self.number) {
                entry.outcome.status = status;
                entry.outcome.input_tokens = input_tokens;
            }
        });
    }

    /// Notes an event, or a body, that carries this many output tokens.
    pub(crate) fn wrote(&self, output_tokens: u32) {
        self.note(|inner| {
            inner.produce(output_tokens);
            if let Some(totals) = inner.totals.get_mut(&self.key) {
                totals.output_tokens_sent += u64::from(output_tokens);
            }
            if let Some(entry) = inner.entry(self.number) {
                entry.outcome.output_tokens_sent += u64::from(output_tokens);
                entry.outcome.events += 1;
            }
        });
    }

    /// Notes that the answer has ended as planned.
    pub(crate) fn land(&mut self) {
        self.close(|totals, entry| {
            totals.completed += 1;
            if let Some(entry) = entry {
                entry.outcome.is_completed = true;
            }
        });
    }

    /// Notes that the stand-in itself closes the connection.
    pub(crate) fn cut(&mut self) {
        self.close(|totals, entry| {
            totals.cut += 1;
            if let Some(entry) = entry {
                entry.outcome.is_cut = true;
            }
        });
    }

    fn close(&mut self, fate: impl FnOnce(&mut Totals, Option<&mut Entry>)) {
        if self.has_landed {
            return;
        }
        self.has_landed = true;
        self.note(|inner| {
            let mut totals = inner.totals.remove(&self.key).unwrap_or_default();
            let mut entry = inner.entry(self.number);
            if let Some(entry) = entry.as_deref_mut() {
                entry.outcome.finished_at = Some(unix_seconds());
            }
            fate(&mut totals, entry);
            inner.totals.insert(self.key.clone(), totals);
        });
    }

    fn note(&self, change: impl FnOnce(&mut Inner)) {
        let mut inner = self.recorder.0.borrow_mut();
        if inner.generation == self.generation {
            change(&mut inner);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.close(|totals, entry| {
            totals.aborted += 1;
            if let Some(entry) = entry {
                entry.outcome.is_aborted_by_client = true;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            path: "/p".to_owned(),
            model: "m".to_owned(),
            ..Entry::default()
        }
    }

    #[test]
    fn a_dropped_flight_counts_as_aborted_with_what_it_wrote() {
        let recorder = Recorder::default();
        let flight = recorder.open(entry());
        flight.answered(200, 7);
        flight.wrote(2);
        drop(flight);
        let totals = recorder.totals();
        assert_eq!(totals.pointer("/0/aborted"), Some(&json!(1)));
        assert_eq!(totals.pointer("/0/output_tokens_sent"), Some(&json!(2)));
        assert_eq!(
            recorder.requests().pointer("/0/outcome/aborted_by_client"),
            Some(&json!(true))
        );
        assert_eq!(recorder.production().as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn a_reset_leaves_no_trace_of_answers_under_way() {
        let recorder = Recorder::default();
        let mut flight = recorder.open(entry());
        recorder.reset();
        flight.wrote(2);
        flight.land();
        assert_eq!(recorder.totals(), json!([]));
        assert_eq!(recorder.requests(), json!([]));
    }

    #[test]
    fn only_the_newest_requests_are_kept() {
        let recorder = Recorder::default();
        let mut oldest = recorder.open(entry());
        for _ in 0..MOST_ENTRIES {
            recorder.open(entry()).land();
        }
        oldest.land();
        assert_eq!(recorder.requests().as_array().map(Vec::len), Some(MOST_ENTRIES));
        assert_eq!(
            recorder.totals().pointer("/0/completed"),
            Some(&json!(MOST_ENTRIES + 1))
        );
    }
}
