# SPDX-License-Identifier: Apache-2.0
"""The promise of a limit, under a crowd: what the providers produce never exceeds it.

Two hundred callers of one team share one limit on two workers of Envoy. They send JSON and streams to both dialects,
leave before the answer or in the midst of it, and come back until the limit is used up. The judge is what the
stand-ins say they produced, with their own time stamps; it knows nothing of the gateway.
"""

import asyncio
import json
import random
import shutil
import time

import pytest
from conftest import HERE, RUN, Stack
from crowd import Client, Leave
from ledger import AccessLog, entries_of, production_of, requests_of, worst_window

CALLERS = 200
MAX = 100_000
SLIDING_MAX, SLIDING_WINDOW = 30_000, 4
WORDS = "the quick brown fox jumps over the lazy dog and runs away from all that "

# Time between events, and before the headers: so that clients can leave at any point.
PACES = {
    "gpt-paced": {"between_events_ms": 3, "delay_ms": 20},
    "claude-paced": {"between_events_ms": 3, "delay_ms": 20},
}


@pytest.fixture(scope="module")
def crowded(issuer):
    """A gateway with two workers of its own."""
    folder = RUN / "soak"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(str(HERE / "soak.yaml"), str(folder / "gateway.yaml"))
    (folder / "jwks.json").write_text(json.dumps(issuer.jwks()), encoding="ascii")
    with Stack(folder / "gateway.yaml", "soak", concurrency=2) as running:
        yield running


@pytest.fixture
def account(crowded):
    """The account of what happens in one test."""
    crowded.reset()
    for standin in crowded.standins.values():
        for model, fault in PACES.items():
            standin.control("POST", "/faults", {"model": model, "fault": fault})
    return Account(crowded)


class Account:
    """Both sides' books, closed only when nothing is under way."""

    def __init__(self, stack):
        self.stack, self.log = stack, AccessLog(stack)

    def close(self):
        """Waits until all has ended; answers with the entry of every request that was admitted."""
        deadline = time.monotonic() + 15
        while self.stack.stats("http.tollgate.").get("http.tollgate.downstream_rq_active", 0):
            assert time.monotonic() < deadline, "a request never ended"
            time.sleep(0.05)
        requests = requests_of(self.stack)
        # The last lines are on their way into the file, also those of requests that no stand-in knows.
        time.sleep(0.5)
        asked = {request["headers"]["x-request-id"] for request in requests}
        lines = self.log.wait_for(lambda found: asked <= {line["request_id"] for line in found})
        entries, unknown = entries_of(lines, requests)
        assert not unknown, "served and never settled: %s" % unknown[:2]
        return entries


class Crowd:
    """The callers, each a consumer of its own with a random mind of its own."""

    def __init__(self, stack, issuer, team, seed):
        self.clients = [
            Client(stack.port, issuer.mint(team, "ES256", sub="%s-%d" % (team, n))) for n in range(CALLERS)
        ]
        self.team, self.seed = team, seed
        self.whole = self.left = self.refused = 0

    async def run(self, stay):
        """All at once; each goes on as long as `stay(requests, refusals in a row)` says."""
        await asyncio.gather(*(self.call(n, client, stay) for n, client in enumerate(self.clients)))

    async def call(self, number, client, stay):
        mind = random.Random(self.seed * CALLERS + number)
        asked = refused = 0
        while stay(asked, refused):
            asked += 1
            body, leave = request_of(mind)
            answer = await client.ask(body, leave)
            if answer.status == 429:
                self.refused += 1
                refused += 1
                await asyncio.sleep(mind.uniform(0.1, 0.4))
                continue
            refused = 0
            assert answer.status in (200, None), (answer.status, answer.body)
            self.whole += answer.is_whole
            self.left += not answer.is_whole
        client.close()

    def assert_on_both_workers(self, stack):
        """Each worker has served a good part of the connections."""
        served = stack.stats("listener.")
        counts = [value for key, value in served.items() if ".worker_" in key and key.endswith("cx_total")]
        counts = [count for count in counts if count]
        assert len(counts) >= 2 and min(counts) >= CALLERS // 10, served


def request_of(mind):
    """A request of any kind, and when its client leaves, if it does."""
    family, pace = mind.choice(["gpt", "claude"]), mind.choice(["quick", "paced"])
    is_streaming = mind.random() < 0.6
    content = "count:%d " % mind.randint(1, 80) + WORDS[: mind.randint(0, 60)] * mind.randint(1, 6)
    body = {
        "model": "%s-%s" % (family, pace),
        "messages": [{"role": "user", "content": content}],
        "max_tokens": mind.randint(5, 100),
        "stream": is_streaming,
    }
    fate = mind.random()
    if fate < 0.1:
        return body, Leave(seconds=mind.uniform(0, 0.06))
    if fate < 0.25 and is_streaming:
        return body, Leave(body_bytes=mind.randint(1, 6000))
    return body, None


def probe(tokens=1):
    """A request whose reservation never changes but for `tokens`: too short to teach the gateway anything."""
    return {"model": "gpt-probe", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": tokens}


@pytest.fixture(scope="module")
def probe_input(crowded, issuer):
    """What the input of a probe reserves, seen with a consumer that has used nothing."""
    answer = asyncio.run(Client(crowded.port, issuer.mint("bystander", "ES256")).ask(probe()))
    assert answer.headers["x-ratelimit-limit-tokens"] == str(MAX)
    return MAX - int(answer.headers["x-ratelimit-remaining-tokens"]) - 1


def assert_what_is_left(stack, issuer, probe_input, expected):
    """The limiter has exactly `expected` left: that much is admitted, and one more is not."""
    member = Client(stack.port, issuer.mint("crowd", "ES256"))
    fitting = expected - probe_input

    async def ask():
        refused = await member.ask(probe(max(fitting + 1, 1)))
        assert refused.status == 429, "more is left than %d" % expected
        if fitting > 0:
            admitted = await member.ask(probe(fitting))
            assert admitted.status == 200, "less is left than %d: %s" % (expected, admitted.body)
            assert admitted.headers["x-ratelimit-remaining-tokens"] == "0"

    asyncio.run(ask())


def assert_settled(entries, crowd):
    """What a whole answer cost is what the provider says it produced, request by request; what was left is near it.

    Where the client left there is no such equality to ask for. Nobody told the gateway the output, and OpenAI not
    even the input: it charges its estimates, of the output by the bytes that it saw. The stand-in writes on until it
    notices, into the buffers of two sockets. A client that leaves before a word came back pays all that was
    reserved for it. In sum they pay for more than was produced, which is why the limit holds with them, too.
    """
    reported = [entry for entry in entries if entry.source == "reported"]
    assert all(entry.is_exact for entry in reported), [entry for entry in reported if not entry.is_exact][:5]
    assert len(reported) >= crowd.whole > 0
    partial = [entry for entry in entries if entry.source == "partial"]
    silent = [entry for entry in entries if entry.source == "estimated"]
    assert len(reported) + len(partial) + len(silent) == len(entries)
    assert crowd.left >= len(partial) + len(silent) > 0
    assert total(partial + silent, "charged") >= total(partial + silent, "produced")
    assert all(entry.charged_output >= entry.produced_output for entry in silent)
    seen = [entry for entry in partial if entry.charged_output > 0 and entry.model in PACES]
    assert 0.7 <= total(seen, "charged_output") / total(seen, "produced_output") <= 1.1
    assert max(entry.charged_output - entry.produced_output for entry in seen) <= 15


def total(entries, what):
    """The sum of one figure."""
    return sum(getattr(entry, what) for entry in entries)


def report(name, entries, most, worst, crowd):
    """The figures of a run, for `pytest -s`."""
    print("\n%s: at most %d of %d in a window (%.1f %%)" % (name, worst, most, 100 * worst / most), end="")
    print(", %d refusals" % crowd.refused)
    kinds = {
        "whole": lambda entry: entry.source == "reported",
        "left with content seen": lambda entry: entry.source == "partial" and entry.charged_output > 0,
        "left before content": lambda entry: entry.source == "estimated",
    }
    for kind, belongs in kinds.items():
        some = [entry for entry in entries if belongs(entry)]
        sides = [total(some, what + "_" + side) for what in ("charged", "produced") for side in ("input", "output")]
        worst_of = max([entry.produced - entry.charged for entry in some] or [0])
        print("  %s: %d, charged %d + %d, produced %d + %d," % ((kind, len(some)) + tuple(sides)), end="")
        print(" at most %d more than charged" % worst_of)


def test_a_crowd_never_gets_more_than_the_limit_and_nearly_all_of_it(crowded, issuer, account, probe_input):
    crowd = Crowd(crowded, issuer, "crowd", seed=1)
    asyncio.run(crowd.run(lambda asked, _: asked < 3))
    crowd.assert_on_both_workers(crowded)
    entries = account.close()
    assert_settled(entries, crowd)
    assert_what_is_left(crowded, issuer, probe_input, MAX - total(entries, "charged"))
    # Now all that is left, and more.
    asyncio.run(crowd.run(lambda _, refused: refused < 4))
    entries = account.close()
    worst = worst_window(production_of(crowded), 3600)
    report("one window", entries, MAX, worst, crowd)
    assert crowd.refused > CALLERS
    assert_settled(entries, crowd)
    # Who leaves before a word came back pays for what was reserved: on a busy machine more than a tenth of the limit.
    assert 0.75 * MAX <= worst == total(entries, "produced")
    assert 0.98 * MAX <= total(entries, "charged") <= MAX
    assert_what_is_left(crowded, issuer, probe_input, MAX - total(entries, "charged"))


@pytest.mark.slow
def test_no_window_ever_has_more_than_the_limit(crowded, issuer, account):
    windows = 3
    crowd = Crowd(crowded, issuer, "stream", seed=2)
    end = time.monotonic() + windows * SLIDING_WINDOW + 1
    asyncio.run(crowd.run(lambda _, __: time.monotonic() < end))
    entries = account.close()
    production = production_of(crowded)
    worst = worst_window(production, SLIDING_WINDOW)
    report("sliding", entries, SLIDING_MAX, worst, crowd)
    assert_settled(entries, crowd)
    assert worst <= SLIDING_MAX
    (began, _), *_ = production
    served = sum(amount for at, amount in production if at < began + windows * SLIDING_WINDOW)
    # Charges carry no time in the log: the part of these windows is that of what was produced in them.
    charged = total(entries, "charged") * served / total(entries, "produced")
    print("sliding: %.1f %% of the limit charged over %d windows" % (100 * charged / windows / SLIDING_MAX, windows))
    assert charged >= 0.95 * windows * SLIDING_MAX


def test_large_prompts_among_small_ones_do_not_overshoot_together(crowded, issuer, account):
    """What the gateway learns of small prompts must not make it think too little of large ones."""
    crowd = Crowd(crowded, issuer, "mixed", seed=3)
    small, large = WORDS[:40], "the quick " * 400

    def body(content):
        return {"model": "gpt-held", "messages": [{"role": "user", "content": content}], "max_tokens": 5}

    async def ask():
        teacher = Client(crowded.port, issuer.mint("bystander", "ES256"))
        for _ in range(100):
            assert (await teacher.ask(body(small))).status == 200
        # Held until all are admitted or refused, so nothing is settled in between.
        crowded.reset()
        crowded.standins["openai"].control("POST", "/faults", {"fault": {"delay_ms": 2000}})
        return await asyncio.gather(*(client.ask(body(large)) for client in crowd.clients))

    answers = asyncio.run(ask())
    served = sum(answer.status == 200 for answer in answers)
    worst = worst_window(production_of(crowded), 3600)
    print("\n%d large prompts served; %d of %d" % (served, worst, MAX))
    assert served > 0
    assert worst <= MAX
