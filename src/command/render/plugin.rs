// SPDX-License-Identifier: Apache-2.0

//! The filter's own configuration as JSON, and the filter as Envoy loads it.

use super::yaml::{Yaml, extension, map, typed};
use crate::command::Seat;
use crate::command::check::Checked;
use crate::config::{Credential, Gateway, PluginConfig};
use std::collections::BTreeSet;

/// The configuration of a listener filter as JSON text.
///
/// # Errors
///
/// That it cannot be written as JSON.
pub fn render(checked: Checked, seat: Seat) -> Result<String, String> {
    let gateway = Box::new(checked.gateway);
    let mut text = json(&match seat {
        Seat::Gateway => PluginConfig::Gateway { gateway },
        Seat::Both => PluginConfig::Both { gateway },
    })?;
    text.push('\n');
    Ok(text)
}

fn json(config: &PluginConfig) -> Result<String, String> {
    serde_json::to_string_pretty(config).map_err(|reason| reason.to_string())
}

/// The Wasm filter in one seat. `root_id` tells filters of different configuration apart; everything under
/// `vm_config` is the same for all of them, and so they share one VM per worker.
///
/// # Errors
///
/// That the configuration cannot be written as JSON.
pub(super) fn filter(config: &PluginConfig, gateway: &Gateway, wasm: &str) -> Result<Yaml, String> {
    let root_id = match config {
        PluginConfig::Gateway { .. } | PluginConfig::Both { .. } => "gateway".to_owned(),
        PluginConfig::Provider { cluster, .. } => format!("provider/{cluster}"),
    };
    let mut vm = map([
        ("vm_id", "tollgate".into()),
        ("runtime", "envoy.wasm.runtime.v8".into()),
        ("code", map([("local", map([("filename", wasm.into())]))])),
    ]);
    let credentials: BTreeSet<&str> = gateway
        .providers
        .values()
        .flat_map(|provider| {
            provider
                .credential
                .iter()
                .chain(provider.team_credentials.values())
        })
        .filter_map(|credential| match credential {
            Credential::Env(name) => Some(name.as_str()),
            Credential::File(_)
            | Credential::OAuth2(_)
            | Credential::GcpMetadata(_)
            | Credential::AzureImds(_) => None,
        })
        .collect();
    if !credentials.is_empty() {
        let names: Vec<Yaml> = credentials.into_iter().map(Yaml::from).collect();
        vm = vm.with("environment_variables", map([("host_env_keys", names.into())]));
    }
    let plugin = map([
        ("name", "tollgate".into()),
        ("root_id", root_id.into()),
        ("vm_config", vm),
        ("failure_policy", "FAIL_RELOAD".into()),
        ("allow_on_headers_stop_iteration", true.into()),
        (
            "configuration",
            typed("google.protobuf.StringValue", [("value", json(config)?.into())]),
        ),
    ]);
    Ok(extension(
        "envoy.filters.http.wasm",
        typed("envoy.extensions.filters.http.wasm.v3.Wasm", [("config", plugin)]),
    ))
}
