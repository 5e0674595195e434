# SPDX-License-Identifier: Apache-2.0
"""What the tests ask of answers, in one place."""

import json

# What is asked where it does not matter: a canary, which no gateway may write down.
PROMPT = "Say hello."

# The part of a configuration that is about models, where one will do.
ONE_MODEL = """
providers:
  openai: { kind: openai, endpoint: https://api.openai.com/v1, credential: { env: OPENAI_API_KEY } }
models:
  - { name: gpt-4o-mini, targets: [{ provider: openai }] }
"""


def chat(model="gpt-4o-mini", content=PROMPT, **more):
    """A small chat request."""
    return {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": 50, **more}


def assert_error(answer, status, code=None, param=None, kind=None):
    """An error in OpenAI's shape: all four keys, each of its type, and a message worth reading."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    body = answer.json()
    assert set(body) == {"error"}, body
    error = body["error"]
    assert set(error) == {"message", "type", "param", "code"}, error
    assert isinstance(error["message"], str) and len(error["message"]) > 10, error
    assert isinstance(error["type"], str) and error["type"], error
    for key in ("param", "code"):
        assert error[key] is None or isinstance(error[key], str), error
    if kind is not None:
        assert error["type"] == kind, error
    if code is not None:
        assert error["code"] == code, error
    if param is not None:
        assert error["param"] == param, error
    return error


def assert_completion(answer):
    """A whole chat completion with an answer and its cost."""
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"]["role"] == "assistant"
    assert body["choices"][0]["message"]["content"]
    assert body["choices"][0]["finish_reason"] in ("stop", "length")
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
    return body


def events_of(text):
    """The `data` of every event of a stream."""
    return [line[5:].strip() for line in text.splitlines() if line.startswith("data:")]


def streamed_text(events):
    """What the model said."""
    chunks = [json.loads(event) for event in events if event != "[DONE]"]
    return "".join((choice["delta"].get("content") or "") for chunk in chunks for choice in chunk.get("choices", []))


def assert_whole_stream(answer):
    """A stream that was served to its end."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = events_of(answer.text)
    assert events.count("[DONE]") == 1 and events[-1] == "[DONE]", events[-3:]
    assert streamed_text(events)
    return events


def remaining(answer):
    """The tokens that are left of the caller's tightest limit."""
    return int(answer.headers["x-ratelimit-remaining-tokens"])
