# SPDX-License-Identifier: Apache-2.0
"""What is measured of the contenders. Each function answers with figures; benchmark.report makes tables of them.

Rounds take turns: in each round every contender runs once, so that what disturbs the machine disturbs all of them.
"""

import contextlib
import resource
import statistics
import subprocess
import threading
import time

import setup
import stack

from benchmark import configs, peers
from benchmark.arena import BenchError, Load, checked, resident_mib, say

EVENTS = 100
JSON = Load("json")
STREAM = Load("stream", is_stream=True)
PLAIN, NATIVE, OURS, PASSING = "envoy", "envoy-transcoder", "tollgate", "tollgate-passthrough"
# A request each 2 ms: far from saturation for all of them.
MODEST_RATE, MODEST_CONNECTIONS = 500, 16
PACE_MS, PACED_STREAMS = 10, 20
MANY_STREAMS = 10000


class Results:
    """Runs of one section: (contender, load) to the results of its rounds; what failed and what was left out."""

    def __init__(self):
        self.runs, self.failed, self.absent, self.names = {}, {}, [], []

    def of(self, name, load):
        """The rounds of a contender; a contender that failed in any round has none."""
        return [] if (name, load) in self.failed else self.runs.get((name, load), [])

    def median(self, name, load, figure):
        """The median over the rounds, or None."""
        rounds = self.of(name, load)
        return statistics.median(figure(each) for each in rounds) if rounds else None

    def against(self, name, other, load, figure, combine):
        """The median of the rounds' own comparisons with another contender, or None."""
        mine, theirs = self.of(name, load), self.of(other, load)
        if not mine or len(mine) != len(theirs):
            return None
        return statistics.median(combine(figure(a), figure(b)) for a, b in zip(mine, theirs))

    def ratio(self, name, other, load):
        """Requests per second, as a multiple of another contender's."""
        return self.against(name, other, load, lambda each: each["rps"], lambda a, b: a / b)

    def added(self, name, load, figure, other=PLAIN):
        """What a figure is above another contender's."""
        return self.against(name, other, load, figure, lambda a, b: a - b)

    @property
    def is_whole(self):
        """Whether everything that was to be measured was."""
        return not self.failed and not self.absent


def rounds(arena, title, contenders, loads, count, **options):
    """Interleaved rounds of every contender and load."""
    results = Results()
    kept, results.absent = checked(contenders, loads)
    results.names = [each.name for each in kept]
    for name, why in results.absent:
        say("bench: %s is left out: %s" % (name, why))
    for number in range(1, count + 1):
        for load in loads:
            for contender in kept:
                try:
                    result = arena.measure(contender, load, **options)
                except BenchError as error:
                    results.failed.setdefault((contender.name, load.name), str(error))
                    say("bench: " + str(error))
                    continue
                results.runs.setdefault((contender.name, load.name), []).append(result)
                facts = (title, number, count, load.name, contender.name, result["rps"], result["latency_us"]["p50"])
                say("bench: %s, round %d of %d  %-7s %-30s %8.0f req/s  p50 %d us" % facts)
    return results


def trio(arena, upstream):
    """Plain Envoy, its own transcoder, and ours with everything on, both ways."""
    ours = arena.tollgate(configs.ALL, upstream, OURS)
    contenders = [arena.plain(upstream), arena.native(upstream), ours]
    return contenders + [ours.named(PASSING, configs.OPENAI_MODEL)]


def saturation(arena, options):
    """Requests per second that each contender can serve."""
    with arena.section():
        upstream = arena.standin("--fast", "--fast-events", EVENTS)
        contenders = [arena.upstream(upstream)] + trio(arena, upstream)
        if not options.quick:
            contenders.append(arena.plain(upstream, workers=2))
        variants = [("off", configs.OFF, 1)]
        if not options.quick:
            variants += [("JWT", configs.JWT, 1), ("limits", configs.LIMITS, 1), ("2 workers", configs.ALL, 2)]
        for what, features, workers in variants:
            ours = arena.tollgate(features, upstream, "%s, %s" % (OURS, what), workers)
            contenders += [ours, ours.named("%s, %s" % (PASSING, what), configs.OPENAI_MODEL)]
        more, absent = peers.start(arena, upstream)
        results = rounds(
            arena, "saturation", contenders + more, [JSON, STREAM], options.rounds,
            seconds=options.seconds, connections=options.connections,
        )  # fmt: skip
        results.absent += absent
        return results


def latency(arena, options):
    """Latency at a modest rate, of requests that are due at fixed times."""
    with arena.section():
        upstream = arena.standin("--fast", "--fast-events", EVENTS)
        seconds = 1.5 if options.quick else 2 * options.seconds
        return rounds(
            arena, "latency", trio(arena, upstream), [JSON], options.rounds,
            seconds=seconds, connections=MODEST_CONNECTIONS, rate=MODEST_RATE,
        )  # fmt: skip


def large_prompt(arena, options):
    """Latency of a prompt of 1 MB, a few each second."""
    with arena.section():
        upstream = arena.standin("--fast", "--fast-events", EVENTS)
        load = Load("1mb", size=1 << 20)
        seconds = 1.5 if options.quick else 2 * options.seconds
        return rounds(
            arena, "1 MB prompt", trio(arena, upstream), [load], options.rounds, seconds=seconds, connections=4, rate=20
        )


def paced(arena, options):
    """Streams that come slowly: the first and the last byte, and what they cost."""
    with arena.section():
        upstream = arena.standin("--no-record", "--pace-ms", PACE_MS)
        load = Load("paced", is_stream=True, prompt="count:%d" % EVENTS)
        seconds = 2 if options.quick else max(4, options.seconds)
        return rounds(
            arena, "paced streams", trio(arena, upstream), [load], 1 if options.quick else options.rounds,
            seconds=seconds, connections=PACED_STREAMS, warmup=1.2,
        )  # fmt: skip


class Peak:
    """The most resident memory of a process while a block runs."""

    def __init__(self, pid):
        self.pid, self.most, self.is_over = pid, 0.0, threading.Event()
        self.watcher = threading.Thread(target=self.watch, daemon=True)

    def watch(self):
        """Looks ten times a second."""
        while not self.is_over.wait(0.1):
            self.most = max(self.most, resident_mib(self.pid) or 0)

    def __enter__(self):
        self.watcher.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.watcher.join()


def many_streams():
    """How many streams at once this process' limit of file descriptors allows; each takes Envoy two."""
    if not hasattr(resource, "RLIMIT_NOFILE"):
        return 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return min(MANY_STREAMS, max((allowed - 500) // 2, 100))


class Memory:
    """Resident MiB of one Envoy at its stations, by name; and how many streams were under way at once."""

    def __init__(self):
        self.of, self.streams, self.per_worker = {}, 0, {}


def memory(arena, options):
    """Memory idle, after bodies of 1 MB, and with very many streams under way."""
    found = Memory()
    streams = 500 if options.quick else many_streams()
    found.streams = streams
    features = configs.Features(has_jwt=True, limits=2, spread=True)
    with arena.section():
        # Every stream has begun before the first one ends, and events are few: it is about memory.
        pace = 2000 if options.quick else 10000
        upstream = arena.standin("--no-record", "--pace-ms", pace)
        load = Load("many", is_stream=True, prompt="count:4")
        for name in (PLAIN, OURS):
            with arena.section():
                if name == PLAIN:
                    contender = arena.without_us("envoy", configs.plain_for_many, upstream)
                else:
                    contender = arena.tollgate(features, upstream)
                pid = contender.child.process.pid
                stations = found.of[name] = {"idle": resident_mib(pid)}
                arena.measure(contender, Load("1mb", size=1 << 20), seconds=2 if options.quick else 5)
                stations["after 1 MB bodies"] = resident_mib(pid)
                say("bench: memory of %s with %d streams" % (name, streams))
                with Peak(pid) as peak:
                    arena.measure(contender, load, seconds=4.5 * pace / 1000, connections=streams, warmup=0)
                stations["most with the streams"] = peak.most
                # What is bounded stops growing when the same comes again; allocators need two rounds to settle.
                for station in ("with them once more", "with them a third time"):
                    with Peak(pid) as peak:
                        arena.measure(contender, load, seconds=4.5 * pace / 1000, connections=streams, warmup=0)
                    stations[station] = peak.most
                time.sleep(2)
                stations["after them"] = resident_mib(pid)
    found.per_worker = {name: per_worker(arena, name) for name in (PLAIN, OURS)}
    return found


def per_worker(arena, name, most=4):
    """What one more worker takes when it has served a while: the difference between one and several, for each."""
    with arena.section():
        upstream = arena.standin("--fast")
        resident = []
        for workers in (1, most):
            with arena.section():
                if name == PLAIN:
                    contender = arena.plain(upstream, workers)
                else:
                    contender = arena.tollgate(configs.ALL, upstream, workers=workers)
                # A worker that never served has not touched most of its memory yet.
                arena.measure(contender, JSON, seconds=2, connections=64)
                resident.append(resident_mib(contender.child.process.pid) or 0)
        return (resident[1] - resident[0]) / (most - 1)


def start_up(arena, options):
    """Seconds from starting Envoy until it accepts requests, by contender: one for each round."""
    found = {PLAIN: [], OURS: []}
    with arena.section():
        upstream = arena.standin("--fast")
        for _ in range(options.rounds):
            for name in found:
                with arena.section():
                    found[name].append(seconds_to_start(arena, name, upstream))
    return found


def seconds_to_start(arena, name, upstream):
    """One start."""
    if name == PLAIN:
        ports, environment = stack.free_ports(2), None
        config = arena.write("start-up", configs.plain(ports[0], ports[1], upstream))
    else:
        gateway, config = arena.render(configs.ALL, upstream)
        ports, environment = (gateway.port, gateway.admin), gateway.environment
    begin = time.monotonic()
    child = arena.spawn_envoy("start-up", config, environment)
    while not stack.listens(ports[0]):
        if not child.is_alive() or time.monotonic() - begin > 60:
            raise BenchError("%s did not start" % name)
        time.sleep(0.002)
    return time.monotonic() - begin


def module_bytes():
    """The size of tollgate.wasm, or None."""
    wasm = setup.wasm()
    return wasm.stat().st_size if wasm.is_file() else None


def first_line(command):
    """What a program says its version is."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=str(setup.ROOT))
    return done.stdout.strip().split("\n")[0] or "unknown"
