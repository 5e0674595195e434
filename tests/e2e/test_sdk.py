# SPDX-License-Identifier: Apache-2.0
"""The official openai package, which knows nothing of us."""

import openai
import pytest
from pydantic import BaseModel

MODELS = ["gpt-4o-mini", "claude-haiku-4-5", "command-a", "gemini-3-flash", "vertex-gemini", "vertex-claude"]
HELLO = [{"role": "user", "content": "Say hello."}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class City(BaseModel):
    """What the json_schema test asks for."""

    name: str
    inhabitants: int


@pytest.fixture
def make_sdk(stack, issuer):
    """Makes SDK clients; no retries, so that a test sees the first answer."""
    opened = []

    def make(credential=None, team="research"):
        sdk = openai.OpenAI(base_url=stack.base_url, api_key=credential or issuer.mint(team), max_retries=0, timeout=30)
        opened.append(sdk)
        return sdk

    yield make
    for sdk in opened:
        sdk.close()


@pytest.fixture
def sdk(make_sdk):
    """An SDK client that may do everything."""
    return make_sdk()


@pytest.mark.parametrize("model", MODELS)
def test_a_completion(sdk, model):
    completion = sdk.chat.completions.create(model=model, messages=HELLO, max_tokens=50)
    assert completion.choices[0].message.content
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens


@pytest.mark.parametrize("model", MODELS)
def test_a_stream(sdk, model):
    stream = sdk.chat.completions.create(
        model=model, messages=HELLO, max_tokens=50, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage.completion_tokens > 0
    assert len({chunk.id for chunk in chunks}) == 1


@pytest.mark.parametrize("model", MODELS)
def test_a_stream_is_cut_at_the_output_bound(sdk, model):
    completion = sdk.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "count:50"}], max_tokens=5
    )
    assert completion.choices[0].finish_reason == "length"
    assert completion.usage.completion_tokens == 5


@pytest.mark.parametrize("model", MODELS)
def test_a_tool_is_called_and_answered(sdk, model):
    completion = sdk.chat.completions.create(
        model=model, messages=HELLO, max_tokens=100, tools=[WEATHER], tool_choice="required"
    )
    message = completion.choices[0].message
    assert completion.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls[0].function.name == "get_weather"
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "sunny"}
    messages = HELLO + [message.model_dump(exclude_none=True), result]
    completion = sdk.chat.completions.create(model=model, messages=messages, max_tokens=100, tools=[WEATHER])
    assert completion.choices[0].message.content


@pytest.mark.parametrize("model", MODELS)
def test_a_tool_is_called_in_a_stream(sdk, model):
    stream = sdk.chat.completions.create(
        model=model, messages=HELLO, max_tokens=100, tools=[WEATHER], tool_choice="required", stream=True
    )
    deltas = [chunk.choices[0].delta for chunk in stream if chunk.choices]
    calls = [call for delta in deltas for call in (delta.tool_calls or [])]
    assert calls[0].function.name == "get_weather" and calls[0].id
    assert "".join(call.function.arguments or "" for call in calls).startswith("{")


def test_a_json_schema_reaches_openai_whole(sdk, stack):
    sdk.chat.completions.create(
        model="gpt-4o-mini",
        messages=HELLO,
        max_tokens=100,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "city", "strict": True, "schema": City.model_json_schema()},
        },
    )
    (arrived,) = stack.standins["openai"].requests()
    assert arrived["body"]["response_format"]["json_schema"]["schema"] == City.model_json_schema()


def test_a_json_schema_reaches_anthropic_in_its_own_words(sdk, stack):
    sdk.chat.completions.create(
        model="claude-haiku-4-5",
        messages=HELLO,
        max_tokens=100,
        response_format={"type": "json_schema", "json_schema": {"name": "city", "schema": City.model_json_schema()}},
    )
    (arrived,) = stack.standins["anthropic"].requests()
    assert "response_format" not in arrived["body"]
    assert "inhabitants" in str(arrived["body"])


def test_models_are_listed(sdk):
    assert {"gpt-4o-mini", "resilient"} <= {model.id for model in sdk.models.list()}


def test_errors_arrive_as_the_sdks_own_classes(sdk, make_sdk, stack):
    def ask(client, model="gpt-4o-mini", **more):
        return client.chat.completions.create(model=model, messages=HELLO, max_tokens=50, **more)

    with pytest.raises(openai.AuthenticationError):
        ask(make_sdk("wrong-key"))
    with pytest.raises(openai.NotFoundError) as caught:
        ask(sdk, "gpt-nonsense")
    assert caught.value.code == "model_not_found" and caught.value.param == "model"
    with pytest.raises(openai.PermissionDeniedError):
        ask(make_sdk(team="trial"), "claude-haiku-4-5")
    with pytest.raises(openai.BadRequestError):
        ask(sdk, extra_body={"messages": "hello"})
    counted = make_sdk(team="counted")
    with pytest.raises(openai.RateLimitError):
        for _ in range(4):
            ask(counted)
    stack.standins["openai"].fault("gpt-4o-mini", {"status": 500}, times=10)
    with pytest.raises(openai.InternalServerError):
        ask(sdk)


def test_an_error_inside_a_stream_is_raised(sdk, stack):
    stack.standins["openai"].fault("gpt-4o-mini", {"in_stream_error": 2}, times=10)
    with pytest.raises(openai.APIError):
        list(sdk.chat.completions.create(model="gpt-4o-mini", messages=HELLO, max_tokens=50, stream=True))


def test_a_refusal_by_the_provider_keeps_its_status(sdk, stack):
    stack.standins["anthropic"].fault("claude-haiku-4-5", {"status": 400, "message": "messages: too many"}, times=10)
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.chat.completions.create(model="claude-haiku-4-5", messages=HELLO, max_tokens=50)
    assert "messages: too many" in caught.value.message
