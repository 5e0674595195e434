# SPDX-License-Identifier: Apache-2.0
"""Copies of a WebAssembly module that differ in one thing, for tests of what the host does with them.

The format is that of <https://webassembly.github.io/spec/core/binary/index.html>.
"""

IMPORTS, EXPORTS, CODE = 2, 7, 10
FUNCTION = 0


class Reader:
    """Reads a module from a position on."""

    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def byte(self):
        """One byte."""
        self.at += 1
        return self.data[self.at - 1]

    def number(self):
        """An unsigned LEB128 number."""
        number = shift = 0
        while True:
            byte = self.byte()
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number

    def take(self, size):
        """So many bytes."""
        self.at += size
        return self.data[self.at - size : self.at]

    def sized(self):
        """Bytes that are preceded by their number."""
        return self.take(self.number())


def leb(number):
    """An unsigned LEB128 number."""
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def sections(module):
    """The sections of a module, as (id, content)."""
    reader = Reader(module, 8)
    found = []
    while reader.at < len(module):
        kind = reader.byte()
        found.append((kind, reader.sized()))
    return found


def joined(found):
    """A module of these sections."""
    parts = [bytes([kind]) + leb(len(content)) + content for kind, content in found]
    return b"\0asm\1\0\0\0" + b"".join(parts)


def rebuilt(module):
    """The same module with another content: to the host, a new version."""
    name = b"rebuilt"
    return joined(sections(module) + [(0, leb(len(name)) + name)])


def imported_functions(content):
    """The names of the functions that a module imports; they are numbered first."""
    reader, names = Reader(content), []
    for _ in range(reader.number()):
        _, name, kind = reader.sized(), reader.sized().decode(), reader.byte()
        if kind != FUNCTION:
            raise ValueError("only functions are expected to be imported, found kind %d" % kind)
        reader.number()
        names.append(name)
    return names


def exported_functions(content):
    """The functions that a module exports: their numbers by their names."""
    reader, found = Reader(content), {}
    for _ in range(reader.number()):
        name, kind, index = reader.sized().decode(), reader.byte(), reader.number()
        if kind == FUNCTION:
            found[name] = index
    return found


def capabilities(module):
    """All that a module asks of its host, and offers to it."""
    by_kind = dict(sections(module))
    return imported_functions(by_kind[IMPORTS]) + list(exported_functions(by_kind[EXPORTS]))


def trapping(module, function, parameter, least):
    """The module, but its exported function traps when that parameter is at least so much (below 64)."""
    found = sections(module)
    by_kind = dict(found)
    target = exported_functions(by_kind[EXPORTS])[function] - len(imported_functions(by_kind[IMPORTS]))
    # local.get parameter, i32.const least, i32.ge_u, if, unreachable, end
    trap = bytes([0x20, parameter, 0x41, least, 0x4F, 0x04, 0x40, 0x00, 0x0B])
    reader = Reader(by_kind[CODE])
    count = reader.number()
    code = bytearray(leb(count))
    for index in range(count):
        body = reader.sized()
        if index == target:
            inner = Reader(body)
            for _ in range(inner.number()):
                inner.number(), inner.byte()
            body = body[: inner.at] + trap + body[inner.at :]
        code += leb(len(body)) + body
    return joined([(kind, bytes(code) if kind == CODE else content) for kind, content in found])
