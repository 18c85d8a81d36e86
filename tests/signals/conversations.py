"""Conversations as the gateway sees them: messages, and one exchange for each answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import orjson

from router.dialects.canonical import JsonObject
from router.signals.analyzer import analyze
from router.signals.exchange import Exchange
from router.signals.report import Signal
from router.signals.state import ConversationState

Place = tuple[int, str]


def user(text: object) -> JsonObject:
    return {"role": "user", "content": text}


def assistant(text: str | None) -> JsonObject:
    return {"role": "assistant", "content": text}


def call(name: str, arguments: object, *, call_id: str = "call_1") -> JsonObject:
    written = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
    function = {"name": name, "arguments": written}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": call_id, "type": "function", "function": function}],
    }


def result(content: object, *, call_id: str = "call_1") -> JsonObject:
    return {
        "role": "tool",
        "tool_call_id": call_id,
        "content": content if isinstance(content, str) else orjson.dumps(content).decode(),
    }


def steps(*pairs: tuple[JsonObject, JsonObject]) -> list[JsonObject]:
    """A run of calls with their results, each call with an id of its own."""
    messages: list[JsonObject] = [user("Please do it.")]
    for number, (made, came) in enumerate(pairs):
        [one] = made["tool_calls"]
        messages += [
            {**made, "tool_calls": [{**one, "id": f"call_{number}"}]},
            {**came, "tool_call_id": f"call_{number}"},
        ]
    return messages


def exchange(messages: Sequence[JsonObject], answer: JsonObject | None = None, *, start: int = 0) -> Exchange:
    """One that went well."""
    return Exchange(start, messages, answer, 200, None, ("ok",), "stop")


def exchanges(messages: Sequence[JsonObject]) -> Iterator[Exchange]:
    """One for each assistant message, and one for what comes after the last."""
    ends = [index for index, message in enumerate(messages) if message.get("role") == "assistant"]
    for end in ends:
        yield exchange(messages[:end], messages[end])
    if not ends or ends[-1] < len(messages) - 1:
        yield exchange(messages)


def places(signals: Sequence[Signal]) -> list[Place]:
    return [(signal.message_index, signal.type) for signal in signals]


def found_in(messages: Sequence[JsonObject]) -> list[Place]:
    """All signals of a conversation that nothing was known of."""
    report, _ = analyze(exchange(messages), None)
    return places([*report.earlier, *report.signals])


def said_by_user(text: str, *, before: str | None = "Here you are.") -> set[str]:
    """The types in a user message, without their group, after an answer."""
    messages = [user("I have a question about my order."), assistant(before)] if before is not None else []
    return {kind.rpartition(".")[2] for index, kind in found_in([*messages, user(text)]) if index == len(messages)}


def fed(messages: Sequence[JsonObject]) -> tuple[list[Place], ConversationState]:
    """The new signals of all exchanges of a conversation, one after the other, and the state then."""
    found: list[Place] = []
    state: ConversationState | None = None
    for one in exchanges(messages):
        report, state = analyze(one, state)
        found += places(report.signals)
    assert state is not None
    return found, state
