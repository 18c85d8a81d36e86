from __future__ import annotations

import json

from benchmarks.load import PREPARED
from benchmarks.prompts import COUNT, bodies, prompt
from benchmarks.run import read_arguments


def test_every_number_gives_a_different_question() -> None:
    assert len({prompt(number) for number in range(COUNT)}) == COUNT


def test_neighbours_are_about_different_things() -> None:
    first, second = (set(prompt(number).split()) for number in (0, 1))
    assert len(first & second) < 6


def test_a_full_run_never_repeats_a_question() -> None:
    plan = read_arguments([])
    whole_answers = sum(scenario.kind == "json" for scenario in plan.scenarios)  # asked of the models alone, too
    assert plan.rounds * (len(plan.scenarios) + whole_answers) * PREPARED <= COUNT


def test_bodies_are_chat_completion_requests() -> None:
    first, second = (json.loads(body) for body in bodies(COUNT - 1, 2, words=3, stream=True))
    assert first["model"] == "mock-3"
    assert first["stream"] is True
    assert first["messages"] == [{"role": "user", "content": prompt(COUNT - 1)}]
    assert second["messages"][0]["content"] == prompt(0)
