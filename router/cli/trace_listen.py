"""A collector of spans in the foreground."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import click

from router.dialects.canonical import JsonObject
from router.errors import OperatorError
from router.observer.collector import Collector
from router.observer.trace_filter import TraceFilter
from router.observer.trace_queries import as_frames
from router.observer.trace_store import TraceStore

# Programs send spans in batches, and none of them at the same moment.
SETTLE_S = 1.0


async def listen(
    address: str,
    grpc_port: int,
    http_port: int,
    query: dict[str, Any],
    show: Callable[[JsonObject, list[JsonObject]], None],
) -> None:
    """Hand traces that ``query`` lets through to ``show``, with a summary and spans, until cancelled.

    Raises ``OperatorError`` where a port is taken, and for conditions that are none.
    """
    try:
        wanted = TraceFilter.from_query(query)
    except ValueError as exc:
        raise OperatorError(str(exc)) from exc
    store = TraceStore()
    collector = Collector([store])
    await collector.open(address, grpc_port=grpc_port, http_port=http_port)
    try:
        grpc_place, http_place = f"{address}:{collector.grpc_port}", f"http://{address}:{collector.http_port}"
        click.echo(f"Listening for spans: gRPC on {grpc_place}, HTTP on {http_place}. Ctrl-C ends it.", err=True)
        async with aclosing(store.follow(SETTLE_S)) as traces:
            async for trace in traces:
                if wanted.matches(trace):
                    head, *rest = as_frames(trace)
                    show(head["trace"], [frame["span"] for frame in rest])
    finally:
        await collector.close()
