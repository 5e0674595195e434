# SPDX-License-Identifier: Apache-2.0
"""A gateway and the provider stand-ins behind it, as child processes.

The demo, the end-to-end tests and the benchmark all stand on this. `Stack` renders a `gateway.yaml` with the
endpoints of its providers pointed at stand-ins, one stand-in process per provider, and starts Envoy on the
result. Ports are chosen by the operating system unless they are given, so that stacks may run side by side.

Children end with this process, however it ends: Envoy asks the Linux kernel for that itself, and the stand-ins
are started so. The kernel ties this to the *thread* that started a child: start a stack from a thread that
lives as long as the stack, which the main thread does.
"""

import contextlib
import ctypes
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import setup

RUN = setup.ROOT / ".run"
PR_SET_PDEATHSIG = 1


class StackError(Exception):
    """A stack that did not come up; the message says why and holds the end of the log."""


def free_ports(count):
    """Ports that were free a moment ago. All are held while they are chosen, so none comes twice."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(contextlib.closing(socket.socket())) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def is_free(port):
    """Whether nobody listens on `port`."""
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def end_with_parent():
    """Runs in a child before its program: on Linux, the kernel ends it when we end."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def tail(path, lines=25):
    """The end of a log."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:]) or "(empty log)"


class ProviderEntry:
    """What has to be known of one entry of `providers` to put a stand-in in its place."""

    def __init__(self, name, endpoint, credential_envs):
        self.name, self.endpoint, self.credential_envs = name, endpoint, credential_envs


def top_level_block(text, key):
    """The lines below `key:` at the margin, up to the next key at the margin."""
    found = re.search(r"^%s:[^\n]*\n((?:[ \t#\-][^\n]*\n|\n)*)" % re.escape(key), text + "\n", re.MULTILINE)
    return found.group(1) if found else ""


def uncommented(text):
    """YAML without whole-line and trailing comments."""
    return re.sub(r"(^|\s)#[^\n]*", "", text)


def providers_of(text):
    """The providers of a `gateway.yaml`.

    Not a YAML reader, which Python's standard library lacks: it finds the keys one level below `providers:`
    and, inside each, the endpoint and the credentials' variables. Block and flow style of an entry both work.
    """
    block = uncommented(top_level_block(text, "providers"))
    indent = re.search(r"^( +)\S", block, re.MULTILINE)
    if not indent:
        raise StackError("gateway.yaml: no `providers:` block at the margin")
    heads = list(re.finditer(r"^%s([\w.-]+):" % indent.group(1), block, re.MULTILINE))
    entries = []
    for head, following in zip(heads, heads[1:] + [None]):
        body = block[head.end() : following.start() if following else len(block)]
        endpoint = re.search(r"endpoint:\s*[\"']?([^\s\"',}]+)", body)
        variables = re.findall(r"\benv:\s*[\"']?(\w+)", body)
        if not endpoint:
            raise StackError("gateway.yaml: provider %s has no endpoint" % head.group(1))
        entries.append(ProviderEntry(head.group(1), endpoint.group(1), variables))
    return entries


def targets_of(text, model):
    """The targets of one entry of `models`, in the order written, as (provider, model at the provider)."""
    block = uncommented(top_level_block(text, "models"))
    heads = list(re.finditer(r"^ *- (?:\{ *)?name:\s*[\"']?([^\s\"',}]+)", block, re.MULTILINE))
    for head, following in zip(heads, heads[1:] + [None]):
        if head.group(1) == model:
            body = block[head.end() : following.start() if following else len(block)]
            targets = []
            for item in re.split(r"^\s*-\s|\{", body, flags=re.MULTILINE):
                provider = re.search(r"\bprovider:\s*[\"']?([\w.-]+)", item)
                own_name = re.search(r"\bmodel:\s*[\"']?([^\s\"',}]+)", item)
                if provider:
                    targets.append((provider.group(1), own_name.group(1) if own_name else model))
            return targets
    raise StackError("gateway.yaml: no model %s" % model)


class Child:
    """One child process and its log."""

    def __init__(self, name, command, log, errors=None, env=None):
        self.name, self.log = name, errors or log
        with contextlib.ExitStack() as opened:
            out = opened.enter_context(open(str(log), "wb"))
            err = opened.enter_context(open(str(errors), "wb")) if errors else subprocess.STDOUT
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=env,
                cwd=str(setup.ROOT),
                # Its own group: Ctrl-C reaches us alone, and we end the children in order.
                start_new_session=True,
                preexec_fn=end_with_parent if sys.platform.startswith("linux") else None,
            )

    def is_alive(self):
        """Whether the process still runs."""
        return self.process.poll() is None

    def wait_until(self, is_ready, timeout):
        """Waits for `is_ready()`; fails as soon as the process ends, with the end of its log."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if not self.is_alive():
                why = "%s ended with status %s" % (self.name, self.process.returncode)
                break
            if is_ready():
                return
            time.sleep(0.05)
        else:
            why = "%s was not ready after %d s" % (self.name, timeout)
        raise StackError("%s; the end of %s:\n%s" % (why, self.log, tail(self.log)))

    def stop(self):
        """Ends the process, by force if it does not end in five seconds."""
        if not self.is_alive():
            return
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def ask(port, method, path, body=None, timeout=10):
    """One plain HTTP exchange with a local port: status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        headers = {"content-type": "application/json"} if body is not None else {}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def answers(port, path):
    """Whether a GET is answered with 200."""
    try:
        return ask(port, "GET", path, timeout=2)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def listens(port):
    """Whether a connection is accepted."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class StandIn:
    """The control interface of one running stand-in."""

    def __init__(self, name, port, child=None):
        self.name, self.port, self.child = name, port, child

    def control(self, method, path, body=None):
        """One control request; a refusal is an error."""
        status, answer = ask(self.port, method, "/__standin" + path, body)
        if status >= 300:
            raise StackError("stand-in %s: %s %s: %d %s" % (self.name, method, path, status, answer[:300]))
        return json.loads(answer) if answer.strip() else None

    def fault(self, model, fault, times=1):
        """The next `times` requests for `model` meet `fault`, for example `{"status": 503}`."""
        self.control("POST", "/faults", {"model": model, "times": times, "fault": fault})

    def reset(self):
        """Forgets faults and recorded requests."""
        self.control("POST", "/reset", {})

    def requests(self):
        """What arrived, oldest first; header names in lower case."""
        recorded = self.control("GET", "/requests")
        if isinstance(recorded, dict):
            recorded = recorded.get("requests", [])
        for each in recorded:
            pairs = each.get("headers", {})
            pairs = pairs.items() if isinstance(pairs, dict) else pairs
            each["headers"] = {str(key).lower(): value for key, value in pairs}
        return recorded

    def totals(self):
        """Counts since the start."""
        return self.control("GET", "/totals")


class Stack:
    """Stand-ins and a gateway in front of them. Use it as a context manager, or call `start` and `stop`.

    config        a gateway.yaml
    name          names the folder under .run that holds the rendered configuration and the logs
    port          the gateway's port; 0 lets the operating system choose
    concurrency   Envoy's worker threads
    settings      further `--set` overrides, a dict
    real          providers that are not replaced: their true endpoint is called
    environment   additions to Envoy's environment, a dict
    credentials   what a credential's variable holds if the environment does not have it
    log_level     Envoy's log level; the filter's own lines are always logged
    options       further options of Envoy's command line
    rendering     further options of `tollgate render envoy`
    """

    def __init__(self, config, name, port=0, concurrency=1, settings=None, real=(), environment=None,
                 credentials="stand-in-key", log_level="warning", options=(), rendering=()):  # fmt: skip
        self.config, self.name, self.concurrency = Path(config), name, concurrency
        self.settings, self.real, self.log_level = dict(settings or {}), set(real), log_level
        self.options, self.rendering = tuple(options), tuple(rendering)
        self.folder = RUN / name
        self.providers = providers_of(self.config.read_text(encoding="utf-8"))
        replaced = [entry for entry in self.providers if entry.name not in self.real]
        ports = free_ports(len(replaced) + 2)
        self.port, self.admin = port or ports[0], ports[1]
        self.standins = {entry.name: StandIn(entry.name, at) for entry, at in zip(replaced, ports[2:])}
        self.environment = dict(os.environ)
        for entry in self.providers:
            if entry.name not in self.real:
                self.environment.update((variable, credentials) for variable in entry.credential_envs)
        self.environment.update(environment or {})
        self.gateway = None

    @property
    def url(self):
        """The gateway's base URL."""
        return "http://127.0.0.1:%d" % self.port

    @property
    def base_url(self):
        """What an OpenAI SDK takes as `base_url`."""
        return self.url + "/v1"

    def log(self, name):
        """The path of a log: `envoy`, `access`, or a provider's name."""
        return self.folder / (name + ".log")

    def admin_get(self, path):
        """The text of an admin page."""
        return ask(self.admin, "GET", path)[1].decode("utf-8")

    def stats(self, prefix=""):
        """Envoy's counters and gauges with this prefix."""
        found = {}
        for line in self.admin_get("/stats?usedonly").splitlines():
            key, _, value = line.partition(": ")
            if key.startswith(prefix) and value.isdigit():
                found[key] = int(value)
        return found

    def render(self):
        """Writes Envoy's configuration and answers with its path."""
        target = setup.target_dir()
        out = self.folder / "envoy.yaml"
        command = [target / "release" / "tollgate", "render", "envoy", self.config, "-o", out, *self.rendering]
        command += ["--wasm", setup.wasm()]
        settings = {"listener.address": "127.0.0.1", "listener.port": self.port}
        settings.update({"admin.address": "127.0.0.1", "admin.port": self.admin})
        for entry in self.providers:
            if entry.name in self.standins:
                path = urlsplit(entry.endpoint).path
                at = "http://127.0.0.1:%d%s" % (self.standins[entry.name].port, path)
                settings["providers.%s.endpoint" % entry.name] = at
        settings.update(self.settings)
        for key, value in settings.items():
            command += ["--set", "%s=%s" % (key, value)]
        try:
            done = subprocess.run(
                [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        except OSError as error:
            raise StackError("%s: %s; run `make build-dev` first" % (command[0], error)) from error
        if done.returncode != 0:
            raise StackError("tollgate render failed (exit %d):\n%s" % (done.returncode, done.stdout))
        return out

    def start(self):
        """Starts everything and waits until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        program = setup.target_dir() / "release" / "standin"
        try:
            for name, standin in self.standins.items():
                command = [program, "--listen", "127.0.0.1:%d" % standin.port]
                standin.child = Child("stand-in %s" % name, command, self.log(name))
            for standin in self.standins.values():
                standin.child.wait_until(lambda at=standin.port: listens(at), 10)
            self.start_gateway()
        except OSError as error:
            self.stop()
            raise StackError("%s; run `make build-dev` first" % error) from error
        except BaseException:
            self.stop()
            raise
        return self

    def start_gateway(self):
        """Starts Envoy alone and waits until it answers."""
        command = self.command(self.render()) + ["--use-dynamic-base-id"]
        self.gateway = Child("envoy", command, self.log("access"), self.log("envoy"), self.environment)
        self.gateway.wait_until(lambda: answers(self.admin, "/ready") and listens(self.port), 60)

    def command(self, config):
        """What starts Envoy, but for what tells its shared memory from that of others."""
        command = [setup.ensure_envoy(), "-c", config, "--concurrency", self.concurrency]
        command += ["--log-level", self.log_level, "--component-log-level", "wasm:info"]
        # The access log is read while the stack runs; Envoy would keep it back for ten seconds.
        return command + ["--file-flush-interval-msec", "100", *self.options]

    def restart_gateway(self):
        """Ends Envoy and starts it anew; the stand-ins know nothing of it."""
        self.gateway.stop()
        self.start_gateway()

    def keep_traces(self):
        """Writes what the admin interface shows beside the logs, for whoever looks for secrets in all of it."""
        pages = {"stats.txt": "/stats", "config_dump.json": "/config_dump?include_eds", "clusters.txt": "/clusters"}
        for name, page in pages.items():
            with contextlib.suppress(OSError, http.client.HTTPException):
                (self.folder / name).write_text(self.admin_get(page), encoding="utf-8")

    def stop(self):
        """Ends the gateway, then the stand-ins. Harmless if they are gone."""
        if self.gateway is not None and self.gateway.is_alive():
            self.keep_traces()
        children = [self.gateway] + [standin.child for standin in self.standins.values()]
        for child in children:
            if child is not None:
                child.stop()

    def reset(self):
        """Every stand-in forgets its faults and records."""
        for standin in self.standins.values():
            standin.reset()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
