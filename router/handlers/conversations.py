"""Responses that go on from what was said before, whoever answers: the gateway keeps it and sends it along."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TypeAlias

import orjson

from router.context import RequestContext
from router.conversations.answers import AnswerStream, finished_response
from router.conversations.archive import Archive, Past
from router.conversations.conversations import Conversations
from router.conversations.ids import new_response_id, scope_of
from router.conversations.items import input_items
from router.conversations.references import References
from router.conversations.requests import Stateful, is_stateless
from router.conversations.responses import Responses
from router.dialects.canonical import JsonObject, encode_answer
from router.errors import PayloadTooLarge, StateUnavailable
from router.handlers.reply import EVENT_STREAM, JSON, ByteStream, Reply

logger = logging.getLogger(__name__)

Handler: TypeAlias = Callable[[RequestContext, bytes], Awaitable[Reply]]

DEGRADED = "state"


@dataclass(frozen=True, slots=True)
class StatePolicy:
    """``by_default``: responses are kept unless the client says otherwise, else only where it asks for that.

    ``tenant_header`` names the header that keeps the tenants of one API key apart.
    """

    by_default: bool = True
    tenant_header: str | None = None


@dataclass(frozen=True, slots=True)
class _Exchange:
    """One request and what is to become of its answer.

    ``needed``: the client relies on the answer being kept; else it gets the answer even where that cannot be.
    """

    context: RequestContext
    scope: str
    asked: Stateful
    items: Sequence[JsonObject]
    past: Past
    stored: bool
    needed: bool
    echo: Mapping[str, object]


class StatefulResponses:
    """``POST /v1/responses`` of a listener, around ``inner``, which knows no state.

    What is kept is kept before the client reads that the response is complete. ``count_degraded`` is called for every
    answer that could not be kept and went out all the same.
    """

    def __init__(
        self,
        inner: Handler,
        archive: Archive,
        responses: Responses,
        conversations: Conversations,
        policy: StatePolicy,
        *,
        count_degraded: Callable[[], None],
    ) -> None:
        self._inner = inner
        self._responses = responses
        self._conversations = conversations
        self._references = References(archive)
        self._bounds = archive.bounds
        self._policy = policy
        self._count_degraded = count_degraded

    async def create(self, context: RequestContext, body: bytes) -> Reply:
        """``POST``.

        Raises ``NotFound`` for what the request goes on from, ``StateUnavailable`` where it needs what cannot be
        reached, and what ``inner`` raises.
        """
        asked = None if is_stateless(body) else Stateful.of(body)
        if asked is None:
            return await self._inner(context, body)
        stored = self._policy.by_default if asked.store is None else asked.store
        if not (stored or asked.goes_on):
            return await self._inner(context, body)
        items: Sequence[JsonObject] = input_items(asked.payload.get("input"))
        needed = asked.store is True or asked.goes_on
        if len(body) > self._bounds.max_response_bytes and not self._fits(items, needed=needed):
            return await self._inner(context, body)
        scope = scope_of(context, self._policy.tenant_header)
        past, items = await self._whole(scope, asked, items)
        context.may_be_kept = asked.store is not False  # the body says no: providers are not to keep anything
        exchange = _Exchange(context, scope, asked, items, past, stored, needed, _echo(asked, stored))
        return await self._answered(exchange, await self._inner(context, asked.body(past, items)))

    async def decide(self, context: RequestContext, body: bytes) -> Reply:
        """``POST`` to a path of ``inner`` that answers from the conversation without adding to it: nothing is kept.

        Raises ``NotFound`` for what the request goes on from, ``StateUnavailable``, and what ``inner`` raises.
        """
        asked = None if is_stateless(body) else Stateful.of(body)
        if asked is None or not asked.goes_on:
            return await self._inner(context, body)
        scope = scope_of(context, self._policy.tenant_header)
        past, items = await self._whole(scope, asked, input_items(asked.payload.get("input")))
        return await self._inner(context, asked.body(past, items))

    async def _whole(
        self, scope: str, asked: Stateful, items: Sequence[JsonObject]
    ) -> tuple[Past, Sequence[JsonObject]]:
        """What came before the request, and its own ``items`` with those that it only names."""
        past = await self._past(scope, asked)
        if asked.names_items:
            items = await self._references.resolved(scope, items, past.ids)
            self._fits(items, needed=True)
        return past, items

    def _fits(self, items: Sequence[JsonObject], *, needed: bool) -> bool:
        """Whether the input is small enough to be kept. Raises ``PayloadTooLarge`` where it is ``needed``."""
        try:
            self._bounds.check_turn(orjson.dumps(items), param="input")
        except PayloadTooLarge:
            if needed:
                raise
            return False
        return True

    async def _past(self, scope: str, asked: Stateful) -> Past:
        if asked.previous_response_id is not None:
            return await self._responses.past(scope, asked.previous_response_id)
        if asked.conversation_id is not None:
            return await self._conversations.past(scope, asked.conversation_id, param="conversation")
        return Past()

    async def _answered(self, exchange: _Exchange, reply: Reply) -> Reply:
        if reply.status != 200:
            return reply
        if isinstance(reply.body, ByteStream):
            return replace(reply, body=await ByteStream.start(self._kept_stream(exchange, reply.body)))
        if reply.content_type == EVENT_STREAM:
            stream = AnswerStream(exchange.echo, max_bytes=self._bounds.max_response_bytes)
            events = stream.feed(reply.body)
            if stream.ended is not None:
                events += stream.last(await self._kept(exchange, stream.ended))
            return replace(reply, body=events)
        response = finished_response(reply.body) if reply.content_type == JSON else None
        if response is None:
            return reply
        return replace(reply, body=encode_answer(await self._kept(exchange, {**response, **exchange.echo})))

    async def _kept_stream(self, exchange: _Exchange, body: ByteStream) -> AsyncGenerator[bytes, None]:
        """``body``, whose last event goes out when its response is kept."""
        stream = AnswerStream(exchange.echo, max_bytes=self._bounds.max_response_bytes)
        kept = False
        async with aclosing(body):
            async for events in body:
                if ready := stream.feed(events):
                    yield ready
                if stream.ended is not None and not kept:
                    kept = True
                    yield stream.last(await self._kept(exchange, stream.ended))

    async def _kept(self, exchange: _Exchange, response: JsonObject) -> JsonObject:
        """The response as the client gets it: what it says about ``store`` is true.

        Raises ``StateUnavailable``, ``PayloadTooLarge`` and ``NotFound`` where the client relies on its being kept.
        """
        try:
            await self._responses.keep(exchange.scope, response, exchange.items, exchange.past, stored=exchange.stored)
        except (StateUnavailable, PayloadTooLarge) as exc:
            if exchange.needed:
                raise
            self._count_degraded()
            exchange.context.degraded.append(DEGRADED)
            fields = {"request_id": exchange.context.request_id, "cause": repr(exc.__cause__ or exc)}
            logger.warning("response not kept, answered without", extra=fields)
            return {**response, "store": False}
        return response


def _echo(asked: Stateful, stored: bool) -> Mapping[str, object]:
    """What the response says about state, whatever whoever answers says."""
    conversation = None if asked.conversation_id is None else {"id": asked.conversation_id}
    return {
        "id": new_response_id(),
        "previous_response_id": asked.previous_response_id,
        "conversation": conversation,
        "store": stored,
    }
