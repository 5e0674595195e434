# SPDX-License-Identifier: Apache-2.0
"""What limits remember when Envoy is restarted: nothing, and so nobody is refused for what is gone."""

import json
import shutil
import threading

import httpx
import pytest
from checks import assert_error, chat
from conftest import HERE, RUN, Caller, Stack


@pytest.fixture(scope="module")
def restarted(issuer):
    """A gateway that only these tests use, for they stop it."""
    folder = RUN / "restart"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(str(HERE / "short.yaml"), str(folder / "gateway.yaml"))
    (folder / "jwks.json").write_text(json.dumps(issuer.jwks()), encoding="ascii")
    with Stack(folder / "gateway.yaml", "restart", concurrency=2) as running:
        yield running


def left_of(caller):
    """What the caller is told of its one limit."""
    (limit,) = caller.get("/v1/tollgate/usage").json()["limits"]
    return limit["spent"], limit["held"], limit["remaining"]


def test_a_restart_forgets_what_was_spent_and_what_was_held(restarted, issuer):
    credential = issuer.mint("stopped")
    with httpx.Client(base_url=restarted.url, timeout=30) as client:
        caller = Caller(client, credential)
        spent = caller.post(chat("gpt-a", content="count:600", max_tokens=600))
        assert spent.status_code == 200
        assert left_of(caller) == (600, 0, 400)
        assert_error(caller.post(chat("gpt-a", content="count:500", max_tokens=500)), 429, code="rate_limit_exceeded")

    # One that is in flight when the process ends: its hold goes with it.
    restarted.standins["openai"].control("POST", "/faults", {"model": "gpt-held", "fault": {"delay_ms": 20_000}})

    def be_cut_off():
        with httpx.Client(base_url=restarted.url, timeout=30) as held:
            with pytest.raises(httpx.HTTPError):
                Caller(held, credential).post(chat("gpt-held", content="count:9", max_tokens=300))

    flight = threading.Thread(target=be_cut_off)
    flight.start()
    with httpx.Client(base_url=restarted.url, timeout=30) as client:
        caller = Caller(client, credential)
        for _ in range(200):
            if left_of(caller)[1] == 300:
                break
        assert left_of(caller) == (600, 300, 100)

    restarted.restart_gateway()
    flight.join()
    with httpx.Client(base_url=restarted.url, timeout=30) as client:
        caller = Caller(client, credential)
        assert left_of(caller) == (0, 0, 1000), "the window begins anew"
        assert caller.post(chat("gpt-a", content="count:900", max_tokens=900)).status_code == 200
        assert_error(caller.post(chat("gpt-a", content="count:200", max_tokens=200)), 429, code="rate_limit_exceeded")
