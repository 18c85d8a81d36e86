"""APIs for prompt targets to call, as behaviours of ``FakeAgent``, and the parts of an engine in front of them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from router.context import RequestContext, RouteDescription, Turn
from router.functions.calls import FunctionCalls
from router.functions.extractor import ExtractedCall, Extraction, PendingCall
from router.functions.http_call import ApiCall, ApiClients
from router.functions.targets import ApiEndpoint, Target
from router.triton.models import RouteScores
from tests.fakes.agents import Behaviour, FakeAgent
from tests.fakes.http_exchange import Exchange, RecordedRequest, head


def answers(payload: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Behaviour:
    """JSON, always the same."""

    async def behave(exchange: Exchange) -> None:
        await exchange.send_json(payload, status=status, headers=headers)

    return behave


def says(make: Callable[[RecordedRequest], object]) -> Behaviour:
    """JSON that depends on the request."""

    async def behave(exchange: Exchange) -> None:
        await exchange.send_json(make(exchange.request))

    return behave


def raw(body: bytes, content_type: str = "application/json", status: int = 200) -> Behaviour:
    """A body as it is."""

    async def behave(exchange: Exchange) -> None:
        headers = {"content-type": content_type, "content-length": str(len(body))}
        await exchange.send(head(status, headers) + body)

    return behave


def host_of(agent: FakeAgent) -> str:
    return f"127.0.0.1:{agent.port}"


def context(timeout_s: float = 5.0, **fields: Any) -> RequestContext:
    return RequestContext("req-1", "front", "/v1/chat/completions", {}, time.monotonic() + timeout_s, **fields)


@asynccontextmanager
async def clients() -> AsyncIterator[ApiClients]:
    made = ApiClients(connect_timeout_s=2)
    try:
        yield made
    finally:
        await made.close()


def calls_of(targets: Sequence[Target], made: ApiClients, error: ApiEndpoint | None = None) -> FunctionCalls:
    apis = {target.name: ApiCall(target.endpoint, made) for target in targets if target.endpoint is not None}
    return FunctionCalls(apis, None if error is None else ApiCall(error, made))


def turns(*texts: str) -> list[Turn]:
    """A conversation that the user begins, in turn."""
    return [Turn("assistant" if index % 2 else "user", text) for index, text in enumerate(texts)]


class ScriptedExtractor:
    """Finds what ``found`` says of the newest text; keeps what it was asked."""

    def __init__(self, found: Callable[[str, PendingCall | None], Sequence[ExtractedCall]]) -> None:
        self._found = found
        self.asked: list[tuple[list[str], list[str], PendingCall | None]] = []

    async def extract(
        self, targets: Sequence[Target], conversation: Sequence[Turn], pending: PendingCall | None, *, timeout_s: float
    ) -> Extraction:
        self.asked.append(([each.name for each in targets], [turn.content for turn in conversation], pending))
        return Extraction(tuple(self._found(conversation[-1].content, pending)))


class ScriptedScorer:
    """Scores by the newest text."""

    def __init__(self, scores: Callable[[str], Mapping[str, float]]) -> None:
        self._scores = scores
        self.error: Exception | None = None

    async def score(
        self, conversation: Sequence[Turn], routes: Sequence[RouteDescription], *, timeout_s: float
    ) -> RouteScores:
        if self.error is not None:
            raise self.error
        given = self._scores(conversation[-1].content)
        order = sorted(
            range(len(routes)),
            key=lambda index: list(given).index(routes[index].name) if routes[index].name in given else 99,
        )
        return RouteScores(
            tuple(given.get(route.name, 0.0) for route in routes),
            tuple(order.index(index) for index in range(len(routes))),
            "orchestrator",
            "1",
            0.5,
        )
