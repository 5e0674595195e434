# SPDX-License-Identifier: Apache-2.0
"""Principals that something before the filter has authenticated, and the rules that apply to them.

What the gateway's own command does not render (a `jwt_authn` filter, a listener that asks for certificates) is added to
the rendered configuration here, as an operator would.
"""

import json
import shutil
import ssl

import httpx
import pytest
from certificates import certificate, write
from checks import assert_completion, assert_error, chat
from conftest import API_KEY, AUDIENCE, HERE, ISSUER, RUN, Stack
from cryptography import x509

COMPLETIONS = "/v1/chat/completions"
WASM_FILTER = "          - name: envoy.filters.http.wasm\n"
FILTER_CHAIN = "    filter_chains:\n    - filters:\n"


class Behind(Stack):
    """A gateway whose rendered configuration is changed before Envoy reads it."""

    def __init__(self, name, change, settings):
        folder = RUN / name
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(str(HERE / "trusted.yaml"), str(folder / "gateway.yaml"))
        # The tests stand for the proxy that sets the header.
        rendering = ["--trusted-header-is-set-before"]
        super().__init__(folder / "gateway.yaml", name, settings=settings, rendering=rendering)
        self.change = change

    def render(self):
        """Renders, and changes what was rendered."""
        out = super().render()
        text = out.read_text(encoding="utf-8")
        changed = self.change(text)
        assert changed != text
        out.write_text(changed, encoding="utf-8")
        return out


def ask(client, model="gpt-4o-mini", **headers):
    """A chat request with these headers."""
    return client.post(COMPLETIONS, json=chat(model), headers={k.replace("_", "-"): v for k, v in headers.items()})


def models_of(client, **headers):
    """What the caller is told that it may use."""
    answer = client.get("/v1/models", headers={k.replace("_", "-"): v for k, v in headers.items()})
    assert answer.status_code == 200, answer.text
    return [model["id"] for model in answer.json()["data"]]


def test_a_header_is_believed_and_rules_and_the_list_of_models_agree():
    with Behind("trusted-header", lambda text: text + "\n", {}) as stack:
        with httpx.Client(base_url=stack.url, timeout=30) as client:
            assert_completion(ask(client, x_auth_user="alice", x_auth_team="research"))
            assert models_of(client, x_auth_user="alice", x_auth_team="research") == ["gpt-4o-mini"]
            # A hidden model is refused as one that does not exist.
            hidden = ask(client, "gpt-5", x_auth_user="alice", x_auth_team="research")
            absent = ask(client, "gpt-0", x_auth_user="alice", x_auth_team="research")
            assert_error(hidden, 404, code="model_not_found", param="model")
            assert hidden.text.replace("gpt-5", "X") == absent.text.replace("gpt-0", "X")
            assert models_of(client, x_auth_user="nobody") == []
            gold = {"x_auth_user": "bob", "x_auth_tier": "gold"}
            assert models_of(client, **gold) == ["gpt-4o-mini", "gpt-5"]
            assert_completion(ask(client, "gpt-5", **gold))
            more = client.post(COMPLETIONS, json=chat("gpt-5", max_tokens=101), headers={"x-auth-user": "bob", "x-auth-tier": "gold"})
            assert_error(more, 403, code="use_not_allowed", param="max_completion_tokens")
            # Without the header a credential decides, and without either nobody is let in.
            assert_completion(ask(client, authorization="Bearer " + API_KEY))
            assert_error(ask(client), 401)
        transport = httpx.HTTPTransport(local_address="127.0.0.9")
        with httpx.Client(base_url=stack.url, timeout=30, transport=transport) as elsewhere:
            assert models_of(elsewhere, x_auth_user="alice", x_auth_team="research") == []
            assert_error(ask(elsewhere, x_auth_user="alice", x_auth_team="research"), 404)
        arrived = stack.standins["openai"].requests()
        assert arrived and not any("x-auth" in name for request in arrived for name in request["headers"])


def test_claims_that_jwt_authn_has_verified_are_believed(issuer):
    filters = {
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {
                "login": {
                    "issuer": ISSUER,
                    "audiences": [AUDIENCE],
                    "local_jwks": {"inline_string": json.dumps(issuer.jwks())},
                    "payload_in_metadata": "verified",
                }
            },
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "login"}}],
        },
    }
    added = "          - %s\n" % json.dumps(filters)
    trusted = '{jwt_authn: {payload: verified, claims: {team: org.team, labels: {tier: "https://x.test/tier"}}}}'

    def change(text):
        return text.replace(WASM_FILTER, added + WASM_FILTER, 1)

    with Behind("trusted-jwt-authn", change, {"identity.trusted": trusted}) as stack:
        with httpx.Client(base_url=stack.url, timeout=30) as client:
            nested = issuer.mint(org={"team": "research"})
            assert models_of(client, authorization="Bearer " + nested) == ["gpt-4o-mini"]
            assert_completion(ask(client, authorization="Bearer " + nested))
            literal = issuer.mint(**{"https://x.test/tier": "gold"})
            assert models_of(client, authorization="Bearer " + literal) == ["gpt-4o-mini", "gpt-5"]
            admin = issuer.mint(role="admin")
            assert_completion(ask(client, "gpt-5", authorization="Bearer " + admin))
            assert models_of(client, authorization="Bearer " + issuer.mint(role="user")) == []
            # Envoy's filter refuses first, and what it did not verify is not believed.
            assert ask(client, authorization="Bearer " + issuer.mint(exp=1)).status_code == 401


@pytest.fixture
def authority(tmp_path):
    """A certificate authority, the server's certificate, and what makes clients' ones."""
    root = certificate("root")
    write(tmp_path, "root", root)
    server = write(tmp_path, "server", certificate("server", root))

    def client(uri):
        signed = certificate("client", root, x509.UniformResourceIdentifier(uri))
        return write(tmp_path, uri.replace("/", "_").replace(":", ""), signed)

    return tmp_path / "root.crt", server, client


def test_a_peer_s_spiffe_id_is_believed(authority):
    root, (server_certificate, server_key), certificate_for = authority
    tls = {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "tls_certificates": [
                    {"certificate_chain": {"filename": server_certificate}, "private_key": {"filename": server_key}}
                ],
                "validation_context": {"trusted_ca": {"filename": str(root)}},
            },
        },
    }
    added = "    filter_chains:\n    - transport_socket: %s\n      filters:\n" % json.dumps(tls)

    def change(text):
        return text.replace(FILTER_CHAIN, added, 1)

    trusted = "{mtls: {trust_domains: [prod.test]}}"
    with Behind("trusted-mtls", change, {"identity.trusted": trusted}) as stack:
        url = stack.url.replace("http:", "https:")

        def client_with(uri=None):
            context = ssl.create_default_context(cafile=str(root))
            if uri:
                context.load_cert_chain(*certificate_for(uri))
            return httpx.Client(base_url=url, timeout=30, verify=context)

        with client_with("spiffe://prod.test/ns/web/sa/frontend") as client:
            assert_completion(ask(client, "gpt-5"))
            assert models_of(client) == ["gpt-4o-mini", "gpt-5"]
        with client_with("spiffe://prod.test/ns/research/sa/batch") as client:
            assert models_of(client) == ["gpt-4o-mini"], "the namespace is the team"
        with client_with("spiffe://evil.test/ns/web/sa/frontend") as client:
            assert_error(ask(client), 401)
        with client_with() as client:
            # A header means nothing where it is not configured.
            assert_error(ask(client, x_auth_user="alice", x_auth_team="research"), 401)
            assert_completion(ask(client, x_api_key=API_KEY))
