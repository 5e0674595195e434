# SPDX-License-Identifier: Apache-2.0
"""The report, as Markdown: tables, targets and curves."""

import contextlib
import datetime
import json
import os
import platform
import statistics
from pathlib import Path

import setup

from benchmark import growth, measures, svg
from benchmark.measures import JSON, NATIVE, OURS, PASSING, PLAIN, STREAM

# The same load a third time may take so much of what it took the second time: the allocator's play.
MOST_A_THIRD_TIME = 1.05
# An axis that names a CPU time.
COST = "Envoy CPU, microseconds for each request"


class Target:
    """A figure to reach.

    by_cpu   a ratio of rates once more, as the ratio of CPU times: what other load on the machine moves least
    """

    def __init__(self, what, value, bound, unit="", is_least=False, by_cpu=None):
        self.what, self.value, self.bound, self.unit, self.is_least = what, value, bound, unit, is_least
        self.by_cpu = by_cpu

    @property
    def is_met(self):
        """Whether it is reached."""
        return self.value >= self.bound if self.is_least else self.value <= self.bound

    def line(self):
        """For the report; a figure that was not measured says so."""
        relation = "at least" if self.is_least else "at most"
        wanted = "%s %g%s" % (relation, self.bound, self.unit)
        if self.value is None:
            return "| %s | %s | | | not measured |" % (self.what, wanted)
        verdict = "met" if self.is_met else "**MISSED**"
        by_cpu = "" if self.by_cpu is None else "%sx" % figure(self.by_cpu)
        return "| %s | %s | %s%s | %s | %s |" % (self.what, wanted, figure(self.value), self.unit, by_cpu, verdict)


def figure(value):
    """A number with three digits that count; nothing for None."""
    if value is None:
        return ""
    return "%.0f" % value if abs(value) >= 100 else "%.3g" % value


def processor():
    """The processor's name, where Linux tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def table(columns, rows):
    """A Markdown table, its first column a name and the others numbers."""
    lines = ["| " + " | ".join(columns) + " |", "|---" + "|---:" * (len(columns) - 1) + "|"]
    return lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]


def latency_of(quantile):
    """Picks a latency out of a run."""
    return lambda each: each["latency_us"][quantile]


def first_byte_of(quantile):
    """Picks a time to the first byte out of a run."""
    return lambda each: each["first_byte_us"][quantile]


def cpu(each):
    """Picks the CPU time; none for the stand-in."""
    return each.get("cpu_us", 0)


def saturation(results, load):
    """Requests per second of one load."""
    columns = ["contender", "req/s", "lowest to highest", "p50 ms", "p99 ms"]
    columns += ["Envoy CPU us/req", "vs envoy", "vs native", "CPU vs envoy"]
    rows = []
    for name in results.names:
        rounds = results.of(name, load.name)
        if not rounds:
            continue
        rates = [each["rps"] for each in rounds]
        row = [name, "%.0f" % statistics.median(rates), "%.0f to %.0f" % (min(rates), max(rates))]
        row += ["%.2f" % (results.median(name, load.name, latency_of(each)) / 1000) for each in ("p50", "p99")]
        used = results.median(name, load.name, cpu)
        row.append("%.0f" % used if used else "")
        ratios = [results.ratio(name, other, load.name) for other in (PLAIN, NATIVE)]
        ratios.append(results.against(name, PLAIN, load.name, cpu, lambda a, b: a / b if b else 0) if used else None)
        row += ["" if ratio is None else "%.2fx" % ratio for ratio in ratios]
        rows.append(row)
    return table(columns, rows)


def latencies(results, load_name, quantiles):
    """Latencies, and what they are above plain Envoy's in the same round."""
    columns = ["contender"] + ["%s us" % each for each in quantiles] + ["added %s us" % each for each in quantiles]
    rows = []
    for name in results.names:
        if results.of(name, load_name):
            row = [name] + ["%.0f" % results.median(name, load_name, latency_of(each)) for each in quantiles]
            added = [results.added(name, load_name, latency_of(each)) for each in quantiles]
            used = results.median(name, load_name, cpu)
            rows.append(row + ["" if each is None else "%+.0f" % each for each in added] + ["%.0f" % used])
    return table(columns + ["Envoy CPU us/req"], rows)


def paced(results):
    """First and last byte of streams that come slowly."""
    columns = ["contender", "first byte p50 us", "added", "first byte p99 us", "added", "last byte p50 us", "added"]
    rows = []
    for name in results.names:
        if results.of(name, "paced"):
            row = [name]
            for pick in (first_byte_of("p50"), first_byte_of("p99"), latency_of("p50")):
                added = results.added(name, "paced", pick)
                row += ["%.0f" % results.median(name, "paced", pick), "" if added is None else "%+.0f" % added]
            rows.append(row + ["%.0f" % results.median(name, "paced", cpu)])
    return table(columns + ["Envoy CPU us/stream"], rows)


def memory(found):
    """Resident memory at its stations."""
    columns = ["process"] + list(found.of[PLAIN]) + ["each further worker"]
    rows = []
    for name, stations in found.of.items():
        rows.append([name] + [figure(value) for value in stations.values()] + [figure(found.per_worker.get(name))])
    return table(columns, rows)


def once_more(stations):
    """What the same load takes when it comes again, as a multiple: memory that is bounded does not grow on."""
    return stations["with them a third time"] / stations["with them once more"]


def start_up(found):
    """Start-up times."""
    rows = [[name, "%.0f" % (1000 * statistics.median(each)), "%.0f to %.0f" % (1000 * min(each), 1000 * max(each))]
            for name, each in found.items()]  # fmt: skip
    return table(["process", "ms", "lowest to highest"], rows)


def instructions():
    """The guard's table, as it is recorded."""
    path = setup.ROOT / "benches" / "instructions.json"
    if not path.is_file():
        return []
    lines = []
    for target, entry in sorted(json.loads(path.read_text(encoding="ascii")).items()):
        lines += ["%s, rustc %s:" % (target, entry["rustc"]), ""]
        lines += table(["operation", "instructions"], sorted(entry["operations"].items())) + [""]
    return lines


def growth_section(curve):
    """One curve: its table and its picture."""
    names = [name for name in growth.ORDER if name in curve.points]
    lines = ["", "### " + curve.title, ""]
    lines += ([curve.note, ""] if curve.note else []) + ["![%s](%s.svg)" % (curve.title, curve.name), ""]
    rows = []
    for value in curve.values():
        rows.append(["%d" % value] + [figure(curve.points[name].get(value)) for name in names])
    return lines + table([curve.axis] + [name + " us" for name in names], rows)


def picture(curve):
    """The curve as SVG, or None without a point."""
    curves = {name: curve.points[name] for name in growth.ORDER if name in curve.points}
    return svg.chart(curve.title, curve.axis, COST, curves) if curves else None


def event_cost(curves):
    """What one more event costs, by contender: microseconds of Envoy's CPU."""
    curve = curves.get("streams")
    if not curve or len(curve.values()) < 2:
        return {}
    low = curve.values()[0]
    found = {}
    for name in growth.ORDER:
        # The longest stream that this contender was measured with.
        points = curve.points.get(name, {})
        if len(points) > 1:
            found[name] = curve.slope(name, low, max(points))
    return found


def targets(found):
    """Every target, whether it was measured or not."""
    lines = []

    def add(*arguments, **options):
        lines.append(Target(*arguments, **options))

    def rate(name, other, load, bound):
        """Requests per second against another contender."""
        by_cpu = flood.against(name, other, load.name, cpu, lambda mine, theirs: theirs / mine if mine else 0)
        what = "%s, %s: requests/s of %s's" % (name, load.name, other)
        add(what, flood.ratio(name, other, load.name), bound, "x", is_least=True, by_cpu=by_cpu)

    flood = found.get("saturation") or measures.Results()
    for load, name, envoy, native in (
        (JSON, OURS, 0.55, 1.4),
        (STREAM, OURS, 0.40, 18),
        (JSON, PASSING, 0.65, None),
        (STREAM, PASSING, 0.60, None),
    ):
        rate(name, PLAIN, load, envoy)
        if native:
            rate(name, NATIVE, load, native)
    slow = found.get("latency") or measures.Results()
    for quantile, bound in (("p50", 120), ("p99", 400)):
        add("%s: added %s" % (OURS, quantile), slow.added(OURS, JSON.name, latency_of(quantile)), bound, " us")
    large = found.get("large_prompt") or measures.Results()
    added = large.added(OURS, "1mb", latency_of("p50"))
    add("%s: added p50 of a 1 MB prompt" % OURS, None if added is None else added / 1000, 2.5, " ms")
    sizes = found.get("memory")
    add("memory of a further worker, after some requests", sizes.per_worker.get(OURS) if sizes else None, 24, " MiB")
    again = once_more(sizes.of[OURS]) if sizes else None
    add("memory with many streams a third time, of the second time's", again, MOST_A_THIRD_TIME, "x")
    size = measures.module_bytes()
    add("tollgate.wasm", size / 1e6 if size else None, 1.5, " MB")
    return lines


def head(arena, options, duration):
    """What was measured where."""
    lines = ["# Benchmarks", "", "Written by `make bench ARGS=--write`; run it to have your own."]
    lines += ["[Where the time goes](where-the-time-goes.md) has the profile.", ""]
    lines += ["**These are ratios and differences within one run.** Absolute figures depend on the machine and on who"]
    lines += ["shares it; Envoy's CPU time for each request, from `/proc`, moves least. Each ratio is the median of"]
    lines += ["the ratios inside the rounds, in which the contenders take turns. Nobody writes an access log.", ""]
    now = datetime.datetime.now(datetime.timezone.utc)
    commit = measures.first_line(["git", "describe", "--always", "--dirty"])
    lines.append("- %s, Tollgate %s; the run took %d s" % (now.strftime("%Y-%m-%d"), commit, duration))
    compiler = measures.first_line(["rustc", "--version"])
    lines.append("- Envoy %s; %s" % (setup.envoy_version(arena.envoy), compiler))
    facts = (os.cpu_count() or 0, processor(), platform.system(), arena.cores.describe())
    lines.append("- %d CPUs (%s), %s; %s" % facts)
    facts = (options.rounds, options.seconds, options.connections)
    lines.append("- %d interleaved rounds of %g s; %d connections at saturation, one request under way on each" % facts)
    return lines + [
        "",
        "| contender | what it is |",
        "|---|---|",
        "| upstream | the stand-in alone |",
        "| envoy | Envoy with nothing but its router |",
        "| envoy-transcoder | Envoy's own `ai_protocol_manager`, OpenAI in, Anthropic out |",
        "| tollgate | JWT and two limits, OpenAI in, Anthropic out |",
        "| tollgate-passthrough | the same, OpenAI in, OpenAI out |",
        "| …, off, JWT, limits | with neither identity nor limits, with JWT alone, with two limits alone |",
        "| …, 2 workers | Envoy with two workers, not pinned; all others have one |",
    ]


def write_up(arena, options, found, duration):
    """The whole report."""
    lines = head(arena, options, duration)
    lines += ["", "## Targets", "", "| what | target | measured | by CPU time | |", "|---|---:|---:|---:|---|"]
    lines += [each.line() for each in targets(found)]
    if "saturation" in found:
        for load, title in ((JSON, "JSON answer"), (STREAM, "stream of %d events" % measures.EVENTS)):
            lines += ["", "## Saturation: 1 KB request, %s" % title, ""] + saturation(found["saturation"], load)
    if "latency" in found:
        lines += ["", "## Latency at %d requests/s" % measures.MODEST_RATE, "", "1 KB request, JSON answer.", ""]
        lines += latencies(found["latency"], JSON.name, ("p50", "p99", "p99.9"))
    if "large_prompt" in found:
        lines += ["", "## A prompt of 1 MB", "", "20 requests/s.", ""]
        lines += latencies(found["large_prompt"], "1mb", ("p50", "p99"))
    if "paced" in found:
        facts = (measures.PACED_STREAMS, measures.EVENTS, measures.PACE_MS)
        lines += ["", "## Paced streams", "", "%d at once, %d events each, one every %d ms." % facts, ""]
        lines += paced(found["paced"])
    curves = found.get("growth", {})
    costs = event_cost(curves)
    if costs:
        lines += ["", "## One more event of a stream", "", "From the curve of streams below: Envoy's CPU.", ""]
        lines += table(["contender", "us"], [[name, figure(value)] for name, value in costs.items()])
    if "memory" in found:
        lines += ["", "## Resident memory of Envoy, MiB", ""]
        streams = found["memory"].streams
        lines += ["One worker; %d streams under way at once, of %d wanted: each takes Envoy two file descriptors." % (
            streams, measures.MANY_STREAMS)]  # fmt: skip
        lines += ["A further worker is a third of what three more take, after some requests.", ""]
        lines += memory(found["memory"])
    if "start_up" in found:
        lines += ["", "## Start", "", "From starting the process until it accepts a connection.", ""]
        lines += start_up(found["start_up"])
    guarded = instructions()
    if guarded:
        lines += ["", "## Instructions", "", "Natively, as `make instructions` guards them.", ""] + guarded[:-1]
    if curves:
        lines += ["", "## Growth", "", "Envoy's CPU time for each request, microseconds."]
        for curve in curves.values():
            lines += growth_section(curve)
    return "\n".join(lines) + "\n"
