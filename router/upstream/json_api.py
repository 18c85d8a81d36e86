"""Asking a provider for something other than an answer to a conversation: JSON in, JSON out, relayed as it is."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping

import orjson

from router.context import RequestContext
from router.dialects import openai_chat
from router.dialects.canonical import ChatRequest, encode_json, usage_of
from router.errors import InvalidRequest, UpstreamProtocolError
from router.upstream.chat import forwarded_headers, raise_for_status
from router.upstream.http import HttpClient
from router.upstream.service import Call


class JsonApi:
    """One API of one provider, in the manner of OpenAI's; an ``Upstream`` that never streams.

    ``call`` says where a body for a model goes; ``None`` where the provider has no such API.
    """

    def __init__(
        self,
        name: str,
        call: Callable[[str, bytes, RequestContext], Call | None],
        client: HttpClient,
        *,
        max_response_bytes: int,
    ) -> None:
        self.name = name
        self._call = call
        self._client = client
        self._max_response_bytes = max_response_bytes

    async def complete(self, request: ChatRequest, context: RequestContext) -> bytes:
        """The provider's bytes. Raises ``InvalidRequest`` where it has no such API, else ``UpstreamError``."""
        body = request.native_body() or encode_json(request.payload)
        call = self._call(request.model or "", body, context)
        if call is None:
            raise InvalidRequest(f"'{self.name}' has no API at {context.path}.", param="model")
        async with self._client.post(call.endpoint, body, forwarded_headers(context, call)) as response:
            await raise_for_status(self.name, openai_chat, response)
            answer = await response.read(self._max_response_bytes)
        payload = _object(answer, self.name)
        context.usage = usage_of(payload.get("usage")) or context.usage
        return answer

    async def stream(self, request: ChatRequest, context: RequestContext) -> AsyncGenerator[bytes, None]:
        """The whole answer as the only item."""
        yield await self.complete(request, context)


def _object(answer: bytes, source: str) -> Mapping[str, object]:
    try:
        payload = orjson.loads(answer)
    except orjson.JSONDecodeError as exc:
        raise UpstreamProtocolError(f"'{source}' sent an answer that is not valid JSON.") from exc
    if not isinstance(payload, dict):
        raise UpstreamProtocolError(f"'{source}' sent an answer that is not a JSON object.")
    return payload
