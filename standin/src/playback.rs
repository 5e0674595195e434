// SPDX-License-Identifier: Apache-2.0

//! The response body that carries out a script, step by step, as the connection asks for more.
//!
//! The body is pulled, so nothing is produced for a client that does not read or is gone. A cut waits a
//! moment before it breaks the connection, because hyper discards what it has not yet flushed when a body
//! fails, and the bytes before the cut are meant to arrive.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::record::Flight;
use crate::script::{Step, Steps};

const FLUSH_TIME: Duration = Duration::from_millis(20);

/// The connection is closed here on purpose.
#[derive(Debug)]
pub(crate) struct CutOff;

impl std::fmt::Display for CutOff {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the script cuts the connection here")
    }
}

impl std::error::Error for CutOff {}

/// A response body.
pub(crate) enum ReplyBody {
    /// One document, unrecorded.
    Document(Option<Bytes>),
    /// Events made beforehand, unrecorded.
    Events { events: Rc<[Bytes]>, next: usize },
    /// A script.
    Script(Box<Playback>),
}

/// A script under way.
pub(crate) struct Playback {
    steps: Steps,
    next: Option<Step>,
    waiting: Option<Pin<Box<Sleep>>>,
    is_cutting: bool,
    content_length: Option<u64>,
    flight: Flight,
}

impl Playback {
    /// Begins to play. `flight` is closed when the last step has been handed over.
    pub(crate) fn new(mut steps: Steps, content_length: Option<u64>, mut flight: Flight) -> Self {
        let next = steps.next();
        if next.is_none() || content_length == Some(0) {
            // hyper never asks for a body that has no bytes.
            flight.land();
        }
        Self {
            steps,
            next,
            waiting: None,
            is_cutting: false,
            content_length,
            flight,
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        loop {
            if let Some(sleep) = self.waiting.as_mut() {
                ready!(sleep.as_mut().poll(context));
                self.waiting = None;
            }
            if self.is_cutting {
                self.flight.cut();
                return Poll::Ready(Some(Err(CutOff)));
            }
            match self.next.take() {
                None => return Poll::Ready(None),
                Some(Step::Wait(time)) => {
                    self.waiting = Some(Box::pin(sleep(time)));
                    self.advance();
                }
                Some(Step::Cut) => {
                    self.is_cutting = true;
                    self.waiting = Some(Box::pin(sleep(FLUSH_TIME)));
                }
                Some(Step::Send(bytes, output_tokens)) => {
                    self.flight.wrote(output_tokens);
                    self.advance();
                    if !bytes.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(bytes))));
                    }
                }
            }
        }
    }

    /// Looks one step ahead, since hyper does not ask again once an announced length is reached.
    fn advance(&mut self) {
        self.next = self.steps.next();
        if self.next.is_none() {
            self.flight.land();
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        match self.get_mut() {
            Self::Document(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Events { events, next } => {
                let event = events.get(*next).cloned();
                *next += 1;
                Poll::Ready(event.map(|bytes| Ok(Frame::data(bytes))))
            }
            Self::Script(playback) => playback.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Document(bytes) => bytes.is_none(),
            Self::Events { events, next } => *next >= events.len(),
            // A stream without an event is still a stream: hyper would announce an empty document instead.
            Self::Script(playback) => {
                playback.content_length.is_some()
                    && playback.next.is_none()
                    && playback.waiting.is_none()
                    && !playback.is_cutting
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        let length = match self {
            Self::Document(bytes) => Some(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Events { .. } => None,
            Self::Script(playback) => playback.content_length,
        };
        length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
