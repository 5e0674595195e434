# SPDX-License-Identifier: Apache-2.0
"""Limits that run short: an output is lowered to what is left, and the provider told so."""

import json
import shutil

import httpx
import openai
import pytest
from checks import assert_error, assert_whole_stream, chat
from conftest import HERE, RUN, Caller, Stack

MAX = 1000
FAMILIES = pytest.mark.parametrize("family", ["gpt", "claude"])


@pytest.fixture(scope="module")
def short(issuer):
    """A gateway whose limits are small."""
    folder = RUN / "short"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(str(HERE / "short.yaml"), str(folder / "gateway.yaml"))
    (folder / "jwks.json").write_text(json.dumps(issuer.jwks()), encoding="ascii")
    with Stack(folder / "gateway.yaml", "short", concurrency=1) as running:
        yield running


@pytest.fixture
def member(short, issuer):
    """Makes consumers of a team."""
    short.reset()
    with httpx.Client(base_url=short.url, timeout=30) as client:
        yield lambda team: Caller(client, issuer.mint(team))


def asked_of(stack, family):
    """The bodies that the provider was sent."""
    name = "openai" if family == "gpt" else "anthropic"
    return [entry["body"] for entry in stack.standins[name].control("GET", "/requests")]


@FAMILIES
@pytest.mark.parametrize("is_streaming", [False, True], ids=["json", "stream"])
def test_the_provider_is_told_what_is_left(family, is_streaming, short, member):
    caller = member("clamped")
    first = caller.post(chat(family + "-a", content="count:700", max_tokens=900))
    assert first.status_code == 200 and "x-tollgate-clamped" not in first.headers
    answer = caller.post(chat(family + "-a", content="count:700", max_tokens=900, stream=is_streaming))
    assert answer.headers["x-tollgate-clamped"] == "max_output_tokens=300"
    assert [body["max_tokens"] for body in asked_of(short, family)] == [900, 300]
    if is_streaming:
        events = assert_whole_stream(answer)
        finishes = [json.loads(event)["choices"][0]["finish_reason"] for event in events[:-1]]
        assert finishes[-1] == "length"
    else:
        assert answer.json()["choices"][0]["finish_reason"] == "length"
        assert answer.json()["usage"]["completion_tokens"] == 300
    refused = caller.post(chat(family + "-a", max_tokens=900))
    assert_error(refused, 429, code="rate_limit_exceeded")


def test_a_request_without_a_bound_is_given_one(short, member):
    caller = member("clamped")
    assert caller.post(chat("gpt-a", content="count:700", max_tokens=900)).status_code == 200
    body = chat("gpt-a", content="count:700")
    del body["max_tokens"]
    answer = caller.post(body)
    assert answer.headers["x-tollgate-clamped"] == "max_output_tokens=300"
    assert asked_of(short, "gpt")[-1]["max_completion_tokens"] == 300
    assert answer.json()["usage"]["completion_tokens"] == 300
