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
use crate::config::{ConfigError, Listener, Trusted};

/// What the rendering has to know beside the file.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where Envoy finds the filter.
    pub wasm: String,
    /// The name of the file that is rendered, for the comment at the top.
    pub from: String,
    /// The folder in which Envoy finds the descriptions of its secrets, so that it reads a secret again when it has
    /// changed. `None`: they are part of what is rendered, and read once.
    pub secrets: Option<String>,
}

/// Room for headers, framing and translation above the largest body that is held.
const HEADROOM: u32 = 1 << 20;

/// Connections from clients, beyond which new ones are refused.
const MAX_DOWNSTREAM_CONNECTIONS: u32 = 50_000;

/// The bytes that Envoy may hold of one request or answer. A provider's side holds answers within the bound of the
/// client's stream, so the listener needs room for them too; the gateway seat refuses larger requests earlier.
pub(super) fn body_buffer(bounds: &Listener) -> u32 {
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

/// What is wrong with rendering a listener that believes headers: nothing before the filter sets them, so whoever
/// calls would say who he is.
#[must_use]
pub fn fault_of_trusted_header(checked: &Checked) -> Option<ConfigError> {
    matches!(checked.gateway.identity.trusted, Some(Trusted::Header(_))).then(|| {
        ConfigError::new(
            "identity.trusted.header",
            "expected something before the filter that sets this header, and the rendered listener has nothing there: \
             any client could send it; use `render plugin` and a listener of your own (docs/envoy.md), or pass \
             --trusted-header-is-set-before if only a proxy that sets it can reach the listener",
        )
    })
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
        ("clusters", cluster::clusters(checked, options)?.into()),
    ]);
    let secrets: Vec<Yaml> = secrets(checked).map(|(_, secret)| secret).collect();
    if !secrets.is_empty() && options.secrets.is_none() {
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

/// The credentials that Envoy reads from files: the provider's name, and one secret for each.
fn secrets(checked: &Checked) -> impl Iterator<Item = (&String, Yaml)> {
    let providers = checked.gateway.providers.iter();
    providers.filter_map(|(name, provider)| {
        let path = provider.credential.as_ref()?.secret_file()?;
        let secret = map([
            ("name", secret_name(name).into()),
            (
                "generic_secret",
                map([("secret", map([("filename", path.as_str().into())]))]),
            ),
        ]);
        Some((name, secret))
    })
}

/// The descriptions of the secrets, as Envoy's discovery service for secrets reads them from files: the name of each
/// file, and its text. They hold paths and no secret.
pub fn secret_files(checked: &Checked) -> Vec<(String, String)> {
    let files = secrets(checked).map(|(name, secret)| {
        let kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
        let resource = match secret {
            Yaml::Map(mut entries) => {
                entries.insert(0, ("@type".to_owned(), kind.into()));
                Yaml::Map(entries)
            }
            other => other,
        };
        let text = map([("resources", vec![resource].into())]).to_text();
        (secret_file(name), text)
    });
    files.collect()
}

fn secret_file(provider: &str) -> String {
    format!("secret-{provider}.yaml")
}

/// Where a filter finds a provider's secret.
pub(super) fn secret_config(provider: &str, options: &Options) -> Yaml {
    let config = map([("name", secret_name(provider).into())]);
    let Some(folder) = &options.secrets else {
        return config;
    };
    let source = map([
        ("path", format!("{folder}/{}", secret_file(provider)).into()),
        ("watched_directory", map([("path", folder.as_str().into())])),
    ]);
    let discovery = map([
        ("path_config_source", source),
        ("resource_api_version", "V3".into()),
    ]);
    config.with("sds_config", discovery)
}

/// The name of a provider's secret.
pub(super) fn secret_name(provider: &str) -> String {
    format!("credential/{provider}")
}
