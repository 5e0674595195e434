// SPDX-License-Identifier: Apache-2.0

//! The clusters: one for each name that the routes use, with the provider seat among its upstream filters, and one for
//! each host that keys are fetched from.
//!
//! There is no outlier detection: behind a vendor's name stands one logical host, and ejecting it would turn one
//! provider's rate limit into an outage of the route. Failover by priority does what ejection would be for.

use super::envoy::{Options, address, body_buffer, http2};
use super::injector;
use super::issuer;
use super::plugin;
use super::yaml::{Yaml, extension, map, typed};
use crate::command::check::Checked;
use crate::config::{Endpoint, Provider, Signing};
use core::time::Duration;
use std::collections::BTreeMap;

/// The certificates that most Linux distributions, and Envoy's own images, install.
const TRUSTED_CA: &str = "/etc/ssl/certs/ca-certificates.crt";

/// All clusters, by name.
///
/// # Errors
///
/// What could not be rendered.
pub(super) fn clusters(checked: &Checked, options: &Options) -> Result<Vec<Yaml>, String> {
    let targets = checked.routes.iter().flat_map(|route| &route.targets);
    let names: BTreeMap<&str, &str> = targets
        .map(|t| (t.cluster.as_str(), t.provider.as_str()))
        .collect();
    let mut clusters = Vec::with_capacity(names.len());
    for (name, provider) in names {
        clusters.push(cluster(name, provider, checked, options)?);
    }
    clusters.extend(injector::clusters(checked));
    clusters.extend(issuer::clusters(&checked.gateway.identity));
    Ok(clusters)
}

fn cluster(name: &str, provider: &str, checked: &Checked, options: &Options) -> Result<Yaml, String> {
    let settings = settings(provider, checked)?;
    let endpoint = settings.base_url(provider).map_err(|fault| fault.to_string())?;
    let buffer = body_buffer(&checked.gateway.listener);
    let mut cluster = map([
        ("name", name.into()),
        (
            "type",
            if endpoint.ip().is_some() {
                "STATIC"
            } else {
                "LOGICAL_DNS"
            }
            .into(),
        ),
    ]);
    if endpoint.ip().is_none() {
        cluster = cluster.with("dns_lookup_family", "V4_PREFERRED");
    }
    let host = map([(
        "endpoint",
        map([("address", address(&endpoint.host, endpoint.port))]),
    )]);
    let hosts = map([("lb_endpoints", vec![host].into())]);
    // Envoy's defaults (1024 requests, 3 retries at a time) are made for short requests.
    let thresholds = map([
        ("max_connections", 4096.into()),
        ("max_pending_requests", 65_536.into()),
        ("max_requests", 65_536.into()),
        ("max_retries", 1024.into()),
    ]);
    cluster = cluster
        .with("connect_timeout", settings.connect_timeout.0)
        .with("per_connection_buffer_limit_bytes", buffer)
        .with(
            "load_assignment",
            map([("cluster_name", name.into()), ("endpoints", vec![hosts].into())]),
        )
        .with("circuit_breakers", map([("thresholds", vec![thresholds].into())]));
    if endpoint.is_tls {
        cluster = cluster.with("transport_socket", tls(&endpoint));
    }
    let options = protocol_options(name, provider, checked, options)?;
    Ok(cluster.with(
        "typed_extension_protocol_options",
        map([("envoy.extensions.upstreams.http.v3.HttpProtocolOptions", options)]),
    ))
}

/// The protocols that a provider may speak, and the filters that each attempt passes.
fn protocol_options(
    cluster: &str,
    provider: &str,
    checked: &Checked,
    options: &Options,
) -> Result<Yaml, String> {
    let settings = settings(provider, checked)?;
    let is_tls = settings
        .base_url(provider)
        .map_err(|fault| fault.to_string())?
        .is_tls;
    let bounds = &checked.gateway.listener;
    let protocols = if is_tls {
        let http2 = http2(body_buffer(bounds));
        (
            "auto_config",
            map([
                ("http_protocol_options", map([])),
                ("http2_protocol_options", http2),
            ]),
        )
    } else {
        ("explicit_http_config", map([("http_protocol_options", map([]))]))
    };
    let seat = plugin::provider_seat(cluster, checked)?;
    let mut filters = vec![plugin::filter(&seat, &checked.gateway, &options.wasm)?];
    if let Some(credential) = &settings.credential
        && let Some(injector) = injector::filter(provider, settings, credential, options)?
    {
        filters.push(injector);
    }
    if let Some(signing) = settings.signing(provider).map_err(|fault| fault.to_string())? {
        filters.push(request_signing(&signing));
    }
    filters.push(extension(
        "envoy.filters.http.upstream_codec",
        typed(
            "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec",
            [],
        ),
    ));
    let idle = map([("idle_timeout", Duration::from_secs(60).into())]);
    Ok(typed(
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        [
            ("common_http_protocol_options", idle),
            protocols,
            ("http_filters", filters.into()),
        ],
    ))
}

fn settings<'a>(provider: &str, checked: &'a Checked) -> Result<&'a Provider, String> {
    let settings = checked.gateway.providers.get(provider);
    settings.ok_or_else(|| format!("a route names the provider `{provider}`, which is not there"))
}

/// TLS that believes the provider's certificate only for the name that was asked for.
pub(super) fn tls(endpoint: &Endpoint) -> Yaml {
    let mut validation = map([("trusted_ca", map([("filename", TRUSTED_CA.into())]))]);
    // An address cannot be a server name (RFC 6066), so its certificate is matched explicitly.
    if endpoint.ip().is_some() {
        let matcher = map([
            ("san_type", "IP_ADDRESS".into()),
            ("matcher", map([("exact", endpoint.host.as_str().into())])),
        ]);
        validation = validation.with("match_typed_subject_alt_names", vec![matcher]);
    }
    let mut context = typed(
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        [("common_tls_context", map([("validation_context", validation)]))],
    );
    if endpoint.ip().is_none() {
        context = context
            .with("sni", endpoint.host.as_str())
            .with("auto_sni_san_validation", true);
    }
    extension("envoy.transport_sockets.tls", context)
}

/// Envoy signs what our filter has written, with the credentials that it finds where AWS's own tools look for them:
/// environment, files, web identity, container, instance. It must come after our filter, since it hashes the body.
fn request_signing(signing: &Signing) -> Yaml {
    extension(
        "envoy.filters.http.aws_request_signing",
        typed(
            "envoy.extensions.filters.http.aws_request_signing.v3.AwsRequestSigning",
            [
                ("service_name", signing.service.into()),
                ("region", signing.region.as_str().into()),
            ],
        ),
    )
}
