# SPDX-License-Identifier: Apache-2.0
"""Signatures that must not be taken for good, whoever verifies them: Envoy's own cryptography, or the module's."""

import base64
import hashlib
import json
import time

import httpx
import jwt
import pytest
from conftest import AUDIENCE, ISSUER, RUN, Stack
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from test_verification_cost import CONFIG

CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
ORDERS = {
    "ES256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "ES384": int("F" * 48 + "C7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973", 16),
    "ES512": int("01" + "FF" * 32 + "FA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409", 16),
}
RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
# What stands before a SHA-256 digest under PKCS #1 v1.5 (RFC 8017, section 9.2), and variants that are not it.
SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
INFOS = {
    "without NULL": bytes.fromhex("302f300b0609608648016503040201" + "0420"),
    "of SHA-512": bytes.fromhex("3051300d060960864801650304020305000440"),
    "in BER": bytes.fromhex("308131300d060960864801650304020105000420"),
}


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def keys():
    found = {name: rsa.generate_private_key(public_exponent=65537, key_size=2048) for name in RSA_ALGORITHMS}
    found.update((name, ec.generate_private_key(curve)) for name, curve in CURVES.items())
    return {**found, "EdDSA": ed25519.Ed25519PrivateKey.generate()}


@pytest.fixture(scope="module")
def ask(keys):
    """Answers with the status and the error code that a token gets."""
    published = []
    for name, key in keys.items():
        public = jwt.get_algorithm_by_name(name).to_jwk(key.public_key(), as_dict=True)
        published.append({**public, "kid": name, "alg": name, "use": "sig"})
    folder = RUN / "forged"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gateway.yaml").write_text(CONFIG, encoding="ascii")
    (folder / "jwks.json").write_text(json.dumps({"keys": published}), encoding="ascii")
    with Stack(folder / "gateway.yaml", "forged", concurrency=1) as stack:
        with httpx.Client(base_url=stack.url, timeout=30) as client:

            def send(credential):
                answer = client.get("/v1/models", headers={"authorization": "Bearer " + credential})
                return answer.status_code, answer.json().get("error", {}).get("message")

            yield send


def claims(subject):
    return {"iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 600, "sub": subject}


def parts(keys, algorithm, subject):
    """What is signed, and the good signature."""
    token = jwt.encode(claims(subject), keys[algorithm], algorithm, headers={"kid": algorithm})
    message, _, signature = token.rpartition(".")
    return message, base64.urlsafe_b64decode(signature + "==")


def padded(message, info, size=256, first=b"\x00\x01", filler=b"\xff", tail=b""):
    """What RSASSA-PKCS1-v1_5 raises to the private exponent."""
    end = info + hashlib.sha256(message.encode()).digest() + tail
    return first + filler * (size - len(first) - 1 - len(end)) + b"\x00" + end


def raised(key, block):
    """The raw RSA operation."""
    numbers = key.private_numbers()
    number = pow(int.from_bytes(block, "big"), numbers.d, numbers.public_numbers.n)
    return number.to_bytes(256, "big")


def forgeries(keys, algorithm, message, good):
    """Signatures that are not one of `message`."""
    yield "with another bit", bytes([*good[:20], good[20] ^ 1, *good[21:]])
    yield "of another message", parts(keys, algorithm, "somebody else")[1]
    yield "cut off", good[:-1]
    yield "with a byte more", good + b"\x00"
    yield "empty", b""
    yield "zero", bytes(len(good))
    if algorithm in CURVES:
        width = len(good) // 2
        r, s = int.from_bytes(good[:width], "big"), int.from_bytes(good[width:], "big")
        order = ORDERS[algorithm]
        yield "in DER", encode_dss_signature(r, s)
        yield "turned round", good[width:] + good[:width]
        for name, one, other in [("r = 0", 0, s), ("s = 0", r, 0), ("r = n", order, s), ("s = n", r, order)]:
            yield name, one.to_bytes(width, "big") + other.to_bytes(width, "big")
    if algorithm == "RS256":
        key = keys[algorithm]
        for name, info in INFOS.items():
            yield name, raised(key, padded(message, info))
        yield "with a tail", raised(key, padded(message, SHA256_INFO, tail=b"\x00"))
        yield "of block type 2", raised(key, padded(message, SHA256_INFO, first=b"\x00\x02"))
        yield "with other padding", raised(key, padded(message, SHA256_INFO, filler=b"\xfe"))


@pytest.mark.parametrize("algorithm", [*RSA_ALGORITHMS, *CURVES, "EdDSA"])
def test_no_forged_signature_is_taken_for_a_good_one(keys, ask, algorithm):
    message, good = parts(keys, algorithm, "alice")
    for name, forged in forgeries(keys, algorithm, message, good):
        status, text = ask(message + "." + encode(forged))
        assert (status, "signature" in text) == (401, True), (algorithm, name, text)
    if algorithm == "RS256":
        # The same way of signing, with the right padding, is good: the others are refused for what is wrong with them.
        assert raised(keys[algorithm], padded(message, SHA256_INFO)) == good
    assert ask(message + "." + encode(good))[0] == 200


def test_a_key_signs_with_no_algorithm_but_its_own(keys, ask):
    for own, other in [("RS256", "RS512"), ("RS256", "PS256"), ("PS256", "RS256"), ("RS384", "RS256")]:
        token = jwt.encode(claims("alice"), keys[own], other, headers={"kid": own})
        assert ask(token)[0] == 401, (own, other)
