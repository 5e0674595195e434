# SPDX-License-Identifier: Apache-2.0
"""How the cost of a request grows: with its bytes, and with what the gateway has to know.

Measured is Envoy's CPU time for each request. It should grow in line with bytes and events, and hardly at all with
callers, keys and routes.
"""

import statistics

from benchmark import configs
from benchmark.arena import BenchError, Load, say
from benchmark.measures import NATIVE, OURS, PASSING, PLAIN

CONNECTIONS = 8
MANY_KEYS = 100_000


class Curve:
    """One picture and its table.

    title, axis   what grows, in words
    points        contender to value to CPU microseconds for each request, the median of the rounds
    faults        what could not be measured
    """

    def __init__(self, name, title, axis, note=""):
        self.name, self.title, self.axis, self.note = name, title, axis, note
        self.points, self.faults = {}, []

    def values(self):
        """Every value that was measured."""
        return sorted({value for points in self.points.values() for value in points})

    def grown(self, contender):
        """The largest value's cost as a multiple of the smallest one's; None with fewer than two."""
        points = self.points.get(contender, {})
        return points[max(points)] / points[min(points)] if len(points) > 1 else None

    def slope(self, contender, low, high):
        """What one more costs between two values, in microseconds; None if one was not measured."""
        points = self.points.get(contender, {})
        return (points[high] - points[low]) / (high - low) if low in points and high in points else None

    def measure(self, arena, value, contenders, load, options):
        """One value: rounds of all contenders, taking turns."""
        found = {}
        for contender in contenders:
            fault = contender.probe(load, timeout=60)
            if fault:
                self.fault(contender.name, value, fault)
                continue
            found[contender] = []
        for _ in range(options.rounds):
            for contender in list(found):
                try:
                    result = arena.measure(contender, load, options.growth_seconds, CONNECTIONS)
                except BenchError as error:
                    self.fault(contender.name, value, str(error))
                    del found[contender]
                    continue
                found[contender].append(result["cpu_us"])
        for contender, costs in found.items():
            cost = statistics.median(costs)
            self.points.setdefault(contender.name, {})[value] = cost
            say("bench: growth, %s %d  %-22s %9.0f us CPU/request" % (self.axis, value, contender.name, cost))

    def fault(self, contender, value, why):
        """Notes what could not be measured."""
        self.faults.append("%s, %s %d: %s" % (contender, self.axis, value, why))
        say("bench: growth, " + self.faults[-1])


def everyone(arena, upstream):
    """Plain Envoy, its own transcoder, and ours with everything on, both ways."""
    ours = arena.tollgate(configs.ALL, upstream, OURS)
    return [arena.plain(upstream), arena.native(upstream), ours, ours.named(PASSING, configs.OPENAI_MODEL)]


def prompts(arena, options):
    """Prompts from 1 KB to 4 MB."""
    curve = Curve("prompts", "Size of the prompt", "bytes")
    with arena.section():
        contenders = everyone(arena, arena.standin("--fast"))
        for kib in options.ends([1, 10, 100, 1024, 4096]):
            curve.measure(arena, kib << 10, contenders, Load("prompt", size=kib << 10), options)
    return curve


def streams(arena, options):
    """Streams from 10 to 10,000 events."""
    curve = Curve("streams", "Events of a stream", "events")
    for events in options.ends([10, 100, 1000, 10000]):
        with arena.section():
            upstream = arena.standin("--fast", "--fast-events", events)
            contenders = everyone(arena, upstream)
            # Milliseconds for each of a hundred events: nobody waits for ten thousand.
            kept = [each for each in contenders if each.name != NATIVE or events <= 1000]
            curve.measure(arena, events, kept, Load("events", is_stream=True), options)
    return curve


def callers(arena, options):
    """Different callers in turn: one to 100,000, each with an API key and counters."""
    note = "Every caller has an API key and a counter; requests come from each in turn. "
    note += "`make soak-callers` sends a million with JSON Web Tokens, and watches the memory."
    curve = Curve("callers", "Callers", "callers", note)
    with arena.section():
        features = configs.Features(keys=MANY_KEYS, limits=2)
        ours = arena.tollgate(features, arena.standin("--fast"), OURS)
        everybody = ours.in_turn
        for count in options.ends([1, 10, 100, 1000, 10_000, MANY_KEYS]):
            ours.in_turn = everybody[:count]
            curve.measure(arena, count, [ours], Load("json"), options)
    return curve


def by_features(arena, options, curve, values, features_for):
    """A curve over configurations."""
    with arena.section():
        upstream = arena.standin("--fast")
        for value in options.ends(values):
            with arena.section():
                ours = arena.tollgate(features_for(value), upstream, OURS)
                # Of many keys, one is used: what grows is how many are known.
                ours.in_turn = ours.in_turn[-1:]
                curve.measure(arena, value, [ours], Load("json"), options)
    return curve


def limits(arena, options):
    """Limits that apply to each request, 0 to 16."""
    curve = Curve("limits", "Limits for each request", "limits")
    values = [0, 1, 2, 4, 8, 16]
    return by_features(arena, options, curve, values, lambda n: configs.Features(has_jwt=True, limits=n))


def routes(arena, options):
    """Models that are known, 1 to 1,000 beside those that are asked for."""
    curve = Curve("routes", "Routes", "routes")
    values = [1, 10, 100, 1000]
    return by_features(arena, options, curve, values, lambda n: configs.Features(has_jwt=True, limits=2, routes=n))


def keys(arena, options):
    """API keys that are known, 1 to 100,000."""
    curve = Curve("keys", "API keys", "keys", "One of the keys is used.")
    values = [1, 10, 100, 1000, 10_000, MANY_KEYS]
    return by_features(arena, options, curve, values, lambda n: configs.Features(keys=n, limits=2))


CURVES = {"prompts": prompts, "streams": streams, "callers": callers, "limits": limits, "routes": routes, "keys": keys}
ORDER = (PLAIN, NATIVE, OURS, PASSING)
