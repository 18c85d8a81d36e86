from __future__ import annotations

import json

from benchmarks.load import PREPARED
from benchmarks.prompts import COUNT, bodies, headers, prompt
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


def test_bodies_for_clients_of_anthropic_say_how_long_the_answer_may_be() -> None:
    (body,) = (json.loads(body) for body in bodies(0, 1, words=3, stream=True, dialect="messages"))
    assert body.pop("max_tokens") > 0
    assert body == json.loads(bodies(0, 1, words=3, stream=True)[0])


def test_each_dialect_has_a_header_of_its_own_for_the_key() -> None:
    assert headers("chat", None) == {}
    assert headers("chat", "k") == {"authorization": "Bearer k"}
    assert "x-api-key" not in headers("messages", None)
    assert headers("messages", "k")["x-api-key"] == "k"
