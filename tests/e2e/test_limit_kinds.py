# SPDX-License-Identifier: Apache-2.0
"""Limits of every kind: money, what is in flight, buckets, shadow mode, and who is special."""

import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest
from checks import assert_completion, assert_error, assert_whole_stream, chat
from conftest import HERE, RUN, Caller, Stack
from ledger import AccessLog

# Of prices.json, in USD for a token.
PRICES = {"gpt-4o-mini": (0.15e-6, 0.6e-6), "claude-haiku-4-5": (1e-6, 5e-6)}


@pytest.fixture(scope="module")
def kinds(issuer):
    """A gateway with limits of every kind."""
    folder = RUN / "kinds"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(str(HERE / "kinds.yaml"), str(folder / "gateway.yaml"))
    (folder / "jwks.json").write_text(json.dumps(issuer.jwks()), encoding="ascii")
    with Stack(folder / "gateway.yaml", "kinds", concurrency=2) as running:
        yield running


@pytest.fixture
def member(kinds, issuer):
    """Makes consumers of a team."""
    kinds.reset()
    with httpx.Client(base_url=kinds.url, timeout=30) as client:
        yield lambda team, **claims: Caller(client, issuer.mint(team, **claims))


@pytest.mark.parametrize("model", PRICES)
@pytest.mark.parametrize("is_streaming", [False, True], ids=["json", "stream"])
def test_the_cost_is_told_to_who_asks(model, is_streaming, member):
    caller = member("free")
    body = chat(model, content="count:20 cached:2", stream=is_streaming)
    if is_streaming:
        body["stream_options"] = {"include_usage": True}
    answer = caller.post(body, headers={"x-tollgate-usage-cost": "true"})
    if is_streaming:
        usage = json.loads(assert_whole_stream(answer)[-2])["usage"]
    else:
        usage = assert_completion(answer)["usage"]
    price_in, price_out = PRICES[model]
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    factor = 0.5 if model.startswith("gpt") else 0.1
    expected = (usage["prompt_tokens"] - cached + factor * cached) * price_in + usage["completion_tokens"] * price_out
    assert cached == 2 and usage["cost"] == pytest.approx(expected, rel=1e-9)
    assert "cost" not in caller.post(chat(model)).json()["usage"]


def test_a_budget_is_charged_exactly_and_refuses_for_good(kinds, issuer, member):
    credential = issuer.mint("budget")
    log = AccessLog(kinds)
    with httpx.Client(base_url=kinds.url, timeout=30) as client:
        caller = Caller(client, credential)
        for _ in range(3):
            assert_completion(caller.post(chat("claude-haiku-4-5", content="count:49", max_tokens=50)))
        lines = log.wait_for(lambda lines: len(lines) >= 3)
        for line in lines:
            tokens_in, tokens_out = int(line["gen_ai.usage.input_tokens"]), int(line["gen_ai.usage.output_tokens"])
            assert line["tollgate.cost"] == ("%.6f" % (tokens_in * 1e-6 + tokens_out * 5e-6)).rstrip("0")
        answer = caller.post(chat("claude-haiku-4-5", max_tokens=100))
        assert_error(answer, 429, code="insufficient_quota", kind="insufficient_quota")
        assert answer.headers["x-should-retry"] == "false" and "retry-after" not in answer.headers
        assert_error(caller.post(chat("gpt-unheard-of")), 403, code="model_without_price")
    kinds.reset()
    with openai.OpenAI(base_url=kinds.base_url, api_key=credential, max_retries=2, timeout=30) as sdk:
        begun = time.monotonic()
        with pytest.raises(openai.RateLimitError):
            sdk.chat.completions.create(
                model="claude-haiku-4-5", messages=[{"role": "user", "content": "Hi"}], max_tokens=100
            )
    refusals = [line for line in AccessLogOf(kinds, log).lines() if line["tollgate.refused_by"] == "limit"]
    assert len(refusals) == 3 and time.monotonic() - begun < 2, "the package does not try again"


class AccessLogOf(AccessLog):
    """The same log from the same place, read again once it is still."""

    def __init__(self, stack, log):
        super().__init__(stack)
        self.start, self.since = log.start, log.since
        time.sleep(0.5)


@pytest.mark.parametrize("tier, most", [("silver", 2), ("gold", 4)])
def test_only_so_many_requests_are_served_at_once(tier, most, kinds, issuer, member):
    credential = issuer.mint("at-once", tier=tier)
    kinds.standins["openai"].control("POST", "/faults", {"fault": {"delay_ms": 800}})

    def ask(_):
        with httpx.Client(base_url=kinds.url, timeout=30) as client:
            return Caller(client, credential).post(chat())

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(ask, range(6)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] * most + [429] * (6 - most)
    for answer in answers:
        if answer.status_code == 429:
            assert answer.headers["retry-after"] == "1"
    kinds.reset()
    assert_completion(ask(None))


def test_each_key_of_a_consumer_has_a_counter_of_its_own(kinds):
    kinds.reset()
    with httpx.Client(base_url=kinds.url, timeout=30) as client:
        day, night = Caller(client, "canary-of-the-day"), Caller(client, "canary-of-the-night")

        def spent_by(caller):
            limits = caller.get("/v1/tollgate/usage").json()["limits"]
            return {limit["name"]: limit["spent"] for limit in limits}

        assert [day.post(chat()).status_code for _ in range(3)] == [200, 200, 429]
        assert spent_by(night) == {"each-key": 0, "both-keys": 2}, "one consumer, two counters"
        assert_completion(night.post(chat()))
        assert spent_by(day) == {"each-key": 2, "both-keys": 3}
        assert spent_by(night) == {"each-key": 1, "both-keys": 3}
        assert_error(day.post(chat()), 429, code="rate_limit_exceeded")


def test_a_bucket_fills_again(member):
    caller = member("burst")
    statuses = [caller.post(chat()).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    time.sleep(0.6)
    assert [caller.post(chat()).status_code for _ in range(2)] == [200, 429]


def test_a_limit_in_shadow_mode_only_tells(kinds, member):
    caller = member("watched")
    log = AccessLog(kinds)
    answers = [caller.post(chat(content="count:8", max_tokens=8)) for _ in range(2)]
    assert all(answer.status_code == 200 for answer in answers)
    assert not any(name.startswith("x-ratelimit-") for name in answers[0].headers)
    lines = log.wait_for(lambda lines: len(lines) >= 2)
    assert [line["tollgate.would_refuse"] for line in lines] == [None, "watched"]


def test_a_caller_sees_its_own_limits_and_may_ask_why(kinds, member):
    caller = member("watched")
    assert_completion(caller.post(chat(content="count:8", max_tokens=8)))
    usage = caller.get("/v1/tollgate/usage").json()
    (limit,) = usage["limits"]
    assert (limit["name"], limit["used"], limit["remaining"], limit["mode"]) == ("watched", 85, 65, "shadow")
    kinds.reset()
    body = chat(content="count:8", max_tokens=8)
    answer = caller.post(body, headers={"x-tollgate-explain": "true"}).json()
    assert answer["decision"]["admitted"] and answer["limits"][0]["remaining"] == 65
    assert [target["provider"] for target in answer["route"]["targets"]] == ["openai"]
    assert kinds.standins["openai"].requests() == [], "nobody was asked"
    refused = member("free").post(body, headers={"x-tollgate-explain": "true"})
    assert_error(refused, 403, code="explain_not_allowed")
