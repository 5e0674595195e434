// SPDX-License-Identifier: Apache-2.0

//! The host, in the core's words.

use super::abi::{self, Buffer, Map, Status};
use crate::attempt::{SESSION_HEADER, TokenCall};
use crate::clock::Timestamp;
use crate::config::Provider;
use crate::exchange::HeaderEdit;
use crate::handoff::Handoff;
use crate::headers::{self, Headers};
use crate::local_reply::LocalReply;
use crate::policy::auth::{KeyCall, SignatureHost};
use crate::policy::connection::Connection;
use crate::shared_store::{Conflict, SharedStore};
use core::net::{IpAddr, SocketAddr};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

thread_local! {
    /// The exchanges of this worker, by their `x-request-id`: both seats run in one VM.
    static EXCHANGES: RefCell<HashMap<Vec<u8>, Rc<RefCell<Handoff>>>> = RefCell::default();
    static NEXT_ID: Cell<u64> = const { Cell::new(1) };
}

/// The header by which the provider seat finds the exchange. Envoy makes it and every attempt carries it.
pub(super) const REQUEST_ID: &str = "x-request-id";

/// How the ids begin that we make; a client's that begins so is replaced.
const OUR_IDS: &[u8] = b"tollgate-";

/// Makes an exchange known to the provider seat, and returns the key that ends it. An id that is missing, or that
/// another request of this worker has at this moment, is replaced: two exchanges must never be taken for one.
pub(super) fn open_exchange(request_id: &[u8], handoff: Rc<RefCell<Handoff>>) -> Vec<u8> {
    let is_taken = EXCHANGES.with_borrow(|exchanges| exchanges.contains_key(request_id));
    let key = if !is_taken && !request_id.is_empty() && !request_id.starts_with(OUR_IDS) {
        request_id.to_vec()
    } else {
        let id = NEXT_ID.get();
        NEXT_ID.set(id.wrapping_add(1));
        let fresh = format!("tollgate-{:x}-{id:x}", now().as_nanos());
        edit_headers(Map::Request, &[HeaderEdit::Set(REQUEST_ID, fresh.clone())]);
        fresh.into_bytes()
    };
    EXCHANGES.with_borrow_mut(|exchanges| exchanges.insert(key.clone(), handoff));
    key
}

/// Forgets an exchange.
pub(super) fn close_exchange(key: &[u8]) {
    EXCHANGES.with_borrow_mut(|exchanges| exchanges.remove(key));
}

/// The exchange that an attempt with these headers belongs to.
pub(super) fn find_exchange(headers: &Headers) -> Option<Rc<RefCell<Handoff>>> {
    let id = headers.get(REQUEST_ID)?;
    EXCHANGES.with_borrow(|exchanges| exchanges.get(id).cloned())
}

/// The host's clock.
pub(super) fn now() -> Timestamp {
    Timestamp::from_nanos(given(abi::time(), "tell the time").unwrap_or_default())
}

/// The filter's configuration.
pub(super) fn configuration(size: usize) -> Vec<u8> {
    given(
        abi::buffer(Buffer::PluginConfiguration, 0, size),
        "give the configuration",
    )
    .unwrap_or_default()
}

/// A header map.
pub(super) fn headers(map: Map) -> Headers {
    Headers::from_serialized(given(abi::map(map), "give a header map").unwrap_or_default())
}

/// One header, if it is there and is UTF-8.
pub(super) fn header(map: Map, name: &str) -> Option<String> {
    String::from_utf8(abi::map_value(map, name).ok()?).ok()
}

/// Replaces a header map.
pub(super) fn set_headers(map: Map, head: &[(&'static str, Vec<u8>)]) {
    let serialized = headers::serialize(head.iter().map(|(name, value)| (*name, value.as_slice())));
    given(abi::set_map(map, &serialized), "set a header map");
}

/// Takes all trailers away: nothing of either side's that a list does not name goes on.
pub(super) fn clear_trailers(map: Map) {
    let none: [(&str, &[u8]); 0] = [];
    given(
        abi::set_map(map, &headers::serialize(none.into_iter())),
        "clear trailers",
    );
}

/// Changes a header map.
pub(super) fn edit_headers(map: Map, edits: &[HeaderEdit]) {
    for edit in edits {
        let result = match edit {
            HeaderEdit::Set(name, value) => abi::replace_map_value(map, name, value.as_bytes()),
            HeaderEdit::Remove(name) => abi::remove_map_value(map, name),
        };
        given(result, "edit a header");
    }
}

/// A part of a body that the host holds.
pub(super) fn body(buffer: Buffer, start: usize, end: usize) -> Vec<u8> {
    if start >= end {
        return Vec::new();
    }
    given(abi::buffer(buffer, start, end - start), "give a body").unwrap_or_default()
}

/// Replaces the body that the host holds.
pub(super) fn set_body(buffer: Buffer, size: usize, bytes: &[u8]) {
    given(abi::set_buffer(buffer, size, bytes), "set a body");
}

/// Answers the client in the provider's place.
pub(super) fn reply(reply: &LocalReply) {
    let headers = headers::serialize(
        reply
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_bytes())),
    );
    given(
        abi::send_local_response(reply.status, &headers, &reply.body),
        "send a reply",
    );
}

/// Adds to one of Envoy's statistics.
pub(super) fn count(name: &str, by: u64) {
    let Ok(by) = i64::try_from(by) else { return };
    if by == 0 {
        return;
    }
    if let Some(id) = counter(name) {
        given(abi::increment(id, by), "count");
    }
}

/// The id of a counter, which Envoy shows from now on, if only as zero: whoever watches it sees the first step.
pub(super) fn counter(name: &str) -> Option<u32> {
    thread_local! {
        static IDS: RefCell<HashMap<String, u32>> = RefCell::default();
    }
    let known = IDS.with_borrow(|ids| ids.get(name).copied());
    if known.is_some() {
        return known;
    }
    let id = given(abi::define_counter(name), "define a counter")?;
    IDS.with_borrow_mut(|ids| ids.insert(name.to_owned(), id));
    Some(id)
}

/// Adds a value to one of Envoy's histograms.
pub(super) fn observe(name: &'static str, value: u64) {
    thread_local! {
        static IDS: RefCell<HashMap<&'static str, u32>> = RefCell::default();
    }
    let known = IDS.with_borrow(|ids| ids.get(name).copied());
    let id = known.or_else(|| given(abi::define_histogram(name), "define a histogram"));
    if let Some(id) = id {
        if known.is_none() {
            IDS.with_borrow_mut(|ids| ids.insert(name, id));
        }
        given(abi::record(id, value), "record a value");
    }
}

/// Takes the provider's credential out of the request's headers once they have been sent: access logs and traces
/// read the same map.
pub(super) fn forget_credential(name: &str) {
    given(abi::remove_map_value(Map::Request, name), "remove a header");
}

/// Gives the request the path back that the client asked for, which access logs and traces tell.
pub(super) fn restore_path(path: &[u8]) {
    given(
        abi::replace_map_value(Map::Request, ":path", path),
        "restore the path",
    );
}

/// Whether the answer at hand came from an upstream, and was not made up by Envoy.
pub(super) fn is_from_upstream() -> bool {
    answer_details().is_some_and(|details| details == b"via_upstream")
}

/// Whether an answer under way was ended by its upstream or a timeout: a client that leaves has other details.
pub(super) fn was_broken_off() -> bool {
    answer_details()
        .is_some_and(|details| details.starts_with(b"upstream_") || details.ends_with(b"_timeout"))
}

/// Envoy's reason for the answer's status.
fn answer_details() -> Option<Vec<u8>> {
    abi::property("response\0code_details").ok()
}

/// The same for every header that may carry one, where no provider seat will do it.
pub(super) fn forget_credentials() {
    for name in Provider::CREDENTIAL_HEADERS.into_iter().chain([SESSION_HEADER]) {
        forget_credential(name);
    }
}

/// Stops a provider that goes on sending.
pub(super) fn stop_upstream() {
    given(abi::close_response_stream(), "reset the upstream");
}

/// Lets the router choose again, now that the routing header is set.
pub(super) fn clear_route_cache() {
    given(abi::call("clear_route_cache", &[]), "clear the route cache");
}

/// Lets the request of the effective context go on.
pub(super) fn resume_request() {
    given(abi::continue_request(), "let a request go on");
}

/// Makes another context the effective one; whether there is such a context.
pub(super) fn enter(context: u32) -> bool {
    given(abi::set_effective_context(context), "change the context").is_some()
}

/// Has the root context called again and again.
pub(super) fn tick_every(millis: u32) {
    given(abi::set_tick_period(millis), "set a timer");
}

/// Asks an issuer for its keys; the call's id.
pub(super) fn call_for_keys(call: &KeyCall) -> Option<u32> {
    let headers = vec![
        (":method", "GET"),
        (":scheme", if call.is_tls { "https" } else { "http" }),
        (":authority", &call.authority),
        (":path", &call.path),
        ("accept", "application/json"),
        ("user-agent", concat!("tollgate/", env!("CARGO_PKG_VERSION"))),
    ];
    abi::dispatch_http_call(&call.cluster, headers, call.timeout).ok()
}

/// Asks a metadata service for an access token; the call's id.
pub(super) fn call_for_token(call: &TokenCall) -> Option<u32> {
    let request = &call.request;
    let authority = request.endpoint.authority();
    let headers = vec![
        (":method", "GET"),
        (":scheme", if request.endpoint.is_tls { "https" } else { "http" }),
        (":authority", &authority),
        (":path", &request.path),
        request.header,
        ("accept", "application/json"),
        ("user-agent", concat!("tollgate/", env!("CARGO_PKG_VERSION"))),
    ];
    abi::dispatch_http_call(&call.cluster, headers, call.timeout).ok()
}

/// Writes filter state: `%FILTER_STATE(wasm.NAME:PLAIN)%` in access logs.
pub(super) fn set_property(name: &str, value: &[u8]) {
    given(abi::set_property(name, value), "set a property");
}

/// What the host gave, or a line in its log.
fn given<T>(result: Result<T, Status>, what: &str) -> Option<T> {
    result
        .inspect_err(|status| log::error!("the host could not {what}: {status:?}"))
        .ok()
}

/// The memory that all workers of this Envoy share.
pub(super) struct SharedData;

impl SharedStore for SharedData {
    fn get(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        match abi::shared_data(key) {
            Ok(found) => Some(found),
            Err(abi::NOT_FOUND) => None,
            Err(status) => {
                given(Err::<(), _>(status), "give shared data");
                // No such version: what is written from this reading is refused.
                Some((Vec::new(), u32::MAX))
            }
        }
    }

    fn compare_and_swap(&self, key: &str, value: &[u8], version: Option<u32>) -> Result<(), Conflict> {
        abi::set_shared_data(key, value, version.unwrap_or(0)).map_err(|_| Conflict)
    }
}

/// The request of the effective context.
pub(super) struct HostConnection;

impl Connection for HostConnection {
    fn source_address(&self) -> Option<IpAddr> {
        let address = abi::property("source\0address").ok()?;
        let address: SocketAddr = core::str::from_utf8(&address).ok()?.parse().ok()?;
        Some(address.ip())
    }

    fn attribute(&self, path: &[&str]) -> Option<Vec<u8>> {
        abi::property(&path.join("\0")).ok()
    }
}

/// The host's cryptography.
#[derive(Default)]
pub(super) struct HostSignatures {
    /// Whether the host has none. Then it is asked no more: each call of what it restricts makes an error in its log.
    is_missing: Cell<bool>,
}

impl SignatureHost for HostSignatures {
    fn verify_signature(&self, arguments: &[u8]) -> Option<Vec<u8>> {
        if self.is_missing.get() {
            return None;
        }
        abi::call("verify_signature", arguments)
            .inspect_err(|status| {
                if [abi::NOT_FOUND, abi::INTERNAL_FAILURE].contains(status) {
                    log::warn!(
                        "the host verifies no signatures, so the module does, more slowly: {status:?}"
                    );
                    self.is_missing.set(true);
                }
            })
            .ok()
    }
}
