// SPDX-License-Identifier: Apache-2.0

//! The host, in the core's words.

use crate::clock::Timestamp;
use crate::exchange::HeaderEdit;
use crate::handoff::Handoff;
use crate::headers::Headers;
use crate::local_reply::LocalReply;
use crate::policy::auth::CREDENTIAL_HEADERS;
use crate::shared_store::{Conflict, SharedStore};
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType, MetricType};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::UNIX_EPOCH;

thread_local! {
    /// The exchanges of this worker, by their `x-request-id`: both seats run in one VM.
    static EXCHANGES: RefCell<HashMap<Vec<u8>, Rc<RefCell<Handoff>>>> = RefCell::default();
    static NEXT_ID: Cell<u64> = const { Cell::new(1) };
}

/// The header by which the provider seat finds the exchange. Envoy makes it and every attempt carries it.
pub(super) const REQUEST_ID: &str = "x-request-id";

/// Makes an exchange known to the provider seat, and returns the key that ends it. An id that is missing, or that
/// another request of this worker has at this moment, is replaced: two exchanges must never be taken for one.
pub(super) fn open_exchange(request_id: &[u8], handoff: Rc<RefCell<Handoff>>) -> Vec<u8> {
    let is_free = EXCHANGES.with_borrow(|exchanges| !exchanges.contains_key(request_id));
    let key = if is_free && !request_id.is_empty() {
        request_id.to_vec()
    } else {
        let id = NEXT_ID.get();
        NEXT_ID.set(id.wrapping_add(1));
        // What Envoy makes holds no such prefix, and what a client sends does not come back here.
        let fresh = format!("tollgate-{:x}-{id:x}", now().as_nanos());
        edit_headers(
            MapType::HttpRequestHeaders,
            &[HeaderEdit::Set(REQUEST_ID, fresh.clone())],
        );
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
    let since_epoch = hostcalls::get_current_time()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Timestamp::default().plus(since_epoch.unwrap_or_default())
}

/// A header map, as bytes.
pub(super) fn headers(map: MapType) -> Headers {
    let pairs = hostcalls::get_map_bytes(map).unwrap_or_default();
    Headers::new(
        pairs
            .into_iter()
            .map(|(name, value)| (name.into_bytes(), value))
            .collect(),
    )
}

/// One header, if it is there and is UTF-8.
pub(super) fn header(map: MapType, name: &str) -> Option<String> {
    String::from_utf8(hostcalls::get_map_value_bytes(map, name).ok().flatten()?).ok()
}

/// Replaces a header map.
pub(super) fn set_headers(map: MapType, head: &[(&'static str, Vec<u8>)]) {
    let pairs = head
        .iter()
        .map(|(name, value)| (*name, value.as_slice()))
        .collect();
    report(hostcalls::set_map_bytes(map, pairs), "set a header map");
}

/// Changes a header map.
pub(super) fn edit_headers(map: MapType, edits: &[HeaderEdit]) {
    for edit in edits {
        let result = match edit {
            HeaderEdit::Set(name, value) => hostcalls::set_map_value_bytes(map, name, Some(value.as_bytes())),
            HeaderEdit::Remove(name) => hostcalls::remove_map_value(map, name),
        };
        report(result, "edit a header");
    }
}

/// A part of a body that the host holds.
pub(super) fn body(buffer: BufferType, start: usize, end: usize) -> Vec<u8> {
    if start >= end {
        return Vec::new();
    }
    hostcalls::get_buffer(buffer, start, end - start)
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// Replaces the body that the host holds.
pub(super) fn set_body(buffer: BufferType, size: usize, bytes: &[u8]) {
    report(hostcalls::set_buffer(buffer, 0, size, bytes), "set a body");
}

/// Answers the client in the provider's place.
pub(super) fn reply(reply: &LocalReply) {
    let headers = reply
        .headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let result = hostcalls::send_http_response(u32::from(reply.status), headers, Some(&reply.body));
    report(result, "send a reply");
}

/// Adds to one of Envoy's statistics.
pub(super) fn count(name: &'static str, by: u64) {
    thread_local! {
        static IDS: RefCell<HashMap<&'static str, u32>> = RefCell::default();
    }
    let Ok(by) = i64::try_from(by) else { return };
    if by == 0 {
        return;
    }
    let known = IDS.with_borrow(|ids| ids.get(name).copied());
    let id = known.or_else(|| hostcalls::define_metric(MetricType::Counter, name).ok());
    if let Some(id) = id {
        IDS.with_borrow_mut(|ids| ids.insert(name, id));
        report(hostcalls::increment_metric(id, by), "count");
    }
}

/// Takes the provider's credential out of the request's headers once they have been sent: access logs and traces
/// read the same map.
pub(super) fn forget_credential(name: &str) {
    report(
        hostcalls::remove_map_value(MapType::HttpRequestHeaders, name),
        "remove a header",
    );
}

/// Gives the request the path back that the client asked for, which access logs and traces tell.
pub(super) fn restore_path(path: &[u8]) {
    report(
        hostcalls::set_map_value_bytes(MapType::HttpRequestHeaders, ":path", Some(path)),
        "restore the path",
    );
}

/// Whether the answer at hand came from an upstream, and was not made up by Envoy.
pub(super) fn is_from_upstream() -> bool {
    let details = hostcalls::get_property(vec!["response", "code_details"])
        .ok()
        .flatten();
    details.is_some_and(|details| details == b"via_upstream")
}

/// The same for every header that may carry one, where no provider seat will do it.
pub(super) fn forget_credentials() {
    for name in CREDENTIAL_HEADERS {
        forget_credential(name);
    }
}

/// Stops a provider that goes on sending.
pub(super) fn stop_upstream() {
    report(hostcalls::reset_http_response(), "reset the upstream");
}

/// Lets the router choose again, now that the routing header is set.
pub(super) fn clear_route_cache() {
    report(
        hostcalls::call_foreign_function("clear_route_cache", None).map(drop),
        "clear the route cache",
    );
}

/// Writes filter state: `%FILTER_STATE(wasm.NAME:PLAIN)%` in access logs.
pub(super) fn set_property(name: &str, value: &[u8]) {
    report(hostcalls::set_property(vec![name], Some(value)), "set a property");
}

fn report<E: core::fmt::Debug>(result: Result<(), E>, what: &str) {
    if let Err(status) = result {
        log::error!("the host could not {what}: {status:?}");
    }
}

/// The memory that all workers of this Envoy share.
pub(super) struct SharedData;

impl SharedStore for SharedData {
    fn get(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        match hostcalls::get_shared_data(key) {
            Ok((value, Some(version))) => Some((value.unwrap_or_default(), version)),
            Ok((_, None)) | Err(_) => None,
        }
    }

    fn compare_and_swap(&self, key: &str, value: &[u8], version: Option<u32>) -> Result<(), Conflict> {
        hostcalls::set_shared_data(key, Some(value), version).map_err(|_| Conflict)
    }
}
