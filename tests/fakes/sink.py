"""Keeps what a gateway tells its telemetry process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from router.aio import timeout


@dataclass(frozen=True, slots=True)
class ToldSpan:
    """A span as the telemetry process reads it."""

    name: str
    kind: str
    span_id: str
    parent_id: str
    started_ns: int
    ended_ns: int
    error: str | None
    attributes: dict[str, Any]
    events: list[Any]


@dataclass(frozen=True, slots=True)
class ToldRequest:
    """One ``request`` message."""

    message: dict[str, Any]
    answer: bytes

    @property
    def spans(self) -> list[ToldSpan]:
        return [ToldSpan(*span) for span in self.message["trace"]["spans"]]

    @property
    def root(self) -> ToldSpan:
        return self.spans[0]

    def span(self, name: str) -> ToldSpan:
        [found] = [span for span in self.spans if span.name == name]
        return found

    def tree(self) -> dict[str, str | None]:
        """The name of each span's parent."""
        names = {span.span_id: span.name for span in self.spans}
        return {span.name: names.get(span.parent_id) for span in self.spans}


class KeptRequests:
    """A ``Sink``; ``requests`` in the order in which they ended."""

    def __init__(self) -> None:
        self.requests: list[ToldRequest] = []

    def wants(self) -> bool:
        return True

    def request(self, message: Mapping[str, Any], payload: Sequence[bytes]) -> None:
        told = orjson.loads(orjson.dumps(message, default=str))
        self.requests.append(ToldRequest(told, b"".join(payload)))

    async def newest(self, count: int = 1) -> ToldRequest:
        """The newest request, as soon as there are ``count`` of them: a client has its answer a little earlier."""
        async with timeout(5):
            while len(self.requests) < count:
                await asyncio.sleep(0.005)
        return self.requests[-1]
