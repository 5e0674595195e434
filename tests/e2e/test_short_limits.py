# SPDX-License-Identifier: Apache-2.0
"""Limits that run short: an output is lowered to what is left, and the provider told so."""

import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest
from checks import assert_error, assert_whole_stream, chat, streamed_text
from conftest import HERE, RUN, Caller, Stack
from ledger import AccessLog

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


def read_to_the_end(caller, body):
    """The events of a stream up to `[DONE]`, as clients read it; `None` if it was refused.

    Behind it the reset breaks the connection, unless the provider ends soon by itself.
    """
    with caller.stream(body) as answer:
        if answer.status_code != 200:
            return None
        events = []
        for line in answer.iter_lines():
            events += [line[5:].strip()] if line.startswith("data:") else []
            if line == "data: [DONE]":
                return events
    pytest.fail("the stream had no end: %s" % events[-2:])


def outcome_of(standin, wait=5):
    """How the provider's one request ended, once it has."""
    deadline = time.monotonic() + wait
    while time.monotonic() < deadline:
        outcome = standin.requests()[0]["outcome"]
        if outcome["finished_at"]:
            return outcome
        time.sleep(0.05)
    return outcome


@FAMILIES
@pytest.mark.parametrize("wants_usage", [False, True])
def test_a_provider_that_ignores_its_bound_is_stopped(family, wants_usage, short, member, issuer):
    """The official package sees a whole answer, and the provider sees its connection reset."""
    standin = short.standins["openai" if family == "gpt" else "anthropic"]
    standin.fault(family + "-a", {"ignore_max_tokens": True, "between_events_ms": 10})
    with openai.OpenAI(base_url=short.base_url, api_key=issuer.mint("stopped"), max_retries=0, timeout=30) as sdk:
        options = {"stream_options": {"include_usage": True}} if wants_usage else {}
        chunks = list(
            sdk.chat.completions.create(
                model=family + "-a",
                messages=[{"role": "user", "content": "count:500"}],
                max_tokens=40,
                stream=True,
                **options,
            )
        )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text.split() == [str(number) for number in range(1, 41)]
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "length"
    assert len({chunk.id for chunk in chunks}) == 1
    if wants_usage:
        assert chunks[-1].usage.completion_tokens == 40
    outcome = outcome_of(standin)
    assert outcome["aborted_by_client"] and not outcome["completed"]
    assert outcome["output_tokens_sent"] < 60, "the provider went on"


def test_a_stopped_stream_is_charged_for_what_was_produced(short, member):
    caller = member("stopped")
    short.standins["openai"].fault("gpt-a", {"ignore_max_tokens": True, "between_events_ms": 10})
    log = AccessLog(short)
    read_to_the_end(caller, chat("gpt-a", content="count:500", max_tokens=40, stream=True))
    (line,) = log.wait_for(lambda lines: len(list(lines)) >= 1)
    assert line["tollgate.usage_source"] == "partial"
    assert int(line["gen_ai.usage.output_tokens"]) == 41, "the one that went too far was produced, too"
    answer = caller.post(chat("gpt-b", max_tokens=50))
    assert answer.headers["x-ratelimit-remaining-tokens"] == str(MAX - 41 - 50)


@pytest.mark.parametrize("team, pace", [("paced", 5), ("sudden", 0)])
def test_streams_without_a_bound_share_an_allowance_and_no_more(team, pace, short, issuer):
    """Each takes more as it goes on, until nothing is left; then all of them end."""
    short.reset()
    rule = {"model": "gpt-unbound", "fault": {"between_events_ms": pace}} if pace else []
    short.standins["openai"].control("POST", "/faults", rule)
    body = chat("gpt-unbound", content="count:600", stream=True)
    del body["max_tokens"]

    def ask(_):
        with httpx.Client(base_url=short.url, timeout=60) as client:
            return read_to_the_end(Caller(client, issuer.mint(team, plan="shared")), body)

    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(ask, range(5)))
    served = [events for events in answers if events is not None]
    texts = [streamed_text(events).split() for events in served]
    produced = sum(request["outcome"]["output_tokens_sent"] for request in short.standins["openai"].requests())
    print("%d served, %s tokens each, %d produced of %d" % (len(served), list(map(len, texts)), produced, MAX))
    assert 0.9 * MAX <= sum(map(len, texts)) <= MAX
    if pace:
        assert produced <= MAX + 10 * len(served), "a provider went on"
