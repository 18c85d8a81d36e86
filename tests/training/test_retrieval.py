"""What is measured on recall."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from retrieval_report import falsely_recalled, hits, read_questions, recalled

FACTS = np.eye(3, dtype=np.float32)


def rows(*values: tuple[float, ...]) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_a_hit_is_a_fact_among_the_nearest() -> None:
    asked = rows((0.9, 0.1, 0.2), (0.8, 0.6, 0.0), (0.7, 0.6, 0.5))
    assert hits(FACTS, asked, 1) == pytest.approx(1 / 3)
    assert hits(FACTS, asked, 2) == pytest.approx(2 / 3)
    assert hits(FACTS, asked, 3) == 1.0


def test_what_is_not_similar_enough_is_not_recalled() -> None:
    asked = rows((0.9, 0.1, 0.2), (0.1, 0.3, 0.2), (0.1, 0.1, 0.5))
    assert recalled(FACTS, asked, 0.4) == pytest.approx(2 / 3)
    assert falsely_recalled(FACTS, rows((0.2, 0.4, 0.1), (0.1, 0.2, 0.1)), 0.4) == 0.5


def test_the_hand_written_set_is_large_enough_and_says_nothing_twice() -> None:
    questions = read_questions()
    assert len(questions.facts) >= 100
    assert len(questions.unrelated) >= 50
    texts = [*questions.facts, *questions.direct, *questions.implied, *questions.unrelated]
    assert len(set(texts)) == len(texts)


def test_a_line_without_its_questions_is_named(tmp_path: Path) -> None:
    file = tmp_path / "facts.txt"
    file.write_text("# a comment\nI sail. | What do I do?\n", encoding="utf-8")
    with pytest.raises(ValueError, match="I sail"):
        read_questions(file)
