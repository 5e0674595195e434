// SPDX-License-Identifier: Apache-2.0

//! The hard end of an answer: no stream goes on beyond what its limits have reserved.
//!
//! Usually the provider was told its bound and keeps it. One that does not is stopped here: the client gets the
//! well-formed end of an answer that ran out of length, and a provider that does not end soon by itself is reset.
//!
//! An answer whose client set no bound was given a guess; more is reserved as it goes on, before it passes, and it is
//! stopped when there is no more.
//!
//! What has passed is counted by events with output, for each holds a token at least, by what the provider itself
//! reports on the way, and by bytes, for providers that put several tokens into an event. Where the provider knows its
//! bound, bytes are given twice the room that such output usually takes and some for each choice, lest an answer of
//! long tokens be stopped before its time. Where it does not, they are taken for the most tokens that they can be.

use super::Attempt;
use crate::handoff::{Ceiling, Lease, OutputSeen};
use crate::provider::{self, Ending, Framing, Progress, ResponseStream, Tally, UpstreamFault};
use crate::usage::TokenUsage;

/// What became of a piece of a stream.
pub(super) enum Fed {
    /// It was translated.
    Passed(Progress),
    /// It would have gone beyond the ceiling, and the end stands in its place.
    Stopped,
}

/// The least output tokens that are reserved in addition at once.
const LEAST_EXTENSION: u64 = 64;

/// Asks for so many output tokens more, and tells how many there were.
pub type Extend = Box<dyn Fn(&Lease, u64) -> u64>;

impl Attempt {
    /// Lets an answer without a bound have more than was first reserved for it, wherever `extend` finds it.
    pub fn extend_with(&mut self, extend: Extend) {
        self.extend = Some(extend);
    }

    /// Reserves more, if the answer may have more.
    fn extend(&self, ceiling: &mut Ceiling, needed: u64) {
        let (Some(extend), Some(guess)) = (&self.extend, ceiling.output_guess) else {
            return;
        };
        let lease = self
            .handoff
            .try_borrow()
            .ok()
            .and_then(|handoff| handoff.lease.clone());
        let Some(lease) = lease else {
            return;
        };
        let granted = extend(&lease, needed.max(guess / 2).max(LEAST_EXTENSION));
        if let Ok(mut handoff) = self.handoff.try_borrow_mut() {
            handoff.raise_ceiling(granted);
            *ceiling = handoff.ceiling.unwrap_or(*ceiling);
        }
    }

    /// Translates the next bytes of a stream into `out`, up to the ceiling.
    pub(super) fn feed(
        &mut self,
        stream: &mut dyn ResponseStream,
        chunk: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Fed, UpstreamFault> {
        let Some(mut ceiling) = self.ceiling() else {
            return stream.on_bytes(chunk, out).map(Fed::Passed);
        };
        let holds_several = provider::framing(self.settings.kind) == Framing::MessageParts;
        let mut rest = chunk;
        loop {
            let (start, seen) = (out.len(), stream.tally().output_bytes);
            let (piece, after) = self.cutter.cut(rest);
            rest = after;
            let progress = stream.on_bytes(piece, out)?;
            let tally = stream.tally();
            if tally.output_bytes > seen {
                self.output_events = self.output_events.saturating_add(1);
                let passed = OutputSeen {
                    events: self.output_events,
                    most_events: if holds_several {
                        u64::MAX
                    } else {
                        self.output_events
                    },
                    bytes: tally.output_bytes,
                    reported: tally.usage.output_tokens.unwrap_or(0),
                };
                let needed = ceiling.needed(passed);
                if needed > 0 {
                    self.extend(&mut ceiling, needed);
                }
                if progress != Progress::Done && ceiling.is_exceeded(passed) {
                    let beyond = out.split_off(start);
                    self.end(&ceiling, &tally, &beyond, out);
                    return Ok(Fed::Stopped);
                }
            }
            if rest.is_empty() {
                return Ok(Fed::Passed(progress));
            }
        }
    }

    /// Tells what the answer costs, in the usage chunk that is among what leaves, from `start` on.
    pub(super) fn add_cost(&self, stream: &dyn ResponseStream, start: usize, out: &mut Vec<u8>) {
        let usage = stream.tally().usage;
        if self.request.include_usage
            && usage.output_tokens.is_some()
            && let Ok(handoff) = self.handoff.try_borrow()
            && let Some(usd) = handoff.cost(&usage)
        {
            provider::add_cost_to_events(out, start, &usd);
        }
    }

    /// Writes down what has been seen.
    pub(super) fn note(&self, stream: &dyn ResponseStream) {
        let (tally, output_events) = (stream.tally(), self.output_events);
        self.record(|record| {
            record.tally = tally;
            record.output_events = output_events;
        });
    }

    fn ceiling(&self) -> Option<Ceiling> {
        self.handoff.try_borrow().ok()?.ceiling
    }

    fn end(&self, ceiling: &Ceiling, tally: &Tally, beyond: &[u8], out: &mut Vec<u8>) {
        let usage = self.request.include_usage.then(|| {
            let input_tokens = tally.usage.input_tokens.unwrap_or(ceiling.input_tokens);
            // The event that went beyond was not passed on.
            (input_tokens, self.output_events.saturating_sub(1))
        });
        let ending = Ending {
            choices: ceiling.choices,
            usage,
            cost: usage.and_then(|(input_tokens, output_tokens)| {
                let usage = TokenUsage {
                    input_tokens: Some(input_tokens),
                    output_tokens: Some(output_tokens),
                    ..tally.usage
                };
                self.handoff.try_borrow().ok()?.cost(&usage)
            }),
        };
        provider::end_for_length(beyond, &ending, out);
    }
}
