# SPDX-License-Identifier: Apache-2.0
"""What the gateway charged beside what the stand-ins produced, request by request.

The gateway's side is Envoy's access log, whose fields the gateway seat writes when it settles. The other side is
the stand-ins' own record, which knows nothing of the gateway. The request's id joins them.
"""

import json
import time
from datetime import datetime, timezone


class AccessLog:
    """The lines of the requests that begin from now on."""

    def __init__(self, stack):
        self.path = stack.log("access")
        self.start = self.path.stat().st_size
        # Lines of earlier requests may still be on their way into the file.
        self.since = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"

    def lines(self):
        """The whole lines so far."""
        with open(str(self.path), "rb") as log:
            log.seek(self.start)
            text = log.read()
        whole = text[: text.rfind(b"\n") + 1]
        lines = [json.loads(line) for line in whole.splitlines() if line.startswith(b"{")]
        return [line for line in lines if line["start_time"] >= self.since]

    def wait_for(self, is_complete, timeout=15):
        """The lines, once `is_complete(lines)`; whatever is there after `timeout` seconds is an error."""
        deadline = time.monotonic() + timeout
        while True:
            lines = self.lines()
            if is_complete(lines):
                return lines
            assert time.monotonic() < deadline, "the access log stayed incomplete: %s" % lines[-3:]
            time.sleep(0.05)


def charged(line):
    """Input and output tokens that an access-log line says were charged; `None` if no provider was asked."""
    if line["tollgate.usage_source"] is None:
        return None
    return int(line["gen_ai.usage.input_tokens"]), int(line["gen_ai.usage.output_tokens"])


class Entry:
    """One request that reached a provider: its access-log line and the stand-ins' outcomes."""

    def __init__(self, line, attempts):
        self.line, self.attempts = line, attempts
        self.source, self.model = line["tollgate.usage_source"], line["gen_ai.request.model"]
        self.charged_input, self.charged_output = charged(line)
        self.charged = self.charged_input + self.charged_output
        self.produced_input = sum(each["outcome"]["input_tokens"] for each in attempts)
        self.produced_output = sum(each["outcome"]["output_tokens_sent"] for each in attempts)
        self.produced = self.produced_input + self.produced_output

    @property
    def is_exact(self):
        """Whether both counts agree with what was produced."""
        return (self.charged_input, self.charged_output) == (self.produced_input, self.produced_output)

    @property
    def is_served(self):
        """Whether a stand-in sent all that it had."""
        return any(each["outcome"]["completed"] for each in self.attempts)

    def __repr__(self):
        return "%s: charged %d + %d, produced %d + %d" % (
            self.source, self.charged_input, self.charged_output, self.produced_input, self.produced_output
        )  # fmt: skip


def requests_of(stack):
    """Everything the stand-ins were asked, once none of it is under way any more."""
    deadline = time.monotonic() + 15
    while True:
        found = [each for standin in stack.standins.values() for each in standin.requests()]
        if all(each["outcome"]["finished_at"] is not None for each in found):
            return found
        assert time.monotonic() < deadline, "an answer never ended"
        time.sleep(0.1)


def entries_of(lines, requests):
    """Joins both sides: the entries, and the stand-ins' requests that no line knows."""
    attempts = {}
    for request in requests:
        attempts.setdefault(request["headers"]["x-request-id"], []).append(request)
    entries = [Entry(line, attempts.pop(line["request_id"], [])) for line in lines if charged(line) is not None]
    return entries, [request for unknown in attempts.values() for request in unknown]


def production_of(stack):
    """When how many tokens were produced, by all stand-ins together, in order."""
    return sorted(tuple(each) for standin in stack.standins.values() for each in standin.control("GET", "/production"))


def worst_window(production, seconds):
    """The most that was produced in any interval of this length, ends included.

    The most is reached in an interval that ends at an event, so only those are looked at. This shares nothing
    with the limiter: neither buckets nor its clock.
    """
    worst = inside = first = 0
    for at, amount in production:
        inside += amount
        while production[first][0] < at - seconds:
            inside -= production[first][1]
            first += 1
        worst = max(worst, inside)
    return worst
