# SPDX-License-Identifier: Apache-2.0
"""Credentials that Envoy itself adds: read again when their file changes, or fetched from a token endpoint."""

import http.server
import json
import threading
import time
from urllib.parse import parse_qs

import httpx
import pytest
from checks import assert_completion, assert_error, chat
from conftest import API_KEY, RUN, Stack
from stack import free_ports

CONFIG = """
providers:
  filed:
    kind: openai
    endpoint: https://api.openai.com/v1
    credential: {{ file: {folder}/provider.key }}
  mounted:
    kind: openai
    endpoint: https://api.openai.com/v1
    credential: {{ file: {folder}/mounted/provider.key }}
  fetched:
    kind: openai_compatible
    endpoint: https://llm.example.com/v1
    credential:
      oauth2:
        token_url: http://127.0.0.1:{port}/token
        client_id: gateway
        client_secret: {{ file: {folder}/client.secret }}
        scopes: [llm]
  never-fetched:
    kind: openai_compatible
    endpoint: https://llm.example.com/v1
    credential:
      oauth2:
        token_url: http://127.0.0.1:{closed_port}/token
        client_id: gateway
        client_secret: {{ file: {folder}/client.secret }}
models:
  - {{ name: never-fetched, targets: [{{ provider: never-fetched, model: gpt-4o-mini }}] }}
  - {{ name: filed, targets: [{{ provider: filed, model: gpt-4o-mini }}] }}
  - {{ name: mounted, targets: [{{ provider: mounted, model: gpt-4o-mini }}] }}
  - {{ name: fetched, targets: [{{ provider: fetched, model: gpt-4o-mini }}] }}
identity:
  api_keys:
    - sha256: c0629be90c7891ee213abc3bf4641d2fd9d15cc12e4595bc05bde060257e257b
      consumer: key-holder
"""


class TokenEndpoint:
    """Gives access tokens for a client's secret (RFC 6749, section 4.4), good for `lifetime` seconds."""

    def __init__(self, port, lifetime=4):
        endpoint = self
        self.forms = []

        class Handler(http.server.BaseHTTPRequestHandler):
            """Answers one request."""

            def do_POST(self):
                form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
                endpoint.forms.append(form)
                given = "canary-access-token-%d" % len(endpoint.forms)
                answer = {"access_token": given, "token_type": "bearer", "expires_in": lifetime}
                body = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                """Says nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def put(path, text):
    """Replaces a file by another, as an operator does who rotates a secret."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text, encoding="ascii")
    fresh.rename(path)


def mount(folder, key):
    """Replaces all of a folder by way of the link `..data`, as the kubelet mounts a new version of a Secret."""
    fresh = folder / ("..%d" % time.time_ns())
    fresh.mkdir(parents=True)
    (fresh / "provider.key").write_text(key, encoding="ascii")
    (folder / "..data_tmp").symlink_to(fresh.name)
    (folder / "..data_tmp").rename(folder / "..data")
    link = folder / "provider.key"
    if not link.is_symlink():
        link.symlink_to("..data/provider.key")


@pytest.fixture(scope="module")
def injected():
    """The gateway, its folder and the token endpoint."""
    port, closed_port = free_ports(2)
    folder = RUN / "credentials"
    folder.mkdir(parents=True, exist_ok=True)
    put(folder / "provider.key", "canary-first-key")
    put(folder / "client.secret", "canary-client-secret")
    mount(folder / "mounted", "canary-first-key")
    (folder / "gateway.yaml").write_text(CONFIG.format(folder=folder, port=port, closed_port=closed_port), encoding="ascii")
    endpoint = TokenEndpoint(port)
    with Stack(folder / "gateway.yaml", "credentials", concurrency=1) as running:
        yield running, folder, endpoint
    endpoint.server.shutdown()


def presented(stack, provider):
    """The credentials that arrived at a provider."""
    return [request["headers"].get("authorization") for request in stack.standins[provider].requests()]


@pytest.mark.parametrize("provider", ["filed", "mounted"])
def test_a_credential_s_file_is_replaced_under_load_and_no_request_fails(injected, provider):
    stack, folder, _ = injected
    stack.reset()
    headers = {"authorization": "Bearer " + API_KEY}
    with httpx.Client(base_url=stack.url, timeout=30, headers=headers) as client:
        for key in ("canary-first-key", "canary-second-key", "canary-third-key"):
            if provider == "filed":
                put(folder / "provider.key", key)
            else:
                mount(folder / "mounted", key)
            deadline = time.monotonic() + 10
            while True:
                assert_completion(client.post("/v1/chat/completions", json=chat(provider)))
                if presented(stack, provider)[-1] == "Bearer " + key:
                    break
                assert time.monotonic() < deadline, "the file was not read again"
    arrived = presented(stack, provider)
    assert set(arrived) <= {"Bearer canary-%s-key" % nth for nth in ("first", "second", "third")}
    time.sleep(0.3)
    for name in ("envoy", "access"):
        assert "-key" not in stack.log(name).read_text(encoding="utf-8").replace("key-holder", "")
    for path in (folder / "envoy.yaml", folder / ("secret-%s.yaml" % provider)):
        assert "canary" not in path.read_text(encoding="utf-8")


def test_without_an_access_token_the_client_is_told_to_try_again(injected):
    """Envoy answers 401 there, which clients would take for a fault of their own key."""
    stack, _, _ = injected
    headers = {"authorization": "Bearer " + API_KEY}
    answer = httpx.post(stack.url + "/v1/chat/completions", json=chat("never-fetched"), headers=headers, timeout=30)
    error = assert_error(answer, 503, code="upstream_credential_unavailable")
    assert "never-fetched" in error["message"]


def test_an_access_token_is_fetched_with_the_client_s_secret_and_renewed(injected):
    stack, _, endpoint = injected
    stack.reset()
    headers = {"authorization": "Bearer " + API_KEY}
    with httpx.Client(base_url=stack.url, timeout=30, headers=headers) as client:
        begun = time.monotonic()
        while client.post("/v1/chat/completions", json=chat("fetched")).status_code != 200:
            assert time.monotonic() - begun < 10, "no access token came"
            time.sleep(0.1)
        stack.reset()
        begun = time.monotonic()
        answers = 0
        while time.monotonic() - begun < 9:
            assert_completion(client.post("/v1/chat/completions", json=chat("fetched")))
            answers += 1
            time.sleep(0.02)
    assert endpoint.forms[0]["client_id"] == ["gateway"] and endpoint.forms[0]["scope"] == ["llm"]
    assert endpoint.forms[0]["client_secret"] == ["canary-client-secret"]
    arrived = presented(stack, "fetched")
    assert len(arrived) == answers and all(value.startswith("Bearer canary-access-token-") for value in arrived)
    assert len(set(arrived)) >= 2, "renewed"
    time.sleep(0.3)
    for name in ("envoy", "access"):
        text = stack.log(name).read_text(encoding="utf-8")
        assert "canary-access" not in text and "canary-client" not in text
    print("%d requests with %d access tokens, none failed" % (answers, len(set(arrived))))
