"""Finished spans, wherever they come from, and who takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(slots=True)
class FinishedSpan:
    """One span of OpenTelemetry's model. Ids are lower-case hexadecimal, ``parent_id`` empty where there is no parent.

    Times are nanoseconds since the epoch. ``kind`` is ``internal``, ``server``, ``client``, ``producer`` or
    ``consumer``; ``error`` is what the status says where it is an error. Values of attributes are strings, booleans,
    numbers, or lists of strings. ``service`` is the name of the service that it is from.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: str
    started_ns: int
    ended_ns: int
    attributes: dict[str, Any] = field(default_factory=dict)
    events: list[tuple[int, str, Mapping[str, Any]]] = field(default_factory=list)
    error: str | None = None
    tracestate: str = ""
    service: str = "trident"


class SpanTaker(Protocol):
    """Who gets finished spans: the store that keeps the newest, exporters."""

    def take(self, spans: Sequence[FinishedSpan]) -> None:
        """Take the spans of one request, or of one delivery. Never waits; drops what is too much, and counts it."""
