# SPDX-License-Identifier: Apache-2.0
"""One gateway for the whole run, on the real Envoy with the release module, and callers for it.

One worker: if anything stopped it, every later request would fail, and so the tests would notice.
"""

import base64
import itertools
import json
import re
import shutil
import sys
import time
from pathlib import Path

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "scripts"))

from stack import RUN, Stack  # noqa: E402

from checks import PROMPT, assert_completion, chat, remaining  # noqa: E402

ISSUER = "https://issuer.test"
AUDIENCE = "tollgate"
API_KEY = "tollgate-test-key"
# What Envoy signs with for AWS.
AWS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "AWS_SESSION_TOKEN": "session/token==",
}


class Issuer:
    """An issuer of tokens, with keys made for this run."""

    def __init__(self):
        self.keys = {
            "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
            "ES256": ec.generate_private_key(ec.SECP256R1()),
        }
        self.stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.numbers = itertools.count(1)

    def jwks(self):
        """The public keys, as RFC 7517 has them."""
        found = []
        for algorithm, key in self.keys.items():
            public = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
            found.append({**public, "kid": "test-" + algorithm, "alg": algorithm, "use": "sig"})
        return {"keys": found}

    def public_pem(self):
        """The RSA key as PEM, which an attacker would use as an HMAC secret."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.keys["RS256"].public_key().public_bytes(serialization.Encoding.PEM, form)

    def claims(self, team="research", **changed):
        """Valid claims of a consumer that nobody else is; a claim that is None is left out."""
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "consumer-%d" % next(self.numbers), "team": team}
        claims.update({"iat": now, "nbf": now, "exp": now + 600}, **changed)
        return {name: value for name, value in claims.items() if value is not None}

    def mint(self, team="research", algorithm="RS256", key=None, header=None, **changed):
        """A signed token."""
        headers = {"kid": "test-" + algorithm, **(header or {})}
        return jwt.encode(self.claims(team, **changed), key or self.keys[algorithm], algorithm, headers=headers)

    def forge(self, header, sign, **changed):
        """A token with any header, signed by `sign(bytes) -> bytes`."""

        def encode(data):
            return base64.urlsafe_b64encode(data).rstrip(b"=")

        parts = [encode(json.dumps(part).encode()) for part in (header, self.claims(**changed))]
        signed = b".".join(parts)
        return (signed + b"." + encode(sign(signed))).decode()


class Caller:
    """One consumer with a token of its own."""

    def __init__(self, client, credential):
        self.client = client
        self.headers = {"authorization": "Bearer " + credential}

    def post(self, body, **more):
        """A chat request; `body` is JSON, or bytes as they are."""
        headers = {**self.headers, "content-type": "application/json", **more.pop("headers", {})}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = self.client.post("/v1/chat/completions", content=content, headers=headers, **more)
        if answer.status_code >= 400:
            assert not SECRETS.search(answer.content), "an error tells a secret: %s" % answer.text
        return answer

    def stream(self, body):
        """A streamed chat request, to be read event by event."""
        return self.client.stream("POST", "/v1/chat/completions", json=body, headers=self.headers)

    def get(self, path):
        """A GET with the caller's credential."""
        return self.client.get(path, headers=self.headers)


# What may stand in nothing that a gateway writes: the keys of these tests, the usual prompt, which the stand-ins repeat
# in their answers, what Envoy signs with, and anything like a JSON Web Token.
PLANTED = (API_KEY, "stand-in-key", "canary-", PROMPT, *AWS.values())
PATTERNS = (r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}", *map(re.escape, PLANTED))
SECRETS = re.compile("|".join(PATTERNS).encode())

# What a run leaves behind: logs, what was rendered, and what the admin interface showed at its end.
TRACES = ("envoy.log", "access.log", "envoy.yaml", "secret-*.yaml", "stats.txt", "config_dump.json", "clusters.txt")

SEARCHED = pytest.StashKey[str]()


@pytest.fixture(scope="session", autouse=True)
def no_secret_is_left(pytestconfig):
    """After all tests: nothing that any of their gateways has left holds a credential, a prompt or an answer."""
    begun, started, start = time.time(), set(), Stack.start

    def start_and_note(stack):
        running = start(stack)
        started.add(stack.folder)
        return running

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Stack, "start", start_and_note)
        yield
    looked_at = [path for name in TRACES for path in RUN.glob("*/" + name) if path.stat().st_mtime >= begun]
    runs = {path.parent for path in looked_at}
    told = "looked for %d secrets in %d files of %d runs" % (len(PATTERNS), len(looked_at), len(runs))
    pytestconfig.stash[SEARCHED] = told
    assert started <= runs, "looked at nothing of %s" % sorted(folder.name for folder in started - runs)
    for path in looked_at:
        found = SECRETS.search(path.read_bytes())
        assert not found, "%s holds %r" % (path, found.group()[:40])


def pytest_terminal_summary(terminalreporter, config):
    """Says in every run how much was searched, since a search of nothing finds nothing."""
    if SEARCHED in config.stash:
        terminalreporter.write_line(config.stash[SEARCHED])


@pytest.fixture(scope="session")
def issuer():
    """The issuer that the gateway trusts."""
    return Issuer()


@pytest.fixture(scope="session")
def stack(issuer):
    """The running gateway and its stand-ins."""
    folder = RUN / "e2e"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(str(HERE / "gateway.yaml"), str(folder / "gateway.yaml"))
    (folder / "jwks.json").write_text(json.dumps(issuer.jwks()), encoding="ascii")
    with Stack(folder / "gateway.yaml", "e2e", concurrency=1) as running:
        yield running


@pytest.fixture(autouse=True)
def forget(request):
    """No fault and no record of one test reaches the next."""
    if "stack" in request.fixturenames:
        request.getfixturevalue("stack").reset()


@pytest.fixture
def client(stack):
    """A bare HTTP client."""
    with httpx.Client(base_url=stack.url, timeout=30) as bare:
        yield bare


@pytest.fixture
def call_as(client, issuer):
    """Makes callers: `call_as("trial")` is a new consumer of that team."""

    def make(team="research", **changed):
        return Caller(client, issuer.mint(team, **changed))

    return make


@pytest.fixture
def caller(call_as):
    """A consumer of the team that may do everything."""
    return call_as()


@pytest.fixture
def leaves_no_trace(caller):
    """Around a bad request of `caller`: the worker lives on, and no reservation stays behind.

    Two equal good requests reserve nearly the same (the estimate learns a little in between) and are settled in
    full. A reservation of the bad request's 5000 output tokens that stayed would show in what is left.
    """
    # The first answer teaches the estimate, which no later one changes by much.
    assert_completion(caller.post(chat()))
    before = remaining(caller.post(chat()))
    yield
    answer = caller.post(chat())
    assert_completion(answer)
    assert before - remaining(answer) < 1000, "a reservation was left behind"
