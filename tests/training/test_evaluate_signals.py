from __future__ import annotations

from collections import Counter

import pytest
from evaluate_signals import Judged, LabelledConversation, judge, load_conversations, signal_lines

from router.signals.report import SIGNAL_TYPES

RETRY = "execution.loops.retry"


def labelled(signals: set[tuple[int, str]], hard: set[tuple[int, str]] | None = None) -> LabelledConversation:
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    return LabelledConversation("one", messages, None, frozenset(signals), frozenset(hard or ()))


@pytest.mark.parametrize("part", ["dev", "heldout"])
def test_there_are_enough_places_of_every_type(part: str) -> None:
    conversations = load_conversations(part)
    there = Counter(kind for one in conversations for _, kind in one.signals)
    hard = Counter(kind for one in conversations for _, kind in one.hard)
    assert [kind for kind in SIGNAL_TYPES if there[kind] < 12 or hard[kind] < 12] == []
    assert set(there) | set(hard) == set(SIGNAL_TYPES)


@pytest.mark.parametrize("part", ["dev", "heldout"])
def test_labels_stand_in_their_conversation(part: str) -> None:
    for one in load_conversations(part):
        assert not one.signals & one.hard
        assert all(0 <= index <= len(one.messages) for index, _ in one.signals | one.hard)


def test_no_conversation_is_in_both_parts() -> None:
    dev, heldout = ({str(one.messages) for one in load_conversations(part)} for part in ("dev", "heldout"))
    assert not dev & heldout


def test_precision_and_recall_are_counted_by_place() -> None:
    one = labelled({(1, RETRY), (3, RETRY)}, {(5, RETRY)})
    judged = [Judged(one, frozenset({(1, RETRY), (2, RETRY), (5, RETRY)}))]
    rates = {line.measure: (line.count, line.value) for line in signal_lines(judged)}
    assert rates[f"{RETRY}: precision"] == (3, 1 / 3)
    assert rates[f"{RETRY}: recall"] == (2, 1 / 2)
    assert rates[f"{RETRY}: false alarms, hard negatives"] == (1, 1.0)
    assert rates["all types: recall"] == (2, 1 / 2)


def test_where_a_conversation_began_to_drag_does_not_matter() -> None:
    kind = "interaction.stagnation.dragging"
    judged = [Judged(labelled({(4, kind)}), frozenset({(8, kind), (16, kind)}))]
    rates = {line.measure: (line.count, line.value) for line in signal_lines(judged)}
    assert (rates[f"{kind}: precision"], rates[f"{kind}: recall"]) == ((1, 1.0), (1, 1.0))


def test_the_development_set_is_found_as_well_as_it_was() -> None:
    judged = [judge(one) for one in load_conversations("dev")]
    precision, recall = signal_lines(judged)[:2]
    assert precision.value >= 0.98
    assert recall.value >= 0.93
