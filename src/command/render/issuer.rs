// SPDX-License-Identifier: Apache-2.0

//! The clusters that the filter fetches issuers' keys from, one for each host.

use super::cluster::tls;
use super::envoy::address;
use super::yaml::{Yaml, map};
use crate::config::{Endpoint, Identity};
use crate::policy::auth::KeySource;
use core::time::Duration;
use std::collections::BTreeMap;

/// The clusters, by name.
pub(super) fn clusters(identity: &Identity) -> Vec<Yaml> {
    let sources = identity
        .jwt
        .iter()
        .filter_map(|issuer| KeySource::of(issuer).ok()?);
    let sources: BTreeMap<String, KeySource> = sources
        .filter(|source| source.is_rendered)
        .map(|source| (source.cluster.clone(), source))
        .collect();
    let clusters = sources.values();
    clusters
        .map(|source| host_cluster(&source.cluster, &source.endpoint))
        .collect()
}

/// A cluster of one host.
pub(super) fn host_cluster(name: &str, endpoint: &Endpoint) -> Yaml {
    let mut cluster = map([("name", name.into())]);
    cluster = if endpoint.ip().is_some() {
        cluster.with("type", "STATIC")
    } else {
        cluster
            .with("type", "LOGICAL_DNS")
            .with("dns_lookup_family", "V4_PREFERRED")
    };
    let host = map([(
        "endpoint",
        map([("address", address(&endpoint.host, endpoint.port))]),
    )]);
    let hosts = map([("lb_endpoints", vec![host].into())]);
    cluster = cluster.with("connect_timeout", Duration::from_secs(5)).with(
        "load_assignment",
        map([("cluster_name", name.into()), ("endpoints", vec![hosts].into())]),
    );
    if endpoint.is_tls {
        cluster = cluster.with("transport_socket", tls(endpoint));
    }
    cluster
}
