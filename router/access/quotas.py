"""Quotas and the windows of time that they are for."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Literal

Period = Literal["second", "minute", "hour", "day", "month"]
CountedResource = Literal["requests", "tokens", "usd"]

NANO_USD = 10**9  # in a dollar; the unit in which dollars are counted

_LENGTHS_S = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_MAX_MODEL_CHARS = 256
_ROUNDING = 1e-6  # of floating-point clocks


@dataclass(frozen=True, slots=True)
class Quota:
    """How much of something may be used in a period.

    ``amount`` counts requests, tokens or nano-dollars. ``kind`` decides about the window and the error: the window of a
    ``rate`` slides, that of a ``budget`` is one of the calendar (UTC). ``on_error`` is what happens to requests while
    the store cannot be asked. ``unpriced_usd_per_million``, for dollars: what a million tokens of a model without a
    price count as; ``None`` refuses them.
    """

    kind: Literal["rate", "budget"]
    resource: CountedResource
    amount: int
    period: Period
    on_error: Literal["deny", "allow"] = "deny"
    unpriced_usd_per_million: float | None = None


def window_at(period: Period, now: float) -> tuple[int, int]:
    """Start and end of the window of the clock (UTC) that ``now`` is in, in seconds since the epoch."""
    if period != "month":
        length = _LENGTHS_S[period]
        start = int(now // length) * length
        return start, start + length
    today = datetime.fromtimestamp(now, timezone.utc)
    first = today.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    return int(first.timestamp()), int(following.timestamp())


def capacity(amount: int, previous: int, left_of_window: float) -> int:
    """How much may be used in a sliding window so far.

    The window's length before now lies partly in the clock's window before, of which ``previous`` was used up; as much
    of it counts as there is left of the present one (1 at its start, 0 at its end), less one: else a quota of 1 would
    be closed for the rest of two windows.
    """
    counting = math.ceil(previous * left_of_window - _ROUNDING)
    return amount - max(0, counting - 1)


def wait_s(amount: int, wanted: int, used: int, previous: int, *, now: float, start: int, end: int) -> float:
    """How long until ``wanted`` fits into a sliding window if nothing else is used; infinite where it never will.

    ``used`` is that of the clock's window from ``start`` to ``end``, ``previous`` that of the one before.
    """
    if wanted > amount:
        return math.inf
    length, room = end - start, amount - used - wanted
    if room < 0:  # not before the next window, in which all that this one used comes from before
        start, end, previous, room = end, end + length, used, amount - wanted
    if previous <= room:
        return max(0.0, start - now)
    return max(0.0, start - now, end - length * (room + 1) / previous - now)


def name_pattern(patterns: Iterable[str]) -> re.Pattern[str]:
    """One expression for names in which ``*`` stands for any text."""
    return re.compile("|".join(".*".join(map(re.escape, pattern.split("*"))) for pattern in patterns), re.DOTALL)


def resolved(name: str, names: Mapping[str, str]) -> str:
    """What ``name`` stands for in the end; ``names`` leads from one to the next."""
    seen = {name}
    while (target := names.get(name)) is not None and target not in seen:
        seen.add(target)
        name = target
    return name


def fits(pattern: re.Pattern[str], *models: str, loosely: bool = True) -> bool:
    """Whether one of the names of a model fits, each also without its provider.

    What is left of ``openrouter/openai/gpt-4o`` without its provider looks like a model of another one. It counts as
    its name only ``loosely``: limits had better hold for too much, permissions for too little.
    """
    for model in models:
        if len(model) > _MAX_MODEL_CHARS:  # such models are nobody's, and the time to match is bounded
            continue
        bare = model.partition("/")[2]
        if pattern.fullmatch(model) or (bare and (loosely or "/" not in bare) and pattern.fullmatch(bare)):
            return True
    return False
