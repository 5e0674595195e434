# SPDX-License-Identifier: Apache-2.0
"""Many clients at once, over plain sockets, some of whom leave when it suits them.

An HTTP library would hide what matters here: the moment at which a client closes its connection. Each client keeps
one connection for as long as the gateway lets it, which spreads the clients over Envoy's workers.
"""

import asyncio
import json


class Answer:
    """What came back: all of it, or what there was when the client left, or when its limit ended the stream."""

    def __init__(self, status=None, headers=None, body=b"", is_whole=False):
        self.status, self.headers, self.body, self.is_whole = status, headers or {}, body, is_whole
        self.is_stopped = False


class Leave:
    """When a client closes its connection: so many seconds after asking, or after so many bytes of the body."""

    def __init__(self, seconds=None, body_bytes=None):
        self.seconds, self.body_bytes = seconds, body_bytes


class Client:
    """One client with one connection, and a credential."""

    def __init__(self, port, credential):
        self.port, self.credential = port, credential
        self.reader = self.writer = None

    async def ask(self, body, leave=None, path="/v1/chat/completions"):
        """One request, and its answer as far as the client waits for it."""
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        content = json.dumps(body).encode()
        head = "POST %s HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer %s\r\ncontent-type: application/json\r\n"
        self.writer.write((head % (path, self.credential)).encode())
        self.writer.write(b"content-length: %d\r\n\r\n%b" % (len(content), content))
        if leave is None or leave.seconds is None:
            return await self.read(None if leave is None else leave.body_bytes)
        try:
            return await asyncio.wait_for(self.read(None), leave.seconds)
        except asyncio.TimeoutError:
            self.close()
            return Answer()

    async def read(self, most):
        """Reads an answer; leaves once `most` bytes of its body have come."""
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.split(":", 1) for line in lines[1:] if line)
        answer = Answer(int(lines[0].split()[1]), {name.lower(): value.strip() for name, value in pairs})
        if "content-length" in answer.headers:
            answer.body = await self.reader.readexactly(int(answer.headers["content-length"]))
            answer.is_whole = True
        else:
            try:
                await self.read_chunks(answer, most)
            except asyncio.IncompleteReadError:
                # A stream that its limit ends is whole for a reader of events, and no more than that.
                answer.is_stopped = answer.body.endswith(b"data: [DONE]\n\n")
                if not answer.is_stopped:
                    raise
        if not answer.is_whole or answer.headers.get("connection") == "close":
            self.close()
        return answer

    async def read_chunks(self, answer, most):
        """Reads a body in chunks."""
        while most is None or len(answer.body) < most:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            piece = await self.reader.readexactly(size + 2)
            if size == 0:
                answer.is_whole = True
                break
            answer.body += piece[:-2]

    def close(self):
        """Closes the connection at once, read or not."""
        if self.writer is not None:
            self.writer.transport.abort()
            self.reader = self.writer = None
