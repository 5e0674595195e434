# SPDX-License-Identifier: Apache-2.0
"""OpenAI at Azure: where requests go, and what its content filters add to a stream."""

import openai
import pytest

HELLO = [{"role": "user", "content": "Say hello."}]


@pytest.fixture
def sdk(stack, issuer):
    """An SDK client that may do everything."""
    with openai.OpenAI(base_url=stack.base_url, api_key=issuer.mint("research"), max_retries=0, timeout=30) as client:
        yield client


def test_the_newer_api_is_called_with_a_key(sdk, stack):
    sdk.chat.completions.create(model="azure-gpt", messages=HELLO)
    (arrived,) = stack.standins["azure"].requests()
    assert (arrived["path"], arrived["query"]) == ("/openai/v1/chat/completions", None)
    assert arrived["headers"]["api-key"] == "stand-in-key" and "authorization" not in arrived["headers"]
    assert arrived["body"]["model"] == "gpt-4o-mini"


def test_a_deployment_is_called_with_a_token(sdk, stack):
    sdk.chat.completions.create(model="azure-deployment", messages=HELLO)
    (arrived,) = stack.standins["azure-deployments"].requests()
    assert arrived["path"] == "/openai/deployments/my%20gpt/chat/completions"
    assert arrived["query"] == "api-version=2024-10-21"
    assert arrived["headers"]["authorization"] == "Bearer stand-in-key" and "api-key" not in arrived["headers"]


def test_every_chunk_of_a_stream_has_a_choice_and_the_filters_are_kept(sdk):
    chunks = list(sdk.chat.completions.create(model="azure-gpt", messages=HELLO, stream=True))
    assert all(chunk.choices and chunk.choices[0].delta is not None for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == 1
    (told,) = [chunk.prompt_filter_results for chunk in chunks if "prompt_filter_results" in (chunk.model_extra or {})]
    assert told[0]["content_filter_results"]["hate"]["severity"] == "safe"


def test_embeddings_of_a_deployment(sdk, stack):
    sdk.embeddings.create(model="azure-deployment", input="Hello")
    (arrived,) = stack.standins["azure-deployments"].requests()
    assert arrived["path"] == "/openai/deployments/my%20gpt/embeddings"
