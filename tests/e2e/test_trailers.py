# SPDX-License-Identifier: Apache-2.0
"""Trailers: neither side's reach the other, not even where Envoy passes trailers on.

Envoy drops the trailers of HTTP/1.1 unless it is told otherwise, so here it is told, and a bare Envoy shows that they
would pass.
"""

import contextlib
import json
import re
import socket
import socketserver
import threading
import time

import pytest
from checks import chat
from conftest import API_KEY, RUN, Stack
from stack import Child, answers, free_ports, listens, setup

CONFIG = """
providers:
  openai: {{ kind: openai, endpoint: "http://127.0.0.1:{port}/v1", credential: {{ env: OPENAI_API_KEY }} }}
models:
  - {{ name: gpt-4o-mini, targets: [{{ provider: openai }}] }}
identity:
  api_keys:
    - sha256: c0629be90c7891ee213abc3bf4641d2fd9d15cc12e4595bc05bde060257e257b
      consumer: key-holder
"""

BARE = """
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}}}
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bare
          http_protocol_options: {{enable_trailers: true}}
          route_config:
            virtual_hosts: [{{name: all, domains: ["*"], routes: [{{match: {{prefix: /}}, route: {{cluster: upstream}}}}]}}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: upstream
    load_assignment:
      cluster_name: upstream
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream}}}}}}}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{http_protocol_options: {{enable_trailers: true}}}}
"""

OURS = b"authorization: Bearer canary-of-the-client\r\nx-tollgate-route: canary-route\r\nx-api-key: canary-key\r\n"
THEIRS = b"x-internal: canary-of-the-provider\r\nset-cookie: canary-cookie\r\n"

ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
).encode()


def chunked(body, trailers):
    return b"%x\r\n%s\r\n0\r\n%s\r\n" % (len(body), body, trailers)


def answer_to(request):
    """What the provider answers, by the prompt: its media type, and its body in pieces."""
    chunk = b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[%s]}\n\n'
    text = chunk % b'{"index":0,"delta":{"content":"Hi"},"finish_reason":null}'
    end = chunk % b'{"index":0,"delta":{},"finish_reason":"stop"}'
    streams = {b"a whole stream": [text, end, b"data: [DONE]\n\n"], b"a cut stream": [text, text]}
    for prompt, pieces in streams.items():
        if prompt in request:
            return b"text/event-stream", pieces
    return b"application/json", [] if b"no body" in request else [ANSWER]


def read_message(reader):
    """A whole message as it came: its head, its body in chunks or by length, and what follows."""
    raw = b""
    length = None
    while not raw.endswith(b"\r\n\r\n"):
        line = reader.readline()
        if not line:
            return raw
        raw += line
        length = int(line.split(b":")[1]) if line.lower().startswith(b"content-length:") else length
    if length is not None:
        return raw + reader.read(length)
    while True:
        line = reader.readline()
        if not line:
            return raw
        raw += line
        size = int(line, 16)
        if size:
            raw += reader.read(size + 2)
            continue
        # The trailers, and the empty line at their end.
        while line != b"\r\n":
            line = reader.readline()
            raw += line
        return raw


@pytest.fixture(scope="module")
def upstream():
    """A provider that keeps what arrives, byte by byte, and answers with trailers."""
    arrived = []

    class Handler(socketserver.StreamRequestHandler):
        """One connection."""

        def handle(self):
            with contextlib.suppress(OSError, ValueError):
                while raw := read_message(self.rfile):
                    arrived.append(raw)
                    kind, body = answer_to(raw)
                    head = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ntransfer-encoding: chunked\r\n\r\n" % kind
                    self.wfile.write(head)
                    # What has gone before the trailers come is past changing.
                    for piece in body:
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                        time.sleep(0.2)
                    self.wfile.write(b"0\r\n%s\r\n" % THEIRS)

    class Server(socketserver.ThreadingTCPServer):
        """Ends with the tests."""

        allow_reuse_address = True
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_address[1], arrived
        server.shutdown()


def send(port, **more):
    """A request with trailers; the answer as it came."""
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n"
    head += "authorization: Bearer %s\r\nte: trailers\r\ntransfer-encoding: chunked\r\n\r\n" % API_KEY
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        connection.sendall(head.encode() + chunked(json.dumps(chat(**more)).encode(), OURS))
        with connection.makefile("rb") as reader:
            return read_message(reader)


class WithTrailers(Stack):
    """A gateway whose Envoy passes trailers on."""

    def render(self):
        path = super().render()
        text = path.read_text(encoding="utf-8")
        enabled = "http_protocol_options: {enable_trailers: true}"
        text, clients = re.subn(r"( +)codec_type: AUTO\n", r"\g<0>\1%s\n" % enabled, text)
        text, providers = re.subn(r"explicit_http_config: \{http_protocol_options: \{\}\}",
                                  "explicit_http_config: {%s}" % enabled, text)  # fmt: skip
        assert (clients, providers) == (1, 1)
        path.write_text(text, encoding="utf-8")
        return path


def test_a_bare_envoy_passes_trailers_on_where_it_is_told_to(upstream):
    port, arrived = upstream
    listener, admin = free_ports(2)
    folder = RUN / "trailers-bare"
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "envoy.yaml"
    config.write_text(BARE.format(port=listener, admin=admin, upstream=port), encoding="ascii")
    command = [setup.ensure_envoy(), "-c", config, "--concurrency", 1, "--use-dynamic-base-id", "--log-level", "warning"]
    envoy = Child("bare envoy", command, folder / "bare.log")
    try:
        envoy.wait_until(lambda: answers(admin, "/ready") and listens(listener), 30)
        answer = send(listener)
    finally:
        envoy.stop()
    assert b"canary-of-the-client" in arrived[-1] and b"canary-key" in arrived[-1]
    assert b"canary-of-the-provider" in answer and b"canary-cookie" in answer


@pytest.fixture(scope="module")
def gateway(upstream):
    """A gateway in front of it."""
    folder = RUN / "trailers"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gateway.yaml").write_text(CONFIG.format(port=upstream[0]), encoding="ascii")
    with WithTrailers(folder / "gateway.yaml", "trailers", real=["openai"],
                      environment={"OPENAI_API_KEY": "stand-in-key"}) as stack:  # fmt: skip
        yield stack


def test_a_stream_that_is_whole_ends_with_its_trailers(gateway):
    answer = send(gateway.port, content="a whole stream", stream=True)
    assert answer.startswith(b"HTTP/1.1 200 ") and b"data: [DONE]" in answer
    assert answer.endswith(b"\r\n0\r\n\r\n") and b"canary" not in answer


def test_a_stream_that_is_cut_by_trailers_does_not_look_whole(gateway):
    """The error event that tells of it has no place behind a body that has gone."""
    answer = send(gateway.port, content="a cut stream", stream=True)
    assert answer.count(b'"content":"Hi"') == 2 and b"[DONE]" not in answer
    assert not answer.endswith(b"\r\n0\r\n\r\n")


def test_an_answer_of_trailers_alone_is_an_error_with_a_body(gateway):
    answer = send(gateway.port, content="no body")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 502 ")
    assert json.loads(body)["error"]["code"] == "upstream_misbehaved"


def test_no_trailer_passes_the_gateway(gateway, upstream):
    _, arrived = upstream
    before = len(arrived)
    for _ in range(3):
        answer = send(gateway.port)
        assert answer.startswith(b"HTTP/1.1 200 ") and b'"content": "Hi"' in answer
        assert b"canary" not in answer
    requests = arrived[before:]
    assert len(requests) == 3
    for request in requests:
        assert b"canary" not in request and b"authorization: Bearer stand-in-key" in request
