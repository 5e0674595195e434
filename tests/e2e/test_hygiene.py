# SPDX-License-Identifier: Apache-2.0
"""Canaries: secrets that are planted wherever one can be, and looked for in everything that a run produces."""

import json
import shutil
import time

import httpx
import pytest
from checks import assert_completion, assert_error, chat
from conftest import HERE, RUN, Caller, Stack

PROMPT = "canary-prompt-71c2"
PROVIDER_CREDENTIAL = "canary-provider-credential-5d0e"
CALLER_KEY = "canary-unknown-key-b813"
BROUGHT = "canary-brought-by-the-caller-90af"
TEAM_CREDENTIAL = "canary-team-credential-2c66"


@pytest.fixture(scope="module")
def watched(issuer):
    """A gateway whose provider credentials are canaries."""
    folder = RUN / "hygiene"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(str(HERE / "gateway.yaml"), str(folder / "gateway.yaml"))
    (folder / "jwks.json").write_text(json.dumps(issuer.jwks()), encoding="ascii")
    environment = {"OPENAI_API_KEY_OF_COUNTED": TEAM_CREDENTIAL}
    with Stack(folder / "gateway.yaml", "hygiene", credentials=PROVIDER_CREDENTIAL, environment=environment) as running:
        yield running


def traces_of(stack):
    """Everything that a run leaves behind or shows to an operator, by name."""
    found = {"stats": stack.admin_get("/stats"), "clusters": stack.admin_get("/clusters")}
    found["configuration"] = stack.admin_get("/config_dump?include_eds")
    found = {name: text.encode() for name, text in found.items()}
    logs = {stack.log(name) for name in ("envoy", "access")}
    for path in sorted(logs | {stack.folder / "envoy.yaml", stack.folder / "gateway.yaml"}):
        found[path.name] = path.read_bytes()
    return found


def exercise(client, issuer):
    """Requests that succeed, fail and are refused in every way that touches a secret; answers with what was sent."""
    good = issuer.mint()
    caller = Caller(client, good)
    answer = caller.post(chat(content=PROMPT))
    assert PROMPT in assert_completion(answer)["choices"][0]["message"]["content"], "the completion is a canary too"
    with caller.stream(chat(content=PROMPT, stream=True)) as streamed:
        assert PROMPT[:10] in "".join(streamed.iter_text())
    refused = [
        Caller(client, CALLER_KEY).post(chat(content=PROMPT)),
        Caller(client, issuer.mint(exp=1)).post(chat(content=PROMPT)),
        Caller(client, good[:-8] + "AAAAAAAA").post(chat(content=PROMPT)),
        Caller(client, issuer.mint(team="trial")).post(chat(model="claude-haiku-4-5", content=PROMPT)),
        caller.post(chat(model="absent", content=PROMPT)),
        caller.post(json.dumps({"model": "gpt-4o-mini", "messages": PROMPT}).encode()),
        caller.post(b'{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "%s' % PROMPT.encode()),
        caller.post(chat(model="claude-haiku-4-5", content=PROMPT, n=3)),
    ]
    for refusal in refused:
        assert refusal.status_code >= 400
        for secret in (PROMPT, PROVIDER_CREDENTIAL, CALLER_KEY, good):
            assert secret not in refusal.text, refusal.text
            assert secret not in str(refusal.headers)
    return [good, good.split(".")[1], good.rsplit(".", 1)[1]]


def test_no_canary_is_in_anything_that_a_run_produces(watched, issuer):
    with httpx.Client(base_url=watched.url, timeout=30) as client:
        secrets = exercise(client, issuer)
        brought = {"x-openai-key": BROUGHT}
        assert_completion(Caller(client, issuer.mint()).post(chat(content=PROMPT), headers=brought))
        assert_completion(Caller(client, issuer.mint(team="counted")).post(chat(content=PROMPT)))
        Caller(client, CALLER_KEY).post(chat(content=PROMPT), headers=brought)
        for fault in ({"status": 500, "message": PROVIDER_CREDENTIAL[:6]}, {"cut_after_events": 1}, {"status": 401}):
            watched.standins["openai"].fault("gpt-4o-mini", fault)
            Caller(client, issuer.mint()).post(chat(content=PROMPT))
        for status in (400, 404, 422, 429, 500):
            echo = {"status": status, "message": "the key %s cannot do that" % PROVIDER_CREDENTIAL}
            watched.standins["openai"].fault("gpt-4o-mini", echo)
            answer = Caller(client, issuer.mint()).post(chat(content=PROMPT))
            assert answer.status_code >= 400 and PROVIDER_CREDENTIAL not in answer.text, answer.text
    arrived = [str(request) for standin in watched.standins.values() for request in standin.requests()]
    assert any(PROVIDER_CREDENTIAL in request for request in arrived), "the canary was in play"
    assert not any(secret in request for secret in secrets for request in arrived), "a caller's credential went on"
    time.sleep(0.5)
    secrets += [PROMPT, PROVIDER_CREDENTIAL, CALLER_KEY, BROUGHT, TEAM_CREDENTIAL]
    traces = traces_of(watched)
    assert [name for name, text in traces.items() if not text] == [], "there was nothing to look at"
    assert b"consumer-" in traces["access.log"], "the log was read too early"
    found = [(name, secret) for name, text in traces.items() for secret in secrets if secret.encode() in text]
    assert found == []


def test_a_credential_of_the_caller_s_or_its_team_s_goes_to_its_provider_alone(watched, issuer):
    watched.reset()
    before = len(watched.log("access").read_text(encoding="utf-8").splitlines())
    brought = {"x-openai-key": BROUGHT}
    with httpx.Client(base_url=watched.url, timeout=30) as client:
        assert_completion(Caller(client, issuer.mint()).post(chat(), headers=brought))
        assert_completion(Caller(client, issuer.mint()).post(chat(model="claude-haiku-4-5"), headers=brought))
        assert_completion(Caller(client, issuer.mint(team="counted")).post(chat()))
        assert_completion(Caller(client, issuer.mint()).post(chat()))
        two = Caller(client, issuer.mint()).post(chat(), headers={"x-openai-key": "a b"})
        assert_error(two, 400, code="invalid_provider_credential")
    presented = [request["headers"]["authorization"] for request in watched.standins["openai"].requests()]
    assert presented == ["Bearer " + BROUGHT, "Bearer " + TEAM_CREDENTIAL, "Bearer " + PROVIDER_CREDENTIAL]
    (other,) = watched.standins["anthropic"].requests()
    assert other["headers"]["x-api-key"] == PROVIDER_CREDENTIAL and BROUGHT not in str(other)
    time.sleep(0.5)
    lines = watched.log("access").read_text(encoding="utf-8").splitlines()[before:]
    owners = [json.loads(line)["tollgate.credential"] for line in lines if line.startswith("{")]
    assert owners == ["caller", "gateway", "team", "gateway", None]


def test_every_refusal_is_a_line_with_its_rule_and_request_id(watched, issuer):
    path = watched.log("access")
    before = len(path.read_text(encoding="utf-8").splitlines())
    with httpx.Client(base_url=watched.url, timeout=30) as client:
        expired = Caller(client, issuer.mint(exp=1)).post(chat(), headers={"x-request-id": "audit-1"})
        assert_error(expired, 401)
        ids = [expired.headers["x-request-id"]]
        trial = Caller(client, issuer.mint(team="trial", sub="eve"))
        refused = trial.post(chat(model="claude-haiku-4-5"), headers={"x-request-id": "audit-2"})
        assert_error(refused, 403)
        ids.append(refused.headers["x-request-id"])
    deadline = time.monotonic() + 10
    lines = []
    while len(lines) < 2 and time.monotonic() < deadline:
        text = path.read_text(encoding="utf-8").splitlines()[before:]
        lines = [json.loads(line) for line in text if line.startswith("{")]
        time.sleep(0.1)
    told = [(line["tollgate.refused_by"], line["tollgate.refused_rule"], line["tollgate.consumer"]) for line in lines]
    assert told == [("authentication", "expired", None), ("access", "default", "eve")]
    assert [line["request_id"] for line in lines] == ids
    assert [line["client.address"] for line in lines] == ["127.0.0.1", "127.0.0.1"]


def test_only_listed_headers_of_a_provider_reach_the_client(watched, issuer):
    with httpx.Client(base_url=watched.url, timeout=30) as client:
        answer = Caller(client, issuer.mint()).post(chat())
    assert_completion(answer)
    envoys = {"content-type", "content-length", "date", "server", "transfer-encoding", "x-envoy-upstream-service-time"}
    listed = {"retry-after", "retry-after-ms", "x-request-id", "request-id", "openai-processing-ms", "openai-version"}
    ours = ("x-tollgate-", "x-ratelimit-")
    assert {name for name in answer.headers if not name.startswith(ours)} <= envoys | listed
    # The provider's own answer has more than that.
    at = "http://127.0.0.1:%d/v1/chat/completions" % watched.standins["openai"].port
    direct = httpx.post(at, json=chat(), headers={"authorization": "Bearer x"})
    assert set(direct.headers) - set(answer.headers), "the provider has sent nothing that could be kept back"
