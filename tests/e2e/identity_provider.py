# SPDX-License-Identifier: Apache-2.0
"""An identity provider of one's own: signs tokens, and publishes its keys over HTTP as the real ones do.

It speaks OpenID Connect discovery and serves a JSON Web Key Set with `cache-control`. Keys are rotated as RFC 7517 and
the vendors' documentation have it: a new key is published and used, and the old one stays for the tokens that it has
signed. What was asked for is counted, so that tests can tell how often the gateway fetches.
"""

import contextlib
import http.server
import itertools
import json
import ssl
import threading
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec


class IdentityProvider:
    """One issuer on a port of its own. `delay` holds answers back, `stop` closes the port.

    With the paths of a `certificate` and its key it speaks TLS, as `host`.
    """

    def __init__(self, port, max_age=None, host="127.0.0.1", certificate=None):
        self.port, self.max_age, self.delay = port, max_age, 0
        self.host, self.tls = host, None
        if certificate is not None:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*certificate)
        self.numbers, self.names = itertools.count(1), itertools.count(1)
        self.keys, self.fetches, self.server = {}, [], None
        self.rotate()

    @property
    def issuer(self):
        """The `iss` claim, which is where discovery begins."""
        return "%s://%s:%d" % ("https" if self.tls else "http", self.host, self.port)

    def rotate(self, keep=3):
        """A new key signs from now on; the oldest beyond `keep` are no longer published."""
        kid = "key-%d" % next(self.names)
        published = list(self.keys.items()) + [(kid, ec.generate_private_key(ec.SECP256R1()))]
        self.keys = dict(published[-keep:])
        return kid

    def mint(self, team="research", kid=None, key=None, **changed):
        """A token, signed with the newest key or with the one named."""
        keys = self.keys
        kid = kid or next(reversed(keys))
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": "tollgate", "sub": "user-%d" % next(self.numbers), "team": team}
        claims.update({"exp": now + 600, **changed})
        return jwt.encode(claims, key or keys[kid], "ES256", headers={"kid": kid})

    def jwks(self):
        """The public keys, among them one of a kind that nobody here knows."""
        found = [{"kty": "AKP", "kid": "of-the-future", "alg": "ML-DSA-44", "pub": "AA"}]
        for kid, key in self.keys.items():
            public = jwt.get_algorithm_by_name("ES256").to_jwk(key.public_key(), as_dict=True)
            found.append({**public, "kid": kid, "alg": "ES256", "use": "sig"})
        return {"keys": found}

    def documents(self):
        """What is served, by path."""
        discovery = {"issuer": self.issuer, "jwks_uri": self.issuer + "/keys"}
        return {"/.well-known/openid-configuration": discovery, "/keys": self.jwks()}

    def start(self):
        """Opens the port."""
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            """Answers one request."""

            protocol_version = "HTTP/1.1"

            def do_GET(self):
                provider.fetches.append((time.time(), self.path))
                time.sleep(provider.delay)
                document = provider.documents().get(self.path)
                body = json.dumps(document or {}).encode()
                self.send_response(200 if document else 404)
                if provider.max_age is not None:
                    self.send_header("cache-control", "public, max-age=%d" % provider.max_age)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                # A client that gave up is no fault of the server's.
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

            def log_message(self, *_):
                """Says nothing."""

        class Server(http.server.ThreadingHTTPServer):
            """Closes its connections when it stops, as a process that dies does."""

            daemon_threads = True
            allow_reuse_address = True

            def __init__(self, *arguments):
                self.connections = set()
                super().__init__(*arguments)

            def get_request(self):
                connection, address = super().get_request()
                if provider.tls is not None:
                    # The thread that answers shakes hands, when it reads.
                    connection = provider.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
                self.connections.add(connection)
                return connection, address

            def handle_error(self, *_):
                """A connection that was cut is no news."""

        self.server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self):
        """Closes the port and every connection."""
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            for connection in self.server.connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(2)
                connection.close()
            self.server = None

    def fetched(self, path="/keys"):
        """How often the keys were asked for."""
        return sum(found == path for _, found in list(self.fetches))

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
