// SPDX-License-Identifier: Apache-2.0

//! An answer before anything goes wrong with it: what the providers produce and `script` plays.

use bytes::Bytes;

use crate::clock::Identifiers;
use crate::faults::Fault;

/// What an answer needs besides the request.
pub(crate) struct Scene<'a> {
    pub(crate) unix_now: u64,
    pub(crate) ids: &'a Identifiers,
    pub(crate) fault: &'a Fault,
}

/// What kind of event this is, as far as faults care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventKind {
    /// Carries a piece of the answer.
    Content,
    /// The end marker that `no_done` leaves out.
    Done,
    /// Everything else.
    Frame,
}

/// One event of a stream, whole: a server-sent event with its blank line, or a binary message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) bytes: Bytes,
    pub(crate) output_tokens: u32,
    pub(crate) kind: EventKind,
}

impl Event {
    /// An event that carries one output token.
    pub(crate) fn content(bytes: impl Into<Bytes>) -> Self {
        Self {
            bytes: bytes.into(),
            output_tokens: 1,
            kind: EventKind::Content,
        }
    }

    /// An event that carries none.
    pub(crate) fn frame(bytes: impl Into<Bytes>) -> Self {
        Self {
            bytes: bytes.into(),
            output_tokens: 0,
            kind: EventKind::Frame,
        }
    }

    /// The end marker.
    pub(crate) fn done(bytes: impl Into<Bytes>) -> Self {
        Self {
            bytes: bytes.into(),
            output_tokens: 0,
            kind: EventKind::Done,
        }
    }
}

/// The answer's body.
pub(crate) enum Form {
    /// One document that carries this many output tokens.
    Whole { bytes: Bytes, output_tokens: u32 },
    /// A stream, made as it is sent, and the event that reports a failure in its midst.
    Events {
        events: Box<dyn Iterator<Item = Event>>,
        error_event: Bytes,
    },
}

/// The answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) input_tokens: u32,
    pub(crate) form: Form,
}

impl Reply {
    /// A JSON document that carries no output.
    pub(crate) fn json(status: u16, headers: Vec<(String, String)>, body: String) -> Self {
        let form = Form::Whole {
            bytes: Bytes::from(body),
            output_tokens: 0,
        };
        let mut reply = Self {
            status,
            headers,
            input_tokens: 0,
            form,
        };
        reply.set_header("content-type", "application/json");
        reply
    }

    /// Sets a header, in place of one of the same name.
    pub(crate) fn set_header(&mut self, name: &str, value: impl Into<String>) {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.into()));
    }
}
