# SPDX-License-Identifier: Apache-2.0
"""What docs/operating.md, docs/telemetry.md and docs/envoy.md tell operators to do, done as they say it."""

import datetime
import json
import re
import subprocess
import sys
import time

import httpx
import pytest
import yaml
from checks import assert_completion, assert_error, chat
from conftest import API_KEY, RUN, Stack
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from ledger import AccessLog

import setup

DOCS = setup.ROOT / "docs"
DIGEST = "c0629be90c7891ee213abc3bf4641d2fd9d15cc12e4595bc05bde060257e257b"
HEADERS = {"authorization": "Bearer " + API_KEY}
CONFIG = """
providers:
  openai:
    kind: openai
    endpoint: https://api.openai.com/v1
    credential: {{ env: OPENAI_API_KEY }}
models:
  - {{ name: gpt-4o-mini, targets: [{{ provider: openai }}] }}
identity:
  api_keys:
    - {{ sha256: {digest}, consumer: key-holder }}
access:
  - {{ source: [203.0.113.0/24, 127.0.0.0/8] }}
limits:
  - {{ name: each, per: [consumer], count: requests, max: {max}, window: 1h }}
"""


def block(document, first):
    """The block of a document that begins with this line."""
    text = (DOCS / document).read_text(encoding="utf-8")
    (found,) = [each for each in re.findall(r"```\w+\n(.*?)```", text, re.DOTALL) if each.startswith(first)]
    return found


def snippets(document):
    """The YAML of a document that is to be merged into what was rendered, each with its place."""
    text = (DOCS / document).read_text(encoding="utf-8")
    found = re.findall(r"```yaml\n# into (\S+)\n(.*?)```", text, re.DOTALL)
    return [(place, yaml.safe_load(each)) for place, each in found]


def merge(config, place, snippet):
    """Puts a snippet in its place."""
    at = config["static_resources"]
    for step in re.findall(r"\w+", place):
        at = at[int(step) if step.isdigit() else step]
    at.update(snippet)


def configure(folder, most=5):
    """Writes a gateway.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "gateway.yaml"
    path.write_text(CONFIG.format(digest=DIGEST, max=most), encoding="ascii")
    return path


def left(url):
    """What is left of the caller's one limit, and its max."""
    (limit,) = httpx.get(url + "/v1/tollgate/usage", headers=HEADERS, timeout=30).json()["limits"]
    return limit["remaining"], limit["max"]


def wait_for(is_so, what, timeout=20):
    """Waits until something is so."""
    deadline = time.monotonic() + timeout
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


class Watched(Stack):
    """A gateway that is started and changed as docs/operating.md says."""

    def render(self):
        """The small bootstrap, after the first publication."""
        live = self.folder / "live"
        live.mkdir(exist_ok=True)
        (self.folder / "publish.py").write_text(block("operating.md", "# publish.py"), encoding="utf-8")
        self.publish()
        text = block("operating.md", "# bootstrap.yaml").replace("/etc/tollgate/live", str(live))
        out = self.folder / "bootstrap.yaml"
        out.write_text(text.replace("9901", str(self.admin)), encoding="utf-8")
        return out

    def publish(self, change=lambda text: text):
        """Renders `gateway.yaml` and publishes it."""
        rendered = super().render()
        rendered.write_text(change(rendered.read_text(encoding="utf-8")), encoding="utf-8")
        command = [sys.executable, self.folder / "publish.py", rendered, self.folder / "live"]
        subprocess.run([str(part) for part in command], check=True)


def test_published_configuration_keeps_counters_and_a_faulty_one_changes_nothing():
    folder = RUN / "watched"
    with Watched(configure(folder), "watched", concurrency=1) as stack:
        assert_completion(httpx.post(stack.url + "/v1/chat/completions", json=chat(), headers=HEADERS))
        assert left(stack.url) == (4, 5)
        configure(folder, most=9)
        stack.publish()
        wait_for(lambda: left(stack.url) == (8, 9), "the change was never taken")
        # As from a newer command, which knows a key that this module does not.
        stack.publish(lambda text: text.replace('"gateway": {\n', '"gateway": { "newer": 1,\n').replace('"max": 9', '"max": 7'))
        wait_for(lambda: stack.stats("listener_manager.lds.").get("listener_manager.lds.update_rejected"), "not refused")
        assert "gateway.newer: unknown key" in stack.log("envoy").read_text(encoding="utf-8")
        assert left(stack.url) == (8, 9)


def self_signed(folder):
    """A certificate and its key, as docs/operating.md names them."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    certificate = certificate.sign(key, hashes.SHA256())
    (folder / "tls.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "tls.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))


class Merged(Stack):
    """A gateway with snippets merged into what was rendered."""

    def __init__(self, *arguments, places, **more):
        super().__init__(*arguments, **more)
        self.snippets = places

    def render(self):
        """What was rendered, with the snippets."""
        out = super().render()
        config = yaml.safe_load(out.read_text(encoding="utf-8"))
        for place, snippet in self.snippets:
            merge(config, place, snippet)
        out.write_text(yaml.safe_dump(config).replace("/etc/tollgate/tls", str(self.folder / "tls")), encoding="utf-8")
        return out


def test_behind_a_balancer_the_caller_is_whom_the_balancer_names_and_probes_are_not_logged():
    wanted = [each for each in snippets("operating.md") if "xff_num_trusted_hops" in each[1]] + snippets("telemetry.md")
    assert len(wanted) == 2
    with Merged(configure(RUN / "balanced"), "balanced", places=wanted) as stack:
        log = AccessLog(stack)

        def ask(address):
            headers = {**HEADERS, "x-forwarded-for": address}
            return httpx.post(stack.url + "/v1/chat/completions", json=chat(), headers=headers)

        assert httpx.get(stack.url + "/healthz").json() == {"status": "ok"}
        # What a caller writes to the left of the balancer's own word is not believed.
        assert_error(ask("203.0.113.7, 198.51.100.9"), 403)
        assert_completion(ask("198.51.100.9, 203.0.113.7"))
        lines = log.wait_for(lambda found: len(list(found)) >= 2)
        assert [line["client.address"] for line in lines] == ["198.51.100.9", "203.0.113.7"]


def test_every_snippet_for_the_listener_is_valid():
    found = snippets("operating.md")
    assert len(found) == 3
    folder = RUN / "snippets"
    stack = Merged(configure(folder), "snippets", places=found + snippets("telemetry.md"))
    self_signed(folder)
    command = [setup.ensure_envoy(), "--mode", "validate", "-c", stack.render(), "--use-dynamic-base-id"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=str(setup.ROOT))
    assert done.returncode == 0, done.stderr[-2000:]


class ByHand(Stack):
    """The Envoy of docs/envoy.md, at these ports and with a stand-in in place of the provider."""

    is_both = False

    def render(self):
        """The document's configuration."""
        text = block("envoy.md", "# envoy.yaml")
        text = text.replace("/etc/envoy/tollgate.wasm", str(setup.wasm()))
        config = yaml.safe_load(text.replace("0" * 64, DIGEST))
        admin = {"socket_address": {"address": "127.0.0.1", "port_value": self.admin}}
        config["admin"] = {"address": admin}
        listener, cluster = config["static_resources"]["listeners"][0], config["static_resources"]["clusters"][0]
        listener["address"]["socket_address"].update(address="127.0.0.1", port_value=self.port)
        at = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
        at.update(address="127.0.0.1", port_value=self.standins["openai"].port)
        # The stand-in speaks no TLS.
        cluster.update(type="STATIC")
        del cluster["transport_socket"]
        (options,) = cluster["typed_extension_protocol_options"].values()
        del options["auto_config"]
        options["explicit_http_config"] = {"http_protocol_options": {}}
        if self.is_both:
            del options["http_filters"]
            ((place, routes),) = snippets("envoy.md")
            merge(config, place, routes)
            manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
            plugin = manager["http_filters"][0]["typed_config"]["config"]["configuration"]
            plugin["value"] = plugin["value"].replace('"seat": "gateway"', '"seat": "both"')
        out = self.folder / "envoy.yaml"
        out.write_text(yaml.safe_dump(config), encoding="utf-8")
        return out


class BothByHand(ByHand):
    """The same with one filter for both seats."""

    is_both = True


class Weighted(BothByHand):
    """The same, and the model has two targets."""

    def render(self):
        path = super().render()
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        clusters = config["static_resources"]["clusters"]
        clusters.append({**clusters[0], "name": "openai.2"})
        manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
        plugin = manager["http_filters"][0]["typed_config"]["config"]["configuration"]
        seat = json.loads(plugin["value"])
        targets = [{"provider": "openai", "model": name, "weight": weight} for name, weight in (("a", 20), ("b", 80))]
        seat["gateway"]["models"][0]["targets"] = targets
        plugin["value"] = json.dumps(seat)
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        return path


def test_one_filter_for_both_seats_spreads_by_weight():
    with Weighted(configure(RUN / "weighted", most=100), "weighted", concurrency=1) as stack:
        url = stack.url + "/v1/chat/completions"
        answers = [httpx.post(url, json=chat(), headers=HEADERS, timeout=30) for _ in range(60)]
    served = [answer.headers["x-tollgate-model"] for answer in answers]
    # Beyond this range is one run in a million.
    assert 1 <= served.count("a") <= 30 and served.count("a") + served.count("b") == 60, served


@pytest.mark.parametrize("kind", [ByHand, BothByHand])
def test_the_envoy_that_is_written_by_hand_serves(kind):
    name = kind.__name__.lower()
    with kind(configure(RUN / name), name, concurrency=1) as stack:
        url = stack.url + "/v1/chat/completions"
        assert_error(httpx.post(url, json=chat()), 401)
        answer = httpx.post(url, json=chat(), headers=HEADERS, timeout=30)
        assert_completion(answer)
        assert answer.headers["x-tollgate-provider"] == "openai" and answer.headers["x-request-id"]
        (arrived,) = stack.standins["openai"].requests()
        assert arrived["path"] == "/v1/chat/completions"
        assert arrived["headers"]["authorization"] == "Bearer stand-in-key"
        assert not any(header.startswith("x-tollgate") for header in arrived["headers"])


def test_the_statistics_have_the_names_that_are_documented(stack, caller):
    stack.standins["flaky"].fault("gpt-4o-mini", {"status": 503})
    assert_completion(caller.post(chat("resilient")))
    shown = stack.admin_get("/stats/prometheus")
    names = {line.split("{")[0].split(" ")[0] for line in shown.splitlines() if not line.startswith("#")}
    rules = yaml.safe_load(block("telemetry.md", "# Rules for Prometheus"))["groups"][0]["rules"]
    text = (DOCS / "telemetry.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| `[^|]+` *[^|]*\| `([a-z_A-Z]+)", text, re.MULTILINE)
    asked = [name for rule in rules for name in re.findall(r"\b(?:envoy|tollgate)_\w+\b(?!=)", rule["expr"])]
    assert len(table) >= 11 and len(asked) >= 8
    everywhere = ("envoy_", "tollgate_limit_", "tollgate_input_", "tollgate_upstream_")
    for name in filter(lambda name: name.startswith(everywhere), table + asked):
        name = name.replace("PROVIDER", "openai")
        # A prefix stands for every provider.
        assert name in names or name + "_sum" in names or name.endswith("_refused_"), name
    assert 'envoy_cluster_retry_upstream_rq{envoy_response_code="529",envoy_cluster_name="flaky"}' in shown


def test_counters_are_shown_before_anything_is_counted_and_what_is_under_way_is_answered_while_envoy_drains():
    with Stack(configure(RUN / "drained"), "drained") as stack:
        shown = stack.admin_get("/stats/prometheus")
        for name in ("limit_evictions", "limit_failures", "limit_would_refuse", "upstream_credential_refused_openai"):
            assert "tollgate_%s{} 0\n" % name in shown
        stack.standins["openai"].fault("gpt-4o-mini", {"delay_ms": 1500})
        request = re.search(r"POST (\S+) HTTP", (DOCS / "operating.md").read_text(encoding="utf-8")).group(1)
        with httpx.Client(base_url=stack.url, timeout=30, headers=HEADERS) as client:
            with client.stream("POST", "/v1/chat/completions", json=chat(stream=True)) as answer:
                assert httpx.post("http://127.0.0.1:%d%s" % (stack.admin, request)).status_code == 200
                assert answer.read().endswith(b"data: [DONE]\n\n")
        assert httpx.get(stack.url + "/healthz").status_code == 200, "who still comes is served"
        admin = "http://127.0.0.1:%d" % stack.admin
        assert httpx.get(admin + "/ready").status_code == 200
        assert httpx.post(admin + "/healthcheck/fail").status_code == 200
        assert (httpx.get(admin + "/ready").status_code, httpx.get(stack.url + "/healthz").status_code) == (503, 200)
