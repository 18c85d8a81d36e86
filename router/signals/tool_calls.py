"""Loops in the calls of one run: the same call again, one argument after the other, two calls back and forth.

A run is what a model does between two user messages: what it does anew because a user asks is no loop.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import orjson

from router.signals.exchange import ToolCall
from router.signals.report import SignalType
from router.signals.tool_results import Outcome, ToolResult

MAX_CALLS = 16  # of a run that are remembered
_REPEATS_AFTER_FAILURE = 1  # the first repetition of a call that was wrong
_REPEATS = 2  # else: the second repetition, where nothing changes
_DRIFTING_CALLS = 3
_MAX_ARGUMENTS = 65_536


@dataclass(frozen=True, slots=True)
class Call:
    """What is remembered of a call; ``outcome`` and ``result`` are ``None`` until the result is there."""

    id: str
    name: str
    message_index: int
    signature: bytes
    arguments_ok: bool
    outcome: Outcome | None = None
    result: bytes | None = None


def remember_call(call: ToolCall, message_index: int) -> Call:
    """The digest of a call; arguments that are the same JSON have one signature, whatever the order of the keys."""
    arguments, ok = _canonical(call.arguments)
    signed = b"\0".join((call.name.encode(), arguments))
    return Call(call.id[:128], call.name, message_index, hashlib.blake2b(signed, digest_size=8).digest(), ok)


def with_result(calls: Sequence[Call], call_id: str, result: ToolResult) -> tuple[tuple[Call, ...], int | None]:
    """``calls`` with the result of the newest open one of that id, and where that one stands, ``None`` if nowhere."""
    for place in range(len(calls) - 1, -1, -1):
        call = calls[place]
        if call.outcome is None and (call.id == call_id or not call_id):
            known = replace(call, outcome=result.outcome, result=result.digest)
            return (*calls[:place], known, *calls[place + 1 :]), place
    return tuple(calls), None


def loop_of_call(before: Sequence[Call], call: Call) -> tuple[SignalType, float] | None:
    """The loop that ``call`` goes on with, after the calls ``before`` it."""
    if _is_retry(before, call):
        return "execution.loops.retry", 0.9
    if _is_oscillation(before, call):
        return "execution.loops.oscillation", 0.85
    return None


def is_drift(calls: Sequence[Call], place: int) -> bool:
    """Whether the call at ``place`` is at least the third in a row of one tool that failed or found nothing.

    The arguments were others each time; what is called in one message is one step.
    """
    call = calls[place]
    steps: dict[int, bytes] = {}
    for earlier in reversed(calls[: place + 1]):
        if earlier.name != call.name or earlier.outcome not in {"failed", "empty"}:
            break
        steps.setdefault(earlier.message_index, earlier.signature)
    return len(set(steps.values())) >= _DRIFTING_CALLS


def _is_retry(before: Sequence[Call], call: Call) -> bool:
    repeated: list[Call] = []
    for earlier in reversed(before):
        if earlier.signature != call.signature or earlier.message_index == call.message_index:
            break
        repeated.append(earlier)
    if not repeated:
        return False
    newest = repeated[0]
    if newest.outcome == "failed":
        return len(repeated) >= _REPEATS_AFTER_FAILURE
    if newest.outcome == "disturbed":
        return len(repeated) >= _REPEATS and all(earlier.outcome == "disturbed" for earlier in repeated[:_REPEATS])
    if newest.outcome not in {"ok", "empty"}:
        return False
    return len(repeated) >= _REPEATS and len({earlier.result for earlier in repeated[:_REPEATS]}) == 1


def _is_oscillation(before: Sequence[Call], call: Call) -> bool:
    """A, B, A and now B again, where A brought the same both times and neither says that something is on its way."""
    if len(before) < 3:
        return False
    first, other, again = before[-3:]
    steps = {step.message_index for step in (first, other, again, call)}
    return (
        len(steps) == 4
        and first.signature == again.signature != other.signature == call.signature
        and first.result is not None
        and first.result == again.result
        and "waiting" not in {first.outcome, other.outcome, again.outcome}
    )


def _canonical(arguments: str) -> tuple[bytes, bool]:
    if not arguments.strip():
        return b"{}", True
    if len(arguments) > _MAX_ARGUMENTS:
        return arguments.encode(), True
    try:
        return orjson.dumps(orjson.loads(arguments), option=orjson.OPT_SORT_KEYS), True
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return arguments.encode(), False
