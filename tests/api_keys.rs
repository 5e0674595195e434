// SPDX-License-Identifier: Apache-2.0

//! A hundred thousand API keys: what they take of memory, and what it takes to find one.
//!
//! A file of its own, because its allocator counts what the whole program holds.

#![cfg(not(target_family = "wasm"))]
#![expect(
    unsafe_code,
    reason = "an allocator is unsafe by nature; this one passes everything on"
)]
#![expect(clippy::disallowed_methods, reason = "this test reads the document")]

use serde_json::{Value, json};
use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use tollgate::clock::Timestamp;
use tollgate::config::Identity;
use tollgate::headers::Headers;
use tollgate::policy::auth::{Authenticator, Deny, digest_of_api_key, new_api_key};

const KEYS: usize = 100_000;
/// What `docs/configuration.md` tells.
const MOST_BYTES_PER_KEY: usize = 220;

static HELD: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call is the system allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn key(n: usize) -> String {
    let mut random = [0; 32];
    random[..8].copy_from_slice(&n.to_le_bytes());
    new_api_key(random)
}

#[test]
fn a_hundred_thousand_keys_take_what_is_documented() {
    let keys: Value = (0..KEYS)
        .map(|n| json!({"sha256": digest_of_api_key(&key(n)), "consumer": format!("consumer-{n}"), "team": "search"}))
        .collect();
    let identity: Identity = serde_json::from_value(json!({ "api_keys": keys })).unwrap();
    let before = HELD.load(Ordering::Relaxed);
    let mut authenticator = Authenticator::new(&identity)
        .map_err(|faults| faults.len())
        .ok()
        .unwrap();
    let per_key = (HELD.load(Ordering::Relaxed) - before) / KEYS;
    println!("{per_key} bytes for each of {KEYS} keys");
    assert!(per_key <= MOST_BYTES_PER_KEY, "{per_key}");
    let now = Timestamp::from_secs(1_800_000_000);
    for (n, expected) in [(0, true), (50_000, true), (KEYS - 1, true), (KEYS, false)] {
        let key = key(n);
        let headers: Headers = [("x-api-key", key.as_str())].into_iter().collect();
        let found = authenticator.authenticate(&headers, now);
        if expected {
            assert_eq!(found.unwrap().consumer, format!("consumer-{n}"));
        } else {
            assert_eq!(found, Err(Deny::UnknownKey));
        }
    }
    let documented = fs::read_to_string("docs/configuration.md").unwrap();
    assert!(documented.contains(&format!("at most {MOST_BYTES_PER_KEY} bytes each")));
}
