// SPDX-License-Identifier: Apache-2.0

//! Where the bytes of a stream may be cut, so that no more than one event is in each piece.
//!
//! The stream's own decoder reads the pieces; cutting only decides after which of them there is a look at the ceiling.

use crate::provider::Framing;

/// Cuts a stream, whose bytes come in any pieces.
#[derive(Debug)]
pub(super) enum Cutter {
    /// Server-sent events, which blank lines tell apart; their lines end in LF, CRLF or CR.
    Text,
    /// Amazon's event stream: each message begins with its length in four bytes, in network byte order.
    Frames {
        /// What has come of the length.
        length: u32,
        /// How many of its bytes have come.
        length_bytes: usize,
        /// How many bytes of the message are yet to come behind its length.
        left: usize,
    },
}

const LENGTH_BYTES: usize = 4;

impl Cutter {
    pub(super) const fn of(framing: Framing) -> Self {
        match framing {
            Framing::Text => Self::Text,
            Framing::Messages | Framing::MessageParts => Self::Frames {
                length: 0,
                length_bytes: 0,
                left: 0,
            },
        }
    }

    /// The next piece of `rest`, and what is behind it. Nothing is left out.
    pub(super) fn cut<'a>(&mut self, rest: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        let end = match self {
            Self::Text => event_end(rest),
            Self::Frames {
                length,
                length_bytes,
                left,
            } => frame_end(rest, length, length_bytes, left),
        };
        rest.split_at_checked(end).unwrap_or((rest, &[]))
    }
}

/// The bytes up to and with the first blank line that has a line before it, or all of them.
fn event_end(bytes: &[u8]) -> usize {
    let mut from = 0;
    while let Some(found) = bytes
        .get(from..)
        .and_then(|rest| memchr::memchr2(b'\n', b'\r', rest))
    {
        let next_line = line_end(bytes, from.saturating_add(found));
        if matches!(bytes.get(next_line), Some(b'\n' | b'\r')) {
            return line_end(bytes, next_line);
        }
        from = next_line;
    }
    bytes.len()
}

/// The place behind the line end that begins at `at`.
fn line_end(bytes: &[u8], at: usize) -> usize {
    let next = at.saturating_add(1);
    if bytes.get(at) == Some(&b'\r') && bytes.get(next) == Some(&b'\n') {
        next.saturating_add(1)
    } else {
        next
    }
}

/// The bytes up to the end of the message that `bytes` are within, or all of them.
fn frame_end(bytes: &[u8], length: &mut u32, length_bytes: &mut usize, left: &mut usize) -> usize {
    let mut end = 0;
    if *left == 0 {
        for byte in bytes.iter().take(LENGTH_BYTES.saturating_sub(*length_bytes)) {
            *length = *length << 8 | u32::from(*byte);
            *length_bytes = length_bytes.saturating_add(1);
            end = usize::saturating_add(end, 1);
        }
        if *length_bytes < LENGTH_BYTES {
            return end;
        }
        // A length that cannot be is the decoder's to refuse.
        *left = usize::try_from(*length)
            .unwrap_or(usize::MAX)
            .saturating_sub(LENGTH_BYTES);
        (*length, *length_bytes) = (0, 0);
    }
    let taken = bytes.len().saturating_sub(end).min(*left);
    *left = left.saturating_sub(taken);
    end.saturating_add(taken)
}

#[cfg(test)]
mod tests {
    use super::Cutter;
    use crate::provider::Framing;

    /// The pieces of a stream that comes in chunks of so many bytes; cuts between chunks are no pieces of their own.
    fn pieces(mut cutter: Cutter, stream: &[u8], size: usize) -> Vec<Vec<u8>> {
        let mut pieces = Vec::new();
        for chunk in stream.chunks(size) {
            let mut rest = chunk;
            while !rest.is_empty() {
                let (piece, after) = cutter.cut(rest);
                assert!(!piece.is_empty());
                pieces.push(piece.to_vec());
                rest = after;
            }
        }
        pieces
    }

    #[crate::test]
    fn text_is_cut_behind_blank_lines_of_every_form() {
        let expected = |pieces: &[&str]| -> Vec<Vec<u8>> {
            pieces.iter().map(|piece| piece.as_bytes().to_vec()).collect()
        };
        for end in ["\n", "\r\n", "\r"] {
            let events = ["event: a|data: 1||", "data: 2||", ": alive||", "data: 3"];
            let events: Vec<String> = events.iter().map(|event| event.replace('|', end)).collect();
            let events: Vec<&str> = events.iter().map(String::as_str).collect();
            assert_eq!(
                pieces(Cutter::Text, events.concat().as_bytes(), 1_000),
                expected(&events),
                "{end:?}"
            );
        }
        assert_eq!(
            pieces(Cutter::Text, b"data: 1\n\r\ndata: 2\r\n\n", 1_000),
            expected(&["data: 1\n\r\n", "data: 2\r\n\n"])
        );
    }

    #[crate::test]
    fn frames_are_cut_by_their_length_however_they_come() {
        let frame = |size: u8| {
            let mut frame = vec![0, 0, 0, size];
            frame.resize(usize::from(size), size);
            frame
        };
        let frames = [frame(16), frame(30), frame(4), frame(17)];
        let stream = frames.concat();
        assert_eq!(pieces(Cutter::of(Framing::Messages), &stream, 1_000), frames);
        for size in [1, 2, 3, 7, 16, 21] {
            let pieces = pieces(Cutter::of(Framing::Messages), &stream, size);
            assert_eq!(pieces.concat(), stream);
            // No piece reaches over the end of a frame.
            let mut ends: Vec<usize> = frames
                .iter()
                .scan(0, |end, frame| {
                    *end += frame.len();
                    Some(*end)
                })
                .collect();
            for end in pieces.iter().scan(0, |end, piece| {
                *end += piece.len();
                Some(*end)
            }) {
                ends.retain(|frame_end| *frame_end != end);
            }
            assert!(ends.is_empty(), "{size}: {ends:?}");
        }
    }

    #[crate::test]
    fn what_is_no_frame_is_cut_somewhere() {
        for stream in [&[0u8; 9][..], &[0xff; 9]] {
            assert_eq!(pieces(Cutter::of(Framing::Messages), stream, 4).concat(), stream);
        }
    }
}
