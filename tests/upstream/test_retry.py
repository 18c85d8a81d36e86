from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import (
    GatewayError,
    InvalidRequest,
    ProviderUnavailable,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from router.upstream.retry import Backoff, Diagnosis, RetryBudget, diagnose, is_context_overflow
from router.upstream.sliding_sum import SlidingSum
from tests.upstream.scripted import status

AGAIN = Diagnosis("again", breaks=True)


@pytest.mark.parametrize(
    ("error", "diagnosis"),
    [
        (UpstreamUnreachable("x"), AGAIN),
        (UpstreamTimeout("x"), AGAIN),
        (UpstreamProtocolError("x"), AGAIN),
        (status(408), AGAIN),
        (status(500), AGAIN),
        (status(529), AGAIN),
        (status(503, retry_after_s=7), Diagnosis("again", breaks=True, aside_s=7)),
        (status(429), AGAIN),
        (status(429, retry_after_s=7), Diagnosis("again", breaks=False, aside_s=7)),
        (status(401), Diagnosis("elsewhere", breaks=True)),
        (status(402), Diagnosis("elsewhere")),
        (status(403), Diagnosis("elsewhere")),
        (status(400), Diagnosis("nothing")),
        (status(404), Diagnosis("nothing")),
        (status(413), Diagnosis("nothing")),
        (status(422), Diagnosis("nothing")),
        (status(400, reason="context_length_exceeded"), Diagnosis("larger")),
        (InvalidRequest("x", param="logit_bias"), Diagnosis("elsewhere")),
        (ProviderUnavailable("x"), Diagnosis("elsewhere")),
    ],
)
def test_what_helps_and_what_counts(error: GatewayError, diagnosis: Diagnosis) -> None:
    assert diagnose(error) == diagnosis


@pytest.mark.parametrize(
    ("error", "diagnosis"),
    [
        (status(401), Diagnosis("nothing")),
        (status(402), Diagnosis("nothing")),
        (status(403), Diagnosis("nothing")),
        (status(429), Diagnosis("elsewhere")),
        (status(429, retry_after_s=7), Diagnosis("elsewhere")),
        (status(500), AGAIN),
    ],
)
def test_one_client_with_credentials_of_its_own_cannot_shut_out_others(
    error: GatewayError, diagnosis: Diagnosis
) -> None:
    assert diagnose(error, own_credentials=False) == diagnosis


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.",
        "This model's maximum prompt length is 131072 but the request contains 140000 tokens.",
        "Your input exceeds the context window of this model.",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
        "Input is too long for requested model.",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        "Please reduce the length of the messages or completion.",
        "the request exceeds the available context size, try increasing it",
    ],
)
def test_providers_say_in_many_ways_that_a_conversation_is_too_long(message: str) -> None:
    assert is_context_overflow(status(400, message=message))
    assert is_context_overflow(status(400, message=message.upper()))
    assert not is_context_overflow(status(500, message=message))


def test_a_code_says_so_whatever_the_status() -> None:
    assert is_context_overflow(status(400, reason="context_length_exceeded"))
    assert is_context_overflow(status(502, reason="context_length_exceeded"))


@pytest.mark.parametrize(
    "error",
    [
        status(400, message="'messages' is too long: expected an array with maximum length 2048."),
        status(400, message="max_tokens is too large: 100000. This model supports at most 16384 completion tokens."),
        status(400, message="Invalid value for 'context'."),
        status(429, message="Request too large for model on tokens per minute (TPM)."),
        InvalidRequest("The prompt is too long."),
    ],
)
def test_other_complaints_are_no_overflow(error: GatewayError) -> None:
    assert not is_context_overflow(error)


def test_pauses_double_up_to_a_bound_and_are_random_down_to_nothing() -> None:
    backoff = Backoff(base_s=0.1, max_s=1.0)
    assert [backoff.pause_s(n, lambda: 1.0) for n in range(6)] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0, 1.0])
    assert backoff.pause_s(3, lambda: 0.0) == 0.0
    assert backoff.pause_s(3, lambda: 0.5) == pytest.approx(0.4)


@given(st.integers(0, 10_000), st.floats(0, 1), st.floats(0.001, 100), st.floats(0.001, 100))
def test_no_pause_is_longer_than_the_longest(rounds: int, dice: float, base_s: float, max_s: float) -> None:
    assert 0.0 <= Backoff(base_s, max_s).pause_s(rounds, lambda: dice) <= max_s


def test_the_budget_always_has_a_few() -> None:
    budget = RetryBudget(0.2)
    assert [budget.withdraw(1000.0) for _ in range(25)] == [True] * 20 + [False] * 5
    assert not budget.withdraw(1008.9)
    assert budget.withdraw(1011.0)


def test_the_budget_grows_with_the_requests_and_forgets_them() -> None:
    budget = RetryBudget(0.2)
    for _ in range(100):
        budget.deposit(1000.0)
    assert [budget.withdraw(1000.5) for _ in range(45)] == [True] * 40 + [False] * 5
    for _ in range(100):
        budget.deposit(1020.0)
    assert [budget.withdraw(1031.0) for _ in range(25)] == [True] * 20 + [False] * 5


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 3)), max_size=400),
    st.sampled_from([0.0, 0.2, 0.5]),
    st.floats(0, 1e6),
)
def test_the_budget_is_never_exceeded_in_any_window(
    events: list[tuple[bool, float]], ratio: float, start: float
) -> None:
    budget, now = RetryBudget(ratio), start
    requests: list[float] = []
    retries: list[float] = []
    for is_request, passed_s in events:
        now += passed_s
        if is_request:
            budget.deposit(now)
            requests.append(now)
        elif budget.withdraw(now):
            retries.append(now)
            # Steps of a second: what the budget still knows reaches back between 9 and 10 seconds.
            spent = sum(1 for at in retries if at > now - 9)
            assert spent <= 20 + ratio * sum(1 for at in requests if at > now - 10.001) + 1e-6


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(0, 4)), max_size=100), st.floats(0, 1e6))
def test_a_sliding_sum_knows_what_is_within_its_window(events: list[tuple[float, float]], start: float) -> None:
    total, now = SlidingSum(10.0), start
    added: list[tuple[float, float]] = []
    for value, passed_s in events:
        now += passed_s
        total.add(value, now)
        added.append((int(now), value))
        assert total.total(now) == pytest.approx(sum(v for at, v in added if at > int(now) - 10), abs=1e-6)
