# SPDX-License-Identifier: Apache-2.0
"""Whatever comes in, or back from a provider: a clear error, a living worker, and nothing left reserved."""

import hashlib
import hmac
import json
import socket
import time

import httpx
import pytest
from checks import assert_completion, assert_error, chat, events_of, remaining
from conftest import AUDIENCE

BIG = 5000
INVALID = "invalid_request_error"


def big(**more):
    """A request whose reservation would be seen if it stayed."""
    return chat(**{"max_tokens": BIG, **more})


def without(key):
    """A request that lacks one key."""
    body = big()
    del body[key]
    return body


REFUSED_BODIES = {
    "empty": (b"", 400, None),
    "not JSON": (b'{"model": "gpt-4o-mini", ', 400, None),
    "JSON after JSON": (json.dumps(big()).encode() + b"{}", 400, None),
    "an array": (b"[]", 400, None),
    "a string": (b'"gpt-4o-mini"', 400, None),
    "null": (b"null", 400, None),
    "no model": (without("model"), 400, "model"),
    "model is a number": (big(model=4), 400, "model"),
    "model is empty": (big(model=""), None, "model"),
    "no messages": (without("messages"), 400, "messages"),
    "no message in messages": (big(messages=[]), 400, "messages"),
    "messages is a string": (big(messages="hello"), 400, "messages"),
    "a message is a string": (big(messages=["hello"]), 400, None),
    "max_tokens is a string": (big(max_tokens="many"), 400, "max_tokens"),
    "max_tokens is negative": (big(max_tokens=-1), 400, "max_tokens"),
    "stream is a string": (big(stream="yes"), 400, "stream"),
    "n is an object": (big(n={}), 400, "n"),
    "invalid UTF-8": (json.dumps(big()).encode().replace(b"Say", b"\xff\xfe\xc3"), 400, None),
    "deep nesting": (b'{"model": "gpt-4o-mini", "messages": ' + b"[" * 20000 + b"]" * 20000 + b"}", 400, None),
    "deep nesting in an unknown field": (
        json.dumps(big()).encode()[:-1] + b', "x": ' + b"[" * 20000 + b"]" * 20000 + b"}",
        400,
        None,
    ),
}


@pytest.mark.parametrize("name", REFUSED_BODIES)
def test_a_bad_body_is_refused_by_name(name, caller, stack, leaves_no_trace):
    stack.reset()
    body, status, param = REFUSED_BODIES[name]
    answer = caller.post(body)
    # An empty model name may be seen as malformed, or as a model that does not exist.
    error = assert_error(answer, status or answer.status_code, param=param, kind=INVALID)
    assert 400 <= answer.status_code < 500, error
    assert stack.standins["openai"].requests() == []


def test_duplicate_keys_are_not_read_two_ways(caller, stack, leaves_no_trace):
    """The model that is checked has to be the model that is called."""
    stack.reset()
    text = '{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}], "model": "claude-opus-4"}'
    answer = caller.post(text.encode())
    assert_error(answer, 400, kind=INVALID)
    assert stack.standins["openai"].requests() == [] and stack.standins["anthropic"].requests() == []


def test_an_unknown_model_is_named(caller, leaves_no_trace):
    error = assert_error(caller.post(big(model="gpt-nonsense")), 404, code="model_not_found", param="model")
    assert "gpt-nonsense" in error["message"]


def test_a_model_that_is_not_allowed_is_refused(call_as, leaves_no_trace):
    answer = call_as("trial").post(chat("claude-haiku-4-5"))
    assert_error(answer, 403, code="model_not_allowed", param="model")


def test_a_body_over_the_limit_names_the_limit(caller, stack, leaves_no_trace):
    stack.reset()
    error = assert_error(caller.post(big(content="x" * 70_000)), 413, kind=INVALID)
    assert "65536" in error["message"] or "64KiB" in error["message"] or "64 KiB" in error["message"]
    assert stack.standins["openai"].requests() == []


def test_a_body_just_below_the_limit_is_served(caller):
    assert_completion(caller.post(chat(content="x" * 60_000)))


def test_a_chunked_body_over_the_limit_is_refused_too(caller, leaves_no_trace):
    def chunks():
        yield b'{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "'
        for _ in range(100):
            yield b"x" * 1000
        yield b'"}]}'

    headers = {**caller.headers, "content-type": "application/json"}
    assert_error(caller.client.post("/v1/chat/completions", content=chunks(), headers=headers), 413)


def hmac_with_public_key(issuer):
    """The classic confusion: the public key as an HMAC secret."""
    header = {"alg": "HS256", "typ": "JWT", "kid": "test-RS256"}
    return issuer.forge(header, lambda data: hmac.new(issuer.public_pem(), data, hashlib.sha256).digest())


def truncated(credential):
    """Without the end of its signature."""
    return credential[:-20]


BAD_TOKENS = {
    "alg none": lambda issuer: issuer.forge({"alg": "none", "kid": "test-RS256"}, lambda _: b""),
    "alg None": lambda issuer: issuer.forge({"alg": "None", "kid": "test-RS256"}, lambda _: b""),
    "unknown alg": lambda issuer: issuer.forge({"alg": "XY999", "kid": "test-RS256"}, lambda _: b"x" * 256),
    "no alg": lambda issuer: issuer.forge({"kid": "test-RS256"}, lambda _: b"x" * 256),
    "HS256 with the public key": hmac_with_public_key,
    "alg of another key": lambda issuer: issuer.mint(algorithm="ES256", header={"kid": "test-RS256"}),
    "a stranger's key": lambda issuer: issuer.mint(key=issuer.stranger),
    "unknown kid": lambda issuer: issuer.mint(key=issuer.stranger, header={"kid": "nobody"}),
    "expired": lambda issuer: issuer.mint(exp=int(time.time()) - 60),
    "not yet valid": lambda issuer: issuer.mint(nbf=int(time.time()) + 600),
    "wrong audience": lambda issuer: issuer.mint(aud="another"),
    "no audience": lambda issuer: issuer.mint(aud=None),
    "wrong issuer": lambda issuer: issuer.mint(iss="https://issuer.test.evil"),
    "no consumer": lambda issuer: issuer.mint(sub=None),
    "truncated": lambda issuer: truncated(issuer.mint()),
    "two parts": lambda issuer: issuer.mint().rsplit(".", 1)[0],
    "four parts": lambda issuer: issuer.mint() + ".x",
    "crit": lambda issuer: issuer.mint(header={"crit": ["x"], "x": 1}),
    "not base64": lambda issuer: "%%%.%%%.%%%",
    "two dots": lambda issuer: "..",
    "an unknown key": lambda issuer: "tollgate-wrong-key",
    "enormous": lambda issuer: issuer.mint(padding="x" * 20_000),
}


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_a_bad_token_is_refused(name, client, issuer, stack, leaves_no_trace):
    stack.reset()
    credential = BAD_TOKENS[name](issuer)
    answer = client.post("/v1/chat/completions", json=big(), headers={"authorization": "Bearer " + credential})
    error = assert_error(answer, 401)
    assert not credential or credential not in answer.text, error
    assert stack.standins["openai"].requests() == []


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_good_token_is_accepted(algorithm, call_as):
    assert_completion(call_as(algorithm=algorithm).post(chat()))


def test_an_audience_among_several_is_accepted(call_as):
    assert_completion(call_as(aud=["another", AUDIENCE]).post(chat()))


def raw(stack, head, body=b"{}"):
    """The status of a request that no client library would send."""
    with socket.create_connection(("127.0.0.1", stack.port), timeout=10) as connection:
        lines = [b"POST /v1/chat/completions HTTP/1.1", b"host: gateway", b"content-type: application/json"]
        lines += [b"content-length: %d" % len(body), b"connection: close"] + head
        connection.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        answer = b""
        while True:
            part = connection.recv(65536)
            if not part:
                return int(answer.split(b" ", 2)[1])
            answer += part


def test_several_authorization_headers_are_refused(stack, caller, leaves_no_trace):
    good = b"authorization: " + caller.headers["authorization"].encode()
    body = json.dumps(chat()).encode()
    assert raw(stack, [good], body) == 200
    assert raw(stack, [good, b"authorization: Bearer nonsense"], body) == 401
    assert raw(stack, [b"authorization: Bearer nonsense", good], body) == 401


def test_header_bytes_that_are_not_utf_8_do_no_harm(stack, caller, leaves_no_trace):
    good = b"authorization: " + caller.headers["authorization"].encode()
    body = json.dumps(chat()).encode()
    assert raw(stack, [good, b"x-odd: \xff\xfe\xc3"], body) == 200
    assert raw(stack, [b"authorization: Bearer \xff\xfe\xc3"], body) == 401
    assert raw(stack, [b"authorization: \xff"], body) == 401


# What a provider may send instead of what it promised. Each is answered with an error of ours, never with its bytes.
FALSE_ANSWERS = {
    "html with 200": {"wrong_content_type": "text/html"},
    "gzip": {"gzip": True},
    "malformed JSON": {"malformed_json": True},
    "no body": {"empty_body": True},
    "another content type": {"wrong_content_type": "application/octet-stream", "body": "\x00\x01"},
    "a JSON array": {"body": "[]"},
    "a JSON object of another kind": {"body": '{"hello": "world"}'},
}


@pytest.mark.parametrize("model", ["gpt-4o-mini", "claude-haiku-4-5"])
@pytest.mark.parametrize("name", FALSE_ANSWERS)
def test_a_false_answer_becomes_an_error(name, model, caller, stack, leaves_no_trace):
    provider = "openai" if model.startswith("gpt") else "anthropic"
    stack.standins[provider].fault(model, FALSE_ANSWERS[name], times=10)
    answer = caller.post(big(model=model))
    stack.reset()
    if name == "gzip" and answer.status_code == 200:
        # A body that is not asked for and comes all the same may be decoded; it may not be passed off as JSON.
        assert_completion(answer)
        return
    error = assert_error(answer, answer.status_code)
    assert answer.status_code in (502, 503, 504), error
    assert "<html" not in answer.text


# What was written in full before it was sent, or beyond what is read, and nobody knows how long it was.
LARGE_ANSWERS = {
    "a body that is cut": (False, {"cut_after_events": 1}),
    "a body over the limit": (False, {"huge_event": 3_000_000}),
    "an event over the limit": (True, {"huge_event": 100_000}),
}


@pytest.mark.parametrize("model", ["gpt-4o-mini", "claude-haiku-4-5"])
@pytest.mark.parametrize("name", LARGE_ANSWERS)
def test_a_large_answer_becomes_an_error_and_costs_what_it_may_have_been(name, model, caller, stack):
    assert_completion(caller.post(chat()))
    before = remaining(caller.post(chat()))
    provider = "openai" if model.startswith("gpt") else "anthropic"
    is_streaming, fault = LARGE_ANSWERS[name]
    stack.standins[provider].fault(model, fault, times=10)
    answer = caller.post(big(model=model, stream=is_streaming))
    stack.reset()
    assert_error(answer, answer.status_code)
    assert answer.status_code in (502, 503, 504)
    # Up to the 5000 tokens that it was allowed.
    assert 5000 <= before - remaining(caller.post(chat())) < 6000


FALSE_STREAMS = {
    "html with 200": {"wrong_content_type": "text/html"},
    "an empty stream": {"empty_stream": True},
    "malformed JSON": {"malformed_json": True},
    "cut after some events": {"cut_after_events": 2},
    "an error after some events": {"in_stream_error": 2},
}


@pytest.mark.parametrize("model", ["gpt-4o-mini", "claude-haiku-4-5"])
@pytest.mark.parametrize("name", FALSE_STREAMS)
def test_a_false_stream_never_looks_finished(name, model, caller, stack, leaves_no_trace):
    provider = "openai" if model.startswith("gpt") else "anthropic"
    stack.standins[provider].fault(model, FALSE_STREAMS[name], times=10)
    try:
        answer = caller.post(big(model=model, stream=True))
    except httpx.RemoteProtocolError:
        assert "cut" in name, "only a connection that broke may break off the answer"
        return
    finally:
        stack.reset()
    if answer.status_code != 200:
        assert_error(answer, answer.status_code)
        assert answer.status_code in (502, 503, 504)
        return
    events = events_of(answer.text)
    assert "[DONE]" not in events, "a broken stream may not end as if it were whole"
    assert set(json.loads(events[-1])["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("name", ["claude-x\r\nset-cookie: a=b", "claude-" + "x" * 300, "claude-\u00e9", "claude- x"])
def test_a_model_name_is_visible_and_short(name, caller, leaves_no_trace):
    """Under a pattern the client chooses the name, and it comes back in `x-tollgate-model` and in logs."""
    answer = caller.post(big(model=name))
    assert_error(answer, 400, param="model")
    assert "set-cookie" not in answer.headers
