"""Prompt templates: checked when the configuration is read, where the file and the fault can be named."""

from __future__ import annotations

from pathlib import Path

import pytest

LISTENERS = "version: v0.4.0\nlisteners: [{type: model, name: m, port: 1}]\n"
CONFIG = f"{LISTENERS}orchestrators: [{{name: mine, prompt_template: prompt.txt}}]\n"


def test_a_template_may_have_its_slots_in_any_order_and_other_braces(load, tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text('{conversation}\n{routes}\nAnswer {"route": []}, not {this}.', "utf-8")
    (orchestrator,) = load(CONFIG).config.orchestrators
    assert orchestrator.prompt_template == tmp_path / "prompt.txt"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"{routes}", "has {conversation} 0 times"),
        (b"{conversation}", "has {routes} 0 times"),
        (b"{routes}{conversation}{routes}", "has {routes} 2 times"),
        (b"{routes}{conversation}\xff", "cannot be read"),
        (b"{routes}{conversation}" + b"x" * 65536, "is longer than 65536 bytes"),
        (None, "cannot be read"),
    ],
)
def test_a_template_that_cannot_be_filled_is_an_error(problems, tmp_path: Path, content, complaint: str) -> None:
    if content is not None:
        (tmp_path / "prompt.txt").write_bytes(content)
    (problem,) = problems(CONFIG)
    assert complaint in problem.message
    assert (problem.path, problem.line) == ("orchestrators[0].prompt_template", 3)


def test_the_second_of_a_cascade_has_a_name_of_its_own_by_default(load) -> None:
    (orchestrator,) = load(f"{LISTENERS}orchestrators: [{{name: mine, strategy: cascade}}]\n").config.orchestrators
    assert (orchestrator.model, orchestrator.second, orchestrator.confidence) == (
        "orchestrator",
        "orchestrator-llm",
        0.8,
    )


def test_a_strategy_nobody_knows_is_an_error(problems) -> None:
    (problem,) = problems(f"{LISTENERS}orchestrators: [{{name: mine, strategy: cascading}}]\n")
    assert problem.suggestion == "Did you mean `cascade`?"
