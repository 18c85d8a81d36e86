"""Models that answer by script, at the Protocols that routing and guards are written against."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from router.context import RouteDescription, Turn
from router.errors import ModelUnavailable
from router.triton.models import RouteScores

BENIGN = {"benign": 1.0, "jailbreak": 0.0, "injection": 0.0}


@dataclass
class ScriptedOrchestrator:
    """``scores`` and ``order`` by route name; a route that is not named scores 0. ``error`` is raised instead."""

    scores: Mapping[str, float] = field(default_factory=dict)
    order: Sequence[str] = ()
    ties: bool = False
    threshold: float = 0.5
    error: ModelUnavailable | None = None
    hold: asyncio.Event | None = None
    asked: list[list[Turn]] = field(default_factory=list)

    async def score(
        self, conversation: Sequence[Turn], routes: Sequence[RouteDescription], *, timeout_s: float
    ) -> RouteScores:
        self.asked.append(list(conversation))
        if self.hold is not None:
            await self.hold.wait()
        if self.error is not None:
            raise self.error
        names = [route.name for route in routes]
        rank = {name: 0 if self.ties else position for position, name in enumerate(self.order)}
        return RouteScores(
            scores=tuple(self.scores.get(name, 0.0) for name in names),
            order=tuple(rank.get(name, len(names)) for name in names),
            model="orchestrator",
            version="1",
            threshold=self.threshold,
        )


@dataclass
class ScriptedClassifier:
    """Every text that contains one of ``bad`` is a jailbreak for sure; ``error`` is raised instead."""

    bad: Sequence[str] = ("ignore all previous",)
    error: ModelUnavailable | None = None
    hold: asyncio.Event | None = None
    asked: list[list[str]] = field(default_factory=list)

    async def threshold(self, *, timeout_s: float) -> float:
        return 0.5

    async def thresholds(self, *, timeout_s: float) -> Mapping[str, float]:
        return dict.fromkeys(BENIGN, 0.5)

    async def classify(self, texts: Sequence[str], *, timeout_s: float) -> list[Mapping[str, float]]:
        self.asked.append(list(texts))
        if self.hold is not None:
            await self.hold.wait()
        if self.error is not None:
            raise self.error
        return [
            {"benign": 0.0, "jailbreak": 1.0, "injection": 0.0}
            if any(bad in " ".join(text.lower().split()) for bad in self.bad)
            else BENIGN
            for text in texts
        ]
