# SPDX-License-Identifier: Apache-2.0
"""Limits: what callers see of them, and that no number of requests at once gets past them."""

import concurrent.futures
import time

from checks import assert_completion, assert_error, assert_whole_stream, chat, remaining

TRIAL_MAX = 400


def exhaust(caller, most=60):
    """Calls until refused; answers with the served requests' total usage, and the refusal."""
    used = 0
    for _ in range(most):
        answer = caller.post(chat())
        if answer.status_code != 200:
            return used, answer
        used += assert_completion(answer)["usage"]["total_tokens"]
    raise AssertionError("%d tokens were used and no limit stopped it" % used)


def test_a_token_limit_refuses_with_all_that_a_client_needs(call_as):
    used, refusal = exhaust(call_as("trial"))
    assert 0 < used <= TRIAL_MAX
    error = assert_error(refusal, 429, kind="tokens", code="rate_limit_exceeded")
    assert "trial-tokens" in error["message"], "the limit that fired is named"
    assert 1 <= int(refusal.headers["retry-after"]) <= 3600 * 1.05, "a sub-window longer than the window at most"
    assert refusal.headers["x-ratelimit-limit-tokens"] == str(TRIAL_MAX)
    assert int(refusal.headers["x-ratelimit-remaining-tokens"]) < TRIAL_MAX
    assert refusal.headers["x-ratelimit-reset-tokens"]


def test_a_request_limit_counts_requests(call_as):
    caller = call_as("counted")
    for left in (2, 1, 0):
        answer = caller.post(chat())
        assert_completion(answer)
        assert answer.headers["x-ratelimit-limit-requests"] == "3"
        assert answer.headers["x-ratelimit-remaining-requests"] == str(left)
    refusal = caller.post(chat())
    assert_error(refusal, 429, kind="requests", code="rate_limit_exceeded")
    assert int(refusal.headers["retry-after"]) >= 1


def test_one_consumer_does_not_spend_anothers_allowance(call_as):
    exhaust(call_as("trial"))
    assert_completion(call_as("trial").post(chat()))


def test_a_request_that_never_fits_is_told_so_and_not_to_wait(call_as, stack):
    answer = call_as("trial").post(chat(max_tokens=100_000))
    assert answer.status_code in (200, 400, 429)
    if answer.status_code == 200:
        # The bound was lowered to what is left, and the provider was told.
        (arrived,) = stack.standins["openai"].requests()
        assert arrived["body"].get("max_tokens", arrived["body"].get("max_completion_tokens")) <= TRIAL_MAX
    else:
        assert_error(answer, answer.status_code)
        assert "retry-after" not in answer.headers
        assert stack.standins["openai"].requests() == []


def test_what_was_reserved_and_not_used_comes_back(call_as):
    caller = call_as()
    assert_completion(caller.post(chat()))
    before = remaining(caller.post(chat(max_tokens=5000)))
    after = remaining(caller.post(chat(max_tokens=5000)))
    assert abs(before - after) < 1000, "the 5000 reserved output tokens did not come back"


def test_a_stream_is_settled_too(call_as):
    caller = call_as()
    assert_completion(caller.post(chat()))
    before = remaining(caller.post(chat(max_tokens=5000)))
    assert_whole_stream(caller.post(chat(max_tokens=5000, stream=True)))
    assert abs(before - remaining(caller.post(chat(max_tokens=5000)))) < 1000


def test_a_failed_request_costs_nothing(call_as, stack):
    caller = call_as()
    assert_completion(caller.post(chat()))
    before = remaining(caller.post(chat()))
    stack.standins["openai"].fault("gpt-4o-mini", {"status": 400})
    assert_error(caller.post(chat(max_tokens=5000)), 400)
    assert before - remaining(caller.post(chat())) < 1000


def test_an_abandoned_request_is_settled(call_as, stack):
    caller = call_as()
    assert_completion(caller.post(chat()))
    before = remaining(caller.post(chat()))
    stack.standins["openai"].fault("gpt-4o-mini", {"between_events_ms": 100})
    with caller.stream(chat(content="count:100", max_tokens=5000, stream=True)) as answer:
        next(answer.iter_lines())
    time.sleep(0.5)
    assert before - remaining(caller.post(chat())) < 1000


def test_requests_at_once_cannot_overshoot_together(call_as, stack):
    """Each is delayed until all are admitted or refused, so nothing is settled in between."""
    stack.standins["openai"].fault("gpt-4o-mini", {"delay_ms": 1000}, times=40)
    caller = call_as("trial")
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: caller.post(chat()), range(20)))
    served = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(served) + len(refused) == 20 and served and refused
    assert sum(assert_completion(answer)["usage"]["total_tokens"] for answer in served) <= TRIAL_MAX
    # 50 output tokens are reserved for each, so no more than eight fit, whatever the input's estimate.
    assert len(served) <= TRIAL_MAX // 50
