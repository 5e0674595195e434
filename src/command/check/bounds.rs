// SPDX-License-Identifier: Apache-2.0

//! Values that can be read and not be used: those that Envoy refuses, zeros, and keys that would change nothing.

use super::Faults;
use crate::config::{
    ByteSize, Credential, Gateway, Identity, Limit, LimitCount, Listener, Model, OnShort, Period, Provider,
    ProviderKind,
};
use core::net::IpAddr;
use core::ops::RangeInclusive;
use core::time::Duration;
use std::collections::BTreeMap;

/// What a timeout may be: above zero, for which Envoy refuses one or waits for ever, and far below where Envoy's
/// arithmetic ends.
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(31 * 86_400);

/// Headers that say how a request is carried, and so cannot hold a credential.
const CARRYING_HEADERS: [&str; 12] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-request-id",
];

/// Every such value.
pub(super) fn faults(gateway: &Gateway, faults: &mut Faults) {
    sizes(&gateway.listener, faults);
    sockets(gateway, faults);
    for (name, settings) in &gateway.providers {
        provider(&format!("providers.{name}"), settings, faults);
    }
    for (index, entry) in gateway.models.iter().enumerate() {
        model(&format!("models[{index}]"), entry, faults);
    }
    identity(&gateway.identity, faults);
    for (index, entry) in gateway.limits.iter().enumerate() {
        limit(&format!("limits[{index}]"), entry, faults);
    }
}

fn sizes(listener: &Listener, faults: &mut Faults) {
    for (key, size) in [
        ("max_request_body_bytes", listener.max_request_body_bytes),
        ("max_response_body_bytes", listener.max_response_body_bytes),
        ("max_event_bytes", listener.max_event_bytes),
    ] {
        if size == ByteSize(0) {
            faults.add(format!("listener.{key}"), "expected a size above 0, found 0");
        }
    }
    // Who lowers the one bound does not have to lower the default of the other.
    let (event, whole) = (listener.max_event_bytes, listener.max_response_body_bytes);
    if event > whole && event != Listener::default().max_event_bytes {
        let message = format!("expected no more than `max_response_body_bytes` ({whole}), found {event}");
        faults.add("listener.max_event_bytes", message);
    }
}

fn sockets(gateway: &Gateway, faults: &mut Faults) {
    let listener = &gateway.listener;
    let admin = gateway.admin.as_ref();
    let of_admin = admin.map(|admin| ("admin", &admin.address, admin.port));
    let sockets = of_admin
        .into_iter()
        .chain([("listener", &listener.address, listener.port)]);
    for (path, address, port) in sockets {
        if address.parse::<IpAddr>().is_err() {
            let message = format!("expected an IP address such as \"0.0.0.0\", found \"{address}\"");
            faults.add(format!("{path}.address"), message);
        }
        if port == 0 {
            faults.add(format!("{path}.port"), "expected a port from 1 to 65535, found 0");
        }
    }
    let is_any = |address: &str| address.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified());
    if let Some(admin) = admin
        && admin.port == listener.port
        && admin.port != 0
        && (admin.address == listener.address || is_any(&admin.address) || is_any(&listener.address))
    {
        let message = format!("expected another port than the listener's, found {}", admin.port);
        faults.add("admin.port", message);
    }
}

fn provider(path: &str, provider: &Provider, faults: &mut Faults) {
    timeout(path, "connect_timeout", Some(provider.connect_timeout), faults);
    above_zero(path, "default_max_tokens", provider.default_max_tokens, faults);
    let requires_a_bound = matches!(
        provider.kind,
        ProviderKind::Anthropic | ProviderKind::AwsBedrock | ProviderKind::VertexAi
    );
    if provider.default_max_tokens.is_some() && !requires_a_bound {
        let message = "expected none for this kind of provider, found one";
        faults.add(format!("{path}.default_max_tokens"), message);
    }
    let (header, _) = provider.credential_header();
    if matches!(provider.credential, Some(Credential::OAuth2(_))) && header != "authorization" {
        let next = if provider.kind == ProviderKind::AzureOpenAi {
            "; set `credential_scheme: bearer`"
        } else {
            ""
        };
        let message = format!("expected a key for the header `{header}`, found an access token{next}");
        faults.add(format!("{path}.credential.oauth2"), message);
    }
}

fn model(path: &str, model: &Model, faults: &mut Faults) {
    above_zero(
        path,
        "expected_output_tokens",
        model.expected_output_tokens,
        faults,
    );
    above_zero(
        path,
        "default_max_output_tokens",
        model.default_max_output_tokens,
        faults,
    );
    timeout(path, "timeout", model.timeout, faults);
    timeout(path, "per_try_idle_timeout", model.per_try_idle_timeout, faults);
    if let (Some(whole), Some(silence)) = (model.timeout, model.per_try_idle_timeout)
        && silence > whole
    {
        let message = format!("expected no more than `timeout` ({whole}), found {silence}");
        faults.add(format!("{path}.per_try_idle_timeout"), message);
    }
    let mut weights = BTreeMap::<u32, u64>::new();
    for (index, target) in model.targets.iter().enumerate() {
        if target.model.as_ref().is_some_and(|model| model.contains('*')) {
            let message = "expected the model as the provider names it, found a `*`; leave `model` out to pass the \
                           client's name on";
            faults.add(format!("{path}.targets[{index}].model"), message);
        }
        *weights.entry(target.priority).or_default() += u64::from(target.weight);
    }
    for (priority, sum) in weights {
        if sum > u64::from(u32::MAX) {
            let message = format!(
                "expected weights that add up to no more than {}, found {sum} for priority {priority}",
                u32::MAX
            );
            faults.add(format!("{path}.targets"), message);
        }
    }
}

fn identity(identity: &Identity, faults: &mut Faults) {
    if let Some(header) = &identity.credential_header
        && CARRYING_HEADERS.contains(&header.as_str())
    {
        let message = format!("expected a header of its own such as \"x-gateway-key\", found `{header}`");
        faults.add("identity.credential_header", message);
    }
}

fn limit(path: &str, limit: &Limit, faults: &mut Faults) {
    let is_clamp = limit.on_short == OnShort::Clamp;
    if is_clamp && matches!(limit.count, LimitCount::Requests | LimitCount::ConcurrentRequests) {
        let message = "expected `refuse` where requests are counted, which a lower output bound makes no fewer, \
                       found `clamp`";
        faults.add(format!("{path}.on_short"), message);
    }
    if !is_clamp && !limit.has_default_min_useful_output() {
        let message = "expected it with `on_short: clamp`, and only there";
        faults.add(format!("{path}.min_useful_output"), message);
    }
}

fn above_zero(path: &str, key: &str, number: Option<u32>, faults: &mut Faults) {
    if number == Some(0) {
        faults.add(format!("{path}.{key}"), "expected a number above 0, found 0");
    }
}

fn timeout(path: &str, key: &str, period: Option<Period>, faults: &mut Faults) {
    if let Some(period) = period.filter(|period| !TIMEOUTS.contains(&period.0)) {
        let message = format!("expected a duration from 1ms to 31d, found {period}");
        faults.add(format!("{path}.{key}"), message);
    }
}
