# SPDX-License-Identifier: Apache-2.0
"""An answer may be as large as its own bound says, whatever the bound of requests is."""

import httpx
from checks import ONE_MODEL, assert_completion, assert_error, chat
from conftest import API_KEY, RUN, Stack

CONFIG = ONE_MODEL + """\
listener: { max_request_body_bytes: 256KiB, max_response_body_bytes: 4MiB }
identity:
  api_keys:
    - { sha256: c0629be90c7891ee213abc3bf4641d2fd9d15cc12e4595bc05bde060257e257b, consumer: key-holder }
"""
HEADERS = {"authorization": "Bearer " + API_KEY}


def test_requests_and_answers_have_bounds_of_their_own():
    folder = RUN / "sizes"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gateway.yaml").write_text(CONFIG, encoding="ascii")
    with Stack(folder / "gateway.yaml", "sizes", concurrency=1) as stack:
        url = stack.url + "/v1/chat/completions"
        large = httpx.post(url, json=chat(content="count:500000", max_tokens=500000), headers=HEADERS, timeout=60)
        assert_completion(large)
        assert 2 << 20 < len(large.content) < 4 << 20
        larger = httpx.post(url, json=chat(content="count:900000", max_tokens=900000), headers=HEADERS, timeout=60)
        # The filter refuses it, or Envoy does where more comes at once than it may hold.
        codes = {502: "upstream_misbehaved", 503: "upstream_unavailable"}
        assert_error(larger, larger.status_code, code=codes[larger.status_code])
        refused = httpx.post(url, json=chat(content="x" * (256 << 10)), headers=HEADERS, timeout=60)
        assert_error(refused, 413, code="request_too_large")
