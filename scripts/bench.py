#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How fast the gateway is, against Envoy alone and Envoy's own transcoder: `make bench`.

    make bench                        3 interleaved rounds of 3 s for each contender and load
    make bench ARGS=--quick           1 round of 2 s
    make bench ARGS=--write           and writes docs/benchmarks/README.md

Contenders, every Envoy with one worker thread in front of the same stand-in (`standin --fast`):

    upstream               the stand-in alone
    envoy                  Envoy with nothing but its router, OpenAI format
    envoy-transcoder       Envoy's own ai_protocol_manager, OpenAI in, Anthropic out
    tollgate               JWT and two limits, OpenAI in, Anthropic out
    tollgate-passthrough   JWT and two limits, OpenAI in, OpenAI out

Requests per second say as much about the machine and its neighbours as about a gateway. What holds elsewhere is
the ratio of two contenders inside one round, so that is what is compared; the rounds take turns, and of the
ratios the median counts. On Linux, Envoy has the first core for itself and the rest shares the others.
Every contender is asked once before it is measured: one that gives no true answer is told and left out, and the
exit status is 1. Configuration and logs are in .run/bench.
"""

import argparse
import contextlib
import datetime
import hashlib
import http.client
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import setup
import stack

FOLDER = stack.RUN / "bench"
REPORT = setup.ROOT / "docs" / "benchmarks" / "README.md"
PATH = "/v1/chat/completions"
REQUEST_BYTES = 1024
STREAM_EVENTS = 100
WARMUP = 0.5
API_KEY = "bench-key"
OPENAI_MODEL, ANTHROPIC_MODEL = "gpt-4o-mini", "claude-haiku-4-5"
PLAIN, NATIVE, OURS = "envoy", "envoy-transcoder", "tollgate"
# What `tollgate` has to reach as a multiple of Envoy's own transcoder.
TARGETS = {"json": 1.2, "stream": 12.0}
LOADS = {"json": "1 KB chat request, JSON answer", "stream": "1 KB chat request, stream of %d events" % STREAM_EVENTS}


class BenchError(Exception):
    """Something that makes the run worthless; the message says what."""


def say(text=""):
    """One line of progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


# --- Envoy without us ------------------------------------------------------------------------------------------


def typed(name, message, **fields):
    """An extension and its configuration."""
    return {"name": name, "typed_config": dict({"@type": "type.googleapis.com/envoy.extensions." + message}, **fields)}


def bootstrap(port, admin, upstream, routes, filters):
    """A whole Envoy configuration; JSON is YAML too."""

    def at(number):
        return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

    router = typed("envoy.filters.http.router", "filters.http.router.v3.Router")
    manager = typed(
        "envoy.filters.network.http_connection_manager",
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="bench",
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        http_filters=filters + [router],
    )
    endpoint = {"endpoint": {"address": at(upstream)}}
    cluster = {
        "name": "upstream",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "upstream", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    listener = {"name": "bench", "address": at(port), "filter_chains": [{"filters": [manager]}]}
    return {"admin": {"address": at(admin)}, "static_resources": {"listeners": [listener], "clusters": [cluster]}}


def plain(port, admin, upstream):
    """Envoy with nothing but its router."""
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "0s"}}]
    return bootstrap(port, admin, upstream, routes, [])


def transcoding(port, admin, upstream):
    """Envoy's own translation: read the model, choose the route again, translate there and back.

    https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/extensions/filters/http/ai_protocol_manager/v3/
    """
    package = "filters.http.ai_protocol_manager.v3."

    def per_route(**fields):
        message = package + "AiProtocolManagerPerRoute"
        return dict({"@type": "type.googleapis.com/envoy.extensions." + message}, **fields)

    def transcoder(request, response):
        message = "http.ai_filters.transcoder.v3.Transcoder"
        name = "envoy.http.ai_filters.transcoder"
        return typed(name, message, request_handling=request, response_handling=response)

    openai, anthropic = {"llm_protocol": "OPENAI_CHAT_COMPLETIONS"}, {"llm_protocol": "ANTHROPIC_MESSAGES"}
    is_claude = {"key": "envoy.ai.model.request", "string_match": {"prefix": "claude-"}}
    rewrite = {"pattern": {"regex": "^%s$" % PATH}, "substitution": "/v1/messages"}
    routes = [
        {
            "match": {"path": PATH, "filter_state": [is_claude]},
            "route": {"cluster": "upstream", "timeout": "0s", "regex_rewrite": rewrite},
            "typed_per_filter_config": {"translate": per_route(request=openai, response=anthropic)},
        },
        {
            "match": {"path": PATH},
            "direct_response": {"status": 404},
            "typed_per_filter_config": {"read": per_route(request=openai)},
        },
    ]
    info = typed("envoy.http.ai_filters.request_info", "http.ai_filters.request_info.v3.RequestInfo")
    manager = package + "AiProtocolManager"
    steps = [transcoder("TO_IR", "FROM_IR"), transcoder("FROM_IR", "TO_IR")]
    filters = [
        typed("read", manager, request_handling={"reserialize_body": "DISABLE"}, filters=[info]),
        typed(
            "envoy.filters.http.set_filter_state", "filters.http.set_filter_state.v3.Config", clear_route_cache=True
        ),
        typed("translate", manager, request_handling={}, filters=steps),
    ]
    return bootstrap(port, admin, upstream, routes, filters)


# --- the gateway -----------------------------------------------------------------------------------------------


def identity():
    """The `identity` block, and the credential that it knows: the demo's JWT, or an API key without it."""
    keys, signed = (setup.ROOT / "envoy" / name for name in ("demo-jwks.json", "demo.jwt"))
    if keys.is_file() and signed.is_file():
        claims = "claims: { consumer: sub, team: team }"
        block = "  jwt:\n    - issuer: https://demo.tollgate.example\n      audiences: [tollgate]\n"
        block += "      jwks: { file: %s }\n      %s\n" % (json.dumps(str(keys)), claims)
        return block, signed.read_text(encoding="ascii").strip(), "JWT"
    digest = hashlib.sha256(API_KEY.encode("ascii")).hexdigest()
    return "  api_keys:\n    - { sha256: %s, consumer: bench, team: bench }\n" % digest, API_KEY, "API key"


def gateway_yaml(identity_block):
    """Both providers, an identity and two limits that are counted and never reached."""
    # No contender writes an access log.
    lines = ["listener: { access_log: false }", "providers:"]
    for name in ("openai", "anthropic"):
        entry = "  %s: { kind: %s, endpoint: http://127.0.0.1:1, credential: { env: BENCH_CREDENTIAL } }"
        lines.append(entry % (name, name))
    lines.append("models:")
    for model, provider in ((OPENAI_MODEL, "openai"), (ANTHROPIC_MODEL, "anthropic")):
        lines.append("  - { name: %s, targets: [{ provider: %s }] }" % (model, provider))
    lines += ["identity:", identity_block.rstrip("\n"), "limits:"]
    for name, per, count in (("requests", "consumer", "requests"), ("tokens", "team", "total_tokens")):
        lines.append("  - { name: %s, per: [%s], count: %s, max: 1000000000000, window: 1m }" % (name, per, count))
    return "\n".join(lines) + "\n"


# --- processes -------------------------------------------------------------------------------------------------


class Cores:
    """Which cores Envoy, the stand-in and the load generator may use; none of it without `taskset`."""

    def __init__(self, is_wanted):
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self.is_pinned = is_wanted and len(cores) > 1 and shutil.which("taskset") is not None
        # One core each for Envoy, the stand-in and the load generator; on two cores, the last two share.
        cores = cores if self.is_pinned else [0, 0]
        self.envoy, self.standin, self.loadgen = cores[0], cores[1], cores[min(2, len(cores) - 1)]

    def run_on(self, core, command):
        """`command` on this core."""
        return (["taskset", "-c", str(core)] if self.is_pinned else []) + [str(part) for part in command]

    def describe(self):
        """For the report."""
        if not self.is_pinned:
            return "nothing pinned to cores"
        facts = (self.envoy, self.standin, self.loadgen)
        return "Envoy on core %d, stand-in on core %d, load generator on core %d" % facts


def processes_below(pid):
    """`pid` and everything it started; PyPI's Envoy is a small program that starts the true one."""
    found = [pid]
    for each in found:
        with contextlib.suppress(OSError):
            for task in Path("/proc/%d/task" % each).iterdir():
                found += [int(word) for word in (task / "children").read_text().split()]
    return found


def resident_mib(pid):
    """Resident memory of a process and those below it; None where there is no /proc."""
    total = 0
    for each in processes_below(pid):
        with contextlib.suppress(OSError):
            text = Path("/proc/%d/status" % each).read_text()
            total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS:"))
    return total / 1024 or None


def cpu_seconds(pid):
    """Processor time that a process and those below it have used."""
    ticks = 0
    for each in processes_below(pid):
        with contextlib.suppress(OSError):
            fields = Path("/proc/%d/stat" % each).read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


class Contender:
    """One row of the tables."""

    def __init__(self, name, port, model, child=None, headers=()):
        self.name, self.port, self.model, self.child, self.headers = name, port, model, child, list(headers)

    def body_file(self, load):
        """The request, padded to its size."""
        body = {"model": self.model, "max_tokens": 500, "messages": [{"role": "user", "content": ""}]}
        if load == "stream":
            body["stream"] = True
        words = "Tell me something about gateways. " * 40
        missing = REQUEST_BYTES - len(json.dumps(body, separators=(",", ":")))
        body["messages"][0]["content"] = words[:missing]
        path = FOLDER / ("%s-%s.json" % (self.name, load))
        path.write_text(json.dumps(body, separators=(",", ":")), encoding="ascii")
        return path

    def probe(self, load):
        """Why this contender cannot be measured; None if it answers as it should."""
        headers = dict(line.split(": ", 1) for line in self.headers)
        headers["content-type"] = "application/json"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("POST", PATH, self.body_file(load).read_bytes(), headers)
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            return str(error) or type(error).__name__
        finally:
            connection.close()
        fault = "%d %s" % (answer.status, text[:300])
        if answer.status != 200:
            return fault
        try:
            return None if is_true_answer(load, text) else fault
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            return fault


def is_true_answer(load, text):
    """Whether this is OpenAI's format with the content that the stand-in gives."""
    if load == "json":
        return bool(json.loads(text)["choices"][0]["message"]["content"])
    data = [line[5:].strip() for line in text.splitlines() if line.startswith("data:")]
    chunks = [json.loads(each) for each in data if each != "[DONE]"]
    said = [choice for chunk in chunks for choice in chunk.get("choices") or [] if choice["delta"].get("content")]
    return "[DONE]" in data and len(said) >= STREAM_EVENTS


class Arena:
    """Everything that runs."""

    def __init__(self, options):
        self.options, self.cores = options, Cores(not options.no_pin)
        self.programs = setup.target_dir() / "release"
        self.children, self.contenders, self.absent = [], [], []
        self.credential = "none"

    def start(self):
        """The stand-in and each Envoy."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        self.envoy = setup.ensure_envoy()
        upstream = stack.free_ports(1)[0]
        command = [self.programs / "standin", "--fast", "--fast-events", STREAM_EVENTS]
        command += ["--listen", "127.0.0.1:%d" % upstream]
        self.child("standin", self.cores.run_on(self.cores.standin, command), lambda: stack.listens(upstream))
        self.contenders.append(Contender("upstream", upstream, OPENAI_MODEL))
        for name, render, model in ((PLAIN, plain, OPENAI_MODEL), (NATIVE, transcoding, ANTHROPIC_MODEL)):
            port, admin = stack.free_ports(2)
            config = FOLDER / (name + ".yaml")
            config.write_text(json.dumps(render(port, admin, upstream), indent=1), encoding="ascii")
            self.contenders.append(Contender(name, port, model, self.start_envoy(name, config, port, admin)))
        self.start_gateway(upstream)

    def start_gateway(self, upstream):
        """Ours, once for both directions. Without it the others are measured all the same."""
        block, credential, self.credential = identity()
        config = FOLDER / "gateway.yaml"
        config.write_text(gateway_yaml(block), encoding="utf-8")
        at = "http://127.0.0.1:%d" % upstream
        settings = {"providers.openai.endpoint": at + "/v1", "providers.anthropic.endpoint": at}
        try:
            gateway = stack.Stack(config, "bench", settings=settings, credentials="stand-in-key")
            child = self.start_envoy(OURS, gateway.render(), gateway.port, gateway.admin, gateway.environment)
        except stack.StackError as error:
            self.absent.append((OURS, str(error)))
            return
        headers = ["authorization: Bearer " + credential]
        self.contenders.append(Contender(OURS, gateway.port, ANTHROPIC_MODEL, child, headers))
        self.contenders.append(Contender("tollgate-passthrough", gateway.port, OPENAI_MODEL, child, headers))

    def start_envoy(self, name, config, port, admin, environment=None):
        """One Envoy with one worker."""
        command = [self.envoy, "-c", config, "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "warning"]
        command = self.cores.run_on(self.cores.envoy, command)
        return self.child(name, command, lambda: stack.answers(admin, "/ready") and stack.listens(port), environment)

    def child(self, name, command, is_ready, environment=None):
        """A process that ends with this one."""
        log, errors = FOLDER / (name + ".log"), FOLDER / (name + ".err.log")
        child = stack.Child(name, command, log, errors, environment)
        self.children.append(child)
        child.wait_until(is_ready, 60)
        return child

    def stop(self):
        """Ends everything, the last started first."""
        for child in reversed(self.children):
            child.stop()

    def keep_those_that_answer(self):
        """Asks every contender once per load."""
        kept = []
        for contender in self.contenders:
            faults = [(load, contender.probe(load)) for load in self.options.loads]
            faults = ["%s: %s" % (load, fault) for load, fault in faults if fault]
            if faults:
                self.absent.append((contender.name, "; ".join(faults)))
            else:
                kept.append(contender)
        self.contenders = kept

    def measure(self, contender, load):
        """One run of the load generator."""
        command = [self.programs / "loadgen", "--url", "http://127.0.0.1:%d%s" % (contender.port, PATH)]
        command += ["--connections", self.options.connections, "--seconds", self.options.seconds, "--warmup", WARMUP]
        command += ["--body-file", contender.body_file(load)]
        for line in contender.headers:
            command += ["--header", line]
        used, begin = (cpu_seconds(contender.child.process.pid) if contender.child else 0), time.monotonic()
        done = subprocess.run(
            self.cores.run_on(self.cores.loadgen, command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        elapsed = time.monotonic() - begin
        if done.returncode != 0:
            raise BenchError("%s, %s: %s" % (contender.name, load, done.stderr.strip()))
        result = json.loads(done.stdout)
        if result["errors"] or not result["requests"]:
            fault = result["first_error"] or "no answer in time"
            raise BenchError("%s, %s: %d errors, the first: %s" % (contender.name, load, result["errors"], fault))
        if contender.child:
            # The warm-up counts too; its rate is taken to be that of the measured time.
            used = cpu_seconds(contender.child.process.pid) - used
            result["cpu_us"] = used / elapsed / result["rps"] * 1e6
        return result


# --- the report ------------------------------------------------------------------------------------------------


def median_of(results, key):
    """The median over the rounds."""
    return statistics.median(key(each) for each in results)


def ratio_to(name, runs, load, contender):
    """The median of the rounds' own ratios, as a number; None if there is nothing to compare with."""
    own, other = runs.get((contender, load)), runs.get((name, load))
    if not own or not other:
        return None
    return statistics.median(mine["rps"] / theirs["rps"] for mine, theirs in zip(own, other))


def table(runs, load, names):
    """One load as Markdown."""
    columns = ["contender", "req/s", "lowest to highest", "p50 ms", "p99 ms", "first byte p50 ms"]
    columns += ["Envoy CPU us/req", "vs envoy", "vs native"]
    lines = ["| " + " | ".join(columns) + " |", "|---" + "|---:" * (len(columns) - 1) + "|"]
    for name in names:
        results = runs.get((name, load))
        if not results:
            continue
        rates = [each["rps"] for each in results]
        cells = [name, "%.0f" % statistics.median(rates), "%.0f to %.0f" % (min(rates), max(rates))]
        cells.append("%.2f" % (median_of(results, lambda each: each["latency_us"]["p50"]) / 1000))
        cells.append("%.2f" % (median_of(results, lambda each: each["latency_us"]["p99"]) / 1000))
        cells.append("%.2f" % (median_of(results, lambda each: each["first_byte_us"]["p50"]) / 1000))
        cells.append("%.0f" % median_of(results, lambda each: each["cpu_us"]) if "cpu_us" in results[0] else "")
        for other in (PLAIN, NATIVE):
            ratio = ratio_to(other, runs, load, name)
            cells.append("" if ratio is None else "%.2fx" % ratio)
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def target_lines(runs, loads):
    """Whether the targets are met."""
    lines = []
    for load in loads:
        ratio = ratio_to(NATIVE, runs, load, OURS)
        if ratio is not None:
            verdict = "met" if ratio >= TARGETS[load] else "MISSED"
            facts = (load, OURS, ratio, NATIVE, TARGETS[load], verdict)
            lines.append("- %s: %s serves %.2fx of %s; the target is %.1fx: %s" % facts)
    return lines


def first_line(command):
    """What a program says its version is."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=str(setup.ROOT))
    return done.stdout.strip().split("\n")[0] or "unknown"


def processor():
    """The processor's name, where Linux tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def report(arena, runs, memory):
    """The whole report as Markdown, and the lines for the terminal are the same."""
    options, names = arena.options, [each.name for each in arena.contenders]
    wasm = setup.target_dir() / "wasm32-wasip1" / "release" / "tollgate.wasm"
    version = first_line(["git", "describe", "--always", "--dirty"])
    lines = ["# Benchmarks", "", "Written by `make bench ARGS=--write`; run it to have your own."]
    lines += ["", "**These are ratios within one run.** Absolute figures depend on the machine and on who shares it."]
    lines += ["Each ratio is the median of the ratios inside the rounds. Tollgate has everything switched on:"]
    lines += ["%s, two limits and usage; no contender writes an access log," % arena.credential]
    lines += ["the other contenders only pass on or translate.", ""]
    lines.append("- %s, Tollgate %s" % (datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"), version))
    compiler = first_line(["rustc", "--version"])
    lines.append("- Envoy %s, `--concurrency 1`; %s" % (setup.envoy_version(arena.envoy), compiler))
    facts = (os.cpu_count() or 0, processor(), platform.system(), arena.cores.describe())
    lines.append("- %d CPUs (%s), %s; %s" % facts)
    facts = (options.rounds, options.seconds, options.connections)
    lines.append("- Interleaved rounds: %d of %g s; %d connections, each with one request under way" % facts)
    if wasm.is_file():
        lines.append("- tollgate.wasm: %d bytes" % wasm.stat().st_size)
    for load in options.loads:
        lines += ["", "## %s: %s" % (load.upper() if load == "json" else load.capitalize(), LOADS[load]), ""]
        lines += table(runs, load, names)
    targets = target_lines(runs, options.loads)
    if targets:
        lines += ["", "## Targets", ""] + targets
    lines += ["", "## Resident memory of Envoy, MiB", "", "| process | idle | after the run |", "|---|---:|---:|"]
    lines += ["| %s | %s | %s |" % row for row in memory]
    return "\n".join(lines) + "\n"


def mebibytes(value):
    """For the table."""
    return "" if value is None else "%.0f" % value


def run(options):
    """The whole benchmark; answers with the exit status."""
    arena = Arena(options)
    runs, failed = {}, {}
    try:
        arena.start()
        arena.keep_those_that_answer()
        for name, why in arena.absent:
            say("bench: %s is left out: %s" % (name, why))
        envoys = {each.child.name: each.child.process.pid for each in arena.contenders if each.child}
        idle = {name: resident_mib(pid) for name, pid in envoys.items()}
        for number in range(1, options.rounds + 1):
            for load in options.loads:
                for contender in arena.contenders:
                    try:
                        result = arena.measure(contender, load)
                    except BenchError as error:
                        failed.setdefault((contender.name, load), str(error))
                        say("bench: " + str(error))
                        continue
                    runs.setdefault((contender.name, load), []).append(result)
                    p99 = result["latency_us"]["p99"] / 1000
                    facts = (number, options.rounds, load, contender.name, result["rps"], p99)
                    say("bench: round %d of %d  %-6s  %-20s %8.0f req/s  p99 %.2f ms" % facts)
        memory = [(name, mebibytes(idle[name]), mebibytes(resident_mib(pid))) for name, pid in envoys.items()]
    finally:
        arena.stop()
    # A contender that failed in any round has no ratio that could be believed.
    for key in failed:
        runs.pop(key, None)
    text = report(arena, runs, memory)
    print(text, end="", flush=True)
    is_whole = not failed and not arena.absent
    if options.write and is_whole:
        REPORT.parent.mkdir(parents=True, exist_ok=True)
        REPORT.write_text(text, encoding="utf-8")
        say("bench: wrote %s" % REPORT.relative_to(setup.ROOT))
    elif options.write:
        say("bench: nothing written, because not every contender was measured")
    return 0 if is_whole else 1


def main(arguments):
    """Reads the command line and runs."""
    parser = argparse.ArgumentParser(description="Measures the gateway against Envoy alone and Envoy's own transcoder.")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (3)")
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds of each measurement (3)")
    parser.add_argument("--connections", type=int, default=32, help="client connections (32)")
    parser.add_argument("--loads", nargs="+", choices=list(LOADS), default=list(LOADS), help="which loads (both)")
    parser.add_argument("--quick", action="store_true", help="1 round of 2 seconds")
    parser.add_argument("--no-pin", action="store_true", help="leave the choice of cores to the kernel")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks/README.md")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.seconds = 1, 2.0
    try:
        return run(options)
    except (BenchError, stack.StackError, setup.SetupError, OSError) as error:
        say("bench: %s" % error)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
