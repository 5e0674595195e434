#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The unit tests once more, as WebAssembly in node: `make test-wasm`.

Before they run, the test artifact's import section is read. It may import from the test harness alone: an
import from a module `env` would mean that the core calls a host, and then it could not be pure.
Arguments are handed to the test harness, for example a filter.
"""

import os
import subprocess
import sys

import setup

TARGET = "wasm32-unknown-unknown"
HARNESS = "__wbindgen"


def leb128(data, at):
    """An unsigned LEB128 number at `at`, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def name_at(data, at):
    """A length-prefixed name, and where it ends."""
    length, at = leb128(data, at)
    return data[at : at + length].decode("utf-8"), at + length


def limits_end(data, at):
    """Where a table's or memory's limits end."""
    flags = data[at]
    _, at = leb128(data, at + 1)
    return leb128(data, at)[1] if flags & 1 else at


def import_end(data, at):
    """Where the description of one import ends (https://webassembly.github.io/spec/core/binary/modules.html)."""
    kind = data[at]
    at += 1
    if kind == 0:  # function: a type index
        return leb128(data, at)[1]
    if kind == 1:  # table: a reference type and limits
        return limits_end(data, at + 1)
    if kind == 2:  # memory: limits
        return limits_end(data, at)
    if kind == 3:  # global: a value type and mutability
        return at + 2
    if kind == 4:  # tag: an attribute and a type index
        return leb128(data, at + 1)[1]
    raise ValueError("unknown import kind %d" % kind)


def imports(data):
    """Every import of a WebAssembly module, as (module, name)."""
    if data[:4] != b"\0asm":
        raise ValueError("not a WebAssembly module")
    at, found = 8, []
    while at < len(data):
        section, (size, start) = data[at], leb128(data, at + 1)
        if section == 2:
            count, cursor = leb128(data, start)
            for _ in range(count):
                module, cursor = name_at(data, cursor)
                name, cursor = name_at(data, cursor)
                found.append((module, name))
                cursor = import_end(data, cursor)
        at = start + size
    return found


def main(arguments):
    """Checks the imports, then runs the tests."""
    try:
        setup.check_prerequisites()
        setup.ensure_rust()
        setup.ensure_wasm_bindgen()
        node = setup.ensure_node()
        artifact = setup.build_program(["test", "-p", "tollgate", "--lib", "--target", TARGET, "--no-run"], "tollgate")
    except setup.SetupError as error:
        setup.say(str(error))
        return 1
    foreign = [pair for pair in imports(artifact.read_bytes()) if not pair[0].startswith(HARNESS)]
    if foreign:
        print("wasm ring: the core calls a host: it imports %s" % ", ".join("%s.%s" % pair for pair in foreign))
        return 1
    print("wasm ring: no import but the test harness's own", flush=True)
    environment = dict(os.environ, PATH=str(node.parent) + os.pathsep + os.environ.get("PATH", ""))
    command = ["cargo", "test", "-p", "tollgate", "--lib", "--target", TARGET]
    return subprocess.run(command + ["--"] + arguments, cwd=str(setup.ROOT), env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
