"""The phases of an exchange: every transition there is, and none beside them."""

from __future__ import annotations

from typing import get_args

import pytest

from router.errors import InvalidRequest
from router.services.ext_proc.phases import MESSAGES, Decision, Event, Phase, following

DECISIONS: tuple[Decision, ...] = get_args(Decision)

ROWS: list[tuple[Phase, Event, Phase]] = [
    ("waiting", "request_headers", "reading"),
    ("reading", "request_body", "reading"),
    ("reading", "request_trailers", "reading"),
    ("reading", "pass", "passing"),
    ("reading", "forward", "forwarded"),
    ("reading", "reply", "ended"),
    ("reading", "response_headers", "passing"),
    ("forwarded", "request_body", "forwarded"),
    ("forwarded", "request_trailers", "forwarded"),
    ("forwarded", "response_headers", "answering"),
    ("forwarded", "reply", "ended"),
    ("answering", "response_body", "answering"),
    ("answering", "response_trailers", "answering"),
    ("answering", "relay", "passing"),
    ("answering", "reply", "ended"),
    ("answering", "begin", "begun"),
    ("begun", "response_body", "begun"),
    ("begun", "response_trailers", "begun"),
    ("begun", "end", "ended"),
    *(("passing", message, "passing") for message in MESSAGES),
    *(("ended", message, "ended") for message in MESSAGES),
    *(("observing", event, "observing") for event in (*MESSAGES, *DECISIONS)),
]
KNOWN = {(phase, event) for phase, event, _ in ROWS}


@pytest.mark.parametrize(("phase", "event", "then"), ROWS)
def test_a_transition(phase: Phase, event: Event, then: Phase) -> None:
    assert following(phase, event) == then


@pytest.mark.parametrize(
    ("phase", "event"),
    [(phase, event) for phase in get_args(Phase) for event in (*MESSAGES, *DECISIONS) if (phase, event) not in KNOWN],
)
def test_whatever_else_happens_breaks_the_protocol(phase: Phase, event: Event) -> None:
    with pytest.raises(InvalidRequest, match=f"'{event}' cannot come while the exchange is {phase}"):
        following(phase, event)
