# SPDX-License-Identifier: Apache-2.0
"""What limits know after Envoy was changed under them: its configuration, the module, a VM that trapped, the process."""

import asyncio
import contextlib
import json
import os
import random
import shutil
import threading
import time

import httpx
import pytest
import yaml
from checks import assert_completion, assert_error, chat
from conftest import HERE, RUN, Caller, Issuer, Stack
from crowd import Client
from ledger import AccessLog, entries_of, production_of, requests_of
from stack import Child, answers, listens
from wasm_patch import rebuilt, trapping

import setup

MAX = 1000
TYPE = "type.googleapis.com/envoy.config.%s"


class Changeable(Stack):
    """A gateway whose listener and clusters Envoy reads from files and follows when they change."""

    def render(self):
        """Envoy's configuration, with what is dynamic in files of its own."""
        config = self.rendered()
        for name, kind in (("lds", "listener"), ("cds", "cluster")):
            config["dynamic_resources"] = config.get("dynamic_resources", {})
            source = {"resource_api_version": "V3", "path_config_source": {"path": str(self.folder / (name + ".yaml"))}}
            config["dynamic_resources"][name + "_config"] = source
            self.publish(name, kind, config["static_resources"].pop(kind + "s"))
        out = self.folder / "bootstrap.yaml"
        out.write_text(yaml.safe_dump(config), encoding="utf-8")
        return out

    def rendered(self):
        """What `tollgate render` makes of `gateway.yaml` as it is now."""
        return yaml.safe_load(super().render().read_text(encoding="utf-8"))

    def publish(self, name, kind, resources):
        """Puts resources in place at once, as Envoy expects it."""
        typed = [{"@type": TYPE % "%s.v3.%s" % (kind, kind.capitalize()), **each} for each in resources]
        fresh = self.folder / (name + ".fresh")
        fresh.write_text(yaml.safe_dump({"resources": typed}), encoding="utf-8")
        os.replace(str(fresh), str(self.folder / (name + ".yaml")))

    def change(self, module=None, **replaced):
        """Publishes the configuration anew, with texts of `gateway.yaml` replaced or with another module."""
        text = (HERE / "reload.yaml").read_text(encoding="utf-8")
        for old, new in replaced.get("texts", {}).items():
            assert old in text
            text = text.replace(old, new)
        self.config.write_text(text, encoding="utf-8")
        config = self.rendered()
        if module is not None:
            config = json.loads(json.dumps(config).replace(str(setup.wasm()), str(module)))
            self.publish("cds", "cluster", config["static_resources"]["clusters"])
        self.publish("lds", "listener", config["static_resources"]["listeners"])


class Trapping(Stack):
    """A gateway whose module traps when a request has many headers; all else of it is the release module."""

    LEAST_HEADERS = 60

    def render(self):
        """The usual configuration with that module."""
        module = self.folder / "trapping.wasm"
        patched = trapping(setup.wasm().read_bytes(), "proxy_on_request_headers", 1, self.LEAST_HEADERS)
        module.write_bytes(patched)
        out = super().render()
        out.write_text(out.read_text(encoding="utf-8").replace(str(setup.wasm()), str(module)), encoding="utf-8")
        return out


def prepared(name, issuer):
    """The folder of a gateway with the configuration of these tests."""
    folder = RUN / name
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(str(HERE / "reload.yaml"), str(folder / "gateway.yaml"))
    (folder / "jwks.json").write_text(json.dumps(issuer.jwks()), encoding="ascii")
    return folder / "gateway.yaml"


def left_of(url, credential):
    """What a caller is told of its one limit, over a connection of its own: spent, held, max."""
    answer = httpx.get(url + "/v1/tollgate/usage", headers={"authorization": "Bearer " + credential}, timeout=30)
    (limit,) = answer.json()["limits"]
    return limit["spent"], limit["held"], limit["max"]


def ask(url, credential, body):
    """One request over a connection of its own."""
    with httpx.Client(base_url=url, timeout=30) as client:
        return Caller(client, credential).post(body)


def wait_for(is_so, what, timeout=15):
    """Waits until something is so."""
    deadline = time.monotonic() + timeout
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


class Flight:
    """A request of 300 output tokens that its provider keeps for a while."""

    def __init__(self, stack, credential, seconds):
        stack.standins["openai"].control(
            "POST", "/faults", {"model": "gpt-held", "fault": {"delay_ms": int(seconds * 1000)}}
        )
        self.answer = self.failure = None
        self.url, self.credential = stack.url, credential
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        wait_for(lambda: left_of(stack.url, credential)[1] == 300, "nothing is held")

    def run(self):
        try:
            self.answer = ask(self.url, self.credential, chat("gpt-held", content="count:250", max_tokens=300))
        except httpx.HTTPError as failure:
            self.failure = failure

    def land(self):
        """Waits for the answer."""
        self.thread.join()
        return self.answer


def is_of_the_flight(line):
    """Whether it is the access log's line of such a request."""
    return line["gen_ai.request.model"] == "gpt-held"


def spend(stack, credential):
    """600 of the caller's 1000 tokens."""
    assert_completion(ask(stack.url, credential, chat("gpt-a", content="count:600", max_tokens=600)))
    assert left_of(stack.url, credential) == (600, 0, MAX)


@pytest.fixture
def changeable(issuer):
    """A gateway that can be changed while it serves."""
    with Changeable(prepared("reload", issuer), "reload", concurrency=2) as running:
        yield running


def test_a_changed_configuration_keeps_what_is_spent_and_settles_what_is_in_flight(changeable, issuer):
    credential = issuer.mint("each")
    spend(changeable, credential)
    flight = Flight(changeable, credential, 4)
    changeable.change(texts={"max: 1000\n": "max: 1200\n"})
    wait_for(lambda: left_of(changeable.url, credential)[2] == 1200, "the change was never taken")
    assert left_of(changeable.url, credential) == (600, 300, 1200), "both configurations share the counter"
    assert_error(ask(changeable.url, credential, chat(content="count:301", max_tokens=301, model="gpt-a")), 429)
    assert_completion(flight.land())
    assert left_of(changeable.url, credential) == (850, 0, 1200), "the old one settles, exactly"
    assert_completion(ask(changeable.url, credential, chat(content="count:350", max_tokens=350, model="gpt-a")))
    assert left_of(changeable.url, credential) == (1200, 0, 1200)


def test_a_new_module_finds_the_counters_of_the_old_one(changeable, issuer):
    credential = issuer.mint("each")
    spend(changeable, credential)
    created = changeable.stats("wasm.")["wasm.envoy.wasm.runtime.v8.created"]
    flight = Flight(changeable, credential, 20)
    module = changeable.folder / "rebuilt.wasm"
    module.write_bytes(rebuilt(setup.wasm().read_bytes()))
    changeable.change(module=module, texts={"max: 1000\n": "max: 1200\n"})
    wait_for(lambda: left_of(changeable.url, credential)[2] == 1200, "the change was never taken")
    assert changeable.stats("wasm.")["wasm.envoy.wasm.runtime.v8.created"] >= created + 3, "new VMs"
    assert left_of(changeable.url, credential) == (600, 300, 1200)
    assert_completion(ask(changeable.url, credential, chat("gpt-a", content="count:100", max_tokens=100)))
    assert_completion(flight.land())
    assert left_of(changeable.url, credential) == (950, 0, 1200), "the old VM settles what it admitted"


def test_keys_of_a_file_are_exchanged_when_it_is_rendered_again(changeable, issuer):
    """Old key and new key have the same `kid`, and the old one's JWT is remembered as verified."""
    successor = Issuer()
    old, new = (each.mint("each", sub="steady") for each in (issuer, successor))
    spend(changeable, old)

    def statuses(credential):
        """Several connections reach both workers."""
        return {ask(changeable.url, credential, chat("gpt-a", max_tokens=1)).status_code for _ in range(8)}

    (changeable.folder / "jwks.json").write_text(json.dumps(successor.jwks()), encoding="ascii")
    assert statuses(new) == {401}, "the file alone changes nothing"
    assert left_of(changeable.url, old) == (600, 0, MAX)
    changeable.change()
    wait_for(lambda: statuses(new) == {200}, "the new key was never taken")
    assert statuses(old) == {401}
    assert_error(ask(changeable.url, old, chat("gpt-a")), 401, code="invalid_api_key")
    spent, held, _ = left_of(changeable.url, new)
    assert spent > 600 and held == 0, "the consumer's counter is kept"


class Crowd:
    """Callers of one team who go on until they are told to stop."""

    def __init__(self, stack, issuer, count=60):
        self.clients = [Client(stack.port, issuer.mint("crowd", "ES256", sub="crowd-%d" % n)) for n in range(count)]
        self.goes_on, self.served = True, 0

    def run(self):
        """All of them."""

        async def all_of_them():
            await asyncio.gather(*(self.call(number, client) for number, client in enumerate(self.clients)))

        asyncio.run(all_of_them())

    async def call(self, number, client):
        mind = random.Random(number)
        while self.goes_on:
            family, is_streaming = mind.choice(["gpt", "claude"]), mind.random() < 0.5
            body = chat(family + "-paced", content="count:%d" % mind.randint(5, 60), max_tokens=80, stream=is_streaming)
            answer = await client.ask(body)
            assert answer.status == 200 and answer.is_whole, (answer.status, answer.body)
            self.served += 1
        client.close()


def test_no_charge_is_lost_or_doubled_while_the_configuration_changes_under_traffic(changeable, issuer):
    for standin in changeable.standins.values():
        standin.control("POST", "/faults", {"fault": {"delay_ms": 20, "between_events_ms": 3}})
    log, crowd = AccessLog(changeable), Crowd(changeable, issuer)
    traffic = threading.Thread(target=crowd.run)
    traffic.start()
    changes = 8
    for turn in range(changes):
        time.sleep(0.7)
        # The model's guess and a limit of others: what they change is not what is counted here.
        changeable.change(texts={"max: 1000\n": "max: %d\n" % (2000 + turn)})
    time.sleep(0.7)
    crowd.goes_on = False
    traffic.join()
    assert changeable.stats("listener_manager.")["listener_manager.listener_modified"] == changes
    requests = requests_of(changeable)
    asked = {request["headers"]["x-request-id"] for request in requests}
    lines = log.wait_for(lambda found: asked <= {line["request_id"] for line in found})
    entries, unknown = entries_of(lines, requests)
    assert not unknown and len(entries) == crowd.served > 300
    assert all(entry.is_exact and entry.source == "reported" for entry in entries)
    charged = sum(entry.charged for entry in entries)
    assert charged == sum(amount for _, amount in production_of(changeable))
    spent, held, _ = left_of(changeable.url, issuer.mint("crowd"))
    assert (spent, held) == (charged, 0)
    print("\n%d exchanges over %d changes, %d tokens" % (len(entries), changes, charged))


def test_a_vm_that_trapped_gives_nothing_away(issuer):
    with Trapping(prepared("trapping", issuer), "trapping", concurrency=1) as stack:
        credential = issuer.mint("each")
        spend(stack, credential)
        flight = Flight(stack, credential, 5)
        many = {"x-number-%d" % number: "1" for number in range(Trapping.LEAST_HEADERS)}
        with contextlib.suppress(httpx.HTTPError):
            answer = httpx.get(stack.url + "/v1/models", headers={"authorization": "Bearer " + credential, **many})
            assert answer.status_code >= 500, answer.text
        assert "unreachable" in stack.log("envoy").read_text(encoding="utf-8"), "no trap, no test"

        def serves_again():
            with contextlib.suppress(httpx.HTTPError, ValueError):
                return left_of(stack.url, credential) is not None

        trapped = time.monotonic()
        wait_for(serves_again, "no new VM was made")
        print("\na new VM served after %.1f s" % (time.monotonic() - trapped))
        assert left_of(stack.url, credential) == (600, 300, MAX), "what was in flight stays held"

        def serves_an_answer():
            """Each seat is made anew by a request of its own, 1 to 1.5 s after it was last made; until then it answers 503."""
            answer = ask(stack.url, credential, chat("gpt-a", content="count:100", max_tokens=100))
            if answer.status_code != 503:
                assert_completion(answer)
                return True
            return False

        wait_for(serves_an_answer, "no new provider seat was made")
        assert_error(ask(stack.url, credential, chat("gpt-a", content="count:1", max_tokens=1)), 429)
        # Nobody answers or settles the exchange of the VM that is gone.
        answer = flight.land()
        assert answer is None or answer.status_code >= 500, answer.text
        assert left_of(stack.url, credential) == (700, 300, MAX)


def test_a_hot_restart_counts_anew_while_the_old_process_settles_what_it_has(issuer):
    folder = RUN / "hot-restart"
    options = ("--drain-time-s", "2", "--parent-shutdown-time-s", "20", "--base-id-path", folder / "base-id")
    with Stack(prepared("hot-restart", issuer), "hot-restart", concurrency=2, options=options) as stack:
        credential = issuer.mint("each")
        spend(stack, credential)
        log, flight = AccessLog(stack), Flight(stack, credential, 12)
        base_id = (folder / "base-id").read_text(encoding="ascii").strip()
        command = stack.command(folder / "envoy.yaml") + ["--base-id", base_id, "--restart-epoch", "1"]
        old = stack.gateway
        stack.gateway = Child("envoy, epoch 1", command, stack.log("access-1"), stack.log("envoy-1"), stack.environment)
        try:
            stack.gateway.wait_until(lambda: answers(stack.admin, "/ready") and listens(stack.port), 60)
            wait_for(lambda: left_of(stack.url, credential) == (0, 0, MAX), "the old process still accepts")
            assert old.is_alive(), "both processes live side by side"
            whole = ask(stack.url, credential, chat("gpt-a", content="count:1000", max_tokens=1000))
            assert_completion(whole)
            assert_error(ask(stack.url, credential, chat("gpt-a", content="count:1", max_tokens=1)), 429)
            # The request that the old process admitted is answered and settled there, and counts nowhere else.
            assert_completion(flight.land())
            lines = log.wait_for(lambda found: any(map(is_of_the_flight, found)))
            (line,) = filter(is_of_the_flight, lines)
            assert (line["tollgate.usage_source"], line["gen_ai.usage.output_tokens"]) == ("reported", "250")
            assert left_of(stack.url, credential) == (MAX, 0, MAX)
            wait_for(lambda: not old.is_alive(), "the old process never ended", timeout=60)
            assert left_of(stack.url, credential) == (MAX, 0, MAX), "and nothing went with it"
        finally:
            old.stop()
