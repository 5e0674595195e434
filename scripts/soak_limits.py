#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds a limit against a crowd for minutes, and proves by the providers' own books that it held.

    python3 scripts/soak_limits.py [--workers 2] [--seconds 300] [--callers 500] [--seed 1]

Five hundred callers of one team share one limit on the workers of one Envoy. They send whole answers and streams to
both dialects, with and without a bound, from providers that send one token with an event and several; they leave
whenever they like; providers refuse, break off before content, in the midst of a stream and of a JSON body, send what
nobody can read, and fail over to each other. Demand is several times the limit.

The judge is `tests/e2e/ledger.py`: what the stand-ins wrote down, request by request and event by event, with their
own clock. It shares nothing with the limiter. It asks for all of this:

- no interval of the window's length saw more tokens produced than the limit allows;
- over all windows, more than 95 % of the limit was charged;
- every token is accounted for: what was reported is charged exactly; of what broke off, each exchange is charged for all
  but what was on the wire; what nobody told of is charged with no less than was produced;
- what the limiter says it has in use at the end is what the access log says was charged in the last window, and nothing
  is held;
- the run was worth judging: every kind of request was served or failed as it was meant to, on every worker, and no
  counter was evicted or given up.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

import httpx  # noqa: E402
from conftest import Issuer  # noqa: E402
from crowd import Client, Leave  # noqa: E402
from ledger import AccessLog, entries_of, production_of, worst_window  # noqa: E402
from stack import RUN, Stack  # noqa: E402

MAX, WINDOW = 120_000, 30
LEAST_CHARGED = 0.95
SOURCES = ("reported", "partial", "estimated")
FILLER = "the quick brown fox jumps over the lazy dog and runs away from all that "

GATEWAY = """
providers:
  openai:
    kind: openai
    endpoint: https://api.openai.com/v1
    credential: { env: OPENAI_API_KEY }
  anthropic:
    kind: anthropic
    endpoint: https://api.anthropic.com
    credential: { env: ANTHROPIC_API_KEY }
models:
  - { name: gpt-quick, expected_output_tokens: 200, targets: [{ provider: openai }] }
  - { name: gpt-packed, expected_output_tokens: 200, targets: [{ provider: openai }] }
  - { name: gpt-breaks, expected_output_tokens: 200, targets: [{ provider: openai }] }
  - { name: gpt-cut, expected_output_tokens: 200, targets: [{ provider: openai }] }
  - { name: gpt-garbled, expected_output_tokens: 200, targets: [{ provider: openai }] }
  - { name: claude-paced, expected_output_tokens: 200, targets: [{ provider: anthropic }] }
  - name: refuses-first
    expected_output_tokens: 200
    targets: [{ provider: openai, model: gpt-refuses }, { provider: anthropic, model: claude-second, priority: 1 }]
  - name: fails-first
    expected_output_tokens: 200
    targets: [{ provider: openai, model: gpt-fails }, { provider: anthropic, model: claude-second, priority: 1 }]
identity:
  jwt:
    - issuer: https://issuer.test
      audiences: [tollgate]
      jwks: { file: jwks.json }
      claims: { consumer: sub, team: team }
limits:
  - { name: crowd, per: [team], count: total_tokens, max: %d, window: %ds }
""" % (MAX, WINDOW)

# What the stand-ins do with each model of theirs.
FAULTS = {
    "openai": {
        "gpt-quick": {"delay_ms": 20},
        "gpt-packed": {"delay_ms": 20, "tokens_per_event": 6, "between_events_ms": 10},
        "gpt-breaks": {"delay_ms": 20, "between_events_ms": 2, "in_stream_error": 25},
        "gpt-cut": {"delay_ms": 20, "between_events_ms": 2, "cut_after_events": 20},
        "gpt-garbled": {"delay_ms": 20, "between_events_ms": 2, "malformed_json": True},
        "gpt-refuses": {"status": 503},
        "gpt-fails": {"in_stream_error": 0},
    },
    "anthropic": {
        "claude-paced": {"delay_ms": 20, "between_events_ms": 2},
        "claude-second": {"delay_ms": 10},
    },
}
# Of a hundred requests; those that break off are few, or most of the limit would be lost to them.
SHARES = {
    "gpt-quick": 29,
    "gpt-packed": 25,
    "claude-paced": 25,
    "refuses-first": 8,
    "fails-first": 8,
    "gpt-breaks": 3,
    "gpt-cut": 1,
    "gpt-garbled": 1,
}
# Those whose callers get less than a whole answer.
BROKEN = {"gpt-breaks", "gpt-cut", "gpt-garbled"}
# A charge counts for a window and the part of it that expires as a whole.
REMEMBERED = WINDOW * 25 / 24
# Output that a stand-in which takes its time may have handed to its connection before it knew that nobody reads on.
# One that takes none has handed over everything.
ON_THE_WIRE = 128
PACED = {model for faults in FAULTS.values() for model, fault in faults.items() if "between_events_ms" in fault}


def request_of(mind):
    """A request of any kind, and when its client leaves, if it does."""
    model = mind.choices(list(SHARES), weights=list(SHARES.values()))[0]
    is_streaming = mind.random() < 0.6
    content = "count:%d " % mind.randint(20, 300) + FILLER[: mind.randint(0, 60)] * mind.randint(1, 6)
    body = {"model": model, "messages": [{"role": "user", "content": content}], "stream": is_streaming}
    if mind.random() < 0.7:
        body["max_tokens"] = mind.randint(100, 320)
    fate = mind.random()
    if fate < 0.02:
        return body, Leave(seconds=mind.uniform(0, 0.05))
    if fate < 0.12 and is_streaming:
        return body, Leave(body_bytes=mind.randint(500, 20_000))
    return body, None


class Crowd:
    """All callers, and what became of their requests."""

    def __init__(self, stack, issuer, options):
        until = int(time.time()) + options.seconds + 600
        names = ("caller-%d" % number for number in range(options.callers))
        self.clients = [
            Client(stack.port, issuer.mint("crowd", "ES256", sub=name, exp=until)) for name in names
        ]
        self.options, self.end = options, time.monotonic() + options.seconds
        self.statuses, self.unlucky = {}, 0

    async def run(self):
        """All at once, until the time is up."""
        await asyncio.gather(*(self.call(number, client) for number, client in enumerate(self.clients)))

    async def call(self, number, client):
        mind = random.Random(self.options.seed * 100_000 + number)
        await asyncio.sleep(mind.uniform(0, 1))
        while time.monotonic() < self.end:
            body, leave = request_of(mind)
            try:
                answer = await client.ask(body, leave)
                status = answer.status if answer.is_whole else "stopped" if answer.is_stopped else "left"
            except (asyncio.IncompleteReadError, ConnectionError):
                # The provider broke off, and the gateway could only do the same.
                client.close()
                status = "broken"
            self.statuses[status] = self.statuses.get(status, 0) + 1
            if status not in (200, 429, "left", "stopped") and body["model"] not in BROKEN:
                # A connection that was idle for a window may be closed just when it is used again.
                assert status == 503, (body["model"], status)
                self.unlucky += 1
            if status == 429:
                await asyncio.sleep(mind.uniform(0.5, 3))
        client.close()


def settled(stack, log):
    """The books of both sides, once nothing is under way any more."""
    deadline = time.monotonic() + 60
    while True:
        active = stack.stats("http.tollgate.").get("http.tollgate.downstream_rq_active", 0)
        requests = [each for standin in stack.standins.values() for each in standin.requests()]
        if not active and all(each["outcome"]["finished_at"] is not None for each in requests):
            break
        assert time.monotonic() < deadline, "a request never ended"
        time.sleep(0.2)
    time.sleep(1)
    asked = {request["headers"]["x-request-id"] for request in requests}
    lines = log.wait_for(lambda found: asked <= {line["request_id"] for line in found}, timeout=60)
    entries, unknown = entries_of(lines, requests)
    assert not unknown, "served and never settled: %s" % unknown[:2]
    return entries


def total(entries, what):
    """The sum of one figure."""
    return sum(getattr(entry, what) for entry in entries)


def told_input(entry):
    """The input tokens that providers reported. One that fails before any output reports nothing; that it has read the
    prompt is its own affair."""
    served = [each["outcome"] for each in entry.attempts if each["outcome"]["output_tokens_sent"] > 0]
    return sum(outcome["input_tokens"] for outcome in served) or entry.produced_input


def is_exact(entry):
    """Whether what was reported is what was charged."""
    return (entry.charged_input, entry.charged_output) == (told_input(entry), entry.produced_output)


def used(stack, issuer):
    """What the limiter itself says is in flight, and what was spent."""
    headers = {"authorization": "Bearer " + issuer.mint("crowd", "ES256", sub="observer")}
    answer = httpx.get(stack.base_url + "/tollgate/usage", headers=headers)
    (limit,) = answer.json()["limits"]
    return limit["held"], limit["spent"]


def charged_since(entries, since):
    """What was charged for exchanges that have ended since then, by the access log."""

    def end_of(line):
        begun = datetime.strptime(line["start_time"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
        return begun.timestamp() + line["duration_ms"] / 1000

    return sum(entry.charged for entry in entries if end_of(entry.line) >= since)


def judge_the_counter(stack, issuer, entries):
    """The limiter's own books agree with the access log."""
    now = time.time()
    in_flight, spent = used(stack, issuer)
    assert in_flight == 0, "%d tokens are held by nobody" % in_flight
    # The log's times are those of whole milliseconds, and the question took a while.
    least, most = charged_since(entries, now - WINDOW + 1), charged_since(entries, now - REMEMBERED - 1)
    assert least <= spent <= most, (least, spent, most)
    print("in use at the end: %d, by the log %d to %d" % (spent, least, most))


def judge_the_run(stack, entries, crowd, options):
    """Whether what was meant to happen did."""
    assert crowd.statuses.get(429, 0) > options.callers, "demand did not exceed the limit"
    assert all(crowd.statuses.get(end, 0) > 0 for end in ("left", "broken")), crowd.statuses
    assert crowd.unlucky <= 0.02 * crowd.statuses[200], crowd.unlucky
    kinds = {(entry.model, entry.source) for entry in entries}
    for model in SHARES:
        source = {"gpt-garbled": "estimated", "gpt-breaks": "partial", "gpt-cut": "partial"}.get(model, "reported")
        assert (model, source) in kinds, "%s was never %s" % (model, source)
    for model in ("refuses-first", "fails-first"):
        assert any(entry.model == model and len(entry.attempts) == 2 for entry in entries), model
    stats = stack.stats()
    for name in ("limit_evictions", "limit_failures"):
        found = [value for key, value in stats.items() if key.endswith("tollgate." + name)]
        assert not any(found), (name, found)
    of_workers = [
        value
        for key, value in stats.items()
        if key.startswith("listener.127.0.0.1_%d.worker_" % stack.port) and key.endswith("downstream_cx_total")
    ]
    assert len(of_workers) == options.workers, of_workers
    assert min(of_workers) >= options.callers / options.workers / 4, of_workers


def is_short(entry):
    """Whether more was produced than was charged and can have been on the wire."""
    return entry.model in PACED and entry.produced_output - entry.charged_output > ON_THE_WIRE


def judge_the_charges(entries):
    """Each exchange has cost what it should."""
    of_source = {source: [entry for entry in entries if entry.source == source] for source in SOURCES}
    inexact = [entry for entry in of_source["reported"] if not is_exact(entry)]
    assert not inexact, inexact[:5]
    partial = of_source["partial"]
    assert not (short := list(filter(is_short, partial))), short[:5]
    assert total(partial, "charged") >= 0.95 * total(partial, "produced"), "what broke off went uncharged"
    assert not (short := list(filter(is_short, of_source["estimated"]))), short[:5]
    assert total(of_source["estimated"], "charged") >= total(of_source["estimated"], "produced")


def report(entries, crowd, options, worst, shares):
    """The figures of a run."""
    print("%d workers, %d callers, %d s" % (options.workers, options.callers, options.seconds))
    print("at most %d of %d tokens produced in %d s (%.1f %%)" % (worst, MAX, WINDOW, 100 * worst / MAX))
    print("charged %.1f %% of the limit, produced %.1f %%" % shares)
    print("answers: %s" % ", ".join("%s: %d" % each for each in sorted(crowd.statuses.items(), key=str)))
    for source in SOURCES:
        some = [entry for entry in entries if entry.source == source]
        sides = [total(some, what + "_" + side) for what in ("charged", "produced") for side in ("input", "output")]
        print("%s: %d exchanges, charged %d + %d, produced %d + %d" % ((source, len(some)) + tuple(sides)))
        if source == "reported":
            untold = sum(entry.produced_input - told_input(entry) for entry in some)
            print("reported: %d of that input was read by attempts that failed before any output" % untold)


def judge(stack, entries, crowd, options):
    """All else that must hold; prints the figures first."""
    production = production_of(stack)
    began = production[0][0]
    windows = options.seconds // WINDOW
    end = began + windows * WINDOW
    produced = sum(amount for at, amount in production if at < end)
    # Charges carry no time in the log: the part of the last seconds is that of what was produced then.
    part = produced / sum(amount for _, amount in production)
    shares = (100 * part * total(entries, "charged") / windows / MAX, 100 * produced / windows / MAX)
    worst = worst_window(production, WINDOW)
    report(entries, crowd, options, worst, shares)

    assert worst <= MAX, "the limit was exceeded"
    if windows >= 2:
        assert shares[0] >= 100 * LEAST_CHARGED, "only %.1f %% of the limit was given out" % shares[0]
    assert sum(amount for _, amount in production) == total(entries, "produced")
    judge_the_charges(entries)
    judge_the_run(stack, entries, crowd, options)


def main():
    """Runs the soak; an assertion that fails is a finding."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--callers", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.seconds < WINDOW:
        parser.error("--seconds: expected at least a window of %d" % WINDOW)

    issuer = Issuer()
    folder = RUN / "soak-limits"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gateway.yaml").write_text(GATEWAY, encoding="ascii")
    (folder / "jwks.json").write_text(json.dumps(issuer.jwks()), encoding="ascii")
    with Stack(folder / "gateway.yaml", "soak-limits", concurrency=options.workers) as stack:
        for name, faults in FAULTS.items():
            for model, fault in faults.items():
                stack.standins[name].control("POST", "/faults", {"model": model, "fault": fault})
        log = AccessLog(stack)
        crowd = Crowd(stack, issuer, options)
        asyncio.run(crowd.run())
        entries = settled(stack, log)
        judge_the_counter(stack, issuer, entries)
        judge(stack, entries, crowd, options)
    print("the limit held")


if __name__ == "__main__":
    main()
