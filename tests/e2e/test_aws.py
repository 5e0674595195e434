# SPDX-License-Identifier: Apache-2.0
"""Amazon Bedrock and SageMaker: what Envoy signs is what our filter has written, and binary streams come out as OpenAI's.

The signature is computed again here from what arrived, after AWS's published algorithm
(https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html).
"""

import hashlib
import hmac
import json
import re
from urllib.parse import quote

import openai
import pytest
from checks import PROMPT
from conftest import API_KEY, AWS, HERE, Stack

HELLO = [{"role": "user", "content": PROMPT}]
WEATHER = {"type": "function", "function": {"name": "weather.now", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture(scope="module")
def aws():
    """A gateway with AWS behind it, which has credentials in its environment."""
    with Stack(HERE / "aws.yaml", "aws", environment=AWS) as running:
        yield running


@pytest.fixture
def sdk(aws):
    """The official SDK, and stand-ins that remember nothing."""
    aws.reset()
    with openai.OpenAI(base_url=aws.base_url, api_key=API_KEY, max_retries=0, timeout=30) as client:
        yield client


def signature_of(request, service="bedrock"):
    """The signature of a request as it arrived, computed anew, and the one that it came with."""
    headers = request["headers"]
    found = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/(\d{8})/([\w-]+)/([\w-]+)/aws4_request, ?"
        r"SignedHeaders=([\w;-]+), ?Signature=([0-9a-f]{64})",
        headers["authorization"],
    )
    date, region, *_, signed, signature = found.groups()
    assert found.groups()[1:3] == ("us-east-1", service)
    digest = hashlib.sha256(request["body_text"].encode()).hexdigest()
    assert headers["x-amz-content-sha256"] == digest, "another body than the one that arrived was signed"
    # Every service but S3 encodes the path once more than it is sent.
    canonical = [request["method"], quote(request["path"], safe="/-_.~"), request.get("query") or ""]
    canonical += ["%s:%s" % (name, " ".join(headers[name].split())) for name in signed.split(";")]
    canonical += ["", signed, digest]
    scope = "%s/%s/%s/aws4_request" % (date, region, service)
    hashed = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
    key = ("AWS4" + AWS["AWS_SECRET_ACCESS_KEY"]).encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    to_sign = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, hashed])
    return hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest(), signature, signed.split(";")


@pytest.mark.parametrize("model", ["signed", "profile"])
@pytest.mark.parametrize("is_streaming", [False, True])
def test_what_arrives_is_what_was_signed(aws, sdk, model, is_streaming):
    answer = sdk.chat.completions.create(model=model, messages=HELLO, stream=is_streaming)
    if is_streaming:
        list(answer)
    (request,) = aws.standins["bedrock"].requests()
    computed, sent, signed = signature_of(request)
    assert computed == sent
    assert {"host", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token"} <= set(signed)
    assert request["headers"]["x-amz-security-token"] == AWS["AWS_SESSION_TOKEN"]
    assert not any(name.startswith("x-tollgate") for name in request["headers"])
    operation = "converse-stream" if is_streaming else "converse"
    expected = {
        "signed": "us.anthropic.claude-sonnet-4-5-20250929-v1%3A0",
        "profile": "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc123",
    }[model]
    assert request["path"] == "/model/%s/%s" % (expected, operation)


def test_an_api_key_is_a_bearer_and_nothing_is_signed(aws, sdk):
    assert sdk.chat.completions.create(model="by-key", messages=HELLO).choices[0].message.content
    (request,) = aws.standins["bedrock-by-key"].requests()
    assert request["headers"]["authorization"] == "Bearer stand-in-key"
    assert not [name for name in request["headers"] if name.startswith("x-amz-")]


def test_a_completion(sdk):
    completion = sdk.chat.completions.create(
        model="signed", messages=[{"role": "user", "content": "Say hello. cached:2"}]
    )
    assert completion.choices[0].message.content.startswith("Bedrock stand-in: Say hello.")
    assert completion.choices[0].finish_reason == "stop"
    assert completion.id.startswith("chatcmpl-") and len(completion.id) > 20
    usage = completion.usage
    assert usage.prompt_tokens_details.cached_tokens == 2
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_a_stream(aws, sdk):
    stream = sdk.chat.completions.create(
        model="signed", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "Bedrock stand-in: Say hello."
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage.completion_tokens == 4 and not chunks[-1].choices
    assert len({chunk.id for chunk in chunks}) == 1


@pytest.mark.parametrize("fault", [{"trickle_ms": 1}, {"between_events_ms": 5}])
def test_a_stream_however_it_arrives(aws, sdk, fault):
    aws.standins["bedrock"].control("POST", "/faults", {"fault": fault, "times": 1})
    chunks = sdk.chat.completions.create(model="signed", messages=HELLO, stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "Bedrock stand-in: Say hello."


@pytest.mark.parametrize("is_streaming", [False, True])
def test_a_tool_goes_by_its_own_name_and_its_answer_back(sdk, is_streaming):
    question = {"role": "user", "content": "weather in both"}
    asked = {"model": "signed", "messages": [question], "tools": [WEATHER]}
    if is_streaming:
        calls = {}
        for chunk in sdk.chat.completions.create(stream=True, **asked):
            for piece in chunk.choices[0].delta.tool_calls or []:
                call = calls.setdefault(piece.index, {"name": "", "arguments": ""})
                call["id"] = piece.id or call.get("id")
                call["name"] += piece.function.name or ""
                call["arguments"] += piece.function.arguments or ""
        calls = list(calls.values())
    else:
        message = sdk.chat.completions.create(**asked).choices[0].message
        calls = [{"id": call.id, **call.function.model_dump()} for call in message.tool_calls]
    assert [call["name"] for call in calls] == ["weather.now"] * 2
    assert [json.loads(call["arguments"]) for call in calls] == [{"location": "Paris"}, {"location": "Rome"}]
    said = [
        {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}}
        for call in calls
    ]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "sun"} for call in calls]
    # Without `tools`, which Bedrock needs all the same.
    raw = sdk.chat.completions.with_raw_response.create(
        model="signed", messages=[question, {"role": "assistant", "tool_calls": said}, *results]
    )
    assert raw.headers["x-tollgate-approximated"] == "tools"
    assert raw.parse().choices[0].finish_reason == "stop"


def test_an_exception_in_a_stream_is_an_error_and_no_end(aws, sdk):
    aws.standins["bedrock"].control("POST", "/faults", {"fault": {"in_stream_error": 2}, "times": 1})
    received = []
    with pytest.raises(openai.APIError) as raised:
        for chunk in sdk.chat.completions.create(model="signed", messages=HELLO, stream=True):
            received.append(chunk)
    assert "unexpected error during processing" in str(raised.value)
    assert received and not any(chunk.choices[0].finish_reason for chunk in received if chunk.choices)


@pytest.mark.parametrize("fault", [{"in_stream_error": 0}, {"status": 429}, {"status": 403}, {"malformed_json": True}])
def test_a_failure_before_content_goes_to_the_next_provider(aws, sdk, fault):
    aws.standins["bedrock"].control("POST", "/faults", {"fault": fault, "times": 1})
    chunks = list(sdk.chat.completions.create(model="resilient", messages=HELLO, stream=True, max_tokens=50))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text.startswith("Anthropic stand-in")
    (request,) = aws.standins["anthropic"].requests()
    leaked = [name for name in request["headers"] if name.startswith("x-amz-") or name == "authorization"]
    assert not leaked, "the signature has gone on to another provider"


def test_a_refused_credential_is_not_the_caller_s_fault(aws, sdk):
    fault = {"status": 403, "message": "User: arn:aws:iam::123456789012:role/gateway is not authorized"}
    aws.standins["bedrock"].control("POST", "/faults", {"fault": fault, "times": 1})
    with pytest.raises(openai.APIStatusError) as raised:
        sdk.chat.completions.create(model="signed", messages=HELLO)
    assert raised.value.status_code == 502
    assert raised.value.body["code"] == "upstream_credential_refused"
    assert "arn:" not in raised.value.body["message"]


def test_an_error_keeps_its_message(aws, sdk):
    fault = {"status": 400, "message": "This model doesn't support documents."}
    aws.standins["bedrock"].control("POST", "/faults", {"fault": fault, "times": 1})
    with pytest.raises(openai.BadRequestError) as raised:
        sdk.chat.completions.create(model="signed", messages=HELLO)
    assert raised.value.body["message"] == "This model doesn't support documents."
    assert raised.value.body["code"] == "ValidationException"


@pytest.mark.parametrize(
    ("model", "texts", "dimensions"), [("titan", ["Hello"], 256), ("cohere-embed", ["a", "b"], 512), ("nova-embed", ["a"], 384)]
)
def test_embeddings(sdk, model, texts, dimensions):
    answer = sdk.embeddings.create(model=model, input=texts, dimensions=dimensions)
    assert [item.index for item in answer.data] == list(range(len(texts)))
    assert all(len(item.embedding) == dimensions and isinstance(item.embedding[0], float) for item in answer.data)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 3


def test_a_model_that_embeds_one_text_refuses_two(aws, sdk):
    with pytest.raises(openai.BadRequestError) as raised:
        sdk.embeddings.create(model="titan", input=["a", "b"])
    assert raised.value.body["param"] == "input"
    assert not aws.standins["bedrock"].requests()


@pytest.mark.parametrize("is_streaming", [False, True])
def test_a_sagemaker_endpoint(aws, sdk, is_streaming):
    answer = sdk.chat.completions.create(
        model="own", messages=HELLO, stream=is_streaming, **({"stream_options": {"include_usage": True}} if is_streaming else {})
    )
    if is_streaming:
        chunks = list(answer)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert chunks[-1].usage.completion_tokens > 0
    else:
        text = answer.choices[0].message.content
    assert text == "OpenAI stand-in: Say hello."
    (request,) = aws.standins["sagemaker"].requests()
    computed, sent, _ = signature_of(request, "sagemaker")
    assert computed == sent
    assert request["headers"]["x-amzn-sagemaker-inference-component"] == "llama"
    operation = "invocations-response-stream" if is_streaming else "invocations"
    assert request["path"] == "/endpoints/my-endpoint/" + operation


def test_a_container_s_refusal_is_told_as_its_own(sdk):
    with pytest.raises(openai.BadRequestError) as raised:
        sdk.chat.completions.create(model="own", messages=HELLO, extra_body={"temprature": 1})
    assert "temprature" in raised.value.body["message"] and "arn:" not in raised.value.body["message"]


def test_an_exception_in_a_container_s_stream_is_an_error(aws, sdk):
    aws.standins["sagemaker"].control("POST", "/faults", {"fault": {"in_stream_error": 2}, "times": 1})
    with pytest.raises(openai.APIError) as raised:
        list(sdk.chat.completions.create(model="own", messages=HELLO, stream=True))
    assert "The model took too long." in str(raised.value)
