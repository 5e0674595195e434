# SPDX-License-Identifier: Apache-2.0
"""What one request costs, however it ends: in the access log, and in what is left of the limit.

The stand-ins count an input of "Say hello." as 6 tokens and their answer to it as 4. Where the provider does not
say, the gateway charges its own estimate. Before it has learned anything, that is a token for 4 bytes of `messages`
(JSON and all) and 8 for the frame, with the input rounded up by an eighth and 8 more, so that a limit holds: 29.
"""

import json
import math
import shutil

import httpx
import pytest
from checks import assert_completion, assert_error, assert_whole_stream, chat, remaining
from conftest import HERE, RUN, Caller, Stack
from ledger import AccessLog, charged, entries_of, requests_of

MAX = 100_000
INPUT, OUTPUT = 6, 4
ESTIMATED_INPUT = 19
# Of "count:400" or another number of three digits, in JSON without spaces.
INPUT_OF_COUNT, ESTIMATED_INPUT_OF_COUNT = 6, 18


@pytest.fixture(scope="module")
def settling(issuer):
    """A gateway that has learned nothing from other tests."""
    folder = RUN / "settlement"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(str(HERE / "settlement.yaml"), str(folder / "gateway.yaml"))
    (folder / "jwks.json").write_text(json.dumps(issuer.jwks()), encoding="ascii")
    with Stack(folder / "gateway.yaml", "settlement", concurrency=1) as running:
        yield running


class Case:
    """One consumer's one request, and the account of it."""

    def __init__(self, stack, client, issuer):
        self.stack, self.client, self.issuer = stack, client, issuer
        self.claims = issuer.claims()
        self.caller = Caller(client, issuer.mint(sub=self.claims["sub"]))
        self.log = AccessLog(stack)
        self.found = None

    def fault(self, fault, model=None, times=1):
        """What goes wrong at every provider."""
        for standin in self.stack.standins.values():
            standin.control("POST", "/faults", {"fault": fault, "times": times, **({"model": model} if model else {})})

    def entry(self):
        """Both sides' account of the request."""
        if self.found is None:
            lines = self.log.wait_for(lambda lines: any(map(self.is_mine, lines)))
            ((self.found,), _) = entries_of(filter(self.is_mine, lines), requests_of(self.stack))
        return self.found

    def is_mine(self, line):
        """Whether it is a line of this case's consumer."""
        return line["tollgate.consumer"] == self.claims["sub"]

    def assert_charged(self, source, input_tokens, output_tokens):
        """The access log says so, and the limit has that much less left."""
        entry = self.entry()
        assert (entry.source, entry.charged_input, entry.charged_output) == (source, input_tokens, output_tokens)
        assert self.taken() == input_tokens + output_tokens, "the limit and the access log disagree"
        return entry

    def taken(self):
        """What the limiter has charged this consumer.

        The same small request of a consumer who has used nothing shows what its own reservation takes.
        """
        self.stack.reset()
        probe = chat("gpt-probe", content="Hi", max_tokens=1)
        mine = self.caller.post(probe)
        other = Caller(self.client, self.issuer.mint()).post(probe)
        assert_completion(mine)
        assert_completion(other)
        assert mine.headers["x-ratelimit-limit-tokens"] == str(MAX)
        return remaining(other) - remaining(mine)


@pytest.fixture
def case(settling, issuer):
    """A request's account."""
    settling.reset()
    with httpx.Client(base_url=settling.url, timeout=30) as client:
        yield Case(settling, client, issuer)


PROVIDERS = pytest.mark.parametrize("family", ["gpt", "claude"])


@PROVIDERS
@pytest.mark.parametrize("is_streaming", [False, True], ids=["json", "stream"])
def test_what_the_provider_reports_is_charged(family, is_streaming, case):
    answer = case.caller.post(chat(family + "-reported", stream=is_streaming))
    if is_streaming:
        assert_whole_stream(answer)
    else:
        assert_completion(answer)
    assert case.assert_charged("reported", INPUT, OUTPUT).is_exact


@PROVIDERS
@pytest.mark.parametrize("is_streaming", [False, True], ids=["json", "stream"])
def test_an_answer_cut_at_max_tokens_is_charged_as_it_was_cut(family, is_streaming, case):
    body = chat(family + "-reported", content="count:500", max_tokens=60, stream=is_streaming)
    assert case.caller.post(body).status_code == 200
    assert case.assert_charged("reported", INPUT_OF_COUNT, 60).is_exact


@PROVIDERS
@pytest.mark.parametrize("is_streaming", [False, True], ids=["json", "stream"])
def test_a_client_that_leaves_before_the_answer_pays_what_it_reserved(family, is_streaming, case):
    """The provider may answer in full to nobody, and nobody would tell."""
    case.fault({"delay_ms": 1500})
    with pytest.raises(httpx.ReadTimeout):
        case.caller.post(chat(family + "-aborted", max_tokens=5000, stream=is_streaming), timeout=0.3)
    case.assert_charged("estimated", ESTIMATED_INPUT, 5000)


@PROVIDERS
def test_a_client_that_leaves_in_a_stream_pays_for_what_it_got(family, case):
    """The gateway sees each event as it leaves, so only what is still on the wire goes uncounted."""
    case.fault({"between_events_ms": 40})
    body = chat(family + "-aborted", content="count:400", max_tokens=5000, stream=True)
    with case.caller.stream(body) as answer:
        seen = 0
        for line in answer.iter_lines():
            seen += '"content":"' in line and '"content":""' not in line
            if seen == 12:
                break
    entry = case.entry()
    assert entry.source == "partial"
    # Anthropic says what the input was when the stream begins, OpenAI when it ends.
    assert entry.charged_input == (INPUT_OF_COUNT if family == "claude" else ESTIMATED_INPUT_OF_COUNT)
    assert entry.produced_output in (12, 13, 14), "what the stand-in wrote before it noticed"
    # What was seen: "1 2 ... 12 ", an event each, and perhaps what came while the client left.
    assert 12 <= entry.charged_output <= entry.produced_output
    assert case.taken() == entry.charged


@pytest.mark.parametrize("is_streaming", [False, True], ids=["json", "stream"])
def test_a_failure_of_all_providers_costs_nothing(is_streaming, case):
    case.fault({"status": 500}, times=5)
    assert_error(case.caller.post(chat("resilient", max_tokens=5000, stream=is_streaming)), 500)
    entry = case.assert_charged("estimated", 0, 0)
    assert len(entry.attempts) == 2 and entry.line["tollgate.attempts"] == "2"


@PROVIDERS
def test_a_stream_that_the_provider_cuts_is_charged_as_far_as_it_came(family, case):
    case.fault({"cut_after_events": 12})
    body = chat(family + "-broken", content="count:400", max_tokens=5000, stream=True)
    with pytest.raises(httpx.RemoteProtocolError), case.caller.stream(body) as answer:
        answer.read()
    known = INPUT_OF_COUNT if family == "claude" else ESTIMATED_INPUT_OF_COUNT
    assert case.assert_charged("partial", known, 12).produced_output == 12


@PROVIDERS
def test_a_json_answer_that_the_provider_cuts_costs_what_was_reserved(family, case):
    """It was written before its first byte was sent, and nobody knows how long it was."""
    case.fault({"cut_after_events": 1}, times=5)
    answer = case.caller.post(chat(family + "-broken", max_tokens=5000))
    assert answer.status_code >= 500
    case.assert_charged("estimated", ESTIMATED_INPUT, 5000)


@pytest.mark.parametrize(
    "fault, is_streaming",
    [
        ({"status": 503}, False),
        ({"status": 503}, True),
        ({"wrong_content_type": "text/html"}, False),
        ({"wrong_content_type": "text/html"}, True),
        ({"in_stream_error": 0}, True),
    ],
)
def test_only_the_attempt_that_served_is_charged(fault, is_streaming, case):
    case.fault(fault, model="gpt-first")
    answer = case.caller.post(chat("resilient", max_tokens=5000, stream=is_streaming))
    assert answer.status_code == 200 and answer.headers["x-tollgate-provider"] == "anthropic"
    entry = case.assert_charged("reported", INPUT, OUTPUT)
    assert entry.line["tollgate.attempts"] == "2" and entry.line["gen_ai.provider.name"] == "anthropic"


@PROVIDERS
@pytest.mark.parametrize("is_streaming", [False, True], ids=["json", "stream"])
def test_an_answer_that_cannot_be_read_is_charged_by_its_size(family, is_streaming, case):
    """The provider has written it, and sends its bill to somebody."""
    body = '{"choices": [' + "7 " * 200
    fault = {"body": "data: %s\n\n" % body, "content_type": "text/event-stream"} if is_streaming else {"body": body}
    case.fault(fault, times=5)
    answer = case.caller.post(chat(family + "-garbled", max_tokens=5000, stream=is_streaming))
    assert_error(answer, 502, code="upstream_misbehaved")
    case.assert_charged("estimated", ESTIMATED_INPUT, math.ceil(len(fault["body"]) / 4))


@PROVIDERS
def test_an_answer_that_is_too_large_costs_what_was_reserved(family, case):
    """Nobody reads on to know what was in it."""
    case.fault({"body": '{"a": "%s"}' % ("x" * 100_000)}, times=5)
    answer = case.caller.post(chat(family + "-garbled", max_tokens=5000))
    assert_error(answer, 502, code="upstream_misbehaved")
    case.assert_charged("estimated", ESTIMATED_INPUT, 5000)


def test_an_answer_that_cannot_be_read_is_paid_beside_the_one_that_served(case):
    case.fault({"malformed_json": True}, model="gpt-garbled-first")
    answer = case.caller.post(chat("garbled-first", max_tokens=5000))
    assert answer.status_code == 200 and answer.headers["x-tollgate-provider"] == "anthropic"
    entry = case.entry()
    assert entry.source == "estimated" and len(entry.attempts) == 2
    assert entry.charged_input == ESTIMATED_INPUT + INPUT
    # All of the body is taken for output, its names and braces as well.
    assert entry.produced_output < entry.charged_output < 200
    assert case.taken() == entry.charged


def test_a_request_that_the_provider_seat_refuses_costs_nothing(case):
    answer = case.caller.post(chat("claude-reported", n=2, max_tokens=5000))
    assert_error(answer, 400, param="n")
    entry = case.assert_charged("estimated", 0, 0)
    assert entry.attempts == [], "no provider was asked"


@PROVIDERS
@pytest.mark.parametrize("is_streaming", [False, True], ids=["json", "stream"])
def test_an_answer_without_usage_is_estimated(family, is_streaming, case):
    case.fault({"no_usage": True})
    answer = case.caller.post(chat(family + "-silent", max_tokens=5000, stream=is_streaming))
    assert answer.status_code == 200
    name = "OpenAI" if family == "gpt" else "Anthropic"
    case.assert_charged("estimated", ESTIMATED_INPUT, math.ceil(len(name + " stand-in: Say hello.") / 4))


def test_a_reported_zero_is_a_zero(case):
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    message = {"role": "assistant", "content": "Hello, and this costs nothing.", "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-silent"}
    case.fault({"body": json.dumps({**body, "choices": [choice], "usage": usage})})
    assert_completion_for_nothing(case.caller.post(chat("gpt-silent", max_tokens=5000)))
    case.assert_charged("reported", 0, 0)


def assert_completion_for_nothing(answer):
    assert answer.status_code == 200, answer.text
    assert answer.json()["usage"]["total_tokens"] == 0


def test_a_request_that_no_provider_sees_has_no_account(case):
    answer = case.caller.post(chat("gpt-reported", content="x", max_tokens=MAX + 1))
    assert_error(answer, 400, code="request_exceeds_limit")
    mine = case.log.wait_for(lambda lines: any(case.is_mine(line) for line in lines))
    (line,) = [line for line in mine if case.is_mine(line)]
    assert charged(line) is None and line["tollgate.refused_by"] == "limit"
    assert case.taken() == 0


def test_requests_counted_one_by_one_add_up(case):
    """Twenty requests of all kinds by one consumer: the limit has exactly their sum less left."""
    bodies = [
        chat(family + "-reported", content="count:%d" % (n * 7), max_tokens=100, stream=n % 3 == 0)
        for n, family in enumerate(["gpt", "claude"] * 10)
    ]
    for body in bodies:
        assert case.caller.post(body).status_code == 200
    lines = case.log.wait_for(lambda found: sum(map(case.is_mine, found)) == len(bodies))
    entries, unknown = entries_of(lines, requests_of(case.stack))
    assert len(entries) == len(bodies) and all(entry.is_exact for entry in entries) and not unknown
    assert case.taken() == sum(entry.charged for entry in entries)
