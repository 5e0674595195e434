# SPDX-License-Identifier: Apache-2.0
"""Issuers over TLS: keys are fetched from none but the host whose certificate a trusted authority has signed for it."""

import contextlib

import httpx
import pytest
from certificates import LOOPBACK, certificate, write
from checks import ONE_MODEL, assert_completion, assert_error, chat
from conftest import RUN, Caller, Stack
from cryptography import x509
from identity_provider import IdentityProvider
from stack import free_ports

# Where `tollgate render envoy` has Envoy look for authorities; docs/operating.md says to change it.
TRUSTED_CA = "/etc/ssl/certs/ca-certificates.crt"
CONFIG = ONE_MODEL + "identity:\n  jwt:\n"
ISSUER = '    - { issuer: "%s", audiences: [tollgate], claims: { team: team } }\n'
FOLDER = RUN / "issuer-tls"


class Private(Stack):
    """A gateway that trusts a private authority in place of the public ones."""

    def render(self):
        """What was rendered, with that authority."""
        out = super().render()
        text = out.read_text(encoding="utf-8")
        assert TRUSTED_CA in text
        out.write_text(text.replace(TRUSTED_CA, str(FOLDER / "authority.crt")), encoding="utf-8")
        return out


@pytest.fixture(scope="module")
def issuers():
    """Issuers by name and by address, one of another authority, and one with the certificate of another host."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    # Both authorities have the same name, so that only their keys tell them apart.
    trusted, other = certificate("authority"), certificate("authority")
    write(FOLDER, "authority", trusted)
    localhost = x509.DNSName("localhost")
    wanted = {
        "named": ("localhost", trusted, localhost),
        "addressed": ("127.0.0.1", trusted, LOOPBACK),
        "forged": ("localhost", other, localhost),
        "misplaced": ("localhost", trusted, x509.DNSName("other.test")),
    }
    with contextlib.ExitStack() as opened:
        found = {}
        for port, (name, (host, authority, whose)) in zip(free_ports(len(wanted)), wanted.items()):
            paths = write(FOLDER, name, certificate(name, authority, whose))
            found[name] = opened.enter_context(IdentityProvider(port, host=host, certificate=paths))
        yield found


@pytest.fixture(scope="module")
def gateway(issuers):
    """The running gateway."""
    config = FOLDER / "gateway.yaml"
    config.write_text(CONFIG + "".join(ISSUER % each.issuer for each in issuers.values()), encoding="ascii")
    with Private(config, FOLDER.name, concurrency=1) as running:
        yield running


def ask(gateway, issuer):
    """A request with a JWT of this issuer."""
    with httpx.Client(base_url=gateway.url, timeout=30) as client:
        return Caller(client, issuer.mint()).post(chat())


@pytest.mark.parametrize("name", ["named", "addressed"])
def test_keys_are_fetched_over_tls_from_a_host_of_a_private_authority(name, gateway, issuers):
    assert_completion(ask(gateway, issuers[name]))


@pytest.mark.parametrize("name, why", [("forged", "fail_verify_error"), ("misplaced", "fail_verify_san")])
def test_keys_of_a_host_that_cannot_prove_its_name_are_not_fetched(name, why, gateway, issuers):
    issuer = issuers[name]
    answer = ask(gateway, issuer)
    error = assert_error(answer, 503, code="issuer_unavailable", kind="api_error")
    assert issuer.issuer in error["message"]
    assert int(answer.headers["retry-after"]) >= 1
    assert issuer.fetches == [], "neither the keys nor where they are"
    counter = "cluster.issuer/localhost_%d.ssl.%s" % (issuer.port, why)
    assert gateway.stats(counter).get(counter), "the fetch failed for another reason"
