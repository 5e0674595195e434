// SPDX-License-Identifier: Apache-2.0

//! A complete Envoy bootstrap: one listener, one route per model, one cluster per target.
//!
//! Written for Envoy 1.40 after its guide for edge proxies
//! (<https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/best_practices/edge>). Where the guide's bounds
//! are meant for short requests, the values here allow for a model that thinks for minutes. Nothing depends on
//! the machine or the time, so the same file gives the same bytes.

use super::yaml::{Yaml, extension, map, typed};
use super::{cluster, listener};
use crate::command::check::Checked;
use crate::config::{Credential, Listener};

/// What the rendering has to know beside the file.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where Envoy finds the filter.
    pub wasm: String,
    /// The name of the file that is rendered, for the comment at the top.
    pub from: String,
}

/// Room for headers, framing and translation above the largest body that is held.
const HEADROOM: u32 = 1 << 20;

/// Connections from clients, beyond which new ones are refused.
const MAX_DOWNSTREAM_CONNECTIONS: u32 = 50_000;

/// The bytes that Envoy may hold of one request.
pub(super) const fn request_buffer(bounds: &Listener) -> u32 {
    bounds.max_request_body_bytes.0.saturating_add(HEADROOM)
}

/// The bytes that Envoy may hold of one request or answer at a provider's side.
pub(super) fn upstream_buffer(bounds: &Listener) -> u32 {
    bounds
        .max_request_body_bytes
        .0
        .max(bounds.max_response_body_bytes.0)
        .saturating_add(HEADROOM)
}

/// HTTP/2 options whose windows let a body of `buffer` bytes be held: Envoy buffers no more of a stream than its
/// window.
pub(super) fn http2(buffer: u32) -> Yaml {
    let window = buffer.clamp(65_535, i32::MAX.unsigned_abs());
    map([
        ("max_concurrent_streams", 100.into()),
        ("initial_stream_window_size", window.into()),
        ("initial_connection_window_size", window.into()),
    ])
}

/// Renders the bootstrap.
///
/// # Errors
///
/// What could not be rendered.
pub fn render(checked: &Checked, options: &Options) -> Result<String, String> {
    let mut bootstrap = map([(
        "node",
        map([("id", "tollgate".into()), ("cluster", "tollgate".into())]),
    )]);
    if let Some(admin) = &checked.gateway.admin {
        bootstrap = bootstrap.with("admin", map([("address", address(&admin.address, admin.port))]));
    }
    let mut resources = map([
        (
            "listeners",
            vec![listener::listener(checked, &options.wasm)?].into(),
        ),
        ("clusters", cluster::clusters(checked, &options.wasm)?.into()),
    ]);
    let secrets = secrets(checked);
    if !secrets.is_empty() {
        resources = resources.with("secrets", secrets);
    }
    let connections = extension(
        "envoy.resource_monitors.global_downstream_max_connections",
        typed(
            "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
            [(
                "max_active_downstream_connections",
                MAX_DOWNSTREAM_CONNECTIONS.into(),
            )],
        ),
    );
    let bootstrap = bootstrap.with("static_resources", resources).with(
        "overload_manager",
        map([("resource_monitors", vec![connections].into())]),
    );
    let header = format!(
        "# Rendered by `tollgate render envoy` from {}: edit that file instead, and render again.\n",
        options.from
    );
    Ok(header + &bootstrap.to_text())
}

/// The address of a socket.
pub(super) fn address(host: &str, port: u16) -> Yaml {
    map([(
        "socket_address",
        map([("address", host.into()), ("port_value", u32::from(port).into())]),
    )])
}

/// The credentials that Envoy reads from files, one secret per provider.
fn secrets(checked: &Checked) -> Vec<Yaml> {
    let providers = checked.gateway.providers.iter();
    providers
        .filter_map(|(name, provider)| match provider.credential.as_ref()? {
            Credential::File(path) => Some(map([
                ("name", secret_name(name).into()),
                (
                    "generic_secret",
                    map([("secret", map([("filename", path.as_str().into())]))]),
                ),
            ])),
            Credential::Env(_) => None,
        })
        .collect()
}

/// The name of a provider's secret.
pub(super) fn secret_name(provider: &str) -> String {
    format!("credential/{provider}")
}
