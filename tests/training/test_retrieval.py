"""What is measured on recall."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from retrieval_report import ServedEncoder, falsely_recalled, hits, read_questions, recalled
from serving import REPOSITORY

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


def test_the_served_encoder_recalls_as_its_card_says() -> None:
    questions, encode = read_questions(), ServedEncoder(REPOSITORY / "cpu" / "encoder" / "1")
    facts, direct, implied, unrelated = map(
        encode, (questions.facts, questions.direct, questions.implied, questions.unrelated)
    )
    # Processors round int8 products differently.
    assert hits(facts, direct, 1) == pytest.approx(0.894, abs=0.03)
    assert hits(facts, direct, 3) == pytest.approx(0.973, abs=0.03)
    assert hits(facts, implied, 3) == pytest.approx(0.602, abs=0.04)
    assert recalled(facts, direct, 0.3) == pytest.approx(0.965, abs=0.03)
    assert falsely_recalled(facts, unrelated, 0.3) == pytest.approx(0.2, abs=0.05)
