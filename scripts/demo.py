#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The guided tour: `make demo`.

Builds, starts a gateway on `envoy/gateway.yaml` with stand-ins in place of the providers, and shows what it
does, one real HTTP exchange after another. Every step checks what it shows: if one fails, the exit status is 1.

    make demo                          the tour, then the gateway stays up until Ctrl-C
    DEMO_EXIT=1 make demo              ends after the tour
    OPENAI_API_KEY=... make demo       calls the real OpenAI instead of its stand-in; ANTHROPIC_API_KEY likewise
    PORT=8080 make demo                another port than 10000

Configuration and logs are in .run/demo.
"""

import argparse
import http.client
import json
import os
import shlex
import signal
import subprocess
import sys
import time

import setup
import stack

CONFIG = setup.ROOT / "envoy" / "gateway.yaml"
DEMO_KEY = "tollgate-demo-key"
DEFAULT_PORT = 10000
SHOWN_HEADERS = ("content-type", "retry-after", "x-request-id")
SHOWN_PREFIXES = ("x-tollgate-", "x-ratelimit-")
MAX_CALLS_TO_EXHAUST = 50


def style(code, text):
    """Colour, where there is a terminal to show it."""
    return "\033[%sm%s\033[0m" % (code, text) if sys.stdout.isatty() and "NO_COLOR" not in os.environ else text


def show(text=""):
    """One line of the tour."""
    print(text, flush=True)


class Answer:
    """What came back."""

    def __init__(self, status, headers, body, events):
        self.status, self.headers, self.body, self.events = status, headers, body, events

    def json(self):
        """The body as JSON; an empty object if it is none."""
        try:
            parsed = json.loads(self.body)
        except ValueError:
            return {}
        return parsed if isinstance(parsed, dict) else {}

    def text(self):
        """What the model said, whole or streamed."""
        if not self.events:
            choices = self.json().get("choices") or [{}]
            return (choices[0].get("message") or {}).get("content") or ""
        said = []
        for event in self.events:
            if event != "[DONE]":
                for choice in json.loads(event).get("choices") or []:
                    said.append((choice.get("delta") or {}).get("content") or "")
        return "".join(said)


class Tour:
    """The steps, and how many of them were not as promised."""

    def __init__(self, gateway, config_text):
        self.gateway, self.config_text = gateway, config_text
        self.number = self.failures = 0

    def step(self, title):
        """Opens a step."""
        self.number += 1
        show()
        show(style("1", "%d. %s" % (self.number, title)))

    def expect(self, is_met, what):
        """Says whether the step kept its promise."""
        self.failures += not is_met
        show(style("32", "   ok: ") + what if is_met else style("31", "   FAILED: expected ") + what)

    def curl(self, body, credential):
        """The same request, for the reader's own terminal."""
        parts = ["curl -i"] + (["-N"] if body.get("stream") else []) + [self.gateway.base_url + "/chat/completions"]
        if credential:
            shown = "$(cat envoy/%s)" % credential if credential.endswith(".jwt") else credential
            parts.append('-H "authorization: Bearer %s"' % shown)
        parts += ["-H 'content-type: application/json'", "-d " + shlex.quote(json.dumps(body))]
        return "   $ " + " \\\n       ".join([" ".join(parts[:-2]), " ".join(parts[-2:])])

    def call(self, body, credential, quiet=False):
        """One request, shown with its answer; events are shown as they arrive."""
        headers = {"content-type": "application/json"}
        if credential:
            secret = credential
            if credential.endswith(".jwt"):
                secret = (CONFIG.parent / credential).read_text(encoding="ascii").strip()
            headers["authorization"] = "Bearer " + secret
        if not quiet:
            show(style("36", self.curl(body, credential)))
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=120)
        started = time.monotonic()
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
            response = connection.getresponse()
            is_stream = (response.getheader("content-type") or "").startswith("text/event-stream")
            if not quiet:
                self.show_head(response)
            events = self.read_events(response, started, quiet) if is_stream else []
            text = "" if is_stream else response.read().decode("utf-8", "replace")
            if not quiet and not is_stream:
                show("   " + text)
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, text, events)
        finally:
            connection.close()

    @staticmethod
    def show_head(response):
        """Status and the headers that the tour is about."""
        show("   HTTP %d %s" % (response.status, http.client.responses.get(response.status, "")))
        for name, value in response.getheaders():
            if name.lower() in SHOWN_HEADERS or name.lower().startswith(SHOWN_PREFIXES):
                show("   %s: %s" % (name.lower(), value))
        show()

    @staticmethod
    def read_events(response, started, quiet):
        """The `data:` of each event, shown with the time it arrived."""
        events = []
        for line in response:
            text = line.decode("utf-8", "replace").strip()
            if text.startswith("data:"):
                events.append(text[5:].strip())
                if not quiet:
                    at = style("2", "%5d ms" % round(1000 * (time.monotonic() - started)))
                    show("   %s  %s" % (at, text if len(text) <= 180 else text[:177] + "..."))
        return events

    # --- the steps -------------------------------------------------------------------------------------------

    def chat(self, model, **more):
        """A small chat request."""
        request = {"model": model, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 100}
        return dict(request, **more)

    def openai(self):
        """A JWT caller, served in OpenAI's own format."""
        self.step("alice, known by her JWT, asks for gpt-4o-mini: OpenAI serves it")
        answer = self.call(self.chat("gpt-4o-mini"), "demo.jwt")
        self.expect(answer.status == 200 and answer.text() != "", "a completion")
        self.expect(answer.headers.get("x-tollgate-provider") == "openai", "x-tollgate-provider: openai")
        self.expect("usage" in answer.json(), "the tokens it cost, in usage")

    def anthropic(self):
        """Another model name is all it takes."""
        self.step("The same call with another model: Anthropic's API serves it, the answer is still OpenAI's format")
        answer = self.call(self.chat("claude-haiku-4-5"), "demo.jwt")
        self.expect(answer.status == 200 and answer.json().get("object") == "chat.completion", "a chat.completion")
        self.expect(answer.headers.get("x-tollgate-provider") == "anthropic", "x-tollgate-provider: anthropic")

    def stream(self):
        """Events leave as they arrive."""
        self.step("The same, streamed: each event is translated and leaves when it arrives")
        body = self.chat("claude-haiku-4-5", stream=True, stream_options={"include_usage": True})
        answer = self.call(body, "demo.jwt")
        self.expect(answer.status == 200 and answer.text() != "", "streamed chunks with content")
        self.expect(answer.events[-1:] == ["[DONE]"], "the stream ends with data: [DONE]")
        self.expect(any('"usage":{' in event for event in answer.events), "a last chunk with the usage")

    def unknown(self):
        """Nobody gets in without a credential."""
        self.step("No credential")
        answer = self.call(self.chat("gpt-4o-mini"), None)
        self.expect(answer.status == 401 and "error" in answer.json(), "401, in OpenAI's error shape")

    def limited(self):
        """A team's token limit."""
        self.step("bob's team has a small token limit: he calls until it is used up")
        body = self.chat("gpt-4o-mini", max_tokens=40)
        show(style("36", self.curl(body, "demo-trial.jwt")))
        for count in range(1, MAX_CALLS_TO_EXHAUST + 1):
            answer = self.call(body, "demo-trial.jwt", quiet=True)
            left = answer.headers.get("x-ratelimit-remaining-tokens", "?")
            show("   call %d: HTTP %d, x-ratelimit-remaining-tokens: %s" % (count, answer.status, left))
            if answer.status != 200:
                break
        for name in sorted(answer.headers):
            if name in SHOWN_HEADERS or name.startswith(SHOWN_PREFIXES):
                show("   %s: %s" % (name, answer.headers[name]))
        show("   " + answer.body)
        self.expect(answer.status == 429, "429 when the tokens are used up")
        self.expect(answer.headers.get("retry-after", "").isdigit(), "retry-after, in seconds")

    def failing_provider(self):
        """The names of `resilient`'s first two providers, and the first one's model; None if not stand-ins."""
        targets = stack.targets_of(self.config_text, "resilient")
        if len(targets) < 2 or targets[0][0] not in self.gateway.standins:
            return None
        return targets[0], targets[1]

    def fail_over(self, title, fault, **more):
        """A fault of the first provider, which the client never sees."""
        self.step(title)
        found = self.failing_provider()
        if found is None:
            show("   skipped: the first provider of `resilient` is the real one, and it cannot be made to fail")
            return
        (first, model), (second, _) = found
        self.gateway.standins[first].fault(model, fault)
        show("   the stand-in for %s is told: fail %s with %s" % (first, model, json.dumps(fault)))
        answer = self.call(self.chat("resilient", **more), "demo.jwt")
        self.expect(answer.status == 200 and answer.text() != "", "an answer, and no trace of the failure")
        self.expect(answer.headers.get("x-tollgate-provider") == second, "x-tollgate-provider: " + second)
        self.expect(answer.headers.get("x-tollgate-attempts") == "2", "x-tollgate-attempts: 2")
        if more.get("stream"):
            self.expect(answer.events[-1:] == ["[DONE]"], "a whole stream, up to data: [DONE]")

    def run(self):
        """All steps, in order."""
        self.openai()
        self.anthropic()
        self.stream()
        self.unknown()
        self.limited()
        self.fail_over("resilient: the first provider answers 503, the second serves", {"status": 503})
        self.fail_over(
            "resilient, streamed: the first provider fails INSIDE its 200 stream, before any content",
            {"in_stream_error": 0},
            stream=True,
        )
        return self.failures


def closing_words(gateway):
    """How to go on by hand."""
    show()
    show(style("1", "The gateway is up. From another terminal:"))
    body = json.dumps({"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "Hi"}]})
    url = gateway.base_url + "/chat/completions"
    show("   curl %s -H 'authorization: Bearer %s' -H 'content-type: application/json' -d '%s'" % (url, DEMO_KEY, body))
    show("or with any OpenAI SDK:")
    show("   base_url = %s" % gateway.base_url)
    show("   api_key  = %s" % DEMO_KEY)
    show("Envoy's admin interface: http://127.0.0.1:%d    logs: .run/demo/*.log" % gateway.admin)


def chosen_port():
    """$PORT, else 10000, else any that is free."""
    if os.environ.get("PORT"):
        return int(os.environ["PORT"])
    if stack.is_free(DEFAULT_PORT):
        return DEFAULT_PORT
    show("port %d is taken: the operating system chooses another" % DEFAULT_PORT)
    return 0


def build():
    """`make build-dev`; what it needs is checked before it starts."""
    setup.check_prerequisites()
    setup.ensure_envoy()
    show("building (the first time takes a few minutes) ...")
    make = ["make", "--no-print-directory", "build-dev", "PYTHON=" + sys.executable]
    if subprocess.run(make, cwd=str(setup.ROOT)).returncode != 0:
        raise setup.SetupError("the build failed; its messages are above")


def wait_for_interrupt(gateway):
    """Stays until Ctrl-C, or until a part ends by itself."""
    show()
    show("Ctrl-C ends it.")
    while gateway.gateway.is_alive():
        time.sleep(0.5)
    raise stack.StackError("Envoy ended by itself:\n" + stack.tail(gateway.log("envoy")))


def main():
    """The tour, start to end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exit", action="store_true", help="end after the tour (also DEMO_EXIT=1)")
    parser.add_argument("--no-build", action="store_true", help="use what is built already")
    arguments = parser.parse_args()
    # An ordinary `kill` takes the same way out as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if not arguments.no_build:
            build()
        text = CONFIG.read_text(encoding="utf-8")
        real = [
            each.name for each in stack.providers_of(text) if any(os.environ.get(variable) for variable in each.credential_envs)
        ]
        gateway = stack.Stack(CONFIG, "demo", port=chosen_port(), real=real)
        for entry in gateway.providers:
            where = "the real one, " + entry.endpoint if entry.name in real else "a stand-in"
            show("provider %s: %s" % (entry.name, where))
        with gateway:
            failures = Tour(gateway, text).run()
            show()
            show(style("31", "%d expectations failed" % failures) if failures else style("32", "Every step as promised."))
            if not (arguments.exit or os.environ.get("DEMO_EXIT", "") not in ("", "0")):
                closing_words(gateway)
                try:
                    wait_for_interrupt(gateway)
                except KeyboardInterrupt:
                    show()
                    show("stopped")
            return 1 if failures else 0
    except (setup.SetupError, stack.StackError, OSError, http.client.HTTPException) as error:
        print("demo: %s" % error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        show()
        return 130


if __name__ == "__main__":
    sys.exit(main())
