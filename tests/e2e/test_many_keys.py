# SPDX-License-Identifier: Apache-2.0
"""A hundred thousand API keys in the real Envoy: how long the start takes, what it holds, and what a lookup costs."""

import hashlib
import statistics
import time

import httpx
import pytest
from checks import ONE_MODEL
from conftest import RUN, Stack

KEYS = 100_000

HEAD = ONE_MODEL + "identity:\n  api_keys:\n"


def resident(stack):
    """What Envoy holds, in MiB: now, and at most since its start."""
    lines = open("/proc/%d/status" % stack.gateway.process.pid, encoding="ascii").read().splitlines()
    found = dict(line.split(":", 1) for line in lines)
    return [int(found[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM")]


def measure(count):
    """Seconds to start, memory, and the median time of a known key's request."""
    folder = RUN / "many-keys"
    folder.mkdir(parents=True, exist_ok=True)
    digests = (hashlib.sha256(b"key-%d" % n).hexdigest() for n in range(count))
    lines = ["    - { sha256: %s, consumer: consumer-%d }\n" % (digest, n) for n, digest in enumerate(digests)]
    (folder / "gateway.yaml").write_text(HEAD + "".join(lines), encoding="ascii")
    stack = Stack(folder / "gateway.yaml", "many-keys", concurrency=1)
    begun = time.monotonic()
    with stack:
        started = time.monotonic() - begun
        with httpx.Client(base_url=stack.url, timeout=30) as client:
            seconds = []
            for n in range(300):
                headers = {"authorization": "Bearer key-%d" % (n * 7919 % count)}
                sent = time.perf_counter()
                answer = client.get("/v1/models", headers=headers)
                seconds.append(time.perf_counter() - sent)
                assert answer.status_code == 200, answer.text
            assert client.get("/v1/models", headers={"authorization": "Bearer key-x"}).status_code == 401
        return started, *resident(stack), statistics.median(seconds)


@pytest.mark.slow
def test_a_hundred_thousand_keys_start_and_are_found_as_fast_as_one():
    few = measure(1)
    many = measure(KEYS)
    for count, (started, now, most, median) in ((1, few), (KEYS, many)):
        print("%6d keys: started in %.1f s, %.0f MiB held, %.0f MiB at most, a request %.2f ms"
              % (count, started, now, most, median * 1000))  # fmt: skip
    assert many[3] < few[3] * 3 + 0.001, "a lookup costs the same"
    assert many[1] - few[1] < 600, "MiB with one worker"
