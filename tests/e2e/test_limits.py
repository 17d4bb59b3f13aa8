"""The limits as they are without a word about them: A7, O6."""

from __future__ import annotations

import httpx

from tests.e2e.local_stack import SAMPLE, LocalStack


def test_A7_O6_the_eleventh_order_within_a_minute_is_refused(stack: LocalStack) -> None:
    """A7, O6: ten a minute by default, also when they are repeats of one; other calls of the user go on."""
    key = stack.api_key("limited@t2m.example")
    headers = {"X-API-Key": key, "Idempotency-Key": "limited"}
    with (
        stack.another_gateway(T2M_RATE_LIMITS="") as url,
        httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False) as api,
    ):
        answers = [api.post("/api/v1/videos/generate", json=SAMPLE) for _ in range(11)]
        assert [answer.status_code for answer in answers] == [201] * 10 + [429]
        refused = answers[-1]
        assert refused.headers["ratelimit-policy"] == '"generate";q=10;w=60'
        assert 0 < int(refused.headers["retry-after"]) <= 60
        error = refused.json()["error"]
        assert (error["error_code"], error["details"]["limit"]) == ("RATE_LIMIT_EXCEEDED", 10)
        job_id = answers[0].json()["job_id"]
        job = api.get(f"/api/v1/jobs/{job_id}")
        assert (job.status_code, job.headers["ratelimit-limit"]) == (200, "300")
        assert api.post(f"/api/v1/jobs/{job_id}/cancel", json={}).status_code == 200
