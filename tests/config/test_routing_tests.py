from __future__ import annotations

from pathlib import Path

import pytest

from router.config.routing_tests import load_routing_tests
from router.errors import OperatorError


def _load(folder: Path, text: str):
    file = folder / "tests.yaml"
    file.write_text(text)
    return load_routing_tests(file)


def test_a_file_has_texts_and_conversations(tmp_path: Path) -> None:
    tests = _load(
        tmp_path,
        """
minimum: 0.9
cases:
  - {text: "Rain?", agents: [weather]}
  - messages: [{role: user, content: "Rain?"}, {role: assistant, content: "No."}, {role: user, content: "And in Rome?"}]
    agents: [weather, flights]
    ordered: true
  - {text: hi, agents: []}
""",
    )
    assert tests.config == tmp_path / "config.yaml"
    assert tests.cases[0].conversation == (("user", "Rain?"),)
    assert [role for role, _ in tests.cases[1].conversation] == ["user", "assistant", "user"]
    assert (tests.minimum, tests.cases[1].ordered, tests.cases[2].agents) == (0.9, True, ())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("cases: []", "cases: Tuple should have at least 1 item"),
        ("cases: [{text: x}]", r"cases\[0\].agents: Field required"),
        ("cases: [{agents: []}]", "give either `text` or `messages`"),
        ("cases: [{text: x, messages: [{role: user, content: x}], agents: []}]", "give either"),
        ("cases: [{messages: [{role: assistant, content: x}], agents: []}]", "last message has to be the user's"),
        ("cases: [{text: x, agent: a, agents: []}]", r"cases\[0\].agent: Extra inputs"),
        ("[", "not valid YAML"),
        ("", "the file: Input should be"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(OperatorError, match=problem):
        _load(tmp_path, text)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="cannot be read"):
        load_routing_tests(tmp_path / "none.yaml")
