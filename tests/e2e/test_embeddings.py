# SPDX-License-Identifier: Apache-2.0
"""Embeddings: the official SDK through the gateway, and what they cost."""

import base64
import struct

import openai
import pytest
from checks import assert_error

MODEL = "text-embedding-3-small"


@pytest.fixture
def sdk(stack, issuer):
    """An SDK client that may do everything."""
    with openai.OpenAI(base_url=stack.base_url, api_key=issuer.mint("research"), max_retries=0, timeout=30) as client:
        yield client


def test_the_sdk_gets_vectors_by_its_own_default(sdk, stack):
    answer = sdk.embeddings.create(model=MODEL, input=["Hello there", "Hi"], dimensions=16)
    assert [item.index for item in answer.data] == [0, 1]
    assert all(len(item.embedding) == 16 and isinstance(item.embedding[0], float) for item in answer.data)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == 6 + 4
    (arrived,) = stack.standins["openai"].requests()
    assert (arrived["path"], arrived["body"]["encoding_format"]) == ("/v1/embeddings", "base64")


def test_both_encodings_hold_the_same_numbers(sdk):
    floats = sdk.embeddings.create(model=MODEL, input="Hello", encoding_format="float", dimensions=8).data[0].embedding
    text = sdk.embeddings.create(model=MODEL, input="Hello", encoding_format="base64", dimensions=8).data[0].embedding
    numbers = struct.unpack("<8f", base64.b64decode(text))
    assert all(abs(one - other) < 1e-6 for one, other in zip(floats, numbers))


def test_token_ids_pass(sdk, stack):
    answer = sdk.embeddings.create(model=MODEL, input=[[1, 2, 3], [4]], encoding_format="float")
    assert len(answer.data) == 2 and answer.usage.prompt_tokens == 4
    (arrived,) = stack.standins["openai"].requests()
    assert arrived["body"]["input"] == [[1, 2, 3], [4]]


def test_cohere_is_asked_in_its_own_words(sdk, stack):
    answer = sdk.embeddings.create(model="command-a", input=["Hello there", "Hi"], dimensions=16)
    assert all(len(item.embedding) == 16 and isinstance(item.embedding[0], float) for item in answer.data)
    assert answer.usage.prompt_tokens == 6 + 4
    (arrived,) = stack.standins["cohere"].requests()
    assert (arrived["path"], arrived["body"]["texts"]) == ("/v2/embed", ["Hello there", "Hi"])


def test_a_provider_without_embeddings_refuses(sdk, stack):
    with pytest.raises(openai.BadRequestError) as refused:
        sdk.embeddings.create(model="claude-haiku-4-5", input="Hello")
    assert (refused.value.code, refused.value.param) == ("unsupported_operation", "model")
    assert stack.standins["anthropic"].requests() == []


def test_the_limit_counts_what_was_reported(call_as):
    caller = call_as("trial")
    left = []
    for _ in range(2):
        answer = caller.client.post(
            "/v1/embeddings", json={"model": MODEL, "input": list(range(100))}, headers=caller.headers
        )
        assert answer.status_code == 200, answer.text
        left.append(int(answer.headers["x-ratelimit-remaining-tokens"]))
    # 400 allow one request of 100 ids and the frame's estimate; the second sees 100 charged.
    assert left[0] - left[1] == 100
    answer = caller.client.post(
        "/v1/embeddings", json={"model": MODEL, "input": list(range(300))}, headers=caller.headers
    )
    assert_error(answer, 429, "rate_limit_exceeded")


def test_a_bad_input_is_named(call_as):
    caller = call_as()
    for body, param in [({"model": MODEL}, "input"), ({"model": MODEL, "input": "a", "dimensions": 0}, "dimensions")]:
        answer = caller.client.post("/v1/embeddings", json=body, headers=caller.headers)
        assert_error(answer, 400, param=param)
