from __future__ import annotations

import time
from collections.abc import AsyncGenerator

import orjson
import pytest

from router.context import RequestContext
from router.dialects import anthropic_messages, openai_chat
from router.dialects.canonical import ChatRequest
from router.dialects.openai_chat_stream import without_usage
from router.upstream.usage_counting import UsageCounting

STOPPED = b': a comment\r\n\r\ndata: {"choices":[{"finish_reason":"stop"}],"usage":{"total_tokens":3}}\n\n'
EVENTS = (
    b'data: {"choices":[{"delta":{"content":"a \\"usage\\": {"}}],"usage":null}\n\n',
    STOPPED + b'data: {"choices":[],"usage":{"total_tokens":3}}\n\ndata: [DONE]\n\n',
    b'data: {"choices": [], "usage": {"total_tokens": 3}}\r\n\r\n',
    b'data: {"usage":{broken\n\n',
    b'data: {"choices":[],"usage":{"total_tokens":3}}',
)
SHOWN = EVENTS[0] + STOPPED + b"data: [DONE]\n\n" + EVENTS[3]


class _Upstream:
    """Says ``EVENTS``, whatever it is asked."""

    def __init__(self) -> None:
        self.asked: list[ChatRequest] = []

    async def complete(self, request: ChatRequest, context: RequestContext) -> bytes:
        self.asked.append(request)
        return b"whole"

    async def stream(self, request: ChatRequest, context: RequestContext) -> AsyncGenerator[bytes, None]:
        self.asked.append(request)
        for events in EVENTS:
            yield events


def _request(**fields: object) -> ChatRequest:
    payload = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True, **fields}
    return openai_chat.decode_request(orjson.dumps(payload))


def _context(*, counts_usage: bool) -> RequestContext:
    context = RequestContext("id", "front", "/", {}, time.monotonic() + 5)
    context.counts_usage = counts_usage
    return context


async def _said(upstream: _Upstream, request: ChatRequest, context: RequestContext) -> list[bytes]:
    return [events async for events in UsageCounting(upstream).stream(request, context)]


@pytest.mark.parametrize("options", [{}, {"stream_options": None}, {"stream_options": {"include_obfuscation": False}}])
async def test_tokens_are_asked_for_and_kept_back(options: dict[str, object]) -> None:
    upstream, context = _Upstream(), _context(counts_usage=True)
    await _said(upstream, _request(**options), context)
    assert context.hides_usage
    given = options.get("stream_options") or {}
    assert isinstance(given, dict)
    assert upstream.asked[0].payload["stream_options"] == {**given, "include_usage": True}


@pytest.mark.parametrize(
    ("request_", "counts_usage"),
    [
        (_request(), False),
        (_request(stream_options={"include_usage": True}), True),
        (_request(stream_options="all"), True),
        (
            anthropic_messages.decode_request(
                b'{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"Hi"}]}'
            ),
            True,
        ),
    ],
    ids=["nobody counts", "the client counts", "malformed", "another dialect"],
)
async def test_all_else_stays_as_it_is(request_: ChatRequest, counts_usage: bool) -> None:
    upstream, context = _Upstream(), _context(counts_usage=counts_usage)
    assert await _said(upstream, request_, context) == list(EVENTS)
    assert upstream.asked == [request_]
    assert not context.hides_usage


def test_only_the_event_that_only_counts_is_kept_back() -> None:
    assert b"".join(map(without_usage, EVENTS)) == SHOWN


async def test_whole_answers_are_counted_anyway() -> None:
    upstream, request = _Upstream(), _request(stream=False)
    assert await UsageCounting(upstream).complete(request, _context(counts_usage=True)) == b"whole"
    assert upstream.asked == [request]
