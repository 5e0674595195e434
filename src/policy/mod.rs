// SPDX-License-Identifier: Apache-2.0

//! Decisions: who, what, where and how much. Each answers yes, or a typed no; none speaks to a client.

pub mod access;
pub mod auth;
pub mod brought;
pub mod connection;
pub(crate) mod pattern;
pub mod prices;
pub mod rate_limit;
pub mod routing;
