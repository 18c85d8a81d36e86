from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.dialects.canonical import JsonObject
from router.signals.analyzer import COLD_MESSAGES, analyze, texts_to_embed
from router.signals.exchange import Exchange
from router.signals.quality import score
from router.signals.report import MAX_SNIPPET_CHARS, SIGNAL_GROUPS, SIGNAL_TYPES
from router.signals.state import MAX_ANSWERS, MAX_USER_TEXTS, ConversationState
from router.signals.tool_calls import MAX_CALLS
from tests.signals.conversations import assistant, call, exchange, exchanges, fed, found_in, places, result, user

CORRECTION = "interaction.misalignment.correction"
GRATITUDE = "interaction.satisfaction.gratitude"
REPETITION = "interaction.stagnation.repetition"

TEXTS = (
    "Where is my parcel with the blue lamp?",
    "That's not what I asked for.",
    "What do you mean by that?",
    "Thank you so much!",
    "It works now.",
    "This is ridiculous, I want to talk to a human.",
    "Forget it, I give up.",
    "Please restart your router and wait for two minutes.",
    "By month.",
    "Draw a chart of sales by month",
    "yes",
)
RESULTS = ('{"id": 1}', "[]", '{"error": "not found"}', "503 Service Unavailable", '{"status": "running"}')


class Counted(Sequence[JsonObject]):
    """Messages that count how often one of them is looked at, and which."""

    def __init__(self, messages: Sequence[JsonObject]) -> None:
        self._messages = messages
        self.looked_at: list[int] = []

    def __len__(self) -> int:
        return len(self._messages)

    @overload
    def __getitem__(self, index: int) -> JsonObject: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[JsonObject]: ...
    def __getitem__(self, index: int | slice) -> JsonObject | Sequence[JsonObject]:
        assert isinstance(index, int)
        self.looked_at.append(index)
        return self._messages[index]


def turn(number: int) -> list[JsonObject]:
    """A user message, a call with its result, an answer."""
    return [
        user(f"What about part {number} of the {TEXTS[number % len(TEXTS)]}"),
        call("look", {"part": number}, call_id=f"c{number}"),
        result({"part": number}, call_id=f"c{number}"),
        assistant(f"Part {number} has {number} screws."),
    ]


def messages_of(choices: Sequence[tuple[str, int, int]]) -> list[JsonObject]:
    """Any order of users, answers, calls and results, as clients and agents send them."""
    messages: list[JsonObject] = []
    for number, (role, text, other) in enumerate(choices):
        if role == "user":
            messages.append(user(TEXTS[text % len(TEXTS)]))
        elif role == "assistant":
            messages.append(assistant(TEXTS[text % len(TEXTS)]))
        elif role == "call":
            messages.append(call(f"tool_{other % 2}", {"n": text % 3}, call_id=f"c{number}"))
            messages.append(result(RESULTS[text % len(RESULTS)], call_id=f"c{number}"))
        else:
            messages.append({"role": role, "content": "Be kind."})
    return messages


CONVERSATIONS = st.lists(
    st.tuples(
        st.sampled_from(("user", "user", "assistant", "assistant", "call", "system")),
        st.integers(0, 99),
        st.integers(0, 9),
    ),
    min_size=1,
    max_size=30,
).map(messages_of)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
ODD_CALLS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={"id": JSON, "function": JSON | st.fixed_dictionaries({}, optional={"name": JSON, "arguments": JSON})},
    )
    | JSON,
    max_size=3,
)
ODD_MESSAGES = st.lists(
    JSON
    | st.fixed_dictionaries(
        {"role": st.sampled_from(("user", "assistant", "tool", "function", "system")) | JSON},
        optional={
            "content": JSON | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": JSON}), max_size=2),
            "tool_calls": JSON | ODD_CALLS,
            "tool_call_id": JSON,
            "is_error": JSON,
        },
    ),
    max_size=8,
)


@given(CONVERSATIONS)
@settings(max_examples=200)
def test_turn_by_turn_finds_what_the_whole_conversation_has(messages: list[JsonObject]) -> None:
    messages = messages[:COLD_MESSAGES]
    found, state = fed(messages)
    assert sorted(found) == sorted(found_in(messages))
    whole, fresh = analyze(exchange(messages), None)
    assert state.counts == fresh.counts or messages[-1]["role"] == "assistant"
    [*_, last] = exchanges(messages)
    report, _ = analyze(last, None)
    assert (report.groups, report.score, report.turns) == (whole.groups, whole.score, whole.turns)


@given(CONVERSATIONS, st.integers(1, 5))
def test_the_tail_is_enough_for_who_knows_the_rest(messages: list[JsonObject], overlap: int) -> None:
    state: ConversationState | None = None
    found = []
    for one in exchanges(messages):
        start = 0 if state is None else max(0, state.seen - overlap)
        tail = Exchange(start, one.messages[start:], one.answer, 200, None, ("ok",), "stop")
        report, state = analyze(tail, state)
        found += places(report.signals)
    assert found == fed(messages)[0]


@given(ODD_MESSAGES, JSON)
@settings(max_examples=300)
def test_messages_of_any_shape_are_read(messages: list[Any], answer: Any) -> None:
    one = Exchange(0, messages, answer if isinstance(answer, dict) else None, 200, None, ("ok",), None)
    report, state = analyze(one, None)
    texts_to_embed(one, state)
    assert 0 <= report.score <= 100
    assert set(report.groups) == set(SIGNAL_GROUPS)
    for signal in (*report.signals, *report.earlier):
        assert signal.type in SIGNAL_TYPES
        assert 0 < signal.confidence <= 1
        assert 0 <= signal.message_index <= len(messages)
        assert len(signal.snippet) <= MAX_SNIPPET_CHARS
        signal.snippet.encode()


def test_a_turn_costs_the_same_however_long_the_conversation_is() -> None:
    messages: list[JsonObject] = []
    state: ConversationState | None = None
    costs = []
    for number in range(100):
        messages += turn(number)
        looked = Counted(messages[:-1])
        _, state = analyze(Exchange(0, looked, messages[-1], 200, None, ("ok",), "stop"), state)
        costs.append(len(looked.looked_at))
    assert len(set(costs[2:])) == 1
    assert costs[-1] <= 3 * 4


def test_what_is_remembered_does_not_grow() -> None:
    state: ConversationState | None = None
    messages = [message for number in range(200) for message in turn(number)]
    for one in exchanges(messages):
        _, state = analyze(one, state)
    assert state is not None
    assert len(state.user_texts) == MAX_USER_TEXTS
    assert len(state.answers) == MAX_ANSWERS
    assert len(state.calls) <= MAX_CALLS
    assert set(state.counts) <= set(SIGNAL_TYPES)


def test_of_an_unknown_conversation_the_newest_messages_are_read() -> None:
    messages = [message for number in range(100) for message in turn(number)]
    looked = Counted(messages)
    report, _ = analyze(Exchange(0, looked, None, 200, None, ("ok",), None), None)
    assert min(looked.looked_at) == len(messages) - COLD_MESSAGES
    assert report.turns == COLD_MESSAGES // 4


def test_what_came_before_the_last_answer_is_not_new() -> None:
    messages = [user("Where is it?"), assistant("There."), user("That's wrong."), assistant("Here."), user("Thanks!")]
    report, _ = analyze(exchange(messages), None)
    assert places(report.earlier) == [(2, CORRECTION)]
    assert places(report.signals) == [(4, GRATITUDE)]


def test_examples_in_a_prompt_are_not_new() -> None:
    shots = [user("Hi"), assistant("Hello."), user("That's wrong."), assistant("Sorry.")]
    report, _ = analyze(exchange([*shots, user("What time is it?")]), None)
    assert report.signals == ()


def test_the_newest_answer_counts_once() -> None:
    answer = assistant("Please restart your router and wait for two minutes.")
    messages = [user("It is down."), answer, user("I did that.")]
    first, state = analyze(exchange(messages, answer), analyze(exchange(messages[:1], answer), None)[1])
    assert places(first.signals) == [(3, REPETITION)]
    second, _ = analyze(exchange([*messages, answer, user("And now?")]), state)
    assert (second.signals, second.earlier) == ((), ())
    assert second.groups == first.groups


def test_an_answer_that_is_asked_for_again_leaves_no_trace() -> None:
    messages = [user("It is down.")]
    answer = assistant("Please restart your router and wait for two minutes.")
    _, state = analyze(exchange(messages, answer), None)
    again, state = analyze(exchange(messages, answer), state)
    assert again.signals == ()
    later, _ = analyze(exchange([*messages, answer, user("Ok.")], assistant("Good.")), state)
    assert (later.signals, later.turns) == ((), 2)


def test_a_failure_of_the_same_request_counts_each_time() -> None:
    failed = Exchange(0, [user("Hi")], None, 504, "upstream_timeout", ("timeout",), None)
    first, state = analyze(failed, None)
    second, _ = analyze(failed, state)
    assert places(first.signals) == places(second.signals) == [(1, "environment.exhaustion.timeout")]
    assert second.groups["environment.exhaustion"].count == 2
    assert second.turns == 1


@pytest.mark.parametrize("start", [0, 7])
def test_indices_are_those_of_the_conversation(start: int) -> None:
    report, _ = analyze(exchange([assistant("There."), user("That's wrong.")], start=start), None)
    assert places(report.signals) == [(start + 1, CORRECTION)]


def other_states() -> Iterator[tuple[str, list[JsonObject], int]]:
    known = [user("Where is it?"), assistant("There."), user("Thanks!")]
    yield "a gap", [user("Thanks!")], 5
    yield "an edited message", [*known[:2], user("That's wrong.")], 0
    yield "a shorter history", known[:1], 0


@pytest.mark.parametrize(("case", "messages", "start"), list(other_states()))
def test_a_state_that_does_not_fit_is_left_aside(case: str, messages: list[JsonObject], start: int) -> None:
    _, state = analyze(exchange([user("Where is it?"), assistant("There."), user("Thanks!")]), None)
    one = exchange(messages, start=start)
    assert analyze(one, state) == analyze(one, None)


def test_quality_and_score_are_those_of_the_conversation() -> None:
    texts = ["Where is it?", "That's wrong.", "You are useless.", "I want to talk to a human.", "I give up."]
    messages = [
        each for number, text in enumerate(texts) for each in (user(text), assistant(f"Number {number} it is."))
    ]
    report, _ = analyze(exchange(messages[:-1], messages[-1]), None)
    assert report.quality == "severe"
    assert report.groups["interaction.disengagement"].severity == 3
    assert report.score == score({signal.type: signal.confidence for signal in (*report.earlier, *report.signals)})


def test_snippets_are_no_part_of_what_is_printed() -> None:
    report, _ = analyze(exchange([user("My name is Ada Berg. I want to talk to a human.")]), None)
    assert "human" not in repr(report)
