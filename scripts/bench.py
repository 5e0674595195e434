#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How fast the gateway is, against Envoy alone and Envoy's own transcoder: `make bench`.

    make bench                                 everything; it says how long that takes
    make bench ARGS=--quick                    short rounds and fewer contenders, about a minute
    make bench ARGS="--only saturation"        one section, or several
    make bench ARGS=--write                    and writes docs/benchmarks/README.md and its pictures

Sections: saturation, latency, large_prompt, paced, memory, start_up, growth (--curves chooses among its curves).
Everything stands in front of stand-ins of our own (`standin`), which serve several times what a gateway can. LiteLLM
and Portkey are measured too when they are there: scripts/benchmark/peers.py says how they are found.

Requests per second say as much about the machine and its neighbours as about a gateway. What holds elsewhere is
the ratio of two contenders inside one round, so that is what is compared; the rounds take turns, and of the
ratios the median counts. On Linux, Envoy has the first core for itself and the rest shares the others.
Every contender is asked once before it is measured: one that gives no true answer is told and left out, and the
exit status is 1. Configurations and logs are in .run/bench.
"""

import argparse
import sys
import time

import setup
import stack
from benchmark import growth, measures, report
from benchmark.arena import Arena, BenchError, say

FOLDER = setup.ROOT / "docs" / "benchmarks"
SECTIONS = {
    "saturation": measures.saturation,
    "latency": measures.latency,
    "large_prompt": measures.large_prompt,
    "paced": measures.paced,
    "memory": measures.memory,
    "start_up": measures.start_up,
    "growth": lambda arena, options: {name: growth.CURVES[name](arena, options) for name in options.curves},
}
# What a quick run leaves out, because it cannot be had in a minute.
NOT_QUICK = ("memory", "growth")


class Options(argparse.Namespace):
    """The command line."""

    @property
    def growth_seconds(self):
        """How long each point of a curve is measured."""
        return 0.5 if self.quick else min(self.seconds, 2.0)

    def ends(self, values):
        """Which values of a curve are measured: all, or the first and the last of them in a quick run."""
        return [values[0], values[-1]] if self.quick else values

    def estimate(self):
        """About how many seconds the run takes, from how many measurements it has."""
        each = self.seconds + 1
        saturation = (9 if self.quick else 13) * 2 * self.rounds * each
        timed = 4 * self.rounds * (2 * each)
        parts = {"saturation": saturation, "latency": timed, "large_prompt": timed, "start_up": 2 * self.rounds}
        parts.update({"paced": 4 * self.rounds * (each + 2), "memory": 270})
        points = {"prompts": 20, "streams": 15, "callers": 6, "limits": 6, "routes": 4, "keys": 6}
        parts["growth"] = sum(points[name] * self.rounds * (self.growth_seconds + 1.5) for name in self.curves)
        return sum(parts[name] for name in self.only)


def is_whole(name, found):
    """Whether a section has everything that it should."""
    if name == "growth":
        return not any(curve.faults for curve in found.values())
    return getattr(found, "is_whole", True)


def measure(arena, options):
    """Every section that is wanted, by name, and those that are not whole."""
    found, broken = {}, []
    for name in options.only:
        say("bench: %s" % name)
        try:
            found[name] = SECTIONS[name](arena, options)
        except (BenchError, stack.StackError) as error:
            say("bench: %s: %s" % (name, error))
            broken.append(name)
            continue
        if not is_whole(name, found[name]):
            broken.append(name)
    return found, broken


def write(text, found):
    """The report and its pictures into the repository."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "README.md").write_text(text, encoding="utf-8")
    for curve in found.get("growth", {}).values():
        (FOLDER / (curve.name + ".svg")).write_text(report.picture(curve), encoding="utf-8")
    say("bench: wrote %s" % FOLDER.relative_to(setup.ROOT))


def run(options):
    """The whole benchmark; answers with the exit status."""
    begin = time.monotonic()
    say("bench: about %d minutes" % max(round(options.estimate() / 60), 1))
    with Arena(not options.no_pin) as arena:
        found, broken = measure(arena, options)
        text = report.write_up(arena, options, found, time.monotonic() - begin)
    print(text, end="", flush=True)
    if options.write and (broken or len(found) < len(SECTIONS) or len(options.curves) < len(growth.CURVES)):
        say("bench: nothing written, because not everything was measured")
        return 1
    if options.write:
        write(text, found)
    if broken:
        say("bench: not whole: %s" % ", ".join(broken))
    return 1 if broken else 0


def main(arguments):
    """Reads the command line and runs."""
    parser = argparse.ArgumentParser(description="Measures the gateway against Envoy alone and Envoy's own transcoder.")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (3)")
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds of each measurement (3)")
    parser.add_argument("--connections", type=int, default=32, help="client connections at saturation (32)")
    parser.add_argument("--only", nargs="+", choices=list(SECTIONS), help="these sections")
    parser.add_argument("--curves", nargs="+", choices=list(growth.CURVES), default=list(growth.CURVES),
                        help="these curves of growth")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="1 round of 1 second, without memory and growth")
    parser.add_argument("--no-pin", action="store_true", help="leave the choice of cores to the kernel")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks")
    options = parser.parse_args(arguments, namespace=Options())
    if options.quick:
        options.rounds, options.seconds = 1, 1.0
    options.only = options.only or [name for name in SECTIONS if not (options.quick and name in NOT_QUICK)]
    try:
        return run(options)
    except (BenchError, stack.StackError, setup.SetupError, OSError) as error:
        say("bench: %s" % error)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
