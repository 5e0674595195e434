# SPDX-License-Identifier: Apache-2.0
"""Access tokens that the filter fetches from a machine's metadata service: the first one, renewals, outages."""

import contextlib
import http.server
import json
import re
import threading
import time
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from checks import assert_completion, assert_error, chat
from conftest import API_KEY, RUN, Stack
from stack import free_ports

GCP_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"
IMDS_PATH = "/metadata/identity/oauth2/token"

CONFIG = """
providers:
  google:
    kind: openai_compatible
    endpoint: https://us-central1-aiplatform.googleapis.com/v1
    credential: {{ gcp_metadata: {{ endpoint: "http://127.0.0.1:{port}" }} }}
  azure:
    kind: azure_openai
    endpoint: https://my-resource.openai.azure.com
    credential: {{ azure_imds: {{ endpoint: "http://127.0.0.1:{port}", client_id: 11111111-2222 }} }}
models:
  - {{ name: google, targets: [{{ provider: google, model: gpt-4o-mini }}] }}
  - {{ name: azure, targets: [{{ provider: azure, model: gpt-4o-mini }}] }}
  - name: two-clusters
    targets:
      - {{ provider: google, model: gpt-4o-mini }}
      - {{ provider: google, model: gpt-4o }}
identity:
  api_keys:
    - sha256: c0629be90c7891ee213abc3bf4641d2fd9d15cc12e4595bc05bde060257e257b
      consumer: key-holder
"""


class Metadata:
    """The metadata services of Google and of Azure at one port. Each answer is a new token, good for `lifetime`."""

    def __init__(self, port):
        self.port, self.lifetime, self.status, self.server = port, 3600, 200, None
        self.asked, self.expiries = [], {}

    def answer(self, path, headers):
        """Status and body, as the vendors document them."""
        self.asked.append((path, dict(headers)))
        at = urlsplit(path)
        if at.path == GCP_PATH and headers.get("metadata-flavor") == "Google":
            lifetime = self.lifetime
        elif at.path == IMDS_PATH and headers.get("metadata") == "true":
            lifetime = str(self.lifetime)
        else:
            return 403, {}
        value = "canary-metadata-token-%d" % len(self.asked)
        if self.status == 200:
            self.expiries["Bearer " + value] = time.time() + self.lifetime
        return self.status, {"access_token": value, "expires_in": lifetime, "token_type": "Bearer"}

    def start(self):
        """Opens the port."""
        metadata = self

        class Handler(http.server.BaseHTTPRequestHandler):
            """Answers one request."""

            def do_GET(self):
                status, answer = metadata.answer(self.path, {k.lower(): v for k, v in self.headers.items()})
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

            def log_message(self, *_):
                """Says nothing."""

        class Server(http.server.ThreadingHTTPServer):
            """A port that can be opened again at once."""

            allow_reuse_address = True
            daemon_threads = True

        self.server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        """Closes the port."""
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None


@contextlib.contextmanager
def running(name, lifetime=3600, is_up=True):
    """A gateway with one worker, its metadata service, and a client."""
    (port,) = free_ports(1)
    metadata = Metadata(port)
    metadata.lifetime = lifetime
    folder = RUN / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gateway.yaml").write_text(CONFIG.format(port=port), encoding="ascii")
    if is_up:
        metadata.start()
    headers = {"authorization": "Bearer " + API_KEY}
    try:
        with Stack(folder / "gateway.yaml", name, concurrency=1) as stack:
            with httpx.Client(base_url=stack.url, timeout=30, headers=headers) as client:
                yield stack, metadata, lambda model: client.post("/v1/chat/completions", json=chat(model))
    finally:
        metadata.stop()


def until(is_so, seconds, what):
    """Waits for something that must come."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def presented(stack, provider):
    """The credentials that arrived at a provider."""
    return [request["headers"].get("authorization") for request in stack.standins[provider].requests()]


def counter(stack, name):
    """One of the gateway's counters."""
    return sum(value for key, value in stack.stats().items() if key.endswith(name))


def test_the_machine_s_own_token_is_fetched_and_presented():
    with running("access-tokens") as (stack, metadata, ask):
        for model in ("google", "azure"):
            until(lambda model=model: ask(model).status_code == 200, 5, "no access token came")
            stack.reset()
            for _ in range(5):
                assert_completion(ask(model))
            (value,) = set(presented(stack, model))
            assert value in metadata.expiries
            (request, *_) = stack.standins[model].requests()
            assert not {"api-key", "metadata", "metadata-flavor"} & set(request["headers"])
        by_path = {urlsplit(path).path: parse_qs(urlsplit(path).query) for path, _ in metadata.asked}
        assert by_path == {
            GCP_PATH: {},
            IMDS_PATH: {
                "api-version": ["2018-02-01"],
                "resource": ["https://cognitiveservices.azure.com"],
                "client_id": ["11111111-2222"],
            },
        }
        for _ in range(8):
            assert_completion(ask("two-clusters"))
        # One worker and Envoy's main thread have a VM each, in which the clusters of a provider share a token.
        calls = [urlsplit(path).path for path, _ in metadata.asked]
        assert calls.count(GCP_PATH) <= 2 and calls.count(IMDS_PATH) <= 2, calls
        time.sleep(0.3)
        for name in ("envoy", "access"):
            assert "canary" not in stack.log(name).read_text(encoding="utf-8")
        assert "canary-metadata" not in stack.admin_get("/config_dump") + stack.admin_get("/stats")


def test_tokens_are_renewed_under_load_and_no_request_fails():
    with running("access-tokens-renewed", lifetime=5) as (stack, metadata, ask):
        until(lambda: ask("google").status_code == 200, 5, "no access token came")
        stack.reset()
        begun, answers = time.monotonic(), 0
        while time.monotonic() - begun < 15:
            sent_at = time.time()
            assert_completion(ask("google"))
            answers += 1
            # What was presented was good when it was sent.
            last = presented(stack, "google")[-1] if answers % 20 == 0 else None
            assert last is None or metadata.expiries[last] > sent_at
            time.sleep(0.01)
        arrived = presented(stack, "google")
        # The stand-in keeps the last requests alone.
        assert len(set(arrived)) >= 2 and set(arrived) <= set(metadata.expiries)
        calls = sum(urlsplit(path).path == GCP_PATH for path, _ in metadata.asked)
        assert 6 <= calls <= 12, "%d calls of two threads in 15 seconds" % calls
        print("%d requests, %d calls for tokens of 5 s, none failed" % (answers, calls))


def test_an_outage_is_none_while_a_token_lives_and_the_error_names_the_provider_after_it():
    with running("access-tokens-outage", lifetime=12) as (stack, metadata, ask):
        until(lambda: ask("google").status_code == 200, 5, "no access token came")
        (value,) = [key for key in metadata.expiries if key in presented(stack, "google")]
        metadata.stop()
        until(lambda: counter(stack, "tollgate.access_token_failures") > 1, 15, "the outage was not noticed")
        while time.time() < metadata.expiries[value] - 0.7:
            assert_completion(ask("google"))
            time.sleep(0.05)
        until(lambda: ask("google").status_code == 503, 3, "an expired token was presented")
        error = assert_error(ask("google"), 503, code="upstream_credential_unavailable")
        assert "google" in error["message"] and "canary" not in error["message"]
        metadata.start()
        until(lambda: ask("google").status_code == 200, 12, "no access token came after the outage")
        log = stack.log("envoy").read_text(encoding="utf-8")
        assert re.search(r"provider google: no access token from cluster token/google: ", log)


def test_without_a_token_no_request_is_sent_to_the_provider():
    with running("access-tokens-none", is_up=False) as (stack, metadata, ask):
        until(lambda: counter(stack, "tollgate.access_token_failures") >= 2, 5, "nothing was asked")
        assert_error(ask("google"), 503, code="upstream_credential_unavailable")
        metadata.status = 500
        metadata.start()
        until(lambda: metadata.asked, 10, "nothing was asked")
        assert_error(ask("azure"), 503, code="upstream_credential_unavailable")
        assert presented(stack, "google") == [] and presented(stack, "azure") == []
        metadata.status = 200
        until(lambda: ask("google").status_code == 200, 15, "no access token came")
