// SPDX-License-Identifier: Apache-2.0

//! Where one HTTP/1.1 answer ends.
//!
//! [`Answer`] is handed whatever has arrived and says how much of it is used up; the caller keeps the rest, which
//! is at most an unfinished head or chunk-size line. Bodies are skipped and never looked at: a load generator has
//! to be cheaper than what it measures. The framing is RFC 9112, sections 6 and 7
//! (<https://www.rfc-editor.org/rfc/rfc9112>).
//!
//! An answer that only the end of its connection would delimit is a fault here, because such a server cannot be
//! measured over kept connections. Chunk extensions and trailers are skipped.

use core::fmt;

/// Why an answer could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No HTTP/1.1 status line, header or chunk size where there should be one.
    Malformed,
    /// Neither `content-length` nor `transfer-encoding: chunked`.
    Undelimited,
    /// The connection ended first.
    Cut,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed HTTP/1.1",
            Self::Undelimited => "an answer without content-length or chunks",
            Self::Cut => "a connection closed inside an answer",
        })
    }
}

impl core::error::Error for Fault {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Head,
    /// Bytes of a sized body that are still to come.
    Sized(u64),
    ChunkSize,
    /// Bytes of a chunk and its line end that are still to come.
    Chunk(u64),
    Trailers,
    Done,
}

/// One answer, as far as it has arrived.
#[derive(Debug)]
pub(crate) struct Answer {
    part: Part,
    /// The status; 0 before the head is whole.
    pub(crate) status: u16,
    /// Whether the server asked to end the connection after this answer.
    pub(crate) is_last: bool,
}

impl Answer {
    /// An answer of which nothing has arrived.
    pub(crate) const fn new() -> Self {
        Self {
            part: Part::Head,
            status: 0,
            is_last: false,
        }
    }

    /// Whether the answer is whole.
    pub(crate) fn is_done(&self) -> bool {
        self.part == Part::Done
    }

    /// Reads on and answers with the number of bytes used up. Bytes after the end are not used.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let mut used = 0;
        while let Some(rest) = bytes.get(used..) {
            let step = match self.part {
                Part::Done => break,
                Part::Sized(left) => {
                    let step = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    self.part = after(left, step, Part::Sized, Part::Done);
                    step
                }
                Part::Chunk(left) => {
                    let step = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    self.part = after(left, step, Part::Chunk, Part::ChunkSize);
                    step
                }
                Part::Head => self.head(rest)?,
                Part::ChunkSize => self.chunk_size(rest)?,
                Part::Trailers => self.trailer(rest),
            };
            if step == 0 && !self.is_done() {
                break;
            }
            used += step;
        }
        Ok(used)
    }

    fn head(&mut self, rest: &[u8]) -> Result<usize, Fault> {
        let Some(end) = memchr::memmem::find(rest, b"\r\n\r\n") else {
            return Ok(0);
        };
        let mut lines = rest.get(..end).unwrap_or_default().split(|&byte| byte == b'\n');
        self.status = status(lines.next().unwrap_or_default()).ok_or(Fault::Malformed)?;
        let mut length = None;
        let mut is_chunked = false;
        for line in lines {
            let colon = memchr::memchr(b':', line).ok_or(Fault::Malformed)?;
            let (name, value) = line.split_at_checked(colon).unwrap_or_default();
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            if name.eq_ignore_ascii_case(b"content-length") {
                length = Some(number(value, 10).ok_or(Fault::Malformed)?);
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                is_chunked = value.eq_ignore_ascii_case(b"chunked");
            } else if name.eq_ignore_ascii_case(b"connection") {
                self.is_last = value.eq_ignore_ascii_case(b"close");
            }
        }
        self.part = match (self.status, is_chunked, length) {
            // An interim answer: the true one follows.
            (100..=199, _, _) => Part::Head,
            (204 | 304, _, _) => Part::Done,
            (_, true, _) => Part::ChunkSize,
            (_, false, Some(0)) => Part::Done,
            (_, false, Some(length)) => Part::Sized(length),
            (_, false, None) => return Err(Fault::Undelimited),
        };
        Ok(end + 4)
    }

    fn chunk_size(&mut self, rest: &[u8]) -> Result<usize, Fault> {
        let Some(end) = memchr::memchr(b'\n', rest) else {
            return Ok(0);
        };
        let line = rest.get(..end).unwrap_or_default();
        let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
        self.part = match number(digits.trim_ascii(), 16) {
            Some(0) => Part::Trailers,
            Some(size) => Part::Chunk(size.checked_add(2).ok_or(Fault::Malformed)?),
            None => return Err(Fault::Malformed),
        };
        Ok(end + 1)
    }

    fn trailer(&mut self, rest: &[u8]) -> usize {
        let Some(end) = memchr::memchr(b'\n', rest) else {
            return 0;
        };
        if rest.get(..end).unwrap_or_default().trim_ascii().is_empty() {
            self.part = Part::Done;
        }
        end + 1
    }
}

/// What follows when `step` of `left` bytes have been skipped.
fn after(left: u64, step: usize, again: fn(u64) -> Part, next: Part) -> Part {
    match left.saturating_sub(u64::try_from(step).unwrap_or(u64::MAX)) {
        0 => next,
        left => again(left),
    }
}

fn status(line: &[u8]) -> Option<u16> {
    let code = line.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    u16::try_from(number(code, 10)?).ok()
}

fn number(digits: &[u8], radix: u32) -> Option<u64> {
    let is_plain = digits.iter().all(u8::is_ascii_alphanumeric);
    let text = is_plain.then(|| core::str::from_utf8(digits).ok()).flatten()?;
    u64::from_str_radix(text, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::{Answer, Fault};

    const SIZED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    const CHUNKED: &[u8] =
        b"HTTP/1.1 429 Too Many\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n\
        5;name=value\r\nhello\r\nA\r\n0123456789\r\n0\r\nx-trailer: 1\r\n\r\n";
    const INTERIM: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";

    /// Reads `bytes`, given in two pieces, as a connection does; answers with what stays unused.
    fn read_in_two(bytes: &[u8], at: usize) -> Result<(Answer, usize), Fault> {
        let mut answer = Answer::new();
        let used = answer.read(&bytes[..at])?;
        let more = answer.read(&bytes[used..])?;
        Ok((answer, bytes.len() - used - more))
    }

    #[test]
    fn an_answer_ends_where_its_framing_says_however_it_is_cut() {
        for (bytes, status, is_last) in [(SIZED, 200, false), (CHUNKED, 429, true), (INTERIM, 204, false)] {
            for at in 0..=bytes.len() {
                let (answer, left) = read_in_two(bytes, at).unwrap();
                assert!(answer.is_done() && left == 0, "cut at {at}: {answer:?}");
                assert_eq!((answer.status, answer.is_last), (status, is_last));
            }
        }
    }

    #[test]
    fn nothing_short_of_the_end_is_whole() {
        for bytes in [SIZED, CHUNKED, INTERIM] {
            for at in 0..bytes.len() {
                let mut answer = Answer::new();
                answer.read(&bytes[..at]).unwrap();
                assert!(!answer.is_done(), "cut at {at}: {answer:?}");
            }
        }
    }

    #[test]
    fn bytes_after_the_end_stay_unused() {
        let both = [SIZED, CHUNKED].concat();
        let mut answer = Answer::new();
        assert_eq!(answer.read(&both), Ok(SIZED.len()));
    }

    #[test]
    fn what_cannot_be_measured_is_a_fault() {
        for (bytes, fault) in [
            (&b"HTTP/1.1 200 OK\r\n\r\n"[..], Fault::Undelimited),
            (b"SSH-2.0-OpenSSH\r\n\r\n", Fault::Malformed),
            (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", Fault::Malformed),
            (
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
                Fault::Malformed,
            ),
        ] {
            assert_eq!(Answer::new().read(bytes), Err(fault));
        }
    }
}
