# SPDX-License-Identifier: Apache-2.0
"""Gemini at AI Studio and at Vertex AI, and Claude at Vertex AI: what only they do."""

import json

import openai
import pytest

from checks import assert_error, chat, events_of

WEATHER = {"type": "function", "function": {"name": "3d_weather", "parameters": {"type": "object", "properties": {}}}}
PLACES = {
    "gemini-3-flash": ("gemini", "/v1beta/models/gemini-3-flash", "x-goog-api-key"),
    "vertex-gemini": (
        "vertex",
        "/v1/projects/my-project/locations/us-central1/publishers/google/models/gemini-2.5-flash",
        "authorization",
    ),
}


@pytest.mark.parametrize("model", PLACES)
def test_the_place_and_the_credential_are_google_s(call_as, stack, model):
    provider, path, credential = PLACES[model]
    caller = call_as()
    assert caller.post(chat(model=model)).status_code == 200
    with caller.stream(chat(model=model, stream=True)) as answer:
        assert answer.status_code == 200
        answer.read()
    whole, streamed = stack.standins[provider].requests()
    assert whole["path"] == path + ":generateContent" and whole["query"] is None
    assert streamed["path"] == path + ":streamGenerateContent" and streamed["query"] == "alt=sse"
    for arrived in (whole, streamed):
        assert arrived["headers"][credential].endswith("stand-in-key")
        assert len({"x-goog-api-key", "authorization", "x-api-key"} & set(arrived["headers"])) == 1


def test_claude_at_vertex_ai_is_named_by_the_path(call_as, stack):
    answer = call_as().post(chat(model="vertex-claude"))
    assert answer.json()["choices"][0]["message"]["content"].startswith("Anthropic stand-in")
    (arrived,) = stack.standins["vertex"].requests()
    assert arrived["path"].endswith("/publishers/anthropic/models/claude-sonnet-4-5@20250929:rawPredict")
    assert "anthropic-version" not in arrived["headers"]


@pytest.mark.parametrize("streams", [False, True])
def test_thoughts_and_their_signatures_survive_a_round(stack, issuer, streams):
    """The stand-in refuses a call that comes back without its signature, as Gemini 3 does."""
    with openai.OpenAI(base_url=stack.base_url, api_key=issuer.mint(), max_retries=0, timeout=30) as sdk:
        asked = {"role": "user", "content": "weather in both"}
        ask = {"model": "gemini-3-flash", "tools": [WEATHER], "reasoning_effort": "high"}
        if streams:
            calls, reasoning = [], ""
            for chunk in sdk.chat.completions.create(messages=[asked], stream=True, **ask):
                delta = chunk.choices[0].delta
                reasoning += getattr(delta, "reasoning_content", None) or ""
                calls += [call.model_dump(exclude_none=True) for call in delta.tool_calls or []]
            message = {"role": "assistant", "content": None, "tool_calls": calls}
        else:
            found = sdk.chat.completions.create(messages=[asked], **ask).choices[0].message
            reasoning, message = found.reasoning_content, found.model_dump(exclude_none=True)
        calls = message["tool_calls"]
        assert reasoning == "Let me think."
        assert [call["function"]["name"] for call in calls] == ["3d_weather", "3d_weather"]
        assert calls[0]["extra_content"]["google"]["thought_signature"]
        results = [{"role": "tool", "tool_call_id": call["id"], "content": "sunny"} for call in calls]
        again = sdk.chat.completions.create(messages=[asked, message, *results], **ask)
        assert again.choices[0].message.content
    arrived = stack.standins["gemini"].requests()[-1]["body"]
    parts = arrived["contents"][1]["parts"]
    assert parts[0]["thoughtSignature"] == calls[0]["extra_content"]["google"]["thought_signature"]
    names = [part["functionResponse"]["name"] for part in arrived["contents"][2]["parts"]]
    assert names == ["_.3d_weather", "_.3d_weather"]


def test_google_tells_the_wait_in_the_body(call_as, stack):
    stack.standins["gemini"].fault("gemini-3-flash", {"status": 429}, times=10)
    answer = call_as().post(chat(model="gemini-3-flash"))
    assert_error(answer, 429, code="RESOURCE_EXHAUSTED")
    assert answer.headers["retry-after"] == "8"


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_credential_is_the_gateway_s_own_fault(call_as, stack, status):
    stack.standins["vertex"].fault("gemini-2.5-flash", {"status": status, "message": "my-project"}, times=10)
    answer = call_as().post(chat(model="vertex-gemini"))
    assert_error(answer, 502, code="upstream_credential_refused")
    assert "my-project" not in answer.text


def test_an_error_in_the_midst_of_a_stream_is_told(call_as, stack):
    stack.standins["gemini"].fault("gemini-3-flash", {"in_stream_error": 2}, times=10)
    with call_as().stream(chat(model="gemini-3-flash", stream=True)) as answer:
        answer.read()
    found = events_of(answer.text)
    assert json.loads(found[-1])["error"]["code"] == "UNAVAILABLE"


def test_a_stream_without_its_end_is_an_error(call_as, stack):
    stack.standins["gemini"].fault("gemini-3-flash", {"no_done": True}, times=10)
    with call_as().stream(chat(model="gemini-3-flash", stream=True)) as answer:
        answer.read()
    found = events_of(answer.text)
    assert json.loads(found[-1])["error"]["code"] == "upstream_misbehaved"


def test_what_is_approximated_is_told(call_as):
    answer = call_as().post(chat(model="gemini-3-flash", reasoning_effort="max"))
    assert answer.headers["x-tollgate-approximated"] == "reasoning_effort"


@pytest.mark.parametrize("model", ["gemini-embedding-001", "vertex-embedding"])
def test_embeddings_by_the_sdk_s_own_default(stack, issuer, model):
    """The SDK asks for base64 and decodes what comes."""
    with openai.OpenAI(base_url=stack.base_url, api_key=issuer.mint(), max_retries=0, timeout=30) as sdk:
        found = sdk.embeddings.create(model=model, input=["Hello", "Hi"], dimensions=3)
    assert [vector.embedding for vector in found.data] == [[5, 0.5, -0.5], [2, 0.5, -0.5]]
    assert found.usage.prompt_tokens == 9
