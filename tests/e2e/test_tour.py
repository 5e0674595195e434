# SPDX-License-Identifier: Apache-2.0
"""What the demo shows, and what every answer has."""

import json

import httpx
from checks import assert_completion, assert_error, assert_whole_stream, chat
from conftest import API_KEY


def test_openai_serves_its_own_format(caller, stack):
    answer = caller.post(chat())
    body = assert_completion(answer)
    assert answer.headers["x-tollgate-provider"] == "openai"
    assert "openai" in body["choices"][0]["message"]["content"].lower()
    assert len(stack.standins["openai"].requests()) == 1


def test_another_model_name_reaches_anthropic_in_its_own_format(caller, stack):
    answer = caller.post(chat("claude-haiku-4-5"))
    assert_completion(answer)
    assert answer.headers["x-tollgate-provider"] == "anthropic"
    (arrived,) = stack.standins["anthropic"].requests()
    assert arrived["path"] == "/v1/messages"
    assert arrived["body"]["model"] == "claude-haiku-4-5" and arrived["body"]["max_tokens"] == 50


def test_a_pattern_serves_models_nobody_listed(caller, stack):
    assert_completion(caller.post(chat("claude-sonnet-4-5")))
    (arrived,) = stack.standins["anthropic"].requests()
    assert arrived["body"]["model"] == "claude-sonnet-4-5"


def test_both_providers_stream(caller):
    for model in ("gpt-4o-mini", "claude-haiku-4-5"):
        events = assert_whole_stream(caller.post(chat(model, stream=True, stream_options={"include_usage": True})))
        last = json.loads(events[-2])
        assert last["choices"] == [] and last["usage"]["completion_tokens"] > 0


def test_usage_is_not_sent_to_clients_that_did_not_ask(caller):
    for model in ("gpt-4o-mini", "claude-haiku-4-5"):
        events = assert_whole_stream(caller.post(chat(model, stream=True)))
        assert all(not json.loads(event).get("usage") for event in events[:-1])


def test_an_api_key_is_as_good_as_a_jwt(client):
    answer = client.post("/v1/chat/completions", json=chat(), headers={"authorization": "Bearer " + API_KEY})
    assert_completion(answer)


def test_no_credential_is_refused(client, stack):
    answer = client.post("/v1/chat/completions", json=chat())
    assert_error(answer, 401)
    assert "www-authenticate" in answer.headers
    assert stack.standins["openai"].requests() == []


def test_the_callers_credential_stays_here_and_the_providers_stays_there(caller, stack):
    for model, provider in (("gpt-4o-mini", "openai"), ("claude-haiku-4-5", "anthropic")):
        answer = caller.post(chat(model))
        (arrived,) = stack.standins[provider].requests()
        own = caller.headers["authorization"].split(" ")[1]
        assert own not in json.dumps(arrived)
        assert "stand-in-key" in json.dumps(arrived["headers"])
        assert "stand-in-key" not in answer.text + json.dumps(dict(answer.headers))


def test_nothing_internal_travels_on(caller, stack):
    caller.post(chat(), headers={"x-tollgate-route": "claude-haiku-4-5", "x-tollgate-provider": "anthropic"})
    (arrived,) = stack.standins["openai"].requests()
    assert [name for name in arrived["headers"] if name.startswith("x-tollgate")] == []
    assert stack.standins["anthropic"].requests() == []


def test_models_lists_what_the_caller_may_use(call_as):
    def names(team):
        body = call_as(team).get("/v1/models").json()
        assert body["object"] == "list" and all(each["object"] == "model" for each in body["data"])
        return {each["id"] for each in body["data"]}

    assert {"gpt-4o-mini", "claude-haiku-4-5", "resilient"} <= names("research")
    assert names("trial") == {"gpt-4o-mini", "text-embedding-3-small"}


def test_models_needs_a_credential(client):
    assert_error(client.get("/v1/models"), 401)


def test_healthz_needs_none(client):
    assert client.get("/healthz").status_code == 200


def test_an_unknown_path_is_an_error_in_the_same_shape(caller):
    assert_error(caller.get("/v1/nothing-here"), 404)


def test_a_client_that_leaves_does_not_stop_the_others(caller, stack):
    stack.standins["openai"].fault("gpt-4o-mini", {"delay_ms": 2000})
    try:
        caller.post(chat(), timeout=0.3)
    except httpx.TimeoutException:
        pass
    assert_completion(caller.post(chat()))
