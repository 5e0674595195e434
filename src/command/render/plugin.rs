// SPDX-License-Identifier: Apache-2.0

//! The filter's own configuration as JSON, and the filter as Envoy loads it.

use super::yaml::{Yaml, extension, map, typed};
use crate::command::Seat;
use crate::command::check::Checked;
use crate::config::{Credential, Gateway, PluginConfig};
use std::collections::BTreeSet;

/// The configuration of the filter in one seat as JSON text; `cluster` is where the provider seat is.
///
/// # Errors
///
/// A cluster that is missing, not known or out of place, or that the configuration cannot be written as JSON.
pub fn render(checked: Checked, seat: Seat, cluster: Option<&str>) -> Result<String, String> {
    let config = match (seat, cluster) {
        (Seat::Provider, Some(cluster)) => provider_seat(cluster, &checked)?,
        (Seat::Provider, None) => return Err("the provider seat needs --cluster NAME".to_owned()),
        (_, Some(_)) => return Err("--cluster goes with --seat provider".to_owned()),
        (Seat::Gateway, None) => PluginConfig::Gateway {
            gateway: Box::new(checked.gateway),
        },
        (Seat::Both, None) => PluginConfig::Both {
            gateway: Box::new(checked.gateway),
        },
    };
    let mut text = json(&config)?;
    text.push('\n');
    Ok(text)
}

/// The configuration of the provider seat in a cluster of the routes.
///
/// # Errors
///
/// That no route uses such a cluster; the message names those that there are.
pub(super) fn provider_seat(cluster: &str, checked: &Checked) -> Result<PluginConfig, String> {
    let targets = || checked.routes.iter().flat_map(|route| &route.targets);
    let found = targets().find(|target| target.cluster == cluster);
    let found = found.and_then(|target| {
        let provider = checked.gateway.providers.get(&target.provider)?;
        Some((target.provider.clone(), Box::new(provider.clone())))
    });
    let Some((name, provider)) = found else {
        let names: BTreeSet<&str> = targets().map(|target| target.cluster.as_str()).collect();
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        return Err(format!("no route uses a cluster `{cluster}`; there are: {names}"));
    };
    Ok(PluginConfig::Provider {
        cluster: cluster.to_owned(),
        name,
        provider,
        bounds: checked.gateway.listener.clone(),
    })
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
