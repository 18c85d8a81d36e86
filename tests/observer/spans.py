"""Spans as tests need them."""

from __future__ import annotations

import itertools
from typing import Any

from router.observer.spans import FinishedSpan

START_NS = 1_750_000_000_000_000_000
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

_ids = itertools.count(1)


def span(
    name: str = "POST /v1/chat/completions",
    *,
    trace: str = TRACE,
    span_id: str | None = None,
    parent: str = "",
    kind: str = "server",
    start_ms: float = 0.0,
    ms: float = 10.0,
    attributes: dict[str, Any] | None = None,
    events: list[tuple[int, str, dict[str, Any]]] | None = None,
    error: str | None = None,
    service: str = "trident",
) -> FinishedSpan:
    """A span of one trace, ``start_ms`` behind the start of all of them."""
    started_ns = START_NS + int(start_ms * 1e6)
    return FinishedSpan(
        trace,
        span_id or f"{next(_ids):016x}",
        parent,
        name,
        kind,
        started_ns,
        started_ns + int(ms * 1e6),
        attributes or {},
        events or [],  # type: ignore[arg-type]
        error,
        "",
        service,
    )


def trace_id(number: int) -> str:
    """The id of trace ``number``."""
    return f"{number:032x}"
