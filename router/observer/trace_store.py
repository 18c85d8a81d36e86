"""The newest traces, to look at: bounded in number and bytes, put together from whoever delivers spans of them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterator, Sequence

from router.observer.spans import FinishedSpan

MAX_SPANS = 2048  # of one trace: whoever holds its id may deliver more of it
SETTLE_S = 0.5  # without further spans, until those who follow get to see a trace

# What a span takes in memory, roughly, and each of its attributes and events on top of their texts.
_SPAN_BYTES = 800
_VALUE_BYTES = 120


class StoredTrace:
    """The spans of one trace, in the order in which they arrived. ``dropped`` were too many."""

    __slots__ = ("dropped", "size_bytes", "spans", "trace_id")

    def __init__(self, trace_id: str) -> None:
        self.trace_id = trace_id
        self.spans: dict[str, FinishedSpan] = {}
        self.size_bytes = 0
        self.dropped = 0

    @property
    def root(self) -> FinishedSpan:
        """The span that all began with, as far as it is here."""
        without_parent = [span for span in self.spans.values() if span.parent_id not in self.spans]
        return min(without_parent or self.spans.values(), key=lambda span: (bool(span.parent_id), span.started_ns))

    def add(self, span: FinishedSpan) -> None:
        """Take a span; one that is here already is replaced: deliveries may be repeated."""
        before = self.spans.get(span.span_id)
        if before is None and len(self.spans) >= MAX_SPANS:
            self.dropped += 1
            return
        self.spans[span.span_id] = span
        self.size_bytes += _size_bytes(span) - (0 if before is None else _size_bytes(before))


class TraceStore:
    """Keeps at most ``max_traces`` traces of ``max_bytes`` in all; the one that heard nothing for longest goes first.

    A ``SpanTaker``. For the event loop only.
    """

    def __init__(self, *, max_traces: int = 2000, max_bytes: int = 64 * 1024 * 1024) -> None:
        self._max_traces = max_traces
        self._max_bytes = max_bytes
        self._traces: OrderedDict[str, StoredTrace] = OrderedDict()
        self._followers: set[Follower] = set()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._traces)

    def take(self, spans: Sequence[FinishedSpan]) -> None:
        """See ``SpanTaker``."""
        for span in spans:
            trace = self._traces.get(span.trace_id)
            if trace is None:
                trace = self._traces[span.trace_id] = StoredTrace(span.trace_id)
            else:
                self._traces.move_to_end(span.trace_id)
            before = trace.size_bytes
            trace.add(span)
            self.size_bytes += trace.size_bytes - before
        self._evict()
        if self._followers and spans:
            for trace_id in {span.trace_id for span in spans}:
                for follower in self._followers:
                    follower.updated(trace_id)

    def newest_first(self) -> Iterator[StoredTrace]:
        """All traces. Whoever waits in between takes a copy first."""
        return reversed(self._traces.values())

    def get(self, trace_id: str) -> StoredTrace | None:
        """The trace with exactly this id."""
        return self._traces.get(trace_id)

    def beginning_with(self, prefix: str) -> list[StoredTrace]:
        """The traces whose ids begin so, the newest first."""
        return [trace for trace in self.newest_first() if trace.trace_id.startswith(prefix)]

    async def follow(self, settle_s: float = SETTLE_S) -> AsyncGenerator[StoredTrace, None]:
        """Traces as they come, each once nothing more of it has arrived for ``settle_s``; again if more does later."""
        follower = Follower(settle_s)
        self._followers.add(follower)
        try:
            while True:
                trace = self._traces.get(await follower.next_settled())
                if trace is not None:
                    yield trace
        finally:
            self._followers.discard(follower)

    def _evict(self) -> None:
        traces = self._traces
        while len(traces) > self._max_traces or (self.size_bytes > self._max_bytes and traces):
            _, oldest = traces.popitem(last=False)
            self.size_bytes -= oldest.size_bytes


class Follower:
    """Which traces somebody has yet to be shown, and when; the oldest are forgotten when they are too many."""

    _MAX_PENDING = 1000

    def __init__(self, settle_s: float) -> None:
        self._settle_s = settle_s
        self._due: OrderedDict[str, float] = OrderedDict()
        self._some = asyncio.Event()

    def updated(self, trace_id: str) -> None:
        """Spans of this trace have arrived."""
        self._due[trace_id] = asyncio.get_running_loop().time() + self._settle_s
        self._due.move_to_end(trace_id)
        if len(self._due) > self._MAX_PENDING:
            self._due.popitem(last=False)
        self._some.set()

    async def next_settled(self) -> str:
        """Wait until one has heard nothing for long enough."""
        while True:
            while not self._due:
                self._some.clear()
                await self._some.wait()
            trace_id, due = next(iter(self._due.items()))
            left_s = due - asyncio.get_running_loop().time()
            if left_s <= 0:
                del self._due[trace_id]
                return trace_id
            await asyncio.sleep(left_s)


def _size_bytes(span: FinishedSpan) -> int:
    size = _SPAN_BYTES + len(span.name)
    for value in span.attributes.values():
        size += _VALUE_BYTES + _text_length(value)
    for _, name, attributes in span.events:
        size += _VALUE_BYTES + len(name)
        for value in attributes.values():
            size += _VALUE_BYTES + _text_length(value)
    return size


def _text_length(value: object) -> int:
    if isinstance(value, str):
        return len(value)
    return sum(_VALUE_BYTES + _text_length(item) for item in value) if isinstance(value, list) else 0
