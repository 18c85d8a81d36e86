"""How fast one cluster member was lately, by model."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

_SAMPLES = 128
_MIN_SAMPLES = 5  # for an estimate at all
_MIN_SAMPLES_P95 = 20  # below, the largest one would be taken for it
_MAX_AGE_S = 900.0
_MAX_MODELS = 64  # below a wildcard, clients choose the names
_MIN_TOKENS = 8  # shorter answers say little about the pace


class Samples:
    """The newest 128 of a series of durations in seconds, and their quantiles."""

    __slots__ = ("_newest", "_sorted", "_values")

    def __init__(self) -> None:
        self._values: deque[float] = deque(maxlen=_SAMPLES)
        self._sorted: list[float] | None = None
        self._newest = 0.0

    def add(self, seconds: float, now: float) -> None:
        self._values.append(seconds)
        self._sorted = None
        self._newest = now

    def quantile(self, q: float, now: float, *, at_least: int = _MIN_SAMPLES) -> float | None:
        """The smallest sample that a share ``q`` of all does not exceed; ``None`` when they are too few or too old."""
        if len(self._values) < at_least or now - self._newest > _MAX_AGE_S:
            return None
        if self._sorted is None:
            self._sorted = sorted(self._values)
        return self._sorted[max(0, math.ceil(q * len(self._sorted)) - 1)]


class _ModelLatency:
    __slots__ = ("first_byte", "per_token", "whole")

    def __init__(self) -> None:
        self.first_byte = Samples()
        self.per_token = Samples()
        self.whole = Samples()


class Latency:
    """Recent durations of one member by model, bounded in number and age; ``clock`` is the monotonic one."""

    __slots__ = ("_clock", "_models")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._models: dict[str, _ModelLatency] = {}

    def measured_latency(self, model: str) -> float | None:
        """Seconds until an answer begins: the median of streams; where there are none, that of whole answers.

        ``None`` while too little is known, or when the newest sample is older than 15 minutes.
        """
        known = self._models.get(model)
        if known is None:
            return None
        now = self._clock()
        first_byte = known.first_byte.quantile(0.5, now)
        return known.whole.quantile(0.5, now) if first_byte is None else first_byte

    def seconds_per_token(self, model: str) -> float | None:
        """The median time per output token, of answers that said how many they had."""
        known = self._models.get(model)
        return None if known is None else known.per_token.quantile(0.5, self._clock())

    def first_byte_p95(self, model: str) -> float | None:
        """Seconds within which 95 of 100 streams begin; ``None`` while too little is known."""
        known = self._models.get(model)
        return None if known is None else known.first_byte.quantile(0.95, self._clock(), at_least=_MIN_SAMPLES_P95)

    def stream_began(self, model: str, after_s: float, now: float) -> None:
        """A stream's first event came after ``after_s``."""
        self._of(model).first_byte.add(after_s, now)

    def stream_given_up(self, model: str, after_s: float, now: float) -> None:
        """Nobody waited longer than ``after_s``: counts when that was long, or else only quick ones would be known."""
        p95 = self.first_byte_p95(model)
        if p95 is not None and after_s > p95:
            self._of(model).first_byte.add(after_s, now)

    def answered_whole(self, model: str, after_s: float, now: float) -> None:
        """A whole answer took ``after_s``."""
        self._of(model).whole.add(after_s, now)

    def generated(self, model: str, tokens: int, within_s: float, now: float) -> None:
        """``tokens`` of output took ``within_s``."""
        if tokens >= _MIN_TOKENS:
            self._of(model).per_token.add(within_s / tokens, now)

    def _of(self, model: str) -> _ModelLatency:
        known = self._models.get(model)
        if known is None:
            if len(self._models) >= _MAX_MODELS:
                del self._models[next(iter(self._models))]
            known = self._models[model] = _ModelLatency()
        return known
