// SPDX-License-Identifier: Apache-2.0

//! The head of the upstream request.
//!
//! It is built afresh for every attempt from a list of what may pass, never by editing: Envoy hands the same
//! header map to every attempt, so a credential that an earlier attempt added, and every header of the
//! client's that was not meant for a provider, would travel on.

use super::seat::{ProviderSeat, UpstreamHead};
use crate::headers::Headers;
use crate::provider::{self, UpstreamRequest};

/// Headers of the client's request that a provider may see: trace context, and the request's id.
const FORWARDED: [&str; 5] = ["traceparent", "tracestate", "b3", "x-request-id", "x-b3-traceid"];

const USER_AGENT: &str = concat!("tollgate/", env!("CARGO_PKG_VERSION"));

pub(super) fn head(
    seat: &ProviderSeat,
    headers: &Headers,
    request: &UpstreamRequest,
    credential: Option<&str>,
    content_length: usize,
) -> UpstreamHead {
    let endpoint = &seat.endpoint;
    let scheme = if endpoint.is_tls { "https" } else { "http" };
    let mut head: UpstreamHead = vec![
        (":method", b"POST".to_vec()),
        (":scheme", scheme.into()),
        (":authority", endpoint.authority().into_bytes()),
        (
            ":path",
            [endpoint.path.as_bytes(), request.path.as_bytes()].concat(),
        ),
        ("content-type", b"application/json".to_vec()),
        ("content-length", content_length.to_string().into_bytes()),
        ("accept", accept(seat, request).into()),
        ("user-agent", USER_AGENT.into()),
    ];
    for (name, value) in &request.headers {
        head.push((name, value.as_bytes().to_vec()));
    }
    // What services tell each other of a caller is no provider's business unless somebody says so.
    let baggage = seat.forwards_baggage().then_some("baggage");
    for name in FORWARDED.into_iter().chain(baggage) {
        if let Some(value) = headers.get(name) {
            head.push((name, value.to_vec()));
        }
    }
    if let Some(credential) = credential {
        let (name, prefix) = seat.credential_header();
        head.push((name, [prefix, credential].concat().into_bytes()));
    }
    head
}

const fn accept(seat: &ProviderSeat, request: &UpstreamRequest) -> &'static str {
    if request.is_streaming {
        provider::framing(seat.kind()).media_type()
    } else {
        "application/json"
    }
}
