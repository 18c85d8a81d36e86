"""The fake provider itself: checks a request as its API does, then answers from its script.

async with FakeProvider(ChatCompletionsApi(key="k"), says("Sunny.")) as provider:
    ...                                      # provider.url, provider.requests
provider.script = [Failure(429, "Slow down.", retry_after="3"), says("Sunny.")]   # in turn; the last one stays
provider.cut = 1                             # every byte of a stream in a piece of its own
provider.behaviour = agents.hang()           # badly on purpose, whatever the API
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Protocol

from tests.fakes.agents import FakeAgent
from tests.fakes.http_exchange import Exchange, RecordedRequest, head
from tests.fakes.providers.answers import Answer, BrokenOff, Failure, Script


class Refused(Exception):
    """The API does not take a request; ``param`` names what is wrong."""

    def __init__(self, status: int, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.failure = Failure(status, message, param=param)


class Api(Protocol):
    """One provider's API, which takes ``key``."""

    stream_type: str
    key: str

    def check(self, request: RecordedRequest) -> None:
        """Raises ``Refused`` for what the real API would not take."""

    def wants_stream(self, request: RecordedRequest) -> bool: ...

    def whole(self, answer: Answer, request: RecordedRequest) -> object:
        """The JSON of a whole answer."""

    def events(self, answer: Answer, request: RecordedRequest) -> list[bytes]:
        """The events of a stream, the last of which ends it."""

    def failure(self, failure: Failure) -> tuple[object, Mapping[str, str]]:
        """The JSON of an error and the headers that go with it."""

    def stream_failure(self, message: str) -> bytes:
        """The event that says that a stream failed."""


class FakeProvider(FakeAgent):
    """A running provider.

    ``refused`` has the reasons for which requests were turned away, ``sent`` the body of the newest answer.
    """

    def __init__(self, api: Api, *script: Script) -> None:
        super().__init__()
        self.api = api
        self.script: Sequence[Script] = script
        self.cut: int | None = None
        self.sent = b""
        self.refused: list[str] = []
        self._position = 0

    def play(self, *script: Script, cut: int | None = None) -> None:
        """Forget what was, and answer from ``script`` from now on."""
        self.script, self.cut, self.behaviour, self._position = script, cut, None, 0
        self.requests.clear()
        self.refused.clear()

    async def __aenter__(self) -> FakeProvider:
        await super().__aenter__()
        return self

    @property
    def last(self) -> RecordedRequest:
        return self.requests[-1]

    async def serve(self, exchange: Exchange) -> None:
        if self.behaviour is not None:
            await super().serve(exchange)
            return
        self.requests.append(exchange.request)
        self._changed.set()
        try:
            self.api.check(exchange.request)
        except Refused as refused:
            self.refused.append(str(refused))
            await self._fail(exchange, refused.failure)
            return
        script = self.script[min(self._position, len(self.script) - 1)]
        self._position += 1
        await self._act(exchange, script)

    async def _act(self, exchange: Exchange, script: Script) -> None:
        if isinstance(script, Failure):
            await self._fail(exchange, script)
        elif isinstance(script, BrokenOff):
            events = self.api.events(script.answer, exchange.request)[: script.events]
            if script.message is not None:
                events.append(self.api.stream_failure(script.message))
            await self._stream(exchange, events)
            if script.message is None:
                exchange.reset()
            else:
                await exchange.end_stream()
        elif self.api.wants_stream(exchange.request):
            await self._stream(exchange, self.api.events(script, exchange.request))
            await exchange.end_stream()
        else:
            payload = self.api.whole(script, exchange.request)
            self.sent = json.dumps(payload, ensure_ascii=False).encode()
            await exchange.send_json(payload)

    async def _stream(self, exchange: Exchange, events: Sequence[bytes]) -> None:
        await exchange.send(head(200, {"content-type": self.api.stream_type, "transfer-encoding": "chunked"}))
        self.sent = b"".join(events)
        for part in events if self.cut is None else _cut(self.sent, self.cut):
            await exchange.send_part(part)
            await asyncio.sleep(0)

    async def _fail(self, exchange: Exchange, failure: Failure) -> None:
        body, headers = self.api.failure(failure)
        retry = {} if failure.retry_after is None else {"retry-after": failure.retry_after}
        await exchange.send_json(body, status=failure.status, headers={**headers, **retry})


def _cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]
