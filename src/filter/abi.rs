// SPDX-License-Identifier: Apache-2.0

//! The host's functions, as the ABI has them (proxy-wasm 0.2.1,
//! <https://github.com/proxy-wasm/spec/tree/main/abi-versions/v0.2.1>), with every status given back.
//!
//! The SDK's own wrappers panic on a status that they do not expect, and a panic ends the VM with every request
//! in it. They also copy each header into two strings of its own, which costs more than the call; here a header
//! map comes back as the host wrote it. This is the only file with `unsafe` code: each block hands the host
//! pointers into live slices, or takes over a buffer that the host has allocated in this module for us.

#![expect(unsafe_code, reason = "the host is reached through its C ABI")]

use core::ptr::{null, null_mut};
use core::time::Duration;

/// A status other than success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status(u32);

/// What the host knows no value for.
pub(super) const NOT_FOUND: Status = Status(1);

/// Also what the host answers where its operator has taken a function away.
pub(super) const INTERNAL_FAILURE: Status = Status(10);

type Result<T> = core::result::Result<T, Status>;

/// A body, or the plugin's configuration.
#[derive(Clone, Copy)]
pub(super) enum Buffer {
    RequestBody = 0,
    ResponseBody = 1,
    CallResponseBody = 4,
    PluginConfiguration = 7,
}

/// A header map.
#[derive(Clone, Copy)]
pub(super) enum Map {
    Request = 0,
    RequestTrailers = 1,
    Response = 2,
    ResponseTrailers = 3,
    CallResponse = 6,
}

const OK: u32 = 0;
const REQUEST_STREAM: u32 = 0;
const COUNTER: u32 = 0;
const HISTOGRAM: u32 = 2;
const RESPONSE_STREAM: u32 = 1;
const NO_GRPC_STATUS: i32 = -1;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_get_buffer_bytes(
        kind: u32,
        start: usize,
        most: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_set_buffer_bytes(kind: u32, start: usize, size: usize, data: *const u8, data_size: usize)
    -> u32;
    fn proxy_get_header_map_pairs(kind: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_header_map_pairs(kind: u32, data: *const u8, size: usize) -> u32;
    fn proxy_get_header_map_value(
        kind: u32,
        name: *const u8,
        name_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_replace_header_map_value(
        kind: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(kind: u32, name: *const u8, name_size: usize) -> u32;
    fn proxy_get_property(path: *const u8, path_size: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, value_size: usize) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
        version: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
        version: u32,
    ) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_close_stream(stream: u32) -> u32;
    fn proxy_continue_stream(stream: u32) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_call_foreign_function(
        name: *const u8,
        name_size: usize,
        arguments: *const u8,
        arguments_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, by: i64) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
}

const fn check(status: u32) -> Result<()> {
    if status == OK { Ok(()) } else { Err(Status(status)) }
}

/// Calls a function that hands over a buffer, and takes the buffer over.
fn taken(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Vec<u8>> {
    let (mut data, mut size) = (null_mut(), 0);
    check(call(&raw mut data, &raw mut size))?;
    if data.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: the host got the buffer of exactly `size` bytes from the SDK's `proxy_on_memory_allocate`, which
    // made it with the global allocator, and left it to us.
    Ok(unsafe { Vec::from_raw_parts(data, size, size) })
}

/// Nanoseconds since the epoch.
pub(super) fn time() -> Result<u64> {
    let mut nanos = 0;
    // SAFETY: the host writes one number to a live place.
    check(unsafe { proxy_get_current_time_nanoseconds(&raw mut nanos) })?;
    Ok(nanos)
}

pub(super) fn buffer(kind: Buffer, start: usize, most: usize) -> Result<Vec<u8>> {
    // SAFETY: see `taken`.
    taken(|data, size| unsafe { proxy_get_buffer_bytes(kind as u32, start, most, data, size) })
}

pub(super) fn set_buffer(kind: Buffer, size: usize, bytes: &[u8]) -> Result<()> {
    // SAFETY: the host reads the slice while it is alive.
    check(unsafe { proxy_set_buffer_bytes(kind as u32, 0, size, bytes.as_ptr(), bytes.len()) })
}

/// A header map in the host's form, see [`crate::headers::Headers::from_serialized`].
pub(super) fn map(kind: Map) -> Result<Vec<u8>> {
    // SAFETY: see `taken`.
    taken(|data, size| unsafe { proxy_get_header_map_pairs(kind as u32, data, size) })
}

pub(super) fn set_map(kind: Map, serialized: &[u8]) -> Result<()> {
    // SAFETY: the host reads the slice while it is alive.
    check(unsafe { proxy_set_header_map_pairs(kind as u32, serialized.as_ptr(), serialized.len()) })
}

pub(super) fn map_value(kind: Map, name: &str) -> Result<Vec<u8>> {
    // SAFETY: the host reads the name while it is alive; see also `taken`.
    taken(|data, size| unsafe {
        proxy_get_header_map_value(kind as u32, name.as_ptr(), name.len(), data, size)
    })
}

pub(super) fn replace_map_value(kind: Map, name: &str, value: &[u8]) -> Result<()> {
    // SAFETY: the host reads both slices while they are alive.
    check(unsafe {
        proxy_replace_header_map_value(
            kind as u32,
            name.as_ptr(),
            name.len(),
            value.as_ptr(),
            value.len(),
        )
    })
}

pub(super) fn remove_map_value(kind: Map, name: &str) -> Result<()> {
    // SAFETY: the host reads the name while it is alive.
    check(unsafe { proxy_remove_header_map_value(kind as u32, name.as_ptr(), name.len()) })
}

/// A property; the parts of its path are separated by NUL.
pub(super) fn property(path: &str) -> Result<Vec<u8>> {
    // SAFETY: the host reads the path while it is alive; see also `taken`.
    taken(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) })
}

pub(super) fn set_property(path: &str, value: &[u8]) -> Result<()> {
    // SAFETY: the host reads both slices while they are alive.
    check(unsafe { proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) })
}

/// A value that all workers share, and its version.
pub(super) fn shared_data(key: &str) -> Result<(Vec<u8>, u32)> {
    let mut version = 0;
    // SAFETY: the host reads the key while it is alive and writes one number to a live place; see also `taken`.
    let value = taken(|data, size| unsafe {
        proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &raw mut version)
    })?;
    Ok((value, version))
}

/// Sets a shared value if its version is still `version`; 0 sets it in any case.
pub(super) fn set_shared_data(key: &str, value: &[u8], version: u32) -> Result<()> {
    // SAFETY: the host reads both slices while they are alive.
    check(unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), version) })
}

/// Answers the client; `headers` are in the host's form.
pub(super) fn send_local_response(status: u16, headers: &[u8], body: &[u8]) -> Result<()> {
    // SAFETY: the host reads both slices while they are alive.
    check(unsafe {
        proxy_send_local_response(
            u32::from(status),
            null(),
            0,
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            NO_GRPC_STATUS,
        )
    })
}

/// Resets the stream that answers come from.
pub(super) fn close_response_stream() -> Result<()> {
    // SAFETY: no memory passes.
    check(unsafe { proxy_close_stream(RESPONSE_STREAM) })
}

/// Lets a request that was held go on.
pub(super) fn continue_request() -> Result<()> {
    // SAFETY: no memory passes.
    check(unsafe { proxy_continue_stream(REQUEST_STREAM) })
}

/// Lets all further calls concern another context than the one that the host has called.
pub(super) fn set_effective_context(context: u32) -> Result<()> {
    // SAFETY: no memory passes.
    check(unsafe { proxy_set_effective_context(context) })
}

/// Has the root context called again and again.
pub(super) fn set_tick_period(millis: u32) -> Result<()> {
    // SAFETY: no memory passes.
    check(unsafe { proxy_set_tick_period_milliseconds(millis) })
}

/// Makes an HTTP call; the answer is announced to the context that the host has called, under the id returned.
///
/// The one function that goes through the SDK: its dispatcher panics at the answer of a call that it did not
/// register. Of the statuses that it does not expect, Envoy gives none.
pub(super) fn dispatch_http_call(
    cluster: &str,
    headers: Vec<(&str, &str)>,
    timeout: Duration,
) -> Result<u32> {
    proxy_wasm::hostcalls::dispatch_http_call(cluster, headers, None, Vec::new(), timeout)
        .map_err(|status| Status(status as u32))
}

/// Calls a function of the host's beyond the ABI, and gives its answer back.
pub(super) fn call(name: &str, arguments: &[u8]) -> Result<Vec<u8>> {
    // SAFETY: the host reads the name and the arguments while they are alive; see also `taken`.
    taken(|data, size| unsafe {
        proxy_call_foreign_function(
            name.as_ptr(),
            name.len(),
            arguments.as_ptr(),
            arguments.len(),
            data,
            size,
        )
    })
}

/// Defines a counter among the host's statistics.
pub(super) fn define_counter(name: &str) -> Result<u32> {
    define(COUNTER, name)
}

/// Defines a histogram among the host's statistics.
pub(super) fn define_histogram(name: &str) -> Result<u32> {
    define(HISTOGRAM, name)
}

fn define(kind: u32, name: &str) -> Result<u32> {
    let mut id = 0;
    // SAFETY: the host reads the name while it is alive and writes one number to a live place.
    check(unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut id) })?;
    Ok(id)
}

/// Adds a value to a histogram.
pub(super) fn record(id: u32, value: u64) -> Result<()> {
    // SAFETY: no memory passes.
    check(unsafe { proxy_record_metric(id, value) })
}

pub(super) fn increment(id: u32, by: i64) -> Result<()> {
    // SAFETY: no memory passes.
    check(unsafe { proxy_increment_metric(id, by) })
}
