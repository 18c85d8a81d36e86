from __future__ import annotations

from router.signals.state import DRAGGING_STUCK, DRAGGING_TURNS
from tests.signals.conversations import assistant, found_in, user

DRAGGING = "interaction.stagnation.dragging"
STUCK = ["That's not what I asked.", "You got that wrong.", "This is ridiculous."]


def turns(*texts: str) -> list[dict[str, object]]:
    return [
        message
        for number, text in enumerate(texts)
        for message in (user(text), assistant(f"Answer number {number} about {number} things."))
    ]


def filler(count: int) -> list[str]:
    return [f"What about part {number}?" for number in range(count)]


def test_many_turns_with_friction_drag() -> None:
    messages = turns("Hello there", *STUCK[:DRAGGING_STUCK], *filler(DRAGGING_TURNS))
    assert [index for index, kind in found_in(messages) if kind == DRAGGING] == [2 * (DRAGGING_TURNS - 1)]


def test_many_turns_without_friction_do_not() -> None:
    assert found_in(turns(*filler(30))) == []


def test_success_begins_a_new_stretch() -> None:
    texts = ["Hello there", *STUCK, *filler(DRAGGING_TURNS - 6), "Great, it works now!", *filler(DRAGGING_TURNS - 1)]
    assert DRAGGING not in {kind for _, kind in found_in(turns(*texts))}


def test_what_goes_on_dragging_is_said_again_after_as_many_turns() -> None:
    messages = turns("Hello there", *STUCK, *filler(2 * DRAGGING_TURNS))
    found = [index for index, kind in found_in(messages) if kind == DRAGGING]
    assert found == [2 * (DRAGGING_TURNS - 1), 2 * (2 * DRAGGING_TURNS - 1)]
