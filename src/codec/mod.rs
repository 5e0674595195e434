// SPDX-License-Identifier: Apache-2.0

//! Bytes to frames. This room knows neither JSON nor providers.

pub mod event_stream;
pub mod sse;
