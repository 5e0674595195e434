# SPDX-License-Identifier: Apache-2.0
"""A gateway that knows the issuer alone, and a certified OpenID provider that is no part of this project.

test_identity.py has an identity provider of its own making, which could share a misunderstanding with the gateway. Here
npm's `oidc-provider` writes the discovery document, the key set and the tokens. `make soak-identity` fetches it; where
it has not been fetched, these tests are skipped.
"""

import collections
import itertools
import json
import os
import time

import httpx
import jwt
import pytest
import setup
from checks import ONE_MODEL, assert_completion, assert_error, chat
from conftest import HERE, RUN, Caller, Stack
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from stack import Child, answers, free_ports
from test_identity import OUTAGE_SECONDS, Load

CLIENT = ("reporter", "secret-of-the-reporter")

# Nothing is said about keys: they are found by discovery, and fetched as often as is the default.
GATEWAY = ONE_MODEL + """\
identity:
  jwt:
    - { issuer: "ISSUER", audiences: [tollgate], allow_plaintext: true }
access:
  - { consumer: reporter, models: ["*"] }
"""

NEW_KEYS = {
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


class OpenIdProvider:
    """`oidc-provider` in a process of its own, and a client of it that asks for tokens."""

    def __init__(self, port, log):
        self.port, self.log, self.child = port, log, None
        self.issuer = "http://127.0.0.1:%d" % port
        self.algorithms, self.names = itertools.cycle(NEW_KEYS), itertools.count(1)
        self.keys, self.minted = [self.new_key()], collections.Counter()
        self.client = httpx.Client(base_url=self.issuer, auth=CLIENT, timeout=10)
        node = setup.ensure_node(setup.OIDC_PROVIDER_NODE)
        self.command = [node, HERE / "oidc_provider.mjs", setup.oidc_provider(), port]

    def new_key(self):
        """A private key, of another kind than the one before."""
        algorithm = next(self.algorithms)
        private = jwt.get_algorithm_by_name(algorithm).to_jwk(NEW_KEYS[algorithm](), as_dict=True)
        # What PyJWT says that a private key is for would be published with the public one.
        private.pop("key_ops", None)
        return {**private, "kid": "key-%d" % next(self.names), "alg": algorithm, "use": "sig"}

    def start(self):
        """Starts the process, and waits until it answers."""
        keys = json.dumps({"keys": self.keys})
        environment = {**os.environ, "CLIENT_ID": CLIENT[0], "CLIENT_SECRET": CLIENT[1], "JWKS": keys}
        self.child = Child("oidc-provider", self.command, self.log, env=environment)
        self.child.wait_until(lambda: answers(self.port, "/.well-known/openid-configuration"), 30)

    def stop(self):
        """Ends the process."""
        if self.child is not None:
            self.child.stop()

    def rotate(self):
        """Publishes a new key, signs with it, withdraws the old one; a new process each time, as the keys are fixed."""
        (old,), new = self.keys, self.new_key()
        for keys in ([old, new], [new, old], [new]):
            self.stop()
            self.keys = keys
            self.start()
            time.sleep(2)

    def mint(self, resource="https://tollgate.test"):
        """A new access token, asked for again while the provider starts."""
        deadline = time.monotonic() + 30
        while True:
            try:
                answer = self.client.post("/token", data={"grant_type": "client_credentials", "resource": resource})
                break
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        assert answer.status_code == 200, answer.text
        credential = answer.json()["access_token"]
        self.minted[jwt.get_unverified_header(credential)["kid"]] += 1
        return credential


@pytest.fixture
def folder(request):
    """Where the test's logs are kept."""
    if not setup.oidc_provider().is_dir():
        pytest.skip("oidc-provider has not been fetched: `make soak-identity` does, with npm")
    found = RUN / request.function.__name__.replace("test_its", "oidc")
    found.mkdir(parents=True, exist_ok=True)
    return found


@pytest.fixture
def provider(folder):
    """The running OpenID provider."""
    running = OpenIdProvider(free_ports(1)[0], folder / "oidc-provider.log")
    try:
        running.start()
        yield running
    finally:
        running.stop()
        running.client.close()


@pytest.fixture
def trusting(folder, provider):
    """The running gateway, with two workers."""
    config = folder / "gateway.yaml"
    config.write_text(GATEWAY.replace("ISSUER", provider.issuer), encoding="utf-8")
    with Stack(config, folder.name, concurrency=2) as running:
        yield running


@pytest.fixture
def bare(trusting):
    """A client without a credential."""
    with httpx.Client(base_url=trusting.url, timeout=30) as client:
        yield client


def test_its_access_tokens_are_good_for_their_audience_alone(provider, bare):
    assert_completion(Caller(bare, provider.mint()).post(chat()))
    elsewhere = provider.mint(resource="https://elsewhere.test")
    assert_error(Caller(bare, elsewhere).post(chat()), 401, code="invalid_api_key")


@pytest.mark.slow
def test_its_keys_rotate_under_load_and_no_good_request_fails(trusting, provider):
    rotations = max(len(NEW_KEYS), int(OUTAGE_SECONDS / 10))
    with Load(trusting, provider.mint) as load:
        time.sleep(1)
        for _ in range(rotations):
            provider.rotate()
    print("%d requests during %d rotations of oidc-provider's keys in %d s, %d failed" % (
        len(load.answers), rotations, load.seconds, len(load.failed())))  # fmt: skip
    assert load.failed() == []
    assert len(load.answers) > 100 * rotations
    # Every key has signed what was accepted, and each was fetched.
    assert len(provider.minted) == rotations + 1, provider.minted
    assert trusting.stats()["wasmcustom.tollgate.jwks_fetches"] > rotations


@pytest.mark.slow
def test_its_tokens_work_while_the_issuer_is_down(trusting, provider, bare):
    assert_completion(Caller(bare, provider.mint()).post(chat()))
    credentials = itertools.cycle([provider.mint() for _ in range(2000)])
    provider.stop()
    # A key that nobody knows makes the gateway ask, and so notice.
    claims = {"iss": provider.issuer, "aud": "tollgate", "sub": "reporter", "exp": int(time.time()) + 600}
    unknown = jwt.encode(claims, NEW_KEYS["ES256"](), "ES256", headers={"kid": "unknown"})
    with Load(trusting, lambda: next(credentials), pause=0.02) as load:
        assert_error(Caller(bare, unknown).post(chat()), 503, code="issuer_unavailable")
        time.sleep(OUTAGE_SECONDS)
    print("%d requests while oidc-provider was down for %d s, %d failed" % (
        len(load.answers), load.seconds, len(load.failed())))  # fmt: skip
    assert load.failed() == []
    assert len(load.answers) > 20 * OUTAGE_SECONDS
    provider.start()
    assert_completion(Caller(bare, provider.mint()).post(chat()))
