# SPDX-License-Identifier: Apache-2.0
"""What `tollgate check` accepts, Envoy accepts.

Configurations that differ in one value each: the smallest and the largest that may be written, and what lies beyond.
Those that the command calls sound are rendered and given to `envoy --mode validate`.
"""

import json
import os
import subprocess

import pytest
from conftest import RUN
from stack import setup

SOUND = "tests/fixtures/configs/valid/every-key.yaml"
SETTINGS = {
    "as it is": {},
    "shortest times": {
        "providers.openai.connect_timeout": "1ms",
        "models[2].timeout": "1ms",
        "models[2].per_try_idle_timeout": "1ms",
    },
    "longest times": {
        "providers.openai.connect_timeout": "31d",
        "models[2].timeout": "31d",
        "models[2].per_try_idle_timeout": "31d",
    },
    "no time to connect": {"providers.openai.connect_timeout": "0s"},
    "ages to connect": {"providers.openai.connect_timeout": "40000000d"},
    "ages to answer": {"models[2].timeout": "200000d"},
    "ages of silence": {"models[2].timeout": "200000d", "models[2].per_try_idle_timeout": "200000d"},
    "smallest bounds": {
        "listener.max_request_body_bytes": 1,
        "listener.max_response_body_bytes": 1,
        "listener.max_event_bytes": 1,
    },
    "largest bounds": {
        "listener.max_request_body_bytes": 4294967295,
        "listener.max_response_body_bytes": 4294967295,
    },
    "heaviest weights": {"models[2].targets[0].weight": 4294967294, "models[2].targets[1].weight": 1},
    "weights beyond": {"models[2].targets[0].weight": 4294967295},
    "no client": {"providers.by-token.credential.oauth2.client_id": ""},
    "no path of a secret": {"providers.by-token.credential.oauth2.client_secret.file": ""},
    "no path of a credential": {"providers.openai.credential.file": ""},
    "odd path of a credential": {"providers.openai.credential.file": '"/a b\\n\\"c"'},
    "odd name of a variable": {"providers.mistral.credential.env": "A=B"},
    "odd names": {"models[1].name": "\"a%REQ(x)%'{}[]\\\\\"", "limits[0].name": '"a\\nb"'},
    "addresses": {"listener.address": '"::"', "admin.address": '"::1"'},
    "one port": {"admin.port": 8080, "admin.address": '"::"'},
    "no port": {"listener.port": 0},
    "a final dot": {"providers.openai.endpoint": "https://api.openai.com./v1"},
    "an address that is none": {"providers.openai.endpoint": "https://999.1.1.1/v1"},
    "many targets": {
        "models[2].targets": json.dumps(
            [{"provider": "openai", "model": "m%d" % i, "priority": i} for i in range(40)]
        )
    },
    "an issuer at a port": {"identity.jwt[1].issuer": "https://login.example.com:8443"},
}  # fmt: skip
REFUSED = {
    "no time to connect",
    "ages to connect",
    "ages to answer",
    "ages of silence",
    "weights beyond",
    "no client",
    "no path of a secret",
    "no path of a credential",
    "odd name of a variable",
    "one port",
    "no port",
    "an address that is none",
}


def run(*command):
    """Exit code, and what was said."""
    environment = dict(os.environ, MISTRAL_API_KEY="a", MISTRAL_KEY_OF_SEARCH="b")
    done = subprocess.run(
        [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("name", SETTINGS)
def test_what_the_command_accepts_envoy_accepts(name):
    target = setup.target_dir()
    tollgate = target / "release" / "tollgate"
    settings = [part for key, value in SETTINGS[name].items() for part in ("--set", "%s=%s" % (key, value))]
    code, said = run(tollgate, "check", setup.ROOT / SOUND, *settings)
    assert (code == 0) == (name not in REFUSED), said
    if code != 0:
        return
    folder = RUN / "accepted"
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / "envoy.yaml"
    code, said = run(tollgate, "render", "envoy", setup.ROOT / SOUND, "-o", out, "--wasm", setup.wasm(), *settings)
    assert code == 0, said
    code, said = run(setup.ensure_envoy(), "--mode", "validate", "-c", out, "-l", "warning", "--use-dynamic-base-id")
    assert code == 0, said
