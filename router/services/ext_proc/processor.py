"""``envoy.service.ext_proc.v3.ExternalProcessor``: Envoy carries the traffic, the gateway decides about it.

https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/ext_proc_filter
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Protocol

import grpc
import grpc.aio

from router.context import RequestContext
from router.errors import InvalidRequest, UpstreamUnreachable
from router.protos.envoy.v3 import ext_proc_pb2 as wire
from router.services.calls import Calls, ServicerContext
from router.services.ext_proc.exchange import EnvoyExchange, ExchangeOptions
from router.services.ext_proc.phases import MESSAGES, Message
from router.services.ext_proc.upstream import EnvoyClient

NAME = "envoy.service.ext_proc.v3.ExternalProcessor"
_PATH = f"/{NAME}/Process"
_MESSAGES: dict[str, Message] = {message: message for message in MESSAGES}


class Front(Protocol):
    """The listener whose requests Envoy carries."""

    def offers(self, path: str) -> bool:
        """Whether the path is one of its own."""

    def reads_answers(self, path: str) -> bool:
        """Whether answers to requests for ``path`` have to be looked at."""

    async def serve(self, exchange: EnvoyExchange) -> None:
        """Answer one request, whatever goes wrong with it, and record it."""


class ExternalProcessor:
    """Serves ``front`` over streams of Envoy. ``client`` is the one through which its upstreams are asked."""

    name = NAME

    def __init__(
        self,
        front: Front,
        client: EnvoyClient,
        options: ExchangeOptions,
        close: Callable[[], Awaitable[None]],
    ) -> None:
        self._front = front
        self._client = client
        self._options = options
        self._close = close

    async def close(self) -> None:
        """Let go of what was made for it alone; streams have to be over."""
        await self._close()

    def register(self, server: grpc.aio.Server, calls: Calls) -> None:
        """Add the service to ``server``."""

        async def process(
            requests: AsyncIterator[wire.ProcessingRequest], context: ServicerContext
        ) -> AsyncGenerator[wire.ProcessingResponse, None]:
            async with aclosing(calls.stream(_PATH, self.process, requests, context)) as answers:
                async for answer in answers:
                    yield answer

        handler = grpc.stream_stream_rpc_method_handler(
            process,
            request_deserializer=wire.ProcessingRequest.FromString,
            response_serializer=wire.ProcessingResponse.SerializeToString,
        )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(NAME, {"Process": handler}),))

    async def process(
        self, requests: AsyncIterator[wire.ProcessingRequest], call: RequestContext
    ) -> AsyncGenerator[wire.ProcessingResponse, None]:
        """The answers to one exchange. Raises ``InvalidRequest`` where Envoy says what it cannot say.

        Close it, and whatever is done for the request ends.
        """
        exchange = EnvoyExchange(self._options)
        stream = _Stream(exchange, self._front, self._client, requests)
        try:
            while True:
                while exchange.sent:
                    yield exchange.sent.popleft()
                    exchange.took()
                if stream.over:
                    stream.check()
                    return
                exchange.news.clear()
                if not exchange.sent and not stream.over:
                    await exchange.news.wait()
        finally:
            await stream.close()


class _Stream:
    """The tasks of one exchange: one hears Envoy, one serves the request."""

    def __init__(
        self,
        exchange: EnvoyExchange,
        front: Front,
        client: EnvoyClient,
        requests: AsyncIterator[wire.ProcessingRequest],
    ) -> None:
        self._exchange = exchange
        self._front = front
        self._client = client
        self._requests = requests
        self._serving: asyncio.Task[None] | None = None
        self._hearing = asyncio.create_task(self._hear(), name="hear Envoy")
        self._hearing.add_done_callback(lambda _: exchange.news.set())
        exchange.on_relay = self._stop_serving

    @property
    def over(self) -> bool:
        """Whether nothing more will be said."""
        served = self._serving is None or self._serving.done()
        if self._hearing.done():
            return served or self._hearing.cancelled() or self._hearing.exception() is not None
        if self._serving is None or self._exchange.phase == "passing":
            return served and self._exchange.over
        return served

    def check(self) -> None:
        """Raise what went wrong, if it did: Envoy then does what it does without its processor."""
        for task in (self._hearing, self._serving):
            if task is not None and task.done() and not task.cancelled():
                task.result()
        cut_off = self._serving is not None and not self._serving.cancelled()
        if cut_off and self._exchange.phase not in ("ended", "passing", "observing"):
            raise UpstreamUnreachable("The exchange was cut off.")

    async def close(self) -> None:
        """End both."""
        tasks = [task for task in (self._serving, self._hearing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _hear(self) -> None:
        exchange = self._exchange
        async for request in self._requests:
            message = _MESSAGES.get(request.WhichOneof("request") or "")
            if message is None:
                raise InvalidRequest("This is no message that the processor knows.")
            await exchange.take(message, request)
            if message == "request_headers":
                self._begin()
        if exchange.awaits_request:
            self._stop_serving()
        exchange.hear_no_more()

    def _begin(self) -> None:
        if not self._front.offers(self._exchange.path):
            self._exchange.pass_on()
            return
        self._exchange.look_at(answers=self._front.reads_answers(self._exchange.path))
        self._serving = asyncio.create_task(self._serve(), name="serve a request that Envoy carries")
        self._serving.add_done_callback(lambda _: self._exchange.settle())

    async def _serve(self) -> None:
        self._client.carrying(self._exchange)
        await self._front.serve(self._exchange)

    def _stop_serving(self) -> None:
        if self._serving is not None:
            self._serving.cancel()
