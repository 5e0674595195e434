#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long core operations take as WebAssembly, compiled by V8 as Envoy has it compile: `make wasm-times`.

The operations are those of benches/core_operations.rs, whose instructions `make instructions` guards. Each runs again and
again with nothing beside it, and the fastest round counts: what is left is what the code takes when it is warm.
"""

import json
import subprocess
import sys

import setup

BENCH = "core_operations"
# Without its baseline compiler an older node's V8 fails.
NODE = (22,)
ROUNDS = "200"


def build():
    """Builds the operations as a WASI command, and answers with its path."""
    command = ["cargo", "build", "-p", "tollgate", "--bench", BENCH, "--target", setup.RUST_TARGETS[0]]
    # The profile of `make instructions`, which leaves the release's folder alone, linked as a release is.
    command += ["--profile", "instructions", "--config", 'profile.instructions.lto="fat"']
    command += ["--message-format", "json-render-diagnostics"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=str(setup.ROOT))
    if done.returncode != 0:
        sys.exit(done.returncode)
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message["reason"] == "compiler-artifact" and message["target"]["name"] == BENCH and message["executable"]:
            return message["executable"]
    sys.exit("wasm times: cargo built no program %s" % BENCH)


def main():
    """Prints a line for each operation."""
    try:
        setup.check_prerequisites()
        setup.ensure_rust()
        node = setup.ensure_node(NODE)
    except setup.SetupError as error:
        setup.say(str(error))
        return 1
    # Envoy's V8 has no baseline compiler either.
    run = [str(node), "--no-warnings", "--no-liftoff", str(setup.ROOT / "scripts" / "wasm_times.mjs"), build()]
    listed = subprocess.run(run, stdout=subprocess.PIPE, text=True)
    if listed.returncode != 0:
        return listed.returncode
    for line in listed.stdout.splitlines():
        done = subprocess.run(run + [line.split()[0], ROUNDS])
        if done.returncode != 0:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
