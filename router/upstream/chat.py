"""Asking one upstream, agent or provider, in the OpenAI chat completion dialect, whichever way it chooses to answer."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from http import HTTPStatus

import orjson
from yarl import URL

from router.context import RequestContext
from router.dialects import openai_chat
from router.dialects.openai_chat import ChatRequest, JsonObject
from router.dialects.openai_chat_stream import CompletionAssembler, stream_from_completion
from router.dialects.sse import EventSplitter
from router.errors import UpstreamError, UpstreamProtocolError, UpstreamStatus
from router.upstream.http import Endpoint, HttpClient, UpstreamResponse

_EVENT_STREAM = "text/event-stream"
_MAX_ERROR_BYTES = 64 * 1024
_MAX_RETRY_AFTER_S = 3600.0
# End-to-end headers that say nothing about who the client is. Credentials are never among them.
_FORWARDED_HEADERS = ("traceparent", "tracestate", "baggage", "accept-language", "x-model-affinity")
# A stream is whole when it says why it finished, or says that it is done; many servers leave out one of the two.
_FINISHED = re.compile(rb'"finish_reason":\s*"|data: ?\[DONE\]|"error":\s*\{')
_API_PATHS = ("/chat/completions", "/v1/messages", "/v1/responses")


def agent_url(url: str) -> URL:
    """Where an agent configured with ``url`` is called: there when it ends in a known API path, else below it."""
    base = URL(url)
    path = base.path.rstrip("/")
    if path.endswith(_API_PATHS):
        return base.with_path(path)
    return base.with_path((path if not path.endswith("/v1") else path[:-3]) + openai_chat.PATH)


class ChatUpstream:
    """One agent or provider over the shared client; ``max_response_bytes`` bounds answers that are held whole."""

    def __init__(self, endpoint: Endpoint, client: HttpClient, *, max_response_bytes: int) -> None:
        self.name = endpoint.name
        self._endpoint = endpoint
        self._client = client
        self._max_response_bytes = max_response_bytes

    async def complete(self, request: ChatRequest, context: RequestContext) -> bytes:
        """A whole completion, encoded: the upstream's own bytes, or made from its stream. Raises ``UpstreamError``."""
        async with self._client.post(self._endpoint, request.encode(), _forwarded(context)) as response:
            await self._raise_for_status(response)
            if response.content_type == _EVENT_STREAM:
                return orjson.dumps(await self._assemble(response))
            body = await response.read(self._max_response_bytes)
        openai_chat.decode_completion(body, self.name)
        return body

    async def ask(self, request: ChatRequest, context: RequestContext) -> str:
        """The text of the answer to ``request``, asked for without streaming. Raises ``UpstreamError``."""
        whole = request.replace(stream=False, drop=("stream_options",)) if request.stream else request
        return openai_chat.completion_text(orjson.loads(await self.complete(whole, context)))

    async def stream(self, request: ChatRequest, context: RequestContext) -> AsyncGenerator[bytes, None]:
        """The answer as a stream of whole events, unchanged; made from a whole answer where the upstream sends that.

        Raises ``UpstreamError``, before or after the first event.
        """
        async with self._client.post(self._endpoint, request.encode(), _forwarded(context)) as response:
            await self._raise_for_status(response)
            if response.content_type != _EVENT_STREAM:
                body = await response.read(self._max_response_bytes)
                yield stream_from_completion(openai_chat.decode_completion(body, self.name))
                return
            splitter = EventSplitter(self._max_response_bytes)
            finished = False
            async with aclosing(response.iter_bytes()) as pieces:
                async for data in pieces:
                    if events := splitter.feed(data):
                        finished = finished or _FINISHED.search(events) is not None
                        yield events
            if rest := splitter.finish():
                finished = finished or _FINISHED.search(rest) is not None
                yield rest
            if not finished:
                raise UpstreamProtocolError(f"'{self.name}' ended its answer before it was finished.")

    async def _assemble(self, response: UpstreamResponse) -> JsonObject:
        splitter = EventSplitter(self._max_response_bytes)
        assembler = CompletionAssembler(self.name)
        size = 0
        async with aclosing(response.iter_bytes()) as pieces:
            async for data in pieces:
                size += len(data)
                if size > self._max_response_bytes:
                    limit = self._max_response_bytes
                    raise UpstreamProtocolError(f"'{self.name}' sent an answer of more than {limit} bytes.")
                assembler.feed(splitter.feed(data))
        assembler.feed(splitter.finish())
        if assembler.error is not None:
            raise UpstreamProtocolError(f"'{self.name}' failed in the middle of its answer.")
        return assembler.completion()

    async def _raise_for_status(self, response: UpstreamResponse) -> None:
        if response.status == HTTPStatus.OK:
            return
        if response.status < HTTPStatus.BAD_REQUEST:
            raise UpstreamProtocolError(f"'{self.name}' answered with status {response.status}, which is no answer.")
        try:
            body = await response.read(_MAX_ERROR_BYTES)
        except UpstreamError:
            body = b""  # the status is known, and says more than what went wrong with its explanation
        raise _status_error(self.name, response.status, body, response)


def _status_error(name: str, status: int, body: bytes, response: UpstreamResponse) -> UpstreamStatus:
    """The upstream's own error where it speaks the dialect, else one that says which upstream failed."""
    error: Mapping[str, object] = orjson.loads(body)["error"] if openai_chat.is_error_payload(body) else {}
    return UpstreamStatus(
        str(error.get("message") or f"'{name}' answered with status {status}."),
        status=status,
        code=str(error.get("code") or "upstream_error"),
        type_=str(
            error.get("type")
            or ("invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "upstream_error")
        ),
        param=None if error.get("param") is None else str(error["param"]),
        retry_after_s=_retry_after(response.header("Retry-After")),
    )


def _retry_after(value: str | None) -> float | None:
    if value is None or not value.isascii() or not value.isdigit():
        return None
    return min(float(value), _MAX_RETRY_AFTER_S)


def _forwarded(context: RequestContext) -> dict[str, str]:
    headers = {name: context.headers[name] for name in _FORWARDED_HEADERS if name in context.headers}
    headers["x-request-id"] = context.request_id
    return headers
