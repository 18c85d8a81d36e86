"""Asking one agent or provider, in a dialect that it speaks, and answering in the dialect of the client.

Where both speak the same one, bytes are relayed and only watched; else the answer goes through the canonical form.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Protocol

from router.context import AnswerTransform, RequestContext
from router.dialects import openai_chat
from router.dialects.base import ClientDialect, ErrorDetails, ProviderDialect
from router.dialects.canonical import (
    ChatRequest,
    CompletionAssembler,
    JsonObject,
    chunks_of,
    completion_text,
    usage_of,
)
from router.dialects.openai_chat_stream import without_usage
from router.dialects.registry import CLIENT_DIALECTS
from router.dialects.sse import EventSplitter, split
from router.errors import InvalidRequest, UpstreamError, UpstreamProtocolError, UpstreamStatus
from router.telemetry.tracing import trace_headers
from router.upstream.http import Exchange, HttpClient, UpstreamResponse
from router.upstream.service import Call, ChatService

UNTRANSLATED_HEADER = "x-trident-untranslated"

_MAX_ERROR_BYTES = 64 * 1024
_MAX_RETRY_AFTER_S = 3600.0
# End-to-end headers that say nothing about who the client is. Credentials are never among them.
_FORWARDED_HEADERS = ("baggage", "accept-language", "x-model-affinity")

_INDEX = re.compile(r"\[\d+\]")


class Upstream(Protocol):
    """Whoever answers a conversation: one agent, one provider, or several of them with fail-over."""

    async def complete(self, request: ChatRequest, context: RequestContext) -> bytes:
        """A whole answer in the client's dialect. Raises ``UpstreamError``."""

    def stream(self, request: ChatRequest, context: RequestContext) -> AsyncGenerator[bytes, None]:
        """The answer as whole events in the client's dialect. Raises ``UpstreamError``, before or after the first."""


class ChatUpstream:
    """One agent or provider over the shared client; ``max_response_bytes`` bounds answers that are held whole.

    Sets ``context.usage`` where an answer counts its tokens.
    """

    def __init__(self, service: ChatService, client: HttpClient, *, max_response_bytes: int) -> None:
        self.name = service.name
        self._service = service
        self._client = client
        self._max_response_bytes = max_response_bytes

    async def complete(self, request: ChatRequest, context: RequestContext) -> bytes:
        """A whole answer: the upstream's own bytes where it speaks the client's dialect. Raises ``UpstreamError``."""
        client = CLIENT_DIALECTS[request.dialect]
        dialect = self._dialect_for(request)
        transform = _transform(request, context)
        async with self._post(dialect, request, context) as response:
            await raise_for_status(self.name, dialect, response)
            if transform is not None:
                completion = await _assembled(transform(self._chunks(dialect, request, response, context)))
            elif response.content_type == dialect.STREAM_TYPE:
                completion = await _assembled(self._chunks(dialect, request, response, context))
            else:
                body = await response.read(self._max_response_bytes)
                if dialect.NAME == client.NAME:
                    context.usage = client.check_completion(body, self.name) or context.usage
                    return body
                completion = self._decoded(dialect, request, body)
        context.usage = usage_of(completion.get("usage")) or context.usage
        return client.encode_completion(completion, request)

    async def ask(self, request: ChatRequest, context: RequestContext) -> str:
        """The text of the answer to ``request``, asked for without streaming. Raises ``UpstreamError``."""
        whole = request.replace(stream=False, drop=("stream_options",)) if request.stream else request
        dialect = self._dialect_for(whole)
        async with self._post(dialect, whole, context) as response:
            await raise_for_status(self.name, dialect, response)
            return completion_text(await _assembled(self._chunks(dialect, whole, response, context)))

    async def stream(self, request: ChatRequest, context: RequestContext) -> AsyncGenerator[bytes, None]:
        """The answer as a stream of whole events, unchanged where the upstream speaks the client's dialect.

        Made from a whole answer where the upstream sends that. Raises ``UpstreamError``, also after the first event.
        """
        client = CLIENT_DIALECTS[request.dialect]
        dialect = self._dialect_for(request)
        transform = _transform(request, context)
        async with self._post(dialect, request, context) as response:
            await raise_for_status(self.name, dialect, response)
            native = dialect.NAME == client.NAME and response.content_type == dialect.STREAM_TYPE
            if native and transform is None:
                async with aclosing(self._relay(dialect, client, response, context)) as relayed:
                    async for events in relayed:
                        if shown := without_usage(events) if context.hides_usage else events:
                            yield shown
                return
            encoder = client.stream_encoder(request)
            chunks = self._chunks(dialect, request, response, context)
            async with aclosing(chunks if transform is None else transform(chunks)) as batches:
                async for batch in batches:
                    events = b"".join([encoder.feed(chunk) for chunk in batch])
                    if shown := without_usage(events) if context.hides_usage else events:
                        yield shown
            yield encoder.finish()

    async def chunks(self, request: ChatRequest, context: RequestContext) -> AsyncGenerator[list[JsonObject], None]:
        """The answer as batches of canonical chunks, whatever the upstream speaks. Raises ``UpstreamError``."""
        dialect = self._dialect_for(request)
        async with self._post(dialect, request, context) as response:
            await raise_for_status(self.name, dialect, response)
            async with aclosing(self._chunks(dialect, request, response, context)) as batches:
                async for batch in batches:
                    yield batch

    def _dialect_for(self, request: ChatRequest) -> ProviderDialect:
        spoken = self._service.dialects
        for dialect in spoken:
            if request.dialect == dialect.NAME:
                return dialect
        return spoken[0]

    def _post(self, dialect: ProviderDialect, request: ChatRequest, context: RequestContext) -> Exchange:
        if dialect is openai_chat and not self._service.keeps_reasoning:
            request = openai_chat.without_foreign_reasoning(request)
        body = dialect.encode_request(request)
        if request.dialect != dialect.NAME:
            _tell_untranslated(dialect, request, context)
        elif context.response_headers:
            context.response_headers.pop(UNTRANSLATED_HEADER, None)
        call = self._service.call(dialect, request, body, context)
        return self._client.post(call.endpoint, body, forwarded_headers(context, call))

    async def _relay(
        self, dialect: ProviderDialect, client: ClientDialect, response: UpstreamResponse, context: RequestContext
    ) -> AsyncGenerator[bytes, None]:
        splitter = EventSplitter(self._max_response_bytes)
        observer = client.stream_observer(self.name)
        begun = False
        async with aclosing(response.iter_bytes()) as pieces:
            async for data in pieces:
                if events := splitter.feed(data):
                    observer.watch(events)
                    if not begun:
                        # As long as nothing has gone out, another upstream may do better than an error or nonsense.
                        if observer.error is not None:
                            raise observer.error
                        dialect.stream_decoder(self.name, self._max_response_bytes).feed(next(split(events)))
                        begun = True
                    yield events
        if rest := splitter.finish():
            observer.watch(rest)
            if observer.finished:  # else it is torn, and the error behind it would become a part of it
                yield rest
        context.usage = observer.usage or context.usage
        if not observer.finished:
            raise UpstreamProtocolError(f"'{self.name}' ended its answer before it was finished.")

    async def _chunks(
        self, dialect: ProviderDialect, request: ChatRequest, response: UpstreamResponse, context: RequestContext
    ) -> AsyncGenerator[list[JsonObject], None]:
        if response.content_type != dialect.STREAM_TYPE:
            completion = self._decoded(dialect, request, await response.read(self._max_response_bytes))
            context.usage = usage_of(completion.get("usage")) or context.usage
            yield chunks_of(completion)
            return
        decoder = dialect.stream_decoder(self.name, self._max_response_bytes)
        size = 0
        async with aclosing(response.iter_bytes()) as pieces:
            async for data in pieces:
                if not request.stream:  # somebody holds all of it
                    size += len(data)
                    if size > self._max_response_bytes:
                        limit = self._max_response_bytes
                        raise UpstreamProtocolError(f"'{self.name}' sent an answer of more than {limit} bytes.")
                if batch := decoder.feed(data):
                    _note(batch, request, context)
                    yield batch
        if batch := decoder.finish():
            _note(batch, request, context)
            yield batch

    def _decoded(self, dialect: ProviderDialect, request: ChatRequest, body: bytes) -> JsonObject:
        completion = dialect.decode_completion(body, self.name)
        if not completion.get("model"):
            completion["model"] = request.model or ""
        return completion


def _tell_untranslated(dialect: ProviderDialect, request: ChatRequest, context: RequestContext) -> None:
    """Name what is left out, elements of lists once for all of them."""
    advice = [name for name in request.payload if name in dialect.ADVISORY and request.payload[name]]
    names = dict.fromkeys(_INDEX.sub("[]", name) for name in (*request.untranslated, *advice))
    if names:
        context.response_headers[UNTRANSLATED_HEADER] = ", ".join(names)
    else:
        context.response_headers.pop(UNTRANSLATED_HEADER, None)  # of an earlier try at somebody else


def _transform(request: ChatRequest, context: RequestContext) -> AnswerTransform | None:
    if context.answer_transform is not None and request.payload.get("n") not in (None, 1):
        raise InvalidRequest("Only one answer can be checked on its way: 'n' has to be 1 here.", param="n")
    return context.answer_transform


async def _assembled(batches: AsyncGenerator[list[JsonObject], None]) -> JsonObject:
    assembler = CompletionAssembler()
    async with aclosing(batches):
        async for batch in batches:
            for chunk in batch:
                assembler.add(chunk)
    return assembler.completion()


def _note(batch: list[JsonObject], request: ChatRequest, context: RequestContext) -> None:
    """Take the tokens out of chunks, and name the model where the provider does not."""
    for chunk in batch:
        if chunk.get("usage"):
            context.usage = usage_of(chunk["usage"]) or context.usage
        if not chunk.get("model"):
            chunk["model"] = request.model or ""


def forwarded_headers(context: RequestContext, call: Call) -> dict[str, str]:
    """The headers of one request to an upstream: what may be forwarded, its id, what filters and the call say.

    The trace goes on there, under the span of this call.
    """
    headers = {name: context.headers[name] for name in _FORWARDED_HEADERS if name in context.headers}
    headers["x-request-id"] = context.request_id
    headers.update(trace_headers(context.span, context.headers))
    for name, value in context.upstream_headers.items():
        if value is not None:
            headers[name] = value
        else:
            headers.pop(name, None)
    headers.update(call.headers)
    return headers


async def raise_for_status(name: str, dialect: ProviderDialect, response: UpstreamResponse) -> None:
    """Raise the ``UpstreamError`` that an answer with another status than 200 stands for."""
    if response.status == HTTPStatus.OK:
        return
    if response.status < HTTPStatus.BAD_REQUEST:
        raise UpstreamProtocolError(f"'{name}' answered with status {response.status}, which is no answer.")
    try:
        details = dialect.decode_error(await response.read(_MAX_ERROR_BYTES))
    except UpstreamError:
        details = None  # the status is known, and says more than what went wrong with its explanation
    raise _status_error(name, details, response)


def _status_error(name: str, details: ErrorDetails | None, response: UpstreamResponse) -> UpstreamStatus:
    """The upstream's own error where it speaks the dialect, else one that says which upstream failed."""
    status = response.status
    kind = "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "upstream_error"
    return UpstreamStatus(
        details.message if details else f"'{name}' answered with status {status}.",
        status=status,
        code=(details and details.code) or "upstream_error",
        type_=(details and details.type) or kind,
        param=details.param if details else None,
        retry_after_s=_retry_after(response.header("Retry-After")),
    )


def _retry_after(value: str | None) -> float | None:
    """``Retry-After`` in seconds from now: a number, or a date (RFC 9110, section 10.2.3)."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return min(float(value), _MAX_RETRY_AFTER_S)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    if when.tzinfo is None:
        return None
    return min(max(0.0, when.timestamp() - time.time()), _MAX_RETRY_AFTER_S)
