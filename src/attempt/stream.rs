// SPDX-License-Identifier: Apache-2.0

//! The provider's stream: held until there is content, then passed on as it comes.

use super::Attempt;
use super::ceiling::Fed;
use super::head::ResponseHead;
use super::response::{BodyStep, Response};
use crate::handoff::Phase;
use crate::provider::{Progress, ResponseStream, UpstreamFault};

/// What a provider may still send after the client's answer is over, before it is stopped. Stopping it breaks the
/// client's connection too, so one that ends soon by itself is let do so: some tens of events.
const GRACE_BYTES: usize = 8 * 1024;

/// A comment of an event stream, which clients pass over.
const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

impl Attempt {
    /// Gives the client of a stream a sign of life, after a piece that gave it nothing: `step` is what to do with that
    /// piece otherwise. Headers that are held go, so what fails after that can be told in the stream only.
    pub fn show_life(&mut self, step: BodyStep, out: &mut Vec<u8>) -> BodyStep {
        let ended = self.ended();
        let step = match core::mem::replace(&mut self.response, ended) {
            Response::Preamble { stream, mut head } => {
                self.release_stream(&mut head, Phase::Alive, out);
                self.response = Response::Streaming {
                    stream,
                    has_content: false,
                };
                BodyStep::Release(head)
            }
            other => {
                self.response = other;
                step
            }
        };
        if out.is_empty() && matches!(self.response, Response::Streaming { .. }) {
            out.extend_from_slice(KEEP_ALIVE);
        }
        step
    }

    pub(super) fn on_preamble(
        &mut self,
        mut stream: Box<dyn ResponseStream>,
        mut head: ResponseHead,
        chunk: &[u8],
        end_of_stream: bool,
        out: &mut Vec<u8>,
    ) -> BodyStep {
        let mut held = core::mem::take(&mut self.held);
        let (result, unread) = self.read(&mut *stream, chunk, end_of_stream, &mut held);
        self.held = held;
        match result {
            Err(fault) if self.held_content(&*stream) => {
                // Content and fault came in one piece: the content counts, so the client gets both.
                self.release_stream(&mut head, Phase::Answering, out);
                self.end_with_error(fault, out);
                BodyStep::Release(head)
            }
            Err(fault) => {
                self.note_unread(&fault, unread);
                self.fail(fault, head, end_of_stream, out)
            }
            Ok(Fed::Stopped) => {
                self.release_stream(&mut head, Phase::Answering, out);
                self.stopped();
                BodyStep::Release(head)
            }
            Ok(Fed::Passed(Progress::Preamble)) if self.may_hold(self.stream_bytes) => {
                self.response = Response::Preamble { stream, head };
                BodyStep::Hold
            }
            Ok(Fed::Passed(progress)) => {
                // Without content, more has come than may be held.
                let has_content = progress >= Progress::Content;
                let phase = if has_content {
                    Phase::Answering
                } else {
                    Phase::Alive
                };
                self.release_stream(&mut head, phase, out);
                self.after(stream, has_content, progress, end_of_stream);
                BodyStep::Release(head)
            }
        }
    }

    pub(super) fn on_stream(
        &mut self,
        mut stream: Box<dyn ResponseStream>,
        mut has_content: bool,
        chunk: &[u8],
        end_of_stream: bool,
        out: &mut Vec<u8>,
    ) -> BodyStep {
        let (result, unread) = self.read(&mut *stream, chunk, end_of_stream, out);
        match result {
            Ok(Fed::Passed(progress)) => {
                if !has_content && progress >= Progress::Content {
                    has_content = true;
                    self.record(|record| record.phase = Phase::Answering);
                }
                self.after(stream, has_content, progress, end_of_stream);
            }
            Ok(Fed::Stopped) => self.stopped(),
            Err(fault) => {
                if !has_content && !self.held_content(&*stream) {
                    self.note_unread(&fault, unread);
                }
                self.end_with_error(fault, out);
            }
        }
        BodyStep::Pass
    }

    /// Reads the next bytes of a stream, appends to `out` what the client gets, and writes down what they held. Also
    /// tells how many bytes of the stream came in vain because these could not be read: one that ends too early could,
    /// and had nothing in it.
    fn read(
        &mut self,
        stream: &mut dyn ResponseStream,
        chunk: &[u8],
        end_of_stream: bool,
        out: &mut Vec<u8>,
    ) -> (Result<Fed, UpstreamFault>, usize) {
        self.stream_bytes = self.stream_bytes.saturating_add(chunk.len());
        let start = out.len();
        let mut result = self.feed(stream, chunk, out);
        let unread = if result.is_err() { self.stream_bytes } else { 0 };
        if end_of_stream && let Ok(Fed::Passed(progress)) = result {
            result = stream
                .on_end(out)
                .map(|()| Fed::Passed(progress.max(Progress::Content)));
        }
        self.add_cost(stream, start, out);
        self.note(stream);
        (result, unread)
    }

    /// Whether bytes that a client would miss are among those held.
    fn held_content(&self, stream: &dyn ResponseStream) -> bool {
        stream.tally().output_bytes > 0
    }

    fn release_stream(&mut self, head: &mut ResponseHead, phase: Phase, out: &mut Vec<u8>) {
        head.set(":status", "200");
        head.set("content-type", "text/event-stream; charset=utf-8");
        head.set("cache-control", "no-cache");
        out.append(&mut self.held);
        self.record(|record| record.phase = phase);
    }

    fn after(
        &mut self,
        stream: Box<dyn ResponseStream>,
        has_content: bool,
        progress: Progress,
        end_of_stream: bool,
    ) {
        if progress == Progress::Done || end_of_stream {
            self.record(|record| record.phase = Phase::Complete);
            self.response = Response::Ended { left: GRACE_BYTES };
        } else {
            self.response = Response::Streaming { stream, has_content };
        }
    }

    /// The answer has been stopped at its ceiling, and perhaps the provider was about to end it.
    fn stopped(&mut self) {
        self.record(|record| record.phase = Phase::Stopped);
        self.response = Response::Ended { left: GRACE_BYTES };
    }
}
