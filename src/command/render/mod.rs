// SPDX-License-Identifier: Apache-2.0

//! What is rendered from a checked `gateway.yaml`.

pub mod both;
mod cluster;
pub mod envoy;
mod injector;
mod issuer;
mod listener;
pub mod plugin;
mod yaml;
