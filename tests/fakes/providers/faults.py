"""Ways in which a provider of any dialect fails: values for ``FakeProvider.behaviour``, beside those of fake agents."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from tests.fakes.agents import Behaviour
from tests.fakes.http_exchange import Exchange, head
from tests.fakes.providers.answers import Failure, says
from tests.fakes.providers.server import FakeProvider

DRIP_S = 0.02  # between two bytes of what drips


def _type_of(provider: FakeProvider, exchange: Exchange) -> str:
    return provider.api.stream_type if provider.api.wants_stream(exchange.request) else "application/json"


def sends(*parts: bytes, ends: bool = True, **headers: str) -> Callable[[FakeProvider], Behaviour]:
    """A head with the content type that was asked for and ``headers``, then ``parts``, then nothing or the end."""

    def make(provider: FakeProvider) -> Behaviour:
        async def behave(exchange: Exchange) -> None:
            fields = {"content-type": _type_of(provider, exchange), "transfer-encoding": "chunked"}
            fields.update({name.replace("_", "-"): value for name, value in headers.items()})
            await exchange.send(head(200, fields))
            for part in parts:
                await exchange.send_part(part)
            await (exchange.end_stream() if ends else exchange.wait_closed())

        return behave

    return make


def drips_head() -> Behaviour:
    """A head that arrives byte by byte and never ends."""

    async def behave(exchange: Exchange) -> None:
        for byte in b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" * 1000:
            await exchange.send(bytes([byte]))
            await asyncio.sleep(DRIP_S)

    return behave


def drips_body(provider: FakeProvider) -> Behaviour:
    """A good answer that arrives byte by byte."""

    async def behave(exchange: Exchange) -> None:
        await exchange.send(head(200, {"content-type": _type_of(provider, exchange), "transfer-encoding": "chunked"}))
        whole = json.dumps(provider.api.whole(says("Hello."), exchange.request)).encode()
        events = b"".join(provider.api.events(says("Hello."), exchange.request))
        for byte in events if provider.api.wants_stream(exchange.request) else whole:
            await exchange.send_part(bytes([byte]))
            await asyncio.sleep(DRIP_S)

    return behave


def endless_headers() -> Behaviour:
    """A head of ever more fields, as fast as they are read."""

    async def behave(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            await exchange.send(b"x-more: and more\r\n" * 200)
            await asyncio.sleep(0)

    return behave


def error_with_status_200(provider: FakeProvider) -> Behaviour:
    """The body of an error under a head that says that all is well."""

    async def behave(exchange: Exchange) -> None:
        body, _ = provider.api.failure(Failure(529, "Out of breath."))
        await exchange.send_json(body)

    return behave


def flood(provider: FakeProvider) -> Behaviour:
    """A body that never ends, without an event in it, as fast as it is read."""

    async def behave(exchange: Exchange) -> None:
        await exchange.send(head(200, {"content-type": _type_of(provider, exchange), "transfer-encoding": "chunked"}))
        while True:
            await exchange.send_part(b"data: " + b"x" * 65536)
            await asyncio.sleep(0)

    return behave


def begins(provider: FakeProvider, ending: str) -> Behaviour:
    """A good stream that goes wrong after some events."""

    async def behave(exchange: Exchange) -> None:
        events = provider.api.events(says("one two three four five six"), exchange.request)[:6]
        await exchange.send(head(200, {"content-type": provider.api.stream_type, "transfer-encoding": "chunked"}))
        await exchange.send_part(b"".join(events))
        if ending == "stalls":
            await exchange.wait_closed()
        elif ending == "is cut off":
            exchange.finish()
        elif ending == "says garbage":
            await asyncio.sleep(DRIP_S)  # what came before has gone out by then
            await exchange.send_part(b'event: message_delta\ndata: {"x": \n\nevent: \xff\n\ndata: [[[\n\n')
            await exchange.end_stream()
        else:
            await exchange.end_stream()

    return behave
