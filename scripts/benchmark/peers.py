# SPDX-License-Identifier: Apache-2.0
"""Other gateways, measured when they are there; nothing is installed.

LiteLLM     `litellm` on PATH, or the program that $LITELLM names
Portkey     start-server.js of the npm package @portkey-ai/gateway, which $PORTKEY names, with `node` on PATH

One worker each, pinned like Envoy, translating from OpenAI's format to Anthropic's, with no limits and no log.
"""

import os
import secrets
import shutil
from pathlib import Path

import stack

from benchmark import configs
from benchmark.arena import FOLDER, Contender

# Portkey's server has no option for its address and would listen on every interface.
LOOPBACK = """
const { Server } = require("node:net");
const listen = Server.prototype.listen;
Server.prototype.listen = function (first, ...rest) {
  if (typeof first === "object" && first !== null) return listen.call(this, { ...first, host: "127.0.0.1" }, ...rest);
  return listen.call(this, first, "127.0.0.1", ...rest.filter((each) => typeof each === "function"));
};
"""
MODEL = configs.ANTHROPIC_MODEL


def litellm_command(program, port, upstream):
    """LiteLLM's proxy, its environment and the headers that it wants."""
    config = FOLDER / "litellm.yaml"
    config.write_text(
        "model_list:\n  - model_name: %s\n    litellm_params: { model: anthropic/%s, api_base: 'http://127.0.0.1:%d', "
        "api_key: none }\nlitellm_settings: { num_retries: 0 }\n" % (MODEL, MODEL, upstream),
        encoding="ascii",
    )
    key = "sk-" + secrets.token_hex(16)
    # Without these it fetches a price list, reports home and writes more than it is asked.
    settings = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False", "LITELLM_LOG": "ERROR"}
    settings.update({"LITELLM_MASTER_KEY": key, "DISABLE_ADMIN_UI": "True", "NO_DOCS": "True"})
    command = [program, "--config", config, "--host", "127.0.0.1", "--port", port, "--num_workers", "1"]
    return command, settings, ["authorization: Bearer " + key]


def portkey_command(script, port, upstream):
    """Portkey's gateway, its environment and the headers that it wants."""
    preload = FOLDER / "loopback.cjs"
    preload.write_text(LOOPBACK, encoding="ascii")
    headers = ["authorization: Bearer none", "x-portkey-provider: anthropic"]
    headers.append("x-portkey-custom-host: http://127.0.0.1:%d/v1" % upstream)
    return ["node", "--require", preload, script, "--port=%d" % port, "--headless"], {}, headers


def found():
    """Name, program and command of each peer that is here."""
    peers = []
    litellm = os.environ.get("LITELLM") or shutil.which("litellm")
    if litellm:
        peers.append(("litellm", litellm, litellm_command))
    portkey = os.environ.get("PORTKEY")
    if portkey and Path(portkey).is_file() and shutil.which("node"):
        peers.append(("portkey", portkey, portkey_command))
    return peers


def start(arena, upstream):
    """Starts each peer that is here; answers with the contenders, and with those that did not start."""
    contenders, absent = [], []
    for name, program, command_for in found():
        port = stack.free_ports(1)[0]
        command, settings, headers = command_for(program, port, upstream)
        environment = dict(os.environ, **settings)
        pinned = arena.cores.run_on(arena.cores.envoy, command)
        try:
            child = arena.child(name, pinned, lambda at=port: stack.listens(at), environment)
        except stack.StackError as error:
            absent.append((name, str(error)))
            continue
        contenders.append(Contender(name, port, MODEL, child, headers))
    return contenders, absent
