# SPDX-License-Identifier: Apache-2.0
"""What good traffic is left with while tokens with bad signatures arrive as fast as the gateway answers them."""

import json
import subprocess
import time

import pytest
from checks import chat
from conftest import RUN, Issuer, Stack
from cryptography.hazmat.primitives.asymmetric import ec
from stack import setup
from test_verification_cost import CONFIG

SECONDS = 5
FORGED = 4000


def loadgen(stack, folder, name, *more):
    """A running `loadgen` against the gateway."""
    program = setup.target_dir() / "release" / "loadgen"
    command = [program, "--url", stack.base_url + "/chat/completions", "--body-file", folder / "body.json"]
    command += ["--warmup", 1, *more]
    with open(folder / (name + ".json"), "wb") as out:
        return subprocess.Popen([str(part) for part in command], stdout=out)


def result(folder, name, process):
    """What it tells at its end."""
    process.wait(60)
    return json.loads((folder / (name + ".json")).read_text(encoding="ascii"))


@pytest.mark.slow
def test_good_traffic_keeps_its_share_during_a_flood_of_bad_signatures():
    issuer = Issuer()
    folder = RUN / "flood"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gateway.yaml").write_text(CONFIG, encoding="ascii")
    (folder / "jwks.json").write_text(json.dumps(issuer.jwks()), encoding="ascii")
    (folder / "body.json").write_text(json.dumps(chat()), encoding="ascii")
    stranger = ec.generate_private_key(ec.SECP256R1())
    forged = (issuer.mint(algorithm="ES256", key=stranger) for _ in range(FORGED))
    lines = "\n".join("authorization: Bearer " + each for each in forged)
    (folder / "forged.txt").write_text(lines, encoding="ascii")
    good = ["--header", "authorization: Bearer " + issuer.mint(algorithm="ES256"), "--connections", 8]
    with Stack(folder / "gateway.yaml", "flood", concurrency=1) as stack:
        alone = result(folder, "alone", loadgen(stack, folder, "alone", *good, "--seconds", SECONDS))
        turns = ["--header-in-turn-file", folder / "forged.txt", "--connections", 8, "--expect-status", 429]
        flood = loadgen(stack, folder, "flood", *turns, "--seconds", SECONDS + 2)
        time.sleep(1)
        beside = result(folder, "beside", loadgen(stack, folder, "beside", *good, "--seconds", SECONDS))
        bad = result(folder, "flood", flood)
    (folder / "forged.txt").unlink()
    assert alone["errors"] == 0 and beside["errors"] == 0, (alone, beside)
    answered = (bad["answers"] + bad["errors"]) / (SECONDS + 3)
    print(
        "good requests/s: %.0f alone, %.0f beside %.0f bad signatures/s, p99 %.1f and %.1f ms"
        % (alone["rps"], beside["rps"], answered, alone["latency_us"]["p99"] / 1e3, beside["latency_us"]["p99"] / 1e3)
    )
    # Both have as many connections, so an equal share is a half.
    assert beside["rps"] > alone["rps"] / 4 and bad["requests"] > 0
