from __future__ import annotations

import pytest

from tests.signals.conversations import assistant, found_in, user

REPHRASE = "interaction.misalignment.rephrase"
REPETITION = "interaction.stagnation.repetition"
CORRECTION = "interaction.misalignment.correction"


@pytest.mark.parametrize(
    ("first", "second", "kinds"),
    [
        ("Where is my parcel with the blue lamp?", "where is my parcel with the blue lamp???", [REPETITION]),
        (
            "Give me the ten largest customers by revenue.",
            "Give me a list of the largest ten customers, by revenue.",
            [REPHRASE],
        ),
        ("What is the price of the blue sofa?", "What is the price of the grey sofa?", []),
        ("List the invoices of May 2024.", "List the invoices of May 2025.", []),
        ("Are there buses to Ulm on Monday?", "Are there other buses to Ulm on Monday?", []),
        ("yes", "yes", []),
        ("Tell me another joke about cats.", "Tell me another joke about cats.", []),
        ("Draw a chart of sales by month.", "By month!", [CORRECTION]),
    ],
)
def test_saying_again_is_told_from_asking_of_something_else(first: str, second: str, kinds: list[str]) -> None:
    found = found_in([user(first), assistant("Our shop opens at nine."), user(second)])
    assert found == [(2, kind) for kind in kinds]


def test_an_answer_that_comes_again_is_a_repetition() -> None:
    answer = "Please restart your router and wait for two minutes."
    messages = [user("It is down."), assistant(answer), user("I did that."), assistant(f"{answer[:-1]}!")]
    assert (3, REPETITION) in found_in(messages)


def test_answers_that_differ_in_a_number_are_none() -> None:
    messages = [
        user("May?"),
        assistant("There are 3 open invoices."),
        user("June?"),
        assistant("There are 5 open invoices."),
    ]
    assert found_in(messages) == []


def test_what_is_said_beside_tool_calls_may_come_again() -> None:
    saying = {"content": "Let me look that up for you."}
    calls = [
        {
            **saying,
            "role": "assistant",
            "tool_calls": [{"id": str(n), "function": {"name": "f", "arguments": f"[{n}]"}}],
        }
        for n in range(2)
    ]
    assert found_in([user("Which ones?"), *calls]) == []
