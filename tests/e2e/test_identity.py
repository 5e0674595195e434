# SPDX-License-Identifier: Apache-2.0
"""Issuers that publish their keys: rotation, outages and floods, on a real Envoy with two workers."""

import concurrent.futures
import os
import shutil
import threading
import time

import httpx
import pytest
from checks import assert_completion, assert_error, chat
from conftest import HERE, RUN, Caller, Stack
from cryptography.hazmat.primitives.asymmetric import ec
from identity_provider import IdentityProvider
from stack import free_ports

# How long the issuer is away in the outage test, and how long keys rotate; `make soak-identity` sets it.
OUTAGE_SECONDS = float(os.environ.get("TOLLGATE_OUTAGE_SECONDS", "8"))


def run_stack(name, provider, slow, gone, **more):
    """A gateway that trusts these issuers."""
    folder = RUN / name
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(str(HERE / "identity.yaml"), str(folder / "gateway.yaml"))
    settings = {
        "identity.jwt[0].issuer": provider.issuer,
        "identity.jwt[1].jwks.remote.uri": "http://127.0.0.1:%d/keys" % gone,
        "identity.jwt[2].jwks.remote.uri": slow.issuer + "/keys",
    }
    return Stack(folder / "gateway.yaml", name, settings=settings, **more)


@pytest.fixture(scope="module")
def providers():
    """An identity provider, and a slow one."""
    ports = free_ports(3)
    with IdentityProvider(ports[0]) as provider, IdentityProvider(ports[1]) as slow:
        slow.delay = 2
        yield provider, slow, ports[2]


@pytest.fixture(scope="module")
def trusting(providers):
    """The running gateway."""
    provider, slow, gone = providers
    with run_stack("identity", provider, slow, gone, concurrency=2) as running:
        yield running


@pytest.fixture
def provider(providers):
    """The identity provider."""
    return providers[0]


@pytest.fixture
def bare(trusting):
    """A client without a credential."""
    with httpx.Client(base_url=trusting.url, timeout=30) as client:
        yield client


class Load:
    """Callers who each send a token of their own, again and again, until the load is left; keeps their answers."""

    def __init__(self, stack, mint, threads=4, source=None, pause=0.0):
        self.stack, self.mint, self.source, self.pause = stack, mint, source, pause
        self.answers, self.errors, self.seconds = [], [], 0.0
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(threads)]

    def run(self):
        """One caller."""
        transport = httpx.HTTPTransport(local_address=self.source) if self.source else None
        with httpx.Client(base_url=self.stack.url, timeout=30, transport=transport) as client:
            while not self.over.is_set():
                try:
                    answer = Caller(client, self.mint()).post(chat())
                    self.answers.append((answer.status_code, answer.text if answer.status_code != 200 else ""))
                except httpx.HTTPError as error:
                    self.errors.append(repr(error))
                time.sleep(self.pause)

    def __enter__(self):
        self.begun = time.monotonic()
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join(40)
        self.seconds = time.monotonic() - self.begun

    def failed(self):
        """Answers other than 200."""
        return [answer for answer in self.answers if answer[0] != 200] + self.errors

    def rate(self):
        """Answers in a second."""
        return len(self.answers) / self.seconds


def test_a_request_waits_for_the_first_keys_instead_of_failing(trusting, providers, bare):
    slow = providers[1]
    credential = slow.mint(sub="slow", iss="https://slow.test")
    # Two seconds are left of the answer, or none: it does not matter when this test runs.
    body = chat(content="x" * 200_000)
    assert_completion(Caller(bare, credential).post(body))
    assert slow.fetched() == 1, "one fetch for all workers"


def test_the_issuer_alone_suffices(provider, bare):
    assert_completion(Caller(bare, provider.mint()).post(chat()))
    assert provider.fetched("/.well-known/openid-configuration") >= 1


def test_a_credential_comes_in_any_of_its_places_and_stays_out_of_the_log(trusting, provider, bare):
    credential = provider.mint()
    body, path = chat(), "/v1/chat/completions"
    for headers in (
        {"authorization": "Bearer " + credential},
        {"x-api-key": credential},
        {"api-key": credential},
        {"x-gateway-key": credential},
        {"x-gateway-key": "Bearer " + credential},
    ):
        assert_completion(bare.post(path, json=body, headers=headers))
    assert_completion(bare.post(path, json=body, params={"key": credential, "other": "1"}))
    assert_error(bare.post(path, json=body, params={"key": "wrong"}), 401, code="invalid_api_key")
    two = bare.post(path, json=body, params={"key": credential}, headers={"x-gateway-key": "other"})
    assert_error(two, 401)
    time.sleep(0.5)
    for name in ("access", "envoy"):
        assert credential not in trusting.log(name).read_text(encoding="utf-8")
    for request in trusting.standins["openai"].requests():
        assert credential not in str(request)


def test_an_issuer_whose_keys_never_came_is_named_with_503(bare, provider):
    answer = Caller(bare, provider.mint(iss="https://gone.test")).post(chat())
    error = assert_error(answer, 503, code="issuer_unavailable", kind="api_error")
    assert "https://gone.test" in error["message"]
    assert int(answer.headers["retry-after"]) >= 1


def test_keys_rotate_under_load_and_no_good_request_fails(trusting, provider):
    before = provider.fetched()
    rotations = max(5, int(OUTAGE_SECONDS / 1.5))
    with Load(trusting, provider.mint) as load:
        time.sleep(1)
        for _ in range(rotations):
            provider.rotate()
            time.sleep(1.5)
    print("%d requests during %d rotations in %d s, %d failed" % (
        len(load.answers), rotations, load.seconds, len(load.failed())))  # fmt: skip
    assert load.failed() == []
    assert len(load.answers) > 100
    # One for each rotation, and the planned ones: both workers together.
    planned = load.seconds / 1.4 + 2
    assert provider.fetched() - before <= rotations + planned


def test_a_key_that_is_no_longer_published_is_no_longer_believed(provider, bare):
    credential = provider.mint()
    assert_completion(Caller(bare, credential).post(chat()))
    for _ in range(3):
        provider.rotate()
    deadline = time.monotonic() + 10
    while Caller(bare, credential).post(chat()).status_code == 200:
        assert time.monotonic() < deadline, "the cached token outlived its key"
        time.sleep(0.2)
    assert_error(Caller(bare, credential).post(chat()), 401, code="invalid_api_key")
    assert_completion(Caller(bare, provider.mint()).post(chat()))


@pytest.mark.slow
def test_known_keys_work_while_the_issuer_is_down(trusting, provider, bare):
    assert_completion(Caller(bare, provider.mint()).post(chat()))
    provider.stop()
    try:
        with Load(trusting, provider.mint, pause=0.02) as load:
            time.sleep(OUTAGE_SECONDS)
        print("%d requests while the issuer was down for %d s, %d failed" % (
            len(load.answers), load.seconds, len(load.failed())))  # fmt: skip
        assert load.failed() == []
        assert len(load.answers) > 20 * OUTAGE_SECONDS
        kid = provider.rotate()
        assert_error(Caller(bare, provider.mint(kid=kid)).post(chat()), 503, code="issuer_unavailable")
    finally:
        provider.start()
    deadline = time.monotonic() + 90
    while Caller(bare, provider.mint()).post(chat()).status_code != 200:
        assert time.monotonic() < deadline, "the issuer came back and was not asked"
        time.sleep(0.5)


def test_names_of_keys_that_are_made_up_cost_few_fetches(trusting, provider):
    stranger = ec.generate_private_key(ec.SECP256R1())
    numbers = iter(range(10**9))
    before = provider.fetched()
    with Load(trusting, lambda: provider.mint(kid="made-up-%d" % next(numbers), key=stranger)) as load:
        time.sleep(3)
    # They wait for the next fetch, or are refused by the budget of failures.
    assert {status for status, _ in load.answers} <= {401, 429}
    assert len(load.answers) >= 4
    assert provider.fetched() - before <= load.seconds / 1.0 + load.seconds / 1.4 + 2


def test_many_requests_wait_for_the_first_keys_together(providers):
    provider, slow, gone = providers
    with run_stack("identity-start", provider, slow, gone, concurrency=1) as running:
        with httpx.Client(base_url=running.url, timeout=30) as client:
            credentials = [slow.mint(sub="slow", iss="https://slow.test") for _ in range(20)]
            with concurrent.futures.ThreadPoolExecutor(20) as pool:
                answers = pool.map(lambda one: Caller(client, one).post(chat()), credentials)
            for answer in answers:
                assert_completion(answer)


def test_good_traffic_goes_on_during_a_flood_of_bad_signatures(providers):
    provider, slow, gone = providers
    stranger = ec.generate_private_key(ec.SECP256R1())

    def forged():
        return provider.mint(key=stranger)

    with run_stack("identity-flood", provider, slow, gone, concurrency=1) as running:
        with httpx.Client(base_url=running.url, timeout=30) as client:
            assert_completion(Caller(client, provider.mint()).post(chat()))
        with Load(running, provider.mint, threads=2, pause=0.02) as quiet:
            time.sleep(4)
        with Load(running, forged, threads=4, source="127.0.0.2") as flood:
            time.sleep(1)
            with Load(running, provider.mint, threads=2, pause=0.02) as beside:
                time.sleep(4)
    assert quiet.failed() == [] and beside.failed() == []
    statuses = [status for status, _ in flood.answers]
    assert set(statuses) <= {401, 429} and 429 in statuses, set(statuses)
    # The budget of failures, and a trickle of a sixteenth of the time beyond it, at 0.2 ms for each signature.
    assert statuses.count(401) <= 100 + (20 + 5000 / 16) * flood.seconds + 50, statuses.count(401)
    print(
        "good requests/s, each with a token never seen before: %.0f alone, %.0f beside %.0f bad ones/s"
        % (quiet.rate(), beside.rate(), flood.rate())
    )
    assert beside.rate() > quiet.rate() / 3
