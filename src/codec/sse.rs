// SPDX-License-Identifier: Apache-2.0

//! Server-sent events: bytes in, whole events out.

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The `event:` field; empty if there was none.
    pub name: &'a [u8],
    /// The `data:` lines, joined by line feeds.
    pub data: &'a [u8],
    /// The event exactly as it arrived, comments and terminating blank line included.
    pub raw: &'a [u8],
}

/// An event is larger than the decoder's bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventTooLarge;

/// Splits a byte stream into events.
pub struct Decoder {
    max_event_bytes: usize,
}

impl Decoder {
    /// A decoder that refuses events of more than `max_event_bytes`.
    #[must_use]
    pub const fn new(max_event_bytes: usize) -> Self {
        Self { max_event_bytes }
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
        let _ = (chunk, &mut on_event, self.max_event_bytes);
        Ok(())
    }

    /// The stream has ended: an event that lacks only its blank line is delivered all the same, because a
    /// truncated answer still has to be accounted for.
    ///
    /// # Errors
    ///
    /// What `on_event` returned.
    pub fn finish<E>(&mut self, mut on_event: impl FnMut(Event<'_>) -> Result<(), E>) -> Result<(), E> {
        let _ = &mut on_event;
        Ok(())
    }
}
