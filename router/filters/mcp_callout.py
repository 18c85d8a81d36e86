"""``mcp``: a tool of an MCP server that gets bodies and gives back what is to become of them.

The tool is called with ``{"body", "path"}``; ``bodies`` says what the body looks like. What it gives back is the body
that goes on, in ``structuredContent.result`` or as JSON in the first text of its content; ``{"answer": ...}`` alone
answers the client. ``isError`` refuses the request, with status 400 and the tool's text.

As an output filter the tool gets the whole answer in the client's dialect, also where the client reads a stream, which
is held until then. What it gives back is the answer; ``isError`` ends it with the tool's text as a refusal.
"""

from __future__ import annotations

from typing import Any

import orjson
from mcp_types import CallToolResult, TextContent

from router.context import RequestContext
from router.dialects.canonical import ChatRequest, JsonObject, encode_json
from router.dialects.registry import CLIENT_DIALECTS, PROVIDER_DIALECTS
from router.errors import UpstreamProtocolError
from router.filters.base import AnswerFilter, Blocked, Rejection, RequestOutcome
from router.filters.bodies import BodyView, read_back
from router.filters.forwarding import HeaderForwarding
from router.filters.mcp_session import McpSession
from router.filters.service_messages import shortened
from router.filters.whole_answer import WholeAnswer


class McpFilter:
    """One tool of one MCP server; ``session`` is its own, and closed with it."""

    def __init__(self, name: str, tool: str, session: McpSession, view: BodyView, forwarding: HeaderForwarding) -> None:
        self.name = name
        self._tool = tool
        self._session = session
        self._view = view
        self._forwarding = forwarding

    async def on_request(self, request: ChatRequest, context: RequestContext) -> RequestOutcome:
        """What the tool makes of the request. Raises ``UpstreamError`` when it fails."""
        body = self._view.encode(request)
        result = await self._called(body, context)
        if isinstance(result, Rejection):
            return result
        return read_back(self._view, request, body, result, self.name)

    def answer_filter(self, request: ChatRequest, context: RequestContext) -> AnswerFilter:
        """Who shows whole answers to the tool."""

        async def judge(completion: JsonObject) -> JsonObject | Blocked:
            sent = CLIENT_DIALECTS[request.dialect].encode_completion(completion, request)
            result = await self._called(sent, context)
            if isinstance(result, Rejection):
                return Blocked(result.message)
            if result == orjson.loads(sent):
                return completion
            return PROVIDER_DIALECTS[request.dialect].decode_completion(encode_json(result), self.name)

        return WholeAnswer(judge)

    async def close(self) -> None:
        """End the session."""
        await self._session.close()

    async def _called(self, body: bytes, context: RequestContext) -> Any:
        """The value that the tool gives back, or a rejection."""
        arguments = {"body": orjson.loads(body), "path": context.path}
        result = await self._session.call(self._tool, arguments, self._forwarding.headers(context))
        if result.is_error:
            return Rejection(shortened(_text(result)) or f"The filter '{self.name}' refused this.")
        return _value(result, self.name)


def _value(result: CallToolResult, source: str) -> Any:
    structured = result.structured_content
    text = _text(result)
    if isinstance(structured, dict) and "result" in structured:
        if not isinstance(structured["result"], str):
            return structured["result"]
        text = structured["result"]
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        if structured:
            return structured
        raise UpstreamProtocolError(f"'{source}' sent a result that is not JSON.") from exc


def _text(result: CallToolResult) -> str:
    return next((part.text for part in result.content if isinstance(part, TextContent)), "")
