# SPDX-License-Identifier: Apache-2.0
"""What runs while the benchmark runs: stand-ins, contenders, the load generator, and who uses which core."""

import contextlib
import http.client
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import setup
import stack

from benchmark import configs

FOLDER = stack.RUN / "bench"
WORDS = "Tell me something about gateways. "


class BenchError(Exception):
    """Something that makes a measurement worthless; the message says what."""


def say(text=""):
    """One line of progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


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
        return "Envoy with one worker on core %d, stand-in on core %d, load generator on core %d" % facts


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


class Load:
    """One kind of request.

    name        for files and tables
    is_stream   whether a stream is asked for
    bytes       the size of the request's body
    prompt      what the prompt begins with; the stand-in obeys `count:N` when it is not fast
    """

    def __init__(self, name, is_stream=False, size=1024, prompt=""):
        self.name, self.is_stream, self.size, self.prompt = name, is_stream, size, prompt

    def body_file(self, model):
        """The request, padded to its size."""
        body = {"model": model, "max_tokens": 20000, "messages": [{"role": "user", "content": ""}]}
        if self.is_stream:
            body["stream"] = True
        missing = self.size - len(json.dumps(body, separators=(",", ":")))
        text = self.prompt + " " + WORDS * (missing // len(WORDS) + 1)
        body["messages"][0]["content"] = text[: max(missing, 0)]
        path = FOLDER / ("body-%s-%s.json" % (model, self.name))
        path.write_text(json.dumps(body, separators=(",", ":")), encoding="ascii")
        return path


class Contender:
    """One row of the tables: where it listens, which model it is asked for and with which headers.

    child     the process whose memory and CPU time are told; None if they do not count
    in_turn   header lines of which each request has the next
    """

    def __init__(self, name, port, model, child=None, headers=(), in_turn=(), path=configs.PATH):
        self.name, self.port, self.model, self.child, self.path = name, port, model, child, path
        self.headers, self.in_turn = list(headers), list(in_turn)

    def named(self, name, model):
        """The same process, asked for another model."""
        return Contender(name, self.port, model, self.child, self.headers, self.in_turn, self.path)

    def probe(self, load, timeout=20):
        """Why this contender cannot be measured; None if it answers as it should."""
        headers = dict(line.split(": ", 1) for line in self.headers + self.in_turn[:1])
        headers["content-type"] = "application/json"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("POST", self.path, load.body_file(self.model).read_bytes(), headers)
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
    if not load.is_stream:
        return bool(json.loads(text)["choices"][0]["message"]["content"])
    data = [line[5:].strip() for line in text.splitlines() if line.startswith("data:")]
    chunks = [json.loads(each) for each in data if each != "[DONE]"]
    said = [choice for chunk in chunks for choice in chunk.get("choices") or [] if choice["delta"].get("content")]
    return "[DONE]" in data and len(said) > 1


class Arena:
    """Starts everything, and ends it. A context manager."""

    def __init__(self, is_pinned):
        self.cores, self.programs = Cores(is_pinned), setup.target_dir() / "release"
        self.children, self.numbers = [], 0
        FOLDER.mkdir(parents=True, exist_ok=True)
        self.envoy = setup.ensure_envoy()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop(0)

    @contextlib.contextmanager
    def section(self):
        """What is started inside ends with it."""
        before = len(self.children)
        try:
            yield
        finally:
            self.stop(before)

    def stop(self, down_to):
        """Ends the last started first, until so many are left."""
        while len(self.children) > down_to:
            self.children.pop().stop()

    def spawn(self, name, command, environment=None):
        """A process that ends with this one."""
        self.numbers += 1
        log, errors = (FOLDER / ("%02d-%s.%s" % (self.numbers, name, end)) for end in ("log", "err.log"))
        self.children.append(stack.Child(name, command, log, errors, environment))
        return self.children[-1]

    def child(self, name, command, is_ready, environment=None):
        """The same, and waits until it is ready."""
        child = self.spawn(name, command, environment)
        child.wait_until(is_ready, 120)
        return child

    def write(self, name, config):
        """Envoy's configuration as a file."""
        self.numbers += 1
        path = FOLDER / ("%02d-%s.yaml" % (self.numbers, name))
        path.write_text(json.dumps(config, indent=1), encoding="ascii")
        return path

    def standin(self, *options):
        """A stand-in with these options; answers with its port."""
        port = stack.free_ports(1)[0]
        command = [self.programs / "standin", "--listen", "127.0.0.1:%d" % port] + list(options)
        self.child("standin", self.cores.run_on(self.cores.standin, command), lambda: stack.listens(port))
        return port

    def upstream(self, port):
        """The stand-in itself as a contender."""
        return Contender("upstream", port, configs.OPENAI_MODEL, headers=["authorization: Bearer none"])

    def spawn_envoy(self, name, config, environment=None, workers=1):
        """One Envoy, not waited for. More than one worker may use every core."""
        command = [self.envoy, "-c", config, "--concurrency", workers, "--use-dynamic-base-id"]
        command = [str(part) for part in command + ["--log-level", "error"]]
        if workers == 1:
            command = self.cores.run_on(self.cores.envoy, command)
        return self.spawn(name, command, environment)

    def start_envoy(self, name, config, ports, workers=1, environment=None):
        """One Envoy that takes requests."""
        port, admin = ports
        child = self.spawn_envoy(name, config, environment, workers)
        child.wait_until(lambda: stack.answers(admin, "/ready") and stack.listens(port), 120)
        return child

    def without_us(self, name, render, upstream, model=configs.OPENAI_MODEL, workers=1):
        """An Envoy without the gateway."""
        ports = stack.free_ports(2)
        config = self.write("envoy", render(ports[0], ports[1], upstream))
        child = self.start_envoy(name, config, ports, workers)
        return Contender(name, ports[0], model, child, ["authorization: Bearer none"])

    def plain(self, upstream, workers=1):
        """Envoy with nothing but its router."""
        name = "envoy" if workers == 1 else "envoy, %d workers" % workers
        return self.without_us(name, configs.plain, upstream, workers=workers)

    def native(self, upstream):
        """Envoy's own transcoder. The headers that Anthropic's API needs come from the client here."""
        found = self.without_us("envoy-transcoder", configs.transcoding, upstream, configs.ANTHROPIC_MODEL)
        found.headers += ["x-api-key: none", "anthropic-version: 2023-06-01"]
        return found

    def render(self, features, upstream):
        """Envoy's configuration with the gateway in it: what has to be known to start it."""
        self.numbers += 1
        name = "gateway-%d" % self.numbers
        config = FOLDER / (name + "-in.yaml")
        config.write_text(features.gateway_yaml(), encoding="utf-8")
        address = "http://127.0.0.1:%d" % upstream
        settings = {
            "providers.%s.endpoint" % name: address + ("/v1" if kind == "openai" else "")
            for name, kind in features.providers()
        }
        gateway = stack.Stack(config, "bench/" + name, settings=settings, credentials="stand-in-key")
        gateway.folder.mkdir(parents=True, exist_ok=True)
        return gateway, gateway.render()

    def tollgate(self, features, upstream, name="tollgate", workers=1):
        """Ours, translating; `.named(…)` asks it for the model that it passes through."""
        gateway, rendered = self.render(features, upstream)
        ports = (gateway.port, gateway.admin)
        child = self.start_envoy("tollgate", rendered, ports, workers, gateway.environment)
        in_turn = features.credentials()
        headers = in_turn if len(in_turn) == 1 else []
        return Contender(name, gateway.port, configs.ANTHROPIC_MODEL, child, headers, in_turn if not headers else [])

    def measure(self, contender, load, seconds, connections=32, warmup=0.5, rate=None):
        """One run of the load generator; `cpu_us` is the contender's CPU time for each request."""
        command = [self.programs / "loadgen", "--url", "http://127.0.0.1:%d%s" % (contender.port, contender.path)]
        command += ["--connections", connections, "--seconds", seconds, "--warmup", warmup]
        command += ["--body-file", load.body_file(contender.model)] + (["--rate", rate] if rate else [])
        for line in contender.headers:
            command += ["--header", line]
        if contender.in_turn:
            path = FOLDER / "headers.txt"
            path.write_text("\n".join(contender.in_turn), encoding="ascii")
            command += ["--header-in-turn-file", path]
        used = cpu_seconds(contender.child.process.pid) if contender.child else 0
        done = subprocess.run(
            self.cores.run_on(self.cores.loadgen, command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        if done.returncode != 0:
            raise BenchError("%s, %s: %s" % (contender.name, load.name, done.stderr.strip()))
        result = json.loads(done.stdout)
        if result["errors"] or not result["requests"]:
            fault = result["first_error"] or "no answer in time"
            facts = (contender.name, load.name, result["errors"], fault)
            raise BenchError("%s, %s: %d errors, the first: %s" % facts)
        if contender.child:
            result["cpu_us"] = (cpu_seconds(contender.child.process.pid) - used) / result["answers"] * 1e6
        return result


def checked(contenders, loads):
    """Those that answer every load truly, and the others as (name, why)."""
    kept, absent = [], []
    for contender in contenders:
        faults = [(load.name, contender.probe(load)) for load in loads]
        faults = ["%s: %s" % (name, fault) for name, fault in faults if fault]
        if faults:
            absent.append((contender.name, "; ".join(faults)))
        else:
            kept.append(contender)
    return kept, absent
