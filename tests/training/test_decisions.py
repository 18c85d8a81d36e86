"""What is measured on decisions."""

from __future__ import annotations

import numpy as np
import pytest
from decisions import Row, calibration_error, interval, measure
from roster_examples import Example, question


def row(text: str, needed: tuple[int, ...], *, ordered: bool = False, kind: str = "single") -> Row:
    asked = question([("user", text)])
    return Row("r", Example(kind, asked, needed, ordered), np.zeros((2, 1), np.float32), np.eye(2, dtype=np.float32))


def scores(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_a_decision_is_exact_when_the_needed_agents_and_no_others_reach_the_threshold() -> None:
    rows = [row("a", (0,)), row("b", (0,)), row("c", ()), row("d", ())]
    table = measure(rows, [scores(0.9, 0.1), scores(0.9, 0.6), scores(0.1, 0.1), scores(0.1, 0.7)], 0.5)
    assert table["exact"] == 0.5
    assert table["one_agent_top1"] == 1.0
    assert table["one_agent_exact"] == 0.5
    assert table["nobody"] == 0.5


def test_the_order_counts_where_it_matters() -> None:
    first, second = "Check the stock of pens, then quote a price", "Quote a price, but only after checking the stock"
    rows = [row(first, (0, 1), ordered=True, kind="multi"), row(second, (0, 1), ordered=True, kind="multi")]
    table = measure(rows, [scores(0.9, 0.9), scores(0.9, 0.9)], 0.5)
    assert table["exact"] == 1.0
    assert table["order"] == table["exact_ordered"] == 0.5


def test_calibration_error_is_the_gap_between_said_and_seen() -> None:
    rows = [row("a", (0,)), row("b", ())]
    assert calibration_error(rows, [scores(0.75, 0.0), scores(0.75, 0.0)]) == pytest.approx(0.125)


def test_the_interval_holds_the_mean() -> None:
    rows = [
        Row(f"r{number % 7}", row("a", ()).example, np.zeros((2, 1), np.float32), np.zeros((1, 2), np.float32))
        for number in range(70)
    ]
    low, high = interval(rows, [number % 10 < 7 for number in range(70)])
    assert low <= 0.7 <= high
