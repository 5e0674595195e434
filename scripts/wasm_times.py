#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long core operations take as WebAssembly, compiled by V8 as Envoy has it compile: `make wasm-times`.

The operations are those of benches/core_operations.rs, whose instructions `make instructions` guards. Each runs again and
again with nothing beside it, and the fastest round counts: what is left is what the code takes when it is warm.
"""

import subprocess
import sys

import instructions
import setup

# Without its baseline compiler an older node's V8 fails.
NODE = (22,)
ROUNDS = "200"


def main():
    """Prints a line for each operation."""
    try:
        setup.check_prerequisites()
        setup.ensure_rust()
        node = setup.ensure_node(NODE)
        # Linked as a release is, whose own folder is left alone.
        fat = 'profile.instructions.lto="fat"'
        module = instructions.build("--target", setup.RUST_TARGETS[0], "--config", fat)
    except setup.SetupError as error:
        setup.say(str(error))
        return 1
    # Envoy's V8 has no baseline compiler either.
    run = [str(node), "--no-warnings", "--no-liftoff", str(setup.ROOT / "scripts" / "wasm_times.mjs"), str(module)]
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
