// SPDX-License-Identifier: Apache-2.0

//! Tollgate: an LLM gateway inside Envoy.
//!
//! One module, two seats. The *gateway seat* is an HTTP filter on the listener: it knows who is calling, what
//! they may use and how many tokens they may spend ([`exchange`]). The *provider seat* is the same module as an
//! upstream filter of each provider's cluster: it translates one attempt into the provider's dialect and its
//! answer back ([`attempt`]). Both halves are pure: they read no clock, touch no file and call no host. Only
//! `filter` speaks to Envoy, and it exists in the `.wasm` alone.
//!
//! `ARCHITECTURE.md` shows the house; `tests/tidy.rs` keeps its walls.

pub mod api_error;
pub mod attempt;
pub mod clock;
pub mod codec;
pub mod config;
pub mod exchange;
pub mod handoff;
pub mod headers;
pub mod local_reply;
pub mod policy;
pub mod protocol;
pub mod provider;
pub mod shared_store;
pub mod telemetry;
pub mod usage;

#[cfg(not(target_family = "wasm"))]
pub mod command;
#[cfg(target_os = "wasi")]
mod filter;

// One `#[crate::test]` serves natively and, under wasm-bindgen-test, in node.
#[cfg(all(test, not(all(target_family = "wasm", target_os = "unknown"))))]
pub(crate) use core::prelude::v1::test;
#[cfg(all(test, target_family = "wasm", target_os = "unknown"))]
pub(crate) use wasm_bindgen_test::wasm_bindgen_test as test;
