# SPDX-License-Identifier: Apache-2.0
"""`resilient`: an OpenAI-format provider first, Anthropic's API second, and a client that notices nothing."""

import json

import pytest
from checks import assert_completion, assert_error, assert_whole_stream, chat, events_of, streamed_text

FAILURES = {
    "503": {"status": 503},
    "500": {"status": 500},
    "429": {"status": 429, "retry_after": 30},
    "529": {"status": 529},
    "cut": {"cut_after_bytes": 0},
    "malformed JSON": {"malformed_json": True},
    "html": {"wrong_content_type": "text/html"},
}


def assert_served_by_the_second(answer, stack):
    """The second provider served it, at the second attempt, in its own dialect."""
    assert answer.headers["x-tollgate-provider"] == "anthropic"
    assert answer.headers["x-tollgate-attempts"] == "2"
    assert len(stack.standins["flaky"].requests()) == 1
    (arrived,) = stack.standins["anthropic"].requests()
    assert arrived["path"] == "/v1/messages" and arrived["body"]["model"] == "claude-haiku-4-5"
    assert "stand-in-key" in arrived["headers"]["x-api-key"] and "authorization" not in arrived["headers"]


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_served_by_the_next_provider(name, caller, stack):
    stack.standins["flaky"].fault("gpt-4o-mini", FAILURES[name])
    answer = caller.post(chat("resilient"))
    assert_completion(answer)
    assert_served_by_the_second(answer, stack)


@pytest.mark.parametrize("name", ["503", "429", "html"])
def test_a_failure_before_a_stream_is_served_by_the_next_provider(name, caller, stack):
    stack.standins["flaky"].fault("gpt-4o-mini", FAILURES[name])
    answer = caller.post(chat("resilient", stream=True))
    assert_whole_stream(answer)
    assert_served_by_the_second(answer, stack)


@pytest.mark.parametrize("fault", [{"in_stream_error": 0}, {"empty_stream": True}, {"cut_after_events": 0}])
def test_a_failure_inside_a_200_stream_before_content_is_served_by_the_next_provider(fault, caller, stack):
    stack.standins["flaky"].fault("gpt-4o-mini", fault)
    answer = caller.post(chat("resilient", stream=True))
    events = assert_whole_stream(answer)
    assert_served_by_the_second(answer, stack)
    assert not any("error" in json.loads(event) for event in events[:-1])


def test_a_failure_after_content_is_not_repeated(caller, stack):
    stack.standins["flaky"].fault("gpt-4o-mini", {"in_stream_error": 2})
    answer = caller.post(chat("resilient", stream=True))
    events = events_of(answer.text)
    assert streamed_text(events[:-1]) and "error" in json.loads(events[-1])
    assert stack.standins["anthropic"].requests() == []


def test_a_fault_of_the_request_is_not_tried_elsewhere(caller, stack):
    stack.standins["flaky"].fault("gpt-4o-mini", {"status": 400})
    assert_error(caller.post(chat("resilient")), 400)
    assert stack.standins["anthropic"].requests() == []


def test_a_healthy_first_provider_serves_alone(caller, stack):
    answer = caller.post(chat("resilient"))
    assert_completion(answer)
    assert answer.headers["x-tollgate-provider"] == "flaky"
    assert answer.headers["x-tollgate-attempts"] == "1"
    assert stack.standins["anthropic"].requests() == []


def test_when_all_fail_the_last_error_arrives_in_one_shape(caller, stack):
    stack.standins["flaky"].fault("gpt-4o-mini", {"status": 503}, times=10)
    stack.standins["anthropic"].fault("claude-haiku-4-5", {"status": 503}, times=10)
    assert_error(caller.post(chat("resilient")), 503)


def test_a_providers_own_429_keeps_its_retry_after(caller, stack):
    stack.standins["openai"].fault("gpt-4o-mini", {"status": 429, "retry_after": 17}, times=10)
    answer = caller.post(chat())
    assert_error(answer, 429)
    assert answer.headers["retry-after"] == "17"


def test_a_refused_credential_is_told_to_the_operator_and_not_to_the_caller(caller, stack):
    counter = "wasmcustom.tollgate.upstream_credential_refused.openai"
    before = stack.stats(counter).get(counter, 0)
    stack.standins["openai"].fault("gpt-4o-mini", {"status": 401, "message": "Bad key: stand-in-key"}, times=2)
    for body in (chat(), chat(stream=True)):
        error = assert_error(caller.post(body), 502, "upstream_credential_refused", kind="api_error")
        assert error["message"] == "The provider refused the gateway's credential."
    assert stack.stats(counter)[counter] == before + 2
    log = stack.log("envoy").read_text(encoding="utf-8", errors="replace")
    assert log.count("provider openai refused the gateway's credential") == 1 and "stand-in-key" not in log


def test_a_refused_credential_is_tried_at_the_next_provider(caller, stack):
    stack.standins["flaky"].fault("gpt-4o-mini", {"status": 403})
    assert_completion(caller.post(chat("resilient")))
    assert stack.stats("wasmcustom.tollgate.upstream_credential_refused.flaky")
