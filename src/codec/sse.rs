// SPDX-License-Identifier: Apache-2.0

//! Server-sent events: bytes in, whole events out.
//!
//! Upstreams cut their streams where the network pleases, so a chunk may end inside a line, inside a CRLF or
//! inside a UTF-8 character. [`Decoder`] keeps such a tail until the rest arrives and never looks inside `data`;
//! JSON and providers are the business of [`crate::provider`].
//!
//! The grammar is the WHATWG one (<https://html.spec.whatwg.org/multipage/server-sent-events.html>), with one
//! deliberate difference: a final event without its blank line is returned by [`Decoder::finish`] instead of
//! being dropped, because a truncated answer still has to be accounted for.
//!
//! No byte is lost: what the grammar skips (comments, blocks without `data`) opens the `raw` of the next event,
//! or is handed out early by [`Decoder::take_skipped`], so that keep-alives can be passed on at once. A blank
//! line that ends in CR counts at once, except after a line that ended in CRLF: there its LF is awaited, so that
//! `raw` ends with the whole blank line. Both rules look at the bytes alone, so any chunking gives the same
//! events with the same `raw`.
//!
//! Memory is bounded by `max_event_bytes`; an event beyond it is an error, not a larger buffer. Each byte is
//! searched once for its line end and read once for its field, whatever the chunking; an event that lies within
//! one chunk is borrowed from it.

use memchr::{memchr, memchr2};

#[cfg(test)]
mod tests;

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The `event:` field; empty if there was none.
    pub name: &'a [u8],
    /// The `data:` lines, joined by line feeds.
    pub data: &'a [u8],
    /// The event exactly as it arrived, comments and terminating blank line included.
    pub raw: &'a [u8],
    /// The beginning of `raw` that is not the event's own: whole blocks before it that the grammar skips.
    pub skipped: &'a [u8],
}

/// An event is larger than the decoder's bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventTooLarge;

/// A buffer beyond this capacity is given back after the event that needed it.
const KEPT_CAPACITY: usize = 64 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Splits a byte stream into events.
///
/// Invariant: `block_start <= tail.len()`; `tail[..block_start]` is whole blocks without data, and the rest of
/// `tail` is the beginning of one block.
pub struct Decoder {
    max_event_bytes: usize,
    tail: Vec<u8>,
    block_start: usize,
    /// Skipped bytes since the last event that `take_skipped` has already handed out.
    taken: usize,
    place: Place,
    is_first_block: bool,
    /// The data of an event with several `data` lines.
    joined: Vec<u8>,
}

/// Where the next byte stands, as far as line ends are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    LineStart {
        after_crlf: bool,
    },
    InLine,
    /// After a CR that ended a line; an LF here belongs to it.
    AfterCr,
    /// After the CR of a blank line in a stream of CRLFs; the block ends after the LF, or here.
    AfterBlankCr,
}

impl Decoder {
    /// A decoder that refuses events of more than `max_event_bytes`.
    #[must_use]
    pub const fn new(max_event_bytes: usize) -> Self {
        Self {
            max_event_bytes,
            tail: Vec::new(),
            block_start: 0,
            taken: 0,
            place: Place::LineStart { after_crlf: false },
            is_first_block: true,
            joined: Vec::new(),
        }
    }

    /// Takes the next bytes and calls `on_event` for each event that they complete. An `Err` of `on_event` ends
    /// the call at once; the decoder must not be used after it.
    ///
    /// # Errors
    ///
    /// An event beyond the bound, or what `on_event` returned.
    pub fn feed<E: From<EventTooLarge>>(
        &mut self,
        chunk: &[u8],
        mut on_event: impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        // `chunk` without the events that are done with, and how far it has been searched.
        let mut rest = chunk;
        let mut searched = 0;
        while let Some(length) = self.advance(rest.get(searched..).unwrap_or_default()) {
            searched += length;
            self.check_size(searched)?;
            let (head, after) = rest.split_at_checked(searched).unwrap_or((rest, &[]));
            let raw = if self.tail.is_empty() {
                head
            } else {
                self.tail.extend_from_slice(head);
                (rest, searched) = (after, 0);
                &self.tail
            };
            let (skipped, block) = raw.split_at_checked(self.block_start).unwrap_or((raw, &[]));
            if let Some((name, data)) = fields(block, self.is_first_block, &mut self.joined) {
                on_event(Event {
                    name,
                    data,
                    raw,
                    skipped,
                })?;
                if self.tail.is_empty() {
                    (rest, searched) = (after, 0);
                }
                self.reset();
            } else {
                self.block_start = raw.len();
            }
            self.is_first_block = false;
        }
        self.check_size(rest.len())?;
        self.tail.extend_from_slice(rest);
        Ok(())
    }

    /// The stream has ended: an event that lacks only its blank line is delivered all the same, because a
    /// truncated answer still has to be accounted for. Its last line may be cut short.
    ///
    /// # Errors
    ///
    /// What `on_event` returned.
    pub fn finish<E>(&mut self, mut on_event: impl FnMut(Event<'_>) -> Result<(), E>) -> Result<(), E> {
        let raw = self.tail.as_slice();
        let (skipped, block) = raw.split_at_checked(self.block_start).unwrap_or((raw, &[]));
        if let Some((name, data)) = fields(block, self.is_first_block, &mut self.joined) {
            on_event(Event {
                name,
                data,
                raw,
                skipped,
            })?;
            self.reset();
        } else {
            self.block_start = self.tail.len();
        }
        self.is_first_block = false;
        Ok(())
    }

    /// Appends to `out` the skipped bytes that no event has carried yet: whole comments and blocks without
    /// data, and after [`Decoder::finish`] whatever is left. They will not be part of a later `raw`, but they
    /// still count towards the bound of the next event.
    pub fn take_skipped(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.tail.get(..self.block_start).unwrap_or_default());
        // The bytes that move up came with the chunk that ended the skipped block, so this stays linear.
        self.tail.drain(..self.block_start.min(self.tail.len()));
        self.taken = self.taken.saturating_add(self.block_start);
        self.block_start = 0;
    }

    /// Whether bytes are held that no event has carried yet.
    #[must_use]
    pub const fn has_leftover(&self) -> bool {
        !self.tail.is_empty()
    }

    /// Length of `bytes` up to the end of the current block, or `None` if it does not end there.
    fn advance(&mut self, bytes: &[u8]) -> Option<usize> {
        const LINE_START: Place = Place::LineStart { after_crlf: false };
        let mut at = 0;
        loop {
            let byte = *bytes.get(at)?;
            match (self.place, byte) {
                (Place::InLine, _) => {
                    let rest = bytes.get(at..)?;
                    let length = memchr2(b'\r', b'\n', rest)?;
                    at += length + 1;
                    self.place = match rest.get(length) {
                        Some(b'\r') => Place::AfterCr,
                        _ => LINE_START,
                    };
                }
                (Place::AfterCr, b'\n') => {
                    at += 1;
                    self.place = Place::LineStart { after_crlf: true };
                }
                (Place::AfterCr, _) => self.place = LINE_START,
                (Place::AfterBlankCr, b'\n') | (Place::LineStart { .. }, b'\n') => {
                    self.place = LINE_START;
                    return Some(at + 1);
                }
                (Place::AfterBlankCr, _) => {
                    self.place = LINE_START;
                    return Some(at);
                }
                (Place::LineStart { after_crlf: true }, b'\r') => {
                    at += 1;
                    self.place = Place::AfterBlankCr;
                }
                (Place::LineStart { after_crlf: false }, b'\r') => {
                    self.place = Place::AfterCr;
                    return Some(at + 1);
                }
                (Place::LineStart { .. }, _) => self.place = Place::InLine,
            }
        }
    }

    fn check_size(&self, more: usize) -> Result<(), EventTooLarge> {
        let size = self.tail.len().saturating_add(self.taken).saturating_add(more);
        if size > self.max_event_bytes {
            return Err(EventTooLarge);
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.tail.clear();
        if self.tail.capacity() > KEPT_CAPACITY {
            self.tail = Vec::new();
        }
        if self.joined.capacity() > KEPT_CAPACITY {
            self.joined = Vec::new();
        }
        self.block_start = 0;
        self.taken = 0;
    }
}

/// Name and data of a block; `None` if it has no `data` field.
fn fields<'a>(block: &'a [u8], is_first: bool, joined: &'a mut Vec<u8>) -> Option<(&'a [u8], &'a [u8])> {
    let mut rest = match block.strip_prefix(BYTE_ORDER_MARK) {
        Some(after) if is_first => after,
        _ => block,
    };
    let mut name: &[u8] = &[];
    let mut data: Option<&[u8]> = None;
    let mut is_joined = false;
    while !rest.is_empty() {
        // A CRLF reads as a line end and an empty line here; empty lines within a block mean nothing.
        let end = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        let (line, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        rest = after.get(1..).unwrap_or_default();
        let (field, value) = match memchr(b':', line) {
            Some(colon) => {
                let value = line.get(colon + 1..).unwrap_or_default();
                let value = value.strip_prefix(b" ").unwrap_or(value);
                (line.get(..colon).unwrap_or_default(), value)
            }
            None => (line, &[] as &[u8]),
        };
        match field {
            b"event" => name = value,
            b"data" => match data {
                None => data = Some(value),
                Some(first) => {
                    if !is_joined {
                        joined.clear();
                        joined.extend_from_slice(first);
                        is_joined = true;
                    }
                    joined.push(b'\n');
                    joined.extend_from_slice(value);
                }
            },
            // `id` and `retry` serve reconnection, which a POST does not have; comments have no field name.
            _ => {}
        }
    }
    let first = data?;
    Some((name, if is_joined { joined } else { first }))
}
