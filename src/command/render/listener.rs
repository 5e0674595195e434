// SPDX-License-Identifier: Apache-2.0

//! The listener: connection manager, routes, access log.
//!
//! A route is chosen by `x-tollgate-route`, which the gateway seat sets and which no client can set, because the
//! seat strips it first. The retry policy knows one status, 529: the provider seat rewrites every failure that
//! another provider may mend to it, and nothing else. Beside it, attempts that ended before an answer began are
//! repeated on the next priority: a model call changes nothing but the bill.

use super::envoy::{address, body_buffer, http2};
use super::plugin;
use super::yaml::{Yaml, extension, map, typed};
use crate::command::check::Checked;
use crate::config::PluginConfig;
use crate::exchange::ROUTE_HEADER;
use crate::policy::routing::Route;
use core::time::Duration;

/// The longest silence within an exchange, unless the route's own timeout is longer. The vendors' own clients
/// wait this long.
const SILENCE: Duration = Duration::from_secs(600);

/// The fields of the access log: those of the OpenTelemetry conventions for generative AI where it has one.
const ACCESS_LOG: [(&str, &str); 24] = [
    ("start_time", "%START_TIME%"),
    ("http.request.method", "%REQ(:METHOD)%"),
    ("url.path", "%PATH(NQ:PATH)%"),
    ("http.response.status_code", "%RESPONSE_CODE%"),
    ("response_code_details", "%RESPONSE_CODE_DETAILS%"),
    ("response_flags", "%RESPONSE_FLAGS%"),
    ("duration_ms", "%DURATION%"),
    ("request_id", "%REQ(X-REQUEST-ID)%"),
    ("client.address", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"),
    ("upstream_cluster", "%UPSTREAM_CLUSTER%"),
    (
        "tollgate.consumer",
        "%FILTER_STATE(wasm.tollgate.consumer:PLAIN)%",
    ),
    ("tollgate.team", "%FILTER_STATE(wasm.tollgate.team:PLAIN)%"),
    (
        "gen_ai.request.model",
        "%FILTER_STATE(wasm.tollgate.model:PLAIN)%",
    ),
    (
        "gen_ai.response.model",
        "%FILTER_STATE(wasm.tollgate.upstream_model:PLAIN)%",
    ),
    (
        "gen_ai.provider.name",
        "%FILTER_STATE(wasm.tollgate.provider:PLAIN)%",
    ),
    (
        "gen_ai.usage.input_tokens",
        "%FILTER_STATE(wasm.tollgate.input_tokens:PLAIN)%",
    ),
    (
        "gen_ai.usage.output_tokens",
        "%FILTER_STATE(wasm.tollgate.output_tokens:PLAIN)%",
    ),
    (
        "tollgate.usage_source",
        "%FILTER_STATE(wasm.tollgate.usage_source:PLAIN)%",
    ),
    (
        "tollgate.attempts",
        "%FILTER_STATE(wasm.tollgate.attempts:PLAIN)%",
    ),
    ("tollgate.cost", "%FILTER_STATE(wasm.tollgate.cost:PLAIN)%"),
    (
        "tollgate.would_refuse",
        "%FILTER_STATE(wasm.tollgate.would_refuse:PLAIN)%",
    ),
    (
        "tollgate.credential",
        "%FILTER_STATE(wasm.tollgate.credential:PLAIN)%",
    ),
    (
        "tollgate.refused_by",
        "%FILTER_STATE(wasm.tollgate.refused_by:PLAIN)%",
    ),
    (
        "tollgate.refused_rule",
        "%FILTER_STATE(wasm.tollgate.refused_rule:PLAIN)%",
    ),
];

/// The listener.
///
/// # Errors
///
/// What could not be rendered.
pub(super) fn listener(checked: &Checked, wasm: &str) -> Result<Yaml, String> {
    let bounds = &checked.gateway.listener;
    let manager = typed(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        [
            ("stat_prefix", "tollgate".into()),
            ("codec_type", "AUTO".into()),
            ("use_remote_address", true.into()),
            ("normalize_path", true.into()),
            ("merge_slashes", true.into()),
            ("generate_request_id", true.into()),
            ("always_set_request_id_in_response", true.into()),
            // An answer looks the same whether it is ours or a provider's.
            ("server_name", "tollgate".into()),
            ("server_header_transformation", "OVERWRITE".into()),
            ("request_headers_timeout", Duration::from_secs(10).into()),
            ("request_timeout", Duration::from_secs(60).into()),
            ("stream_idle_timeout", Duration::from_secs(300).into()),
            (
                "common_http_protocol_options",
                map([
                    ("idle_timeout", Duration::from_secs(3600).into()),
                    ("headers_with_underscores_action", "REJECT_REQUEST".into()),
                ]),
            ),
            ("http2_protocol_options", http2(body_buffer(bounds))),
            (
                "access_log",
                bounds
                    .access_log
                    .then(access_log)
                    .into_iter()
                    .collect::<Vec<_>>()
                    .into(),
            ),
            ("route_config", routes(checked)),
            ("http_filters", filters(checked, wasm)?.into()),
        ],
    );
    let chain = map([(
        "filters",
        vec![extension(
            "envoy.filters.network.http_connection_manager",
            manager,
        )]
        .into(),
    )]);
    Ok(map([
        ("name", "tollgate".into()),
        ("address", address(&bounds.address, bounds.port)),
        ("per_connection_buffer_limit_bytes", body_buffer(bounds).into()),
        ("filter_chains", vec![chain].into()),
    ]))
}

fn filters(checked: &Checked, wasm: &str) -> Result<Vec<Yaml>, String> {
    let seat = PluginConfig::Gateway {
        gateway: Box::new(checked.gateway.clone()),
    };
    Ok(vec![
        plugin::filter(&seat, &checked.gateway, wasm)?,
        extension(
            "envoy.filters.http.router",
            typed("envoy.extensions.filters.http.router.v3.Router", []),
        ),
    ])
}

fn access_log() -> Yaml {
    let fields = ACCESS_LOG
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Yaml::from(*value)));
    extension(
        "envoy.access_loggers.stdout",
        typed(
            "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
            [("log_format", map([("json_format", Yaml::Map(fields.collect()))]))],
        ),
    )
}

/// The routes, found by the header's value in one step: a list would be searched from its beginning, twice for each
/// request. Each of them still names its value, so that it is whole where it is copied.
/// <https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/http/http_conn_man/route_matching>
fn routes(checked: &Checked) -> Yaml {
    let by_name = checked
        .routes
        .iter()
        .map(|each| (each.name.clone(), on_match(route(each))));
    let tree = map([
        (
            "input",
            extension(
                "request-headers",
                typed(
                    "envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
                    [("header_name", ROUTE_HEADER.into())],
                ),
            ),
        ),
        ("exact_match_map", map([("map", Yaml::Map(by_name.collect()))])),
    ]);
    let body = r#"{"error":{"message":"There is nothing at this path.","type":"invalid_request_error","param":null,"code":"not_found"}}"#;
    let nothing = [
        ("match", map([("prefix", "/".into())])),
        (
            "direct_response",
            map([
                ("status", 404.into()),
                ("body", map([("inline_string", body.into())])),
            ]),
        ),
    ];
    let nothing = typed("envoy.config.route.v3.Route", nothing);
    let host = map([
        ("name", "tollgate".into()),
        ("domains", vec!["*".into()].into()),
        ("include_request_attempt_count", true.into()),
        // The router keeps the body for a second attempt only up to this size.
        (
            "request_body_buffer_limit",
            body_buffer(&checked.gateway.listener).into(),
        ),
        (
            "matcher",
            map([("matcher_tree", tree), ("on_no_match", on_match(nothing))]),
        ),
    ]);
    map([("name", "tollgate".into()), ("virtual_hosts", vec![host].into())])
}

/// The action of a matcher: a route.
fn on_match(route: Yaml) -> Yaml {
    map([("action", extension("route", route))])
}

fn route(route: &Route) -> Yaml {
    let header = map([
        ("name", ROUTE_HEADER.into()),
        ("string_match", map([("exact", route.name.as_str().into())])),
    ]);
    let (target, value) = match route.targets.as_slice() {
        [only] => ("cluster", only.cluster.as_str().into()),
        _ => ("inline_cluster_specifier_plugin", groups(route)),
    };
    let action = map([
        (target, value),
        ("timeout", route.timeout.unwrap_or_default().into()),
        (
            "idle_timeout",
            route.timeout.unwrap_or_default().max(SILENCE).into(),
        ),
        ("retry_policy", retry_policy(route)),
    ]);
    typed(
        "envoy.config.route.v3.Route",
        [
            ("name", route.name.as_str().into()),
            (
                "match",
                map([("prefix", "/".into()), ("headers", vec![header].into())]),
            ),
            ("route", action),
        ],
    )
}

/// Attempt n goes to group n, through the upstream filters of its own cluster.
fn groups(route: &Route) -> Yaml {
    let groups = route.groups().enumerate().map(|(priority, targets)| {
        let clusters = targets.iter().map(|target| {
            map([
                ("cluster_name", target.cluster.as_str().into()),
                ("weight", target.weight.into()),
            ])
        });
        map([
            ("name", format!("priority-{priority}").into()),
            ("clusters", clusters.collect::<Vec<_>>().into()),
        ])
    });
    let specifier = typed(
        "envoy.extensions.router.cluster_specifiers.priority_group.v3.PriorityGroupClusterSpecifier",
        [("priority_groups", groups.collect::<Vec<_>>().into())],
    );
    map([(
        "extension",
        extension("envoy.router.cluster_specifier_plugin.priority_group", specifier),
    )])
}

/// With one priority there is nowhere else to go, and only an attempt that cannot have reached the provider is
/// made again.
fn retry_policy(route: &Route) -> Yaml {
    let others = u32::try_from(route.groups().count())
        .unwrap_or(u32::MAX)
        .saturating_sub(1);
    let mut policy = if others == 0 {
        map([
            ("retry_on", "connect-failure,refused-stream".into()),
            ("num_retries", 1.into()),
        ])
    } else {
        map([
            (
                "retry_on",
                "connect-failure,refused-stream,reset,retriable-status-codes".into(),
            ),
            ("retriable_status_codes", vec![529.into()].into()),
            ("num_retries", others.into()),
            ("refresh_cluster_on_retry", true.into()),
        ])
    };
    if let Some(silence) = route.per_try_idle_timeout {
        policy = policy.with("per_try_idle_timeout", silence);
    }
    policy.with(
        "retry_back_off",
        map([
            ("base_interval", Duration::from_millis(25).into()),
            ("max_interval", Duration::from_millis(250).into()),
        ]),
    )
}
