# SPDX-License-Identifier: Apache-2.0
"""The configurations of every contender."""

import hashlib
import json

import setup

PATH = "/v1/chat/completions"
OPENAI_MODEL, ANTHROPIC_MODEL = "gpt-4o-mini", "claude-haiku-4-5"
CREDENTIAL_VARIABLE = "BENCH_CREDENTIAL"
# Those that the command renders for a provider, so that the others wait for no connection either.
CIRCUIT_BREAKERS = {
    "thresholds": [{"max_connections": 4096, "max_pending_requests": 65536, "max_requests": 65536, "max_retries": 1024}]
}
# One provider takes no more connections than that; this many share the load of very many streams.
PROVIDERS_FOR_MANY = 3
# Never reached, always counted.
NEVER = 1000000000000


def typed(name, message, **fields):
    """An extension and its configuration."""
    return {"name": name, "typed_config": dict({"@type": "type.googleapis.com/envoy.extensions." + message}, **fields)}


def at(port):
    """An address of this machine, as Envoy has it."""
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def cluster(name, upstream):
    """One upstream."""
    endpoint = {"endpoint": {"address": at(upstream)}}
    assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}
    return {"name": name, "type": "STATIC", "circuit_breakers": CIRCUIT_BREAKERS, "load_assignment": assignment}


def bootstrap(port, admin, upstream, routes, filters):
    """A whole Envoy configuration; JSON is YAML too."""
    router = typed("envoy.filters.http.router", "filters.http.router.v3.Router")
    manager = typed(
        "envoy.filters.network.http_connection_manager",
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="bench",
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        http_filters=filters + [router],
    )
    listener = {"name": "bench", "address": at(port), "filter_chains": [{"filters": [manager]}]}
    names = ["upstream"] + ["upstream-%d" % number for number in range(1, PROVIDERS_FOR_MANY)]
    clusters = [cluster(name, upstream) for name in names]
    return {"admin": {"address": at(admin)}, "static_resources": {"listeners": [listener], "clusters": clusters}}


def plain(port, admin, upstream):
    """Envoy with nothing but its router."""
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "0s"}}]
    return bootstrap(port, admin, upstream, routes, [])


def plain_for_many(port, admin, upstream):
    """The same, with the load of very many streams shared among clusters."""
    names = ["upstream"] + ["upstream-%d" % number for number in range(1, PROVIDERS_FOR_MANY)]
    weighted = {"clusters": [{"name": name, "weight": 1} for name in names]}
    routes = [{"match": {"prefix": "/"}, "route": {"weighted_clusters": weighted, "timeout": "0s"}}]
    return bootstrap(port, admin, upstream, routes, [])


def transcoding(port, admin, upstream):
    """Envoy's own translation: read the model, choose the route again, translate there and back.

    https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/extensions/filters/http/ai_protocol_manager/v3/
    """
    package = "filters.http.ai_protocol_manager.v3."

    def per_route(**fields):
        message = package + "AiProtocolManagerPerRoute"
        return dict({"@type": "type.googleapis.com/envoy.extensions." + message}, **fields)

    def transcoder(request, response):
        message = "http.ai_filters.transcoder.v3.Transcoder"
        name = "envoy.http.ai_filters.transcoder"
        return typed(name, message, request_handling=request, response_handling=response)

    openai, anthropic = {"llm_protocol": "OPENAI_CHAT_COMPLETIONS"}, {"llm_protocol": "ANTHROPIC_MESSAGES"}
    is_claude = {"key": "envoy.ai.model.request", "string_match": {"prefix": "claude-"}}
    rewrite = {"pattern": {"regex": "^%s$" % PATH}, "substitution": "/v1/messages"}
    routes = [
        {
            "match": {"path": PATH, "filter_state": [is_claude]},
            "route": {"cluster": "upstream", "timeout": "0s", "regex_rewrite": rewrite},
            "typed_per_filter_config": {"translate": per_route(request=openai, response=anthropic)},
        },
        {
            "match": {"path": PATH},
            "direct_response": {"status": 404},
            "typed_per_filter_config": {"read": per_route(request=openai)},
        },
    ]
    info = typed("envoy.http.ai_filters.request_info", "http.ai_filters.request_info.v3.RequestInfo")
    manager = package + "AiProtocolManager"
    steps = [transcoder("TO_IR", "FROM_IR"), transcoder("FROM_IR", "TO_IR")]
    filters = [
        typed("read", manager, request_handling={"reserialize_body": "DISABLE"}, filters=[info]),
        typed(
            "envoy.filters.http.set_filter_state", "filters.http.set_filter_state.v3.Config", clear_route_cache=True
        ),
        typed("translate", manager, request_handling={}, filters=steps),
    ]
    return bootstrap(port, admin, upstream, routes, filters)


class Features:
    """What is switched on in a gateway.

    has_jwt   callers have a JSON Web Token (the demo's), else they are anonymous
    keys      this many API keys are known, in place of the above
    limits    this many limits are counted for each request
    routes    this many models are known beside the two that are asked for
    spread    each model has several providers of equal weight, for very many streams
    """

    def __init__(self, has_jwt=False, keys=0, limits=0, routes=0, spread=False):
        self.has_jwt, self.keys, self.limits, self.routes, self.spread = has_jwt, keys, limits, routes, spread

    def credentials(self):
        """What callers present: none, or one header line for each caller."""
        if self.keys:
            return ["authorization: Bearer " + api_key(number) for number in range(self.keys)]
        if self.has_jwt:
            signed = (setup.ROOT / "envoy" / "demo.jwt").read_text(encoding="ascii").strip()
            return ["authorization: Bearer " + signed]
        return []

    def gateway_yaml(self):
        """The gateway.yaml. Nobody writes an access log."""
        # Its providers' endpoints are set when it is rendered.
        lines = ["listener: { access_log: false }", "providers:"]
        entry = "  %s: { kind: %s, endpoint: http://127.0.0.1:1, credential: { env: %s } }"
        lines += [entry % (name, kind, CREDENTIAL_VARIABLE) for name, kind in self.providers()]
        lines.append("models:")
        for model, kind in ((OPENAI_MODEL, "openai"), (ANTHROPIC_MODEL, "anthropic")):
            targets = ["{ provider: %s }" % name for name, each in self.providers() if each == kind]
            lines.append("  - { name: %s, targets: [%s] }" % (model, ", ".join(targets)))
        for number in range(self.routes):
            lines.append("  - { name: other-%d, targets: [{ provider: openai }] }" % number)
        return "\n".join(lines + self.identity() + self.limit_lines()) + "\n"

    def providers(self):
        """Name and kind of each."""
        kinds = ("openai", "anthropic")
        names = [(kind, kind) for kind in kinds]
        if self.spread:
            names += [("%s-%d" % (kind, n), kind) for kind in kinds for n in range(1, PROVIDERS_FOR_MANY)]
        return names

    def identity(self):
        """The lines of `identity`."""
        if self.keys:
            entry = "    - { sha256: %s, consumer: caller-%d, team: team-%d }"
            digests = [hashlib.sha256(api_key(n).encode("ascii")).hexdigest() for n in range(self.keys)]
            return ["identity:", "  api_keys:"] + [entry % (each, n, n % 10) for n, each in enumerate(digests)]
        if self.has_jwt:
            keys = json.dumps(str(setup.ROOT / "envoy" / "demo-jwks.json"))
            issuer = ["    - issuer: https://demo.tollgate.example", "      audiences: [tollgate]"]
            issuer += ["      jwks: { file: %s }" % keys, "      claims: { consumer: sub, team: team }"]
            return ["identity:", "  jwt:"] + issuer
        return ["identity: { allow_anonymous: true }"]

    def limit_lines(self):
        """The lines of `limits`: requests of the consumer and tokens of the team in turn."""
        kinds = (("consumer", "requests"), ("team", "total_tokens"))
        entry = "  - { name: limit-%d, per: [%s], count: %s, max: %d, window: 1m }"
        lines = [entry % ((number,) + kinds[number % 2] + (NEVER,)) for number in range(self.limits)]
        return ["limits:"] + lines if lines else []


def api_key(number):
    """The key of a caller."""
    return "bench-key-%d" % number


OFF, JWT, LIMITS, ALL = Features(), Features(has_jwt=True), Features(limits=2), Features(has_jwt=True, limits=2)
