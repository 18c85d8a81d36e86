from __future__ import annotations

import pytest

HEAD = "version: v0.4.0\nmodel_providers: [{model: openai/x}]\nlisteners: [{type: model, name: m, port: 8001}]\n"


def test_everything_has_a_default(load) -> None:
    resilience = load(HEAD).config.resilience
    assert (resilience.max_retries, resilience.first_byte_timeout, resilience.retry_budget_pct) == (2, None, 20.0)
    assert (resilience.backoff.base, resilience.backoff.max) == (0.1, 5.0)
    assert (resilience.circuit_breaker.consecutive_failures, resilience.circuit_breaker.open_for) == (5, 5.0)
    assert not resilience.hedging.enabled


def test_all_of_it_can_be_said(load) -> None:
    text = (
        "resilience:\n  max_retries: 4\n  first_byte_timeout: 8s\n  retry_budget_pct: 10\n"
        "  backoff: {base: 50ms, max: 2s}\n"
        "  circuit_breaker: {consecutive_failures: 3, failure_ratio: 0.3, window: 1m, "
        "min_requests: 50, open_for: 10s}\n"
        "  hedging: {enabled: true, min_delay: 200ms}\n"
    )
    resilience = load(HEAD + text).config.resilience
    assert (resilience.max_retries, resilience.first_byte_timeout, resilience.retry_budget_pct) == (4, 8.0, 10.0)
    assert (resilience.backoff.base, resilience.backoff.max) == (0.05, 2.0)
    breaker = resilience.circuit_breaker
    assert (breaker.consecutive_failures, breaker.failure_ratio, breaker.window) == (3, 0.3, 60.0)
    assert (breaker.min_requests, breaker.open_for) == (50, 10.0)
    assert (resilience.hedging.enabled, resilience.hedging.min_delay) == (True, 0.2)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("{max_retries: -1}", "resilience.max_retries"),
        ("{max_retries: 11}", "resilience.max_retries"),
        ("{retry_budget_pct: 101}", "resilience.retry_budget_pct"),
        ("{first_byte_timeout: soon}", "resilience.first_byte_timeout"),
        ("{circuit_breaker: {failure_ratio: 0}}", "resilience.circuit_breaker.failure_ratio"),
        ("{circuit_breaker: {min_requests: 0}}", "resilience.circuit_breaker.min_requests"),
        ("{backoff: {base: 0}}", "resilience.backoff.base"),
        ("{retries: 3}", "resilience.retries"),
    ],
)
def test_what_cannot_be_meant_is_an_error(problems, text: str, path: str) -> None:
    assert [problem.path for problem in problems(f"{HEAD}resilience: {text}\n")] == [path]
