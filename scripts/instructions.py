#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The guard of the hot path: what core operations cost, in instructions: `make instructions`.

    make instructions                  measures, compares with benches/instructions.json
    make instructions ARGS=--accept    records what was measured there

Instructions do not depend on the machine's mood, so one run is enough and its neighbours do not matter. Each
operation of benches/core_operations.rs runs under `valgrind --tool=callgrind`, and counted is what happens inside
its function `measured`. An operation that takes a tenth more than is recorded fails.

Counts depend on the compiler and on the kind of processor. They are recorded for each target, with the compiler that
made them. With another compiler than that, an operation that grew is a warning, and in CI (`CI` is set) a failure all
the same: whoever raises the compiler there records the counts. Without valgrind, or for a target that has no counts,
the guard is skipped and says so; in CI that is a failure too.
"""

import argparse
import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import setup

BENCH = "core_operations"
TABLE = setup.ROOT / "benches" / "instructions.json"
MOST_GROWTH = 0.10
# The function that holds the operations, whatever the compiler adds to its name.
COUNTED = "*%s*measured*" % BENCH
ACCEPT = "if it is meant, record it: make instructions ARGS=--accept"


class GuardError(Exception):
    """Why nothing could be measured."""


def say(text):
    """One line, on standard error."""
    print("instructions: " + text, file=sys.stderr, flush=True)


def output_of(command, what):
    """What a program prints, or a GuardError with the end of its errors."""
    done = subprocess.run(
        [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=str(setup.ROOT)
    )
    if done.returncode != 0:
        raise GuardError("%s failed (exit %d):\n%s" % (what, done.returncode, (done.stdout + done.stderr)[-2000:]))
    return done.stdout, done.stderr


def compiler():
    """The target that cargo builds for, and the compiler's release with its commit."""
    told, _ = output_of(["rustc", "-vV"], "rustc")
    facts = dict(re.findall(r"^(host|release|commit-hash): (.+)$", told, re.MULTILINE))
    return facts["host"], "%s (%s)" % (facts["release"], facts.get("commit-hash", "unknown")[:9])


def build(*options):
    """Builds the operations, with further options of cargo's, and answers with the program's path."""
    command = ["build", "-p", "tollgate", "--profile", "instructions", "--bench", BENCH]
    return setup.build_program(command + list(options), BENCH)


def count(program, operation, runs):
    """Instructions of one run of an operation."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=%s/out" % folder]
        command += ["--toggle-collect=" + COUNTED, program, operation]
        _, told = output_of(command, operation)
    found = re.search(r"Collected : (\d+)", told)
    if not found or not int(found.group(1)):
        raise GuardError("%s: valgrind counted nothing inside %s:\n%s" % (operation, COUNTED, told[-1000:]))
    return round(int(found.group(1)) / runs)


def measure():
    """Instructions of every operation, by name."""
    program = build()
    operations = [line.split() for line in output_of([program], BENCH)[0].splitlines()]
    # Each runs in a process of its own, whose count the others do not touch.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = pool.map(lambda each: count(program, each[0], int(each[1])), operations)
        return {name: counted for (name, _), counted in zip(operations, counts)}


def compare(measured, recorded):
    """Lines of a table, and what is wrong: one line for each operation that grew, came or went."""
    lines, faults = ["%-26s %10s %10s %8s" % ("operation", "measured", "recorded", "change")], []
    for name in sorted(set(measured) | set(recorded)):
        now, then = measured.get(name), recorded.get(name)
        change = now / then - 1 if now and then else None
        shown = ["-" if value is None else str(value) for value in (now, then)]
        lines.append("%-26s %10s %10s %8s" % (name, *shown, "-" if change is None else "%+.1f %%" % (change * 100)))
        if then is None:
            faults.append("%s is not recorded" % name)
        elif now is None:
            faults.append("%s is recorded and no longer measured" % name)
        elif now > then * (1 + MOST_GROWTH):
            faults.append("%s grew by %.1f %%, from %d instructions to %d; %.0f %% are allowed" % (
                name, change * 100, then, now, MOST_GROWTH * 100))  # fmt: skip
        elif change < -MOST_GROWTH:
            say("%s shrank; record it, so that it stays so: make instructions ARGS=--accept" % name)
    return lines, faults


def read_table():
    """What is recorded: target to compiler and counts."""
    try:
        return json.loads(TABLE.read_text(encoding="ascii"))
    except FileNotFoundError:
        return {}


def missing(why, is_ci):
    """The guard cannot run: said to a developer, a failure in CI."""
    say("%s%s" % ("" if is_ci else "SKIPPED: ", why))
    return 1 if is_ci else 0


def verdict(faults, is_same_compiler, is_ci):
    """The exit status, and says why."""
    for fault in faults:
        say(fault)
    if not faults:
        return 0
    if is_same_compiler:
        say("FAILED; " + ACCEPT)
        return 1
    say("the counts were recorded with another compiler, so this may be the compiler's doing")
    say(("FAILED; " if is_ci else "NOT COUNTED AS A FAILURE outside CI; ") + ACCEPT)
    return 1 if is_ci else 0


def run(accepts, is_ci):
    """Measures, and compares or records; answers with the exit status."""
    if shutil.which("valgrind") is None:
        why = "valgrind is missing, so the cost of the hot path was not checked; Debian, Ubuntu: apt-get install valgrind"
        return missing(why, is_ci or accepts)
    target, version = compiler()
    table = read_table()
    if target not in table and not accepts:
        return missing("no counts are recorded for %s; to record them: make instructions ARGS=--accept" % target, is_ci)
    measured = measure()
    entry = table.get(target, {"rustc": version, "operations": {}})
    lines, faults = compare(measured, entry["operations"])
    print("\n".join(lines), flush=True)
    if accepts:
        table[target] = {"rustc": version, "operations": measured}
        TABLE.write_text(json.dumps(table, indent=2, sort_keys=True) + "\n", encoding="ascii")
        say("recorded in %s" % TABLE.relative_to(setup.ROOT))
        return 0
    is_same_compiler = entry["rustc"] == version
    if not is_same_compiler:
        say("recorded with rustc %s, measured with rustc %s" % (entry["rustc"], version))
    return verdict(faults, is_same_compiler, is_ci)


def main(arguments):
    """The command line."""
    parser = argparse.ArgumentParser(description="Compares what core operations cost with what is recorded.")
    parser.add_argument("--accept", action="store_true", help="record what is measured")
    options = parser.parse_args(arguments)
    try:
        return run(options.accept, os.environ.get("CI", "") not in ("", "0", "false"))
    except (GuardError, setup.SetupError, OSError) as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
