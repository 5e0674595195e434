// SPDX-License-Identifier: Apache-2.0

//! `application/vnd.amazon.eventstream`: bytes in, whole messages out.
//!
//! The framing that Amazon's streaming APIs share
//! (<https://smithy.io/2.0/aws/amazon-eventstream.html>). A message is, in network byte order:
//!
//! | part | bytes |
//! |---|---|
//! | length of the whole message | 4 |
//! | length of its headers | 4 |
//! | CRC-32 of the two lengths | 4 |
//! | headers | as told |
//! | payload | the rest |
//! | CRC-32 of all that comes before it | 4 |
//!
//! Both checksums are checked, the first before its lengths are believed. After a fault there is no telling where
//! the next message begins, so a fault ends the stream.
//!
//! Memory is bounded by `max_message_bytes`; a longer message is refused as soon as its length is known. Each byte
//! is copied at most once, and a message that lies within one chunk is borrowed from it.

#[cfg(test)]
pub(crate) mod tests;

/// The two lengths and their checksum.
const PRELUDE_BYTES: usize = 12;
/// Lengths and checksums together: the size of an empty message.
const LEAST_BYTES: usize = 16;
/// A buffer beyond this capacity is given back after the message that needed it.
const KEPT_CAPACITY: usize = 64 * 1024;

/// One message, its checksums and its headers found sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    headers: &'a [u8],
    /// What the message carries; its form is told by the header `:content-type`.
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The value of a header that is text. Names are matched exactly; the reserved ones begin with a colon.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        let mut rest = self.headers;
        while let Some((found, value, after)) = next_header(rest) {
            if found == name.as_bytes() {
                let Value::Text(text) = value else { return None };
                return core::str::from_utf8(text).ok();
            }
            rest = after;
        }
        None
    }
}

/// Why a stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A message is larger than the decoder's bound.
    TooLarge,
    /// A checksum does not match, or a length contradicts another.
    Corrupt,
}

/// Splits a byte stream into messages.
pub struct Decoder {
    max_message_bytes: usize,
    /// The beginning of a message that was cut.
    tail: Vec<u8>,
}

impl Decoder {
    /// A decoder that refuses messages of more than `max_message_bytes`.
    #[must_use]
    pub const fn new(max_message_bytes: usize) -> Self {
        Self {
            max_message_bytes,
            tail: Vec::new(),
        }
    }

    /// Takes the next bytes and calls `on_message` for each message that they complete. After an `Err` the decoder
    /// must not be used again.
    ///
    /// # Errors
    ///
    /// A message that is too large or corrupt, or what `on_message` returned.
    pub fn feed<E: From<Fault>>(
        &mut self,
        chunk: &[u8],
        mut on_message: impl FnMut(Message<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = chunk;
        while !self.tail.is_empty() {
            // First what is lacking of the prelude, then, once the length is known, of the message.
            let wanted = self.message_bytes(&self.tail)?.unwrap_or(PRELUDE_BYTES);
            let lacking = wanted.saturating_sub(self.tail.len());
            let (head, after) = rest.split_at_checked(lacking).unwrap_or((rest, &[]));
            self.tail.extend_from_slice(head);
            rest = after;
            if self.tail.len() < wanted {
                return Ok(());
            }
            if wanted > PRELUDE_BYTES {
                on_message(message(&self.tail)?)?;
                self.tail.clear();
                if self.tail.capacity() > KEPT_CAPACITY {
                    self.tail = Vec::new();
                }
            }
        }
        while let Some(length) = self.message_bytes(rest)? {
            let Some((whole, after)) = rest.split_at_checked(length) else {
                break;
            };
            on_message(message(whole)?)?;
            rest = after;
        }
        self.tail.extend_from_slice(rest);
        Ok(())
    }

    /// Whether a message has begun that is not complete.
    #[must_use]
    pub const fn has_leftover(&self) -> bool {
        !self.tail.is_empty()
    }

    /// The length of the message that `bytes` begin with; `None` while its prelude is not complete.
    fn message_bytes(&self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        let Some((lengths, checksum)) = bytes
            .get(..PRELUDE_BYTES)
            .and_then(|prelude| prelude.split_last_chunk::<4>())
        else {
            return Ok(None);
        };
        if crc32fast::hash(lengths) != u32::from_be_bytes(*checksum) {
            return Err(Fault::Corrupt);
        }
        let (length, headers) = lengths_of(bytes).ok_or(Fault::Corrupt)?;
        if headers
            .checked_add(LEAST_BYTES)
            .is_none_or(|least| length < least)
        {
            return Err(Fault::Corrupt);
        }
        if length > self.max_message_bytes {
            return Err(Fault::TooLarge);
        }
        Ok(Some(length))
    }
}

/// The lengths of the message and of its headers.
fn lengths_of(bytes: &[u8]) -> Option<(usize, usize)> {
    let (message, rest) = bytes.split_first_chunk::<4>()?;
    let (headers, _) = rest.split_first_chunk::<4>()?;
    let wide = |length: &[u8; 4]| usize::try_from(u32::from_be_bytes(*length)).ok();
    Some((wide(message)?, wide(headers)?))
}

/// Reads a whole message, whose prelude is sound.
fn message(whole: &[u8]) -> Result<Message<'_>, Fault> {
    let (content, checksum) = whole.split_last_chunk::<4>().ok_or(Fault::Corrupt)?;
    if crc32fast::hash(content) != u32::from_be_bytes(*checksum) {
        return Err(Fault::Corrupt);
    }
    let (_, header_bytes) = lengths_of(whole).ok_or(Fault::Corrupt)?;
    let content = content.get(PRELUDE_BYTES..).ok_or(Fault::Corrupt)?;
    let (headers, payload) = content.split_at_checked(header_bytes).ok_or(Fault::Corrupt)?;
    let mut rest = headers;
    while !rest.is_empty() {
        let (_, _, after) = next_header(rest).ok_or(Fault::Corrupt)?;
        rest = after;
    }
    Ok(Message { headers, payload })
}

enum Value<'a> {
    Text(&'a [u8]),
    /// A truth, a number, bytes, a time or a UUID, none of which the reserved headers use.
    Other,
}

/// Name and value of the first header, and what follows it; `None` if there is none, or it is cut short.
fn next_header(bytes: &[u8]) -> Option<(&[u8], Value<'_>, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    let (kind, rest) = rest.split_first()?;
    let fixed = match kind {
        0 | 1 => 0,
        2 => 1,
        3 => 2,
        4 => 4,
        5 | 8 => 8,
        9 => 16,
        6 | 7 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            let value = if *kind == 7 {
                Value::Text(value)
            } else {
                Value::Other
            };
            return Some((name, value, rest));
        }
        _ => return None,
    };
    let (_, rest) = rest.split_at_checked(fixed)?;
    Some((name, Value::Other, rest))
}
