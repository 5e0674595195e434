// SPDX-License-Identifier: Apache-2.0

//! The provider half of a request: one attempt at one provider.
//!
//! `filter` drives it with what the host reports, in this order: [`Attempt::begin`] with the whole request,
//! [`Attempt::on_response_headers`], then [`Attempt::on_response_body`] until it says that the answer has ended.
//! It knows nothing of callers or limits, and a retry is a new `Attempt`.
//!
//! The answer's headers are held back until the first event that a client would miss, or the whole JSON body. A
//! failure before that moment becomes the status [`RETRYABLE`], which Envoy's retry policy takes to the next
//! group of targets, or a plain status if no other provider could do better.

mod access_token;
mod ceiling;
mod credential;
mod credentials;
mod head;
mod pieces;
mod request;
mod response;
mod seat;
mod stream;
#[cfg(test)]
mod tests;

pub use access_token::{AccessToken, MAX_TOKEN_ANSWER_BYTES, TokenCall};
pub use ceiling::Extend;
pub use credentials::Credentials;
pub use head::ResponseHead;
pub use response::{BodyStep, RETRYABLE};
pub use seat::{ProviderSeat, SESSION_HEADER, UpstreamHead};

use crate::api_error::{API_ERROR, ApiError, INVALID_REQUEST};
use crate::handoff::{AttemptRecord, CredentialOwner, Handoff, PROVIDER_HEADER, Phase};
use crate::headers::Headers;
use crate::local_reply::LocalReply;
use crate::provider::{self, Settings, UpstreamRequest};
use pieces::Cutter;
use response::Response;
use std::cell::RefCell;
use std::rc::Rc;

/// One try at one provider.
pub struct Attempt {
    seat: Rc<ProviderSeat>,
    handoff: Rc<RefCell<Handoff>>,
    settings: Settings,
    request: UpstreamRequest,
    response: Response,
    /// Translated events that wait for the first one that counts.
    held: Vec<u8>,
    /// How many bytes of a stream have come.
    stream_bytes: usize,
    /// How many events with output have come, where a limit counts them.
    output_events: u64,
    /// Tells events apart there.
    cutter: Cutter,
    /// How more output is reserved than was at first.
    extend: Option<Extend>,
    is_credential_refused: bool,
    /// Whether what has come claims to be an answer, and not a page of whatever else stands at the provider's address.
    is_answer: bool,
    /// Whose credential was presented.
    owner: CredentialOwner,
    /// The credential that was presented, which no error may repeat.
    presented: Option<Rc<str>>,
}

impl Attempt {
    /// Begins an attempt: finds the target, translates `body` into `out` and lists the headers to send.
    ///
    /// `headers` are the request's as the host has them, `credentials` are those that the gateway has for
    /// the provider. `handoff` is `None` if the host knows no exchange for this request.
    ///
    /// # Errors
    ///
    /// The answer to give, if the request cannot be translated for this provider or the gateway is not set up
    /// for it.
    pub fn begin(
        seat: &Rc<ProviderSeat>,
        handoff: Option<Rc<RefCell<Handoff>>>,
        headers: &Headers,
        body: &[u8],
        credentials: &Credentials,
        out: &mut Vec<u8>,
    ) -> Result<(Self, UpstreamHead), LocalReply> {
        let handoff = handoff.ok_or_else(|| refusal(seat, None, &misconfigured()))?;
        let mut settings =
            open(seat, &handoff).ok_or_else(|| refusal(seat, Some(&handoff), &misconfigured()))?;
        if provider::needs_answer_id(settings.kind) {
            settings.answer_id = answer_id(headers);
        }
        let mut attempt = Self {
            seat: Rc::clone(seat),
            handoff,
            settings,
            request: UpstreamRequest::default(),
            response: Response::Awaiting,
            held: Vec::new(),
            stream_bytes: 0,
            output_events: 0,
            cutter: Cutter::of(provider::framing(seat.kind())),
            extend: None,
            is_credential_refused: false,
            is_answer: false,
            owner: CredentialOwner::Gateway,
            presented: None,
        };
        match provider::translate_request(body, &attempt.settings, out) {
            Ok(request) => attempt.request = request,
            Err(error) => return Err(refuse(seat, &attempt.handoff, error)),
        }
        attempt.record(|record| {
            record.dropped.clone_from(&attempt.request.dropped);
            record.approximated.clone_from(&attempt.request.approximated);
        });
        match attempt.head(headers, credentials, out.len()) {
            Ok(head) => Ok((attempt, head)),
            Err(error) => {
                // Envoy's router retries no answer that an upstream filter gives, whatever its status.
                let reply = refusal(seat, Some(&attempt.handoff), &error);
                attempt.record(|record| record.phase = Phase::Failed(error));
                Err(reply)
            }
        }
    }

    /// The answer to a request with trailers where Envoy is to sign it: its filter signs at the end of a body, which is
    /// not where such a request ends, so it would go unsigned.
    pub fn refuse_trailers(seat: &ProviderSeat, handoff: Option<&Rc<RefCell<Handoff>>>) -> LocalReply {
        let message = "The model's provider takes no request with trailers. Send it without them.";
        let error = ApiError::new(400, INVALID_REQUEST, message);
        match handoff {
            Some(handoff) if open(seat, handoff).is_some() => refuse(seat, handoff, error),
            Some(_) | None => refusal(seat, handoff, &error),
        }
    }

    /// The head of the request, with the credential that is to be presented; writes down whose it is.
    fn head(
        &mut self,
        headers: &Headers,
        credentials: &Credentials,
        content_length: usize,
    ) -> Result<UpstreamHead, ApiError> {
        let handoff = self.handoff.try_borrow().ok();
        let (credential, owner) = credentials
            .choose(handoff.as_deref(), &self.seat.name)
            .ok_or_else(|| credential::awaited(&self.seat.name))?;
        let head = request::head(
            &self.seat,
            headers,
            &self.request,
            credential.as_deref(),
            content_length,
        );
        drop(handoff);
        self.presented = credential;
        self.owner = owner;
        self.record(|record| record.credential_owner = owner);
        Ok(head)
    }

    /// Whether the provider has refused the gateway's credential; true once.
    pub const fn take_credential_refusal(&mut self) -> bool {
        core::mem::replace(&mut self.is_credential_refused, false)
    }

    /// Writes to this attempt's record. The borrow cannot fail: both seats run on one thread and neither holds a
    /// borrow across a host call.
    fn record(&self, write: impl FnOnce(&mut AttemptRecord)) {
        if let Ok(mut handoff) = self.handoff.try_borrow_mut()
            && let Some(record) = handoff.attempt.as_mut()
        {
            write(record);
        }
    }
}

/// Writes a new attempt into the handoff; `None` if no target of the route uses this cluster.
fn open(seat: &ProviderSeat, handoff: &RefCell<Handoff>) -> Option<Settings> {
    let mut handoff = handoff.try_borrow_mut().ok()?;
    handoff.attempts = handoff.attempts.saturating_add(1);
    let (target, upstream_model) = handoff.target(&seat.cluster)?;
    let record = AttemptRecord {
        provider: Rc::clone(&seat.name),
        upstream_model: upstream_model.to_owned(),
        provider_model: target.index,
        dropped: Vec::new(),
        approximated: Vec::new(),
        tally: provider::Tally::default(),
        credential_owner: CredentialOwner::Gateway,
        output_events: 0,
        unread_bytes: None,
        has_only_trailers: false,
        is_refused: false,
        phase: Phase::Waiting,
    };
    let mut settings = seat.settings(upstream_model, handoff.operation, handoff.created);
    settings.max_output_tokens = handoff.max_output_tokens;
    handoff.begin(record);
    Some(settings)
}

/// An id for an answer whose provider gives none: the exchange's own, which the logs know too. A client may have
/// chosen it, so only what is plain of it is repeated.
fn answer_id(headers: &Headers) -> String {
    const MAX_BYTES: usize = 64;
    let exchange = headers.str("x-request-id").unwrap_or_default();
    let plain = exchange
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(MAX_BYTES);
    "chatcmpl-".chars().chain(plain).collect()
}

/// Refuses a request that the provider cannot serve.
fn refuse(seat: &ProviderSeat, handoff: &Rc<RefCell<Handoff>>, error: ApiError) -> LocalReply {
    let reply = refusal(seat, Some(handoff), &error);
    if let Ok(mut handoff) = handoff.try_borrow_mut()
        && let Some(record) = handoff.attempt.as_mut()
    {
        record.is_refused = true;
        record.phase = Phase::Failed(error);
    }
    reply
}

fn refusal(seat: &ProviderSeat, handoff: Option<&Rc<RefCell<Handoff>>>, error: &ApiError) -> LocalReply {
    let mut reply = LocalReply::from(error);
    match handoff.and_then(|handoff| handoff.try_borrow().ok()) {
        Some(handoff) if handoff.attempt.is_some() => reply.headers.extend(handoff.answer_headers()),
        Some(_) | None => reply.headers.push((PROVIDER_HEADER, seat.name.to_string())),
    }
    reply
}

/// Envoy's routes and clusters do not fit the gateway's models.
#[must_use]
pub fn misconfigured() -> ApiError {
    ApiError::new(500, API_ERROR, "The gateway is not set up to serve this model.")
        .with_code("gateway_misconfigured")
}
