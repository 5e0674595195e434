# SPDX-License-Identifier: Apache-2.0
"""An event leaves when its bytes have arrived, and not when the next comes or the stream ends."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from checks import chat
from ledger import AccessLog

PROVIDERS = {"gpt-4o-mini": "openai", "claude-haiku-4-5": "anthropic"}
GAP_MS = 200
EVENTS = 5


def arrivals(caller, body):
    """Every content event's text, with the seconds since the request."""
    started, found = time.monotonic(), []
    with caller.stream(body) as answer:
        assert answer.status_code == 200
        for line in answer.iter_lines():
            if line.startswith("data:") and "[DONE]" not in line:
                choices = json.loads(line[5:])["choices"]
                if choices and choices[0]["delta"].get("content"):
                    found.append((time.monotonic() - started, choices[0]["delta"]["content"]))
    return found


@pytest.mark.parametrize("model", PROVIDERS)
def test_each_event_leaves_when_it_arrives(model, caller, stack):
    stack.standins[PROVIDERS[model]].fault(model, {"between_events_ms": GAP_MS})
    found = arrivals(caller, chat(model, "count:%d" % EVENTS, stream=True))
    assert len(found) == EVENTS
    times = [at for at, _ in found]
    gap = GAP_MS / 1000
    assert times[-1] - times[0] > (EVENTS - 1) * gap * 0.8, "the events came together: something held them back"
    for earlier, later in zip(times, times[1:]):
        assert later - earlier > gap * 0.4, "an event waited for the next one: %s" % times


@pytest.mark.parametrize("model", PROVIDERS)
def test_the_first_event_does_not_wait_for_the_last(model, caller, stack):
    stack.standins[PROVIDERS[model]].fault(model, {"between_events_ms": 400})
    found = arrivals(caller, chat(model, "count:4", stream=True))
    assert found[0][0] < 0.4 < 1.0 < found[-1][0]


@pytest.mark.slow
def test_a_client_gets_signs_of_life_before_the_first_content(caller, stack):
    """A provider that thinks for long keeps its connection alive; what lies before us gives up on silent ones."""
    thinks = {"before_first_event_ms": 17_000, "keep_alive_ms": 1000}
    stack.standins["openai"].fault("gpt-4o-mini", {**thinks, "cut_after_bytes": 0})
    for model, provider in PROVIDERS.items():
        stack.standins[provider].fault(model, thinks, times=2)
    log = AccessLog(stack)

    def first_sign(model):
        begun = time.monotonic()
        with caller.stream(chat(model, "count:3", max_tokens=50, stream=True)) as answer:
            return time.monotonic() - begun, answer.read().decode()

    def leaves(model):
        with caller.stream(chat(model, "count:3", max_tokens=50, stream=True)) as answer:
            next(answer.iter_bytes())

    def breaks_off(model):
        with pytest.raises(httpx.RemoteProtocolError):
            first_sign(model)

    with ThreadPoolExecutor() as pool:
        broken = pool.submit(breaks_off, "gpt-4o-mini")
        time.sleep(0.5)
        left = pool.submit(leaves, "gpt-4o-mini")
        for silence, text in pool.map(first_sign, PROVIDERS):
            assert 14 < silence < 17, "seconds until the headers"
            assert text.startswith(": keep-alive\n\n") and text.endswith("data: [DONE]\n\n"), text
        broken.result(), left.result()
    lines = log.wait_for(lambda found: len(found) >= 4)
    charged = {(line["tollgate.usage_source"], line["gen_ai.usage.output_tokens"]) for line in lines}
    # Whoever leaves before content pays for what may have been written; what a provider breaks off had no output.
    assert charged == {("reported", "3"), ("estimated", "50"), ("partial", "0")}


@pytest.mark.parametrize("model", PROVIDERS)
def test_bytes_that_trickle_make_the_same_events(model, caller, stack):
    whole = "".join(text for _, text in arrivals(caller, chat(model, "count:3", stream=True)))
    stack.standins[PROVIDERS[model]].fault(model, {"trickle_ms": 1})
    assert "".join(text for _, text in arrivals(caller, chat(model, "count:3", stream=True))) == whole


@pytest.mark.parametrize("model", PROVIDERS)
def test_a_client_that_leaves_stops_the_provider(model, caller, stack):
    standin = stack.standins[PROVIDERS[model]]
    standin.fault(model, {"between_events_ms": 100})
    with caller.stream(chat(model, "count:100", max_tokens=200, stream=True)) as answer:
        next(answer.iter_lines())
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        outcome = standin.requests()[0]["outcome"]
        if outcome["aborted_by_client"]:
            assert outcome["events"] < 50
            return
        time.sleep(0.1)
    pytest.fail("the provider went on: %s" % outcome)
