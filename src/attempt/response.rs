// SPDX-License-Identifier: Apache-2.0

//! The provider's answer: judged, and translated if it comes whole. Streams go on in `stream`.

use super::head::ResponseHead;
use super::{Attempt, credential};
use crate::handoff::{CredentialOwner, Phase};
use crate::headers::Headers;
use crate::local_reply::{LocalReply, whole_seconds};
use crate::provider::{self, ErrorAnswer, ResponseStream, UpstreamFault};

/// The one status that the rendered retry policy retries. The provider seat gives it to every failure that
/// another provider may mend, and to nothing else; the gateway seat gives the client the real one.
pub const RETRYABLE: u16 = 529;

/// Headers of a provider's answer that a client may see.
const PASSED: [&str; 6] = [
    "retry-after",
    "retry-after-ms",
    "x-request-id",
    "request-id",
    "openai-processing-ms",
    "openai-version",
];

/// What to do after a piece of the answer's body.
#[derive(Debug, PartialEq, Eq)]
pub enum BodyStep {
    /// Keep the headers and what has come of the body.
    Hold,
    /// Let the headers go as given, and `out` as the body so far.
    Release(ResponseHead),
    /// Answer in the provider's place, and stop it.
    Reply(LocalReply),
    /// The headers have gone: let `out` go in place of the bytes that came.
    Pass,
    /// The answer has ended, yet the provider goes on sending: drop the bytes and stop it.
    Stop,
}

/// How an answer is read.
pub(super) enum Response {
    /// No headers yet.
    Awaiting,
    /// A JSON answer, read whole.
    Json { head: ResponseHead },
    /// An error, read whole.
    Error {
        status: u16,
        headers: Headers,
        head: ResponseHead,
    },
    /// A stream whose headers are held.
    Preamble {
        stream: Box<dyn ResponseStream>,
        head: ResponseHead,
    },
    /// A stream whose headers have gone.
    Streaming {
        stream: Box<dyn ResponseStream>,
        /// Whether content has gone too, and not only signs of life.
        has_content: bool,
    },
    /// A fault seen in the headers, to be told once the host lets us.
    Refused {
        fault: UpstreamFault,
        head: ResponseHead,
    },
    /// All that the client gets has gone. So many bytes more are dropped, and then the provider is stopped.
    Ended { left: usize },
}

impl Attempt {
    /// Judges the answer by its headers. The host must hold them in any case.
    pub fn on_response_headers(&mut self, headers: &Headers) {
        let status = headers
            .str(":status")
            .and_then(|status| status.parse().ok())
            .unwrap_or(0);
        let head = self.pass_on(headers);
        if let Some(name) = provider::input_tokens_header(self.settings.kind, self.settings.operation) {
            self.settings.told_input_tokens = headers.str(name).and_then(|count| count.trim().parse().ok());
        }
        if (200..300).contains(&status) {
            self.record(|record| record.phase = Phase::Begun);
        }
        let content_type = headers
            .str("content-type")
            .unwrap_or_default()
            .trim_start()
            .to_ascii_lowercase();
        let is_stream = content_type.starts_with(provider::framing(self.settings.kind).media_type());
        self.is_answer = (200..300).contains(&status) && (is_stream || content_type.contains("json"));
        let encoding = headers.str("content-encoding").unwrap_or("identity");
        self.response = if !encoding.eq_ignore_ascii_case("identity") {
            let fault = if credential::is_refusal(status) {
                self.is_credential_refused = self.owner != CredentialOwner::Caller;
                credential::refused(self.owner)
            } else {
                UpstreamFault::misbehaved("The provider's answer is compressed, which was not asked for.")
            };
            Response::Refused { fault, head }
        } else if status >= 400 {
            Response::Error {
                status,
                headers: headers.clone(),
                head,
            }
        } else if !(200..300).contains(&status) {
            Response::Refused {
                fault: UpstreamFault::misbehaved("The provider answered with an unexpected status."),
                head,
            }
        } else if !self.request.is_streaming {
            Response::Json { head }
        } else if is_stream {
            Response::Preamble {
                stream: provider::response_stream(&self.settings, &self.request),
                head,
            }
        } else {
            Response::Json { head }
        };
    }

    /// The answer's headers as far as they are known: our own, and those of the provider's that may pass.
    fn pass_on(&self, headers: &Headers) -> ResponseHead {
        let own = self
            .handoff
            .try_borrow()
            .map(|handoff| handoff.answer_headers())
            .unwrap_or_default();
        let own = own.into_iter().map(|(name, value)| (name, value.into_bytes()));
        let passed = PASSED
            .iter()
            .filter_map(|name| Some((*name, headers.get(name)?.to_vec())));
        ResponseHead(own.chain(passed).collect())
    }

    /// Whether the body is wanted whole: then [`Attempt::on_response_body`] is called once, at its end.
    #[must_use]
    pub fn wants_whole_body(&self) -> bool {
        matches!(self.response, Response::Json { .. } | Response::Error { .. })
    }

    /// Whether the answer's headers are held.
    #[must_use]
    pub const fn holds_headers(&self) -> bool {
        !matches!(self.response, Response::Streaming { .. } | Response::Ended { .. })
    }

    /// The answer ended in trailers, and all of its body has gone or none ever came, so nothing can be put in front of
    /// them. `None` if something would have to be: the client must not take that for the end.
    pub fn on_trailers_alone(&mut self) -> Option<BodyStep> {
        let mut out = Vec::new();
        let is_held = self.holds_headers();
        let step = self.on_response_body(&[], true, &mut out);
        if is_held {
            self.record(|record| record.has_only_trailers = true);
        }
        match step {
            BodyStep::Release(mut head) if is_held => {
                head.without_body();
                Some(BodyStep::Release(head))
            }
            BodyStep::Pass if out.is_empty() => Some(BodyStep::Pass),
            _ => None,
        }
    }

    /// Whether a body of `bytes` may still be held.
    #[must_use]
    pub fn may_hold(&self, bytes: usize) -> bool {
        u32::try_from(bytes).is_ok_and(|bytes| bytes <= self.seat.bounds.max_response_body_bytes.0)
    }

    /// The body, of which `bytes` have come, is larger than may be held.
    pub fn on_response_too_large(&mut self, bytes: usize, out: &mut Vec<u8>) -> BodyStep {
        let ended = self.ended();
        let head = match core::mem::replace(&mut self.response, ended) {
            Response::Json { head } | Response::Error { head, .. } | Response::Preamble { head, .. } => head,
            Response::Awaiting
            | Response::Streaming { .. }
            | Response::Refused { .. }
            | Response::Ended { .. } => {
                return BodyStep::Stop;
            }
        };
        let fault = UpstreamFault::misbehaved("The provider's answer is larger than the gateway accepts.");
        self.note_unread(&fault, bytes);
        self.fail(fault, head, false, out)
    }

    /// Takes the next bytes of the body, or the whole of it, and appends to `out` what the client gets.
    pub fn on_response_body(&mut self, chunk: &[u8], end_of_stream: bool, out: &mut Vec<u8>) -> BodyStep {
        let ended = self.ended();
        match core::mem::replace(&mut self.response, ended) {
            Response::Awaiting => BodyStep::Pass,
            Response::Ended { left } => self.drop_rest(left, chunk.len(), end_of_stream),
            Response::Refused { fault, head } => {
                self.note_unread(&fault, chunk.len());
                self.fail(fault, head, end_of_stream, out)
            }
            Response::Error {
                status,
                headers,
                head,
            } => {
                let answer = ErrorAnswer {
                    status,
                    headers: &headers,
                    body: chunk,
                };
                let mut fault = provider::translate_error(&answer, &self.settings);
                fault.error.retry_after = head.retry_after().or(fault.error.retry_after);
                self.fail(fault, head, true, out)
            }
            Response::Json { head } => self.on_json(chunk, head, out),
            Response::Preamble { stream, head } => self.on_preamble(stream, head, chunk, end_of_stream, out),
            Response::Streaming { stream, has_content } => {
                self.on_stream(stream, has_content, chunk, end_of_stream, out)
            }
        }
    }

    /// After a failure: the rest of an error may be longer than that of an answer.
    pub(super) fn ended(&self) -> Response {
        Response::Ended {
            left: usize::try_from(self.seat.bounds.max_event_bytes.0).unwrap_or(usize::MAX),
        }
    }

    /// A provider may take its time to end an answer that is over; one that goes on sending is stopped.
    fn drop_rest(&mut self, left: usize, bytes: usize, end_of_stream: bool) -> BodyStep {
        let still_left = left.checked_sub(bytes);
        self.response = Response::Ended {
            left: still_left.unwrap_or(0),
        };
        if still_left.is_some() || end_of_stream {
            BodyStep::Pass
        } else {
            BodyStep::Stop
        }
    }

    fn on_json(&mut self, body: &[u8], mut head: ResponseHead, out: &mut Vec<u8>) -> BodyStep {
        match provider::translate_response(body, &self.settings, &self.request, out) {
            Ok(tally) if self.request.is_streaming => {
                // It is of no use to the client, and it was produced all the same.
                self.record(|record| record.tally = tally);
                self.fail(
                    UpstreamFault::misbehaved("The provider did not stream its answer."),
                    head,
                    true,
                    out,
                )
            }
            Ok(tally) => {
                let cost = self
                    .handoff
                    .try_borrow()
                    .ok()
                    .and_then(|handoff| handoff.cost(&tally.usage));
                let priced = cost.and_then(|usd| provider::with_cost(str::from_utf8(out).ok()?, &usd));
                if let Some(priced) = priced {
                    *out = priced;
                }
                self.record(|record| {
                    record.tally = tally;
                    record.phase = Phase::Complete;
                });
                head.set(":status", "200");
                head.set("content-type", "application/json");
                head.set("content-length", &out.len().to_string());
                BodyStep::Release(head)
            }
            Err(fault) => {
                self.note_unread(&fault, body.len());
                self.fail(fault, head, true, out)
            }
        }
    }

    /// Writes down what was seen of an answer that cannot be read: its provider has written it, and charges for it.
    pub(super) fn note_unread(&self, fault: &UpstreamFault, bytes: usize) {
        if self.is_answer && fault.is_misbehaviour() {
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            self.record(|record| record.unread_bytes = Some(bytes));
        }
    }

    /// Tells of a failure while the headers are still held.
    ///
    /// The answer is rewritten, so that the router may retry it. Where it will not, an answer that goes on is
    /// replaced by a reply of our own: that stops the provider and leaves the client's connection in order, but
    /// the router never retries it.
    pub(super) fn fail(
        &mut self,
        mut fault: UpstreamFault,
        mut head: ResponseHead,
        is_over: bool,
        out: &mut Vec<u8>,
    ) -> BodyStep {
        self.redact(&mut fault);
        out.clear();
        out.extend_from_slice(&fault.error.to_json());
        let status = if fault.is_retryable {
            RETRYABLE
        } else {
            fault.error.status
        };
        head.set("content-type", "application/json");
        if let Some(wait) = fault.error.retry_after
            && head.retry_after().is_none()
        {
            head.set("retry-after", &whole_seconds(wait).to_string());
        }
        let is_final = !fault.is_retryable
            || self
                .handoff
                .try_borrow()
                .is_ok_and(|handoff| handoff.is_last_attempt());
        self.record(|record| record.phase = Phase::Failed(fault.error));
        if is_over || !is_final {
            head.set(":status", &status.to_string());
            head.set("content-length", &out.len().to_string());
            return BodyStep::Release(head);
        }
        let headers = head
            .0
            .into_iter()
            .filter_map(|(name, value)| Some((name, String::from_utf8(value).ok()?)));
        BodyStep::Reply(LocalReply {
            status,
            headers: headers.collect(),
            body: core::mem::take(out),
        })
    }

    /// Takes out of a fault what is not for the caller.
    fn redact(&mut self, fault: &mut UpstreamFault) {
        self.is_credential_refused |= credential::replace(fault, self.owner);
        if let Some(presented) = &self.presented {
            fault.error.redact(presented);
        }
    }

    /// Tells of a failure after content: the status has gone, so the stream itself must say it. No `[DONE]`
    /// follows: clients take that for success.
    pub(super) fn end_with_error(&mut self, mut fault: UpstreamFault, out: &mut Vec<u8>) {
        self.redact(&mut fault);
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(&fault.error.to_json());
        out.extend_from_slice(b"\n\n");
        self.record(|record| record.phase = Phase::Failed(fault.error));
    }
}
