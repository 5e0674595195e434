#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sends one request each of ever new callers through the real Envoy, and watches its memory.

    python3 scripts/million_callers.py [--callers 1000000]

Every caller has a JSON Web Token of its own with a long name in it, which the gateway verifies, remembers in its
cache of verified tokens, and gives a counter. An hour's window keeps every counter wanted until the end. Without
bounds a million of them would take some 400 MB, by what the first thousands take. What is allowed is the gateway's
memory when warm, the bound that `limit_store` documents, the caches, and an allowance for what Envoy and the
allocator keep.

Ed25519, because it is the quickest to sign here and to verify there.
"""

import argparse
import asyncio
import base64
import json
import os
import re
import sys
import time

from stack import RUN, Stack

WORKERS = 2
CONNECTIONS = 64
# As many requests are written to a connection before their answers are read: a driver in Python is not fast.
BATCH = 25
# Requests per second. Each has a signature of its own, and those may take half of a worker's time: beyond it the gateway
# answers 429 (docs/decisions/0030-what-strangers-may-cost.md), as a fast machine would see.
RATE = 2500

# `limit_store` in src/config/limits.rs: these are its defaults, and what one counter takes at most.
SHARDS, COUNTERS_PER_SHARD, MAX_COUNTER = 1024, 64, 440
SHARD_HEADER, SHARD_KEY = 9, 23
STORE_BOUND = SHARDS * (SHARD_HEADER + SHARD_KEY + COUNTERS_PER_SHARD * MAX_COUNTER)
# MAX_BYTES of src/policy/auth/cache.rs, for each worker, twice for the table's own room.
CACHE_BOUND = WORKERS * 2 * (4 << 20)
# Envoy's buffers, statistics and the allocator's slack.
ALLOWANCE = 16 << 20
BOUND = STORE_BOUND + CACHE_BOUND + ALLOWANCE

GATEWAY = """
providers:
  openai:
    kind: openai
    endpoint: https://api.openai.com/v1
    credential:
      env: OPENAI_API_KEY
models:
  - name: gpt-any
    targets:
      - provider: openai
identity:
  jwt:
    - issuer: https://issuer.test
      audiences: [tollgate]
      jwks:
        file: jwks.json
      claims:
        consumer: sub
access:
  - models: ["*"]
limits:
  - name: each
    per: [consumer]
    count: total_tokens
    max: 100000
    window: 1h
"""


def encoded(data):
    """base64url without padding, as JSON Web Tokens have it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


class Signer:
    """An issuer with one Ed25519 key."""

    def __init__(self):
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self.key = Ed25519PrivateKey.generate()
        self.head = encoded(json.dumps({"alg": "EdDSA", "kid": "callers", "typ": "JWT"}).encode())
        self.until = int(time.time()) + 7200

    def jwks(self):
        """The public key, as RFC 8037 has it."""
        x = encoded(self.key.public_key().public_bytes_raw())
        return {"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "callers", "alg": "EdDSA", "use": "sig", "x": x}]}

    def token(self, subject):
        """A token for `subject`."""
        claims = '{"iss":"https://issuer.test","aud":"tollgate","sub":"%s","exp":%d}' % (subject, self.until)
        signed = self.head + "." + encoded(claims.encode())
        return signed + "." + encoded(self.key.sign(signed.encode()))


def request(token):
    """One small request."""
    body = '{"model":"gpt-any","max_tokens":8,"messages":[{"role":"user","content":"Hi"}]}'
    return (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer %s\r\n"
        "content-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (token, len(body), body)
    ).encode()


def resident_bytes(process):
    """Resident memory of a process, in bytes."""
    with open("/proc/%d/status" % process, encoding="ascii") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("no VmRSS: is this Linux?")


STATUS_LINE = re.compile(rb"HTTP/1\.1 (\d\d\d) ")
STATUS_LINE_LENGTH = 13


async def connection(port, batches, done):
    """Sends batches until there are no more; each answer has to be 200."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    tail = b""
    for batch in batches:
        following = time.monotonic() + CONNECTIONS * BATCH / RATE
        writer.write(b"".join(batch))
        answered = 0
        while answered < len(batch):
            piece = tail + await reader.read(1 << 16)
            found = list(STATUS_LINE.finditer(piece))
            refused = [each.start() for each in found if each[1] != b"200"]
            if len(piece) == len(tail) or refused:
                raise RuntimeError("expected answers with status 200, found %r" % piece[(refused or [0])[0] :][:1000])
            answered += len(found)
            # A status line may be cut in two.
            tail = piece[max(len(piece) - STATUS_LINE_LENGTH + 1, 0) :]
        done[0] += len(batch)
        await asyncio.sleep(following - time.monotonic())
    writer.close()


async def drive(port, requests, total, sample):
    """Sends all `requests`; calls `sample(done)` some twenty times on the way."""
    done = [0]

    def batches():
        batch = []
        for each in requests:
            batch.append(each)
            if len(batch) == BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    source = batches()
    senders = [asyncio.ensure_future(connection(port, source, done)) for _ in range(CONNECTIONS)]
    following = 0
    while not all(sender.done() for sender in senders):
        await asyncio.sleep(0.05)
        if done[0] >= following:
            sample(done[0])
            following += max(total // 20, 1)
    await asyncio.gather(*senders)
    sample(done[0])


class Curve:
    """The gateway's memory over the number of callers."""

    def __init__(self, process):
        self.process, self.points, self.began = process, [], time.monotonic()
        self.baseline = resident_bytes(process)
        print("resident memory of the warm gateway: %.2f MB" % (self.baseline / 1e6))

    def sample(self, done):
        """Notes and prints one point."""
        grown = resident_bytes(self.process) - self.baseline
        self.points.append((done, grown))
        print("%7.1f s %9d callers  resident %+7.2f MB" % (time.monotonic() - self.began, done, grown / 1e6))
        sys.stdout.flush()

    @property
    def most(self):
        """The most that was added to the baseline."""
        return max(grown for _, grown in self.points)

    def late_growth(self):
        """What the second half of the callers added to the most that the first had needed."""
        half = self.points[-1][0] / 2
        return self.most - max(grown for done, grown in self.points if done <= half)


def run(callers, name="callers"):
    """Sends the requests, and answers with the curve."""
    signer = Signer()
    folder = RUN / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gateway.yaml").write_text(GATEWAY, encoding="ascii")
    (folder / "jwks.json").write_text(json.dumps(signer.jwks()), encoding="ascii")
    with Stack(folder / "gateway.yaml", name, concurrency=WORKERS) as stack:
        # Buffers, code and connections that the first requests cost, and no new caller.
        regulars = [request(signer.token("regular-%d" % n)) for n in range(50)]
        asyncio.run(drive(stack.port, (regulars[n % 50] for n in range(2000)), 2000, lambda _: None))
        curve = Curve(stack.gateway.process.pid)

        def sample(done):
            curve.sample(done)
            # A million lines of access log are not worth a gigabyte of disk.
            os.truncate(str(stack.log("access")), 0)

        named = (request(signer.token("caller-%d-%s" % (n, "x" * 200))) for n in range(callers))
        asyncio.run(drive(stack.port, named, callers, sample))
    print("at most %+.2f MB, and %+.2f MB of it for the second half of the callers" % (
        curve.most / 1e6, curve.late_growth() / 1e6))  # fmt: skip
    print("allowed: %.2f MB for counters, %.2f MB for verified tokens, %.2f MB for the rest" % (
        STORE_BOUND / 1e6, CACHE_BOUND / 1e6, ALLOWANCE / 1e6))  # fmt: skip
    return curve


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description="Memory of the gateway under ever new callers")
    parser.add_argument("--callers", type=int, default=1_000_000)
    curve = run(parser.parse_args().callers)
    if curve.most > BOUND:
        sys.exit("the gateway took more memory than its configuration allows")


if __name__ == "__main__":
    main()
