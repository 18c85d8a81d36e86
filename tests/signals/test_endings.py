from __future__ import annotations

from collections.abc import Sequence

import pytest

from router.signals.endings import read_ending
from router.signals.exchange import Exchange
from tests.signals.conversations import user


def types(status: int, code: str | None = None, attempts: Sequence[str] = (), finish: str | None = None) -> set[str]:
    found = read_ending(Exchange(3, [user("Hi"), user("Hi")], None, status, code, attempts, finish))
    assert {signal.message_index for signal in found} <= {5}
    return {signal.type.rpartition(".")[2] for signal in found}


@pytest.mark.parametrize(
    ("status", "code", "attempts", "expected"),
    [
        (504, "upstream_timeout", ["timeout", "timeout"], {"timeout"}),
        (502, "upstream_unreachable", ["unreachable"], {"network"}),
        (502, "upstream_protocol_error", ["upstream_protocol_error"], {"malformed_response"}),
        (429, "rate_limit_exceeded", [], {"rate_limit"}),
        (429, "insufficient_quota", ["rate_limited"], {"rate_limit"}),
        (500, "internal_error", [], {"api_error"}),
        (529, "overloaded_error", [], {"api_error"}),
        (400, "context_length_exceeded", ["client_error"], {"context_overflow"}),
        (200, None, ["timeout", "rate_limited", "ok"], {"timeout", "rate_limit"}),
        (200, None, ["cancelled", "not_sent", "ok"], set()),
        (400, "invalid_request", [], set()),
        (401, "invalid_api_key", [], set()),
        (404, "model_not_found", [], set()),
        (408, "request_timeout", [], set()),
    ],
)
def test_endings(status: int, code: str | None, attempts: list[str], expected: set[str]) -> None:
    assert types(status, code, attempts) == expected


def test_an_answer_that_was_cut_off_may_be_what_the_client_asked_for() -> None:
    [signal] = read_ending(Exchange(0, [], None, 200, None, ["ok"], "length"))
    assert (signal.type, signal.confidence) == ("environment.exhaustion.context_overflow", 0.5)


def test_many_attempts_are_one_signal_of_bounded_size() -> None:
    [signal] = read_ending(Exchange(0, [], None, 200, None, ["timeout"] * 10_000, None))
    assert len(signal.snippet) <= 120
