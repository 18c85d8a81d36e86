"""One line and one section of the quality report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    measure: str
    count: int
    value: float
    low: float | None
    high: float | None
    goal: str

    def cells(self) -> list[str]:
        spread = "" if self.low is None else f"{self.low:.3f} to {self.high:.3f}"
        return [self.measure, str(self.count), f"{self.value:.3f}", spread, self.goal]


def section(title: str, about: str, lines: Sequence[Line]) -> str:
    head = ["measure", "cases", "value", "95 % interval", "goal"]
    body = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *(line.cells() for line in lines))]
    return "\n".join([f"## {title}", about, "", *body, ""])
