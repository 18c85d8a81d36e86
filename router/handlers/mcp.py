"""An MCP server over streamable HTTP, without sessions: every POST is answered with one JSON object.

https://modelcontextprotocol.io/specification, in the revisions with a handshake (``initialize``) and in 2026-07-28,
where each request names its revision in ``_meta`` and nothing is negotiated. It offers tools and nothing else, and
never speaks first, so there is no stream to open with GET and no session to end with DELETE.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import orjson

from router import __version__
from router.access.control import AccessControl, estimated_tokens
from router.context import LocalReply, RequestContext
from router.dialects.canonical import ChatRequest, chunks_of, completion, completion_text, encode_json
from router.errors import GatewayError
from router.handlers.admission import Admission
from router.handlers.filtered_agent import assembled, one_batch, through
from router.handlers.reply import JSON, Reply
from router.handlers.tools import Tool, ToolResult, error_result

PATH = "/mcp"

HANDSHAKE_REVISIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
STATELESS_REVISIONS = ("2026-07-28",)

# https://www.jsonrpc.org/specification, section 5.1, and MCP's own below them.
_PARSE_ERROR, _INVALID_REQUEST, _METHOD_NOT_FOUND, _INVALID_PARAMS = -32700, -32600, -32601, -32602
_HEADER_MISMATCH, _UNSUPPORTED_VERSION = -32020, -32022

_REVISION_HEADER, _METHOD_HEADER = "mcp-protocol-version", "mcp-method"
_REVISION_KEY = "io.modelcontextprotocol/protocolVersion"
_SERVER_KEY = "io.modelcontextprotocol/serverInfo"
_SERVER = {"name": "trident", "version": __version__}
_CAPABILITIES: Mapping[str, Any] = {"tools": {"listChanged": False}}


class _Refused(Exception):
    """A request that is answered with a JSON-RPC error."""

    def __init__(self, code: int, message: str, *, status: int = 200, data: object = None) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"code": code, "message": message, **({} if data is None else {"data": data})}


class McpHandler:
    """The tools of one listener, behind its filters, guards and limits."""

    def __init__(self, tools: Sequence[Tool], admission: Admission, access: AccessControl) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._list = [
            {"name": tool.name, "description": tool.description, "inputSchema": dict(tool.input_schema)}
            for tool in tools
        ]
        self._admission = admission
        self._access = access

    async def serve(self, context: RequestContext, body: bytes) -> Reply:
        """``POST``: one message. Errors of the protocol are JSON-RPC errors, those of tools are results."""
        id_: object = None
        try:
            _check_origin(context)
            message = _decoded(body)
            id_ = message.get("id")
            method, params = message["method"], message.get("params") or {}
            if "id" not in message:
                return Reply(202, JSON, b"")
            stateless = _is_stateless(context, method, params)
            result = await self._answer(method, params, context, stateless=stateless)
        except _Refused as exc:
            return _reply(exc.status, {"jsonrpc": "2.0", "id": id_, "error": exc.error})
        if stateless:
            result = {"resultType": "complete", "_meta": {_SERVER_KEY: _SERVER}, **result}
        return _reply(200, {"jsonrpc": "2.0", "id": id_, "result": result})

    async def _answer(
        self, method: str, params: Mapping[str, Any], context: RequestContext, *, stateless: bool
    ) -> Mapping[str, Any]:
        cacheable = {"ttlMs": 0, "cacheScope": "private"} if stateless else {}
        if method == "initialize" and not stateless:
            asked = params.get("protocolVersion")
            revision = asked if asked in HANDSHAKE_REVISIONS else HANDSHAKE_REVISIONS[-1]
            return {"protocolVersion": revision, "capabilities": _CAPABILITIES, "serverInfo": _SERVER}
        if method == "server/discover" and stateless:
            return {"supportedVersions": list(STATELESS_REVISIONS), "capabilities": _CAPABILITIES, **cacheable}
        if method == "ping":
            return {}
        if method == "tools/list":
            return {"tools": self._list, **cacheable}
        if method == "tools/call":
            return _tool_result(await self._call(params, context))
        raise _Refused(_METHOD_NOT_FOUND, "There is no such method here.", status=404 if stateless else 200)

    async def _call(self, params: Mapping[str, Any], context: RequestContext) -> ToolResult:
        tool = self._tools.get(str(params.get("name")))
        if tool is None:
            raise _Refused(_INVALID_PARAMS, "There is no such tool here.")
        arguments = params.get("arguments")
        if not isinstance(arguments, dict | None):
            raise _Refused(_INVALID_PARAMS, "'arguments' must be an object.")
        try:
            return await self._called(tool, arguments or {}, context)
        except GatewayError as exc:
            return error_result(exc)

    async def _called(self, tool: Tool, arguments: Mapping[str, Any], context: RequestContext) -> ToolResult:
        asked = tool.request(arguments)
        await self._access.admit(context, None, estimated_tokens(len(encode_json(arguments))))
        request = await self._admission.filtered(asked, context)
        if isinstance(request, Reply):  # a filter has answered
            return ToolResult(completion_text(orjson.loads(request.body if isinstance(request.body, bytes) else b"")))

        async def decide(_: ChatRequest, target: str | None) -> str | None:
            return target

        admitted = await self._admission.admit_while(request, context, decide)
        if isinstance(admitted, LocalReply):
            return ToolResult(admitted.message, is_error=True)
        if admitted.decision not in (None, tool.name):
            return ToolResult(f"This is for '{admitted.decision}'.", is_error=True)
        return await self._looked_at(await tool.call(admitted.request, context), context)

    async def _looked_at(self, result: ToolResult, context: RequestContext) -> ToolResult:
        """``result`` as whatever looks at answers lets it through."""
        if context.answer_transform is None:
            return result
        whole = completion({"content": result.text}, model="")
        shown = await assembled(through(one_batch(chunks_of(whole)), context.answer_transform))
        text = completion_text(shown)
        if shown["choices"][0].get("finish_reason") == "content_filter":
            return ToolResult(text, is_error=True)
        return result if text == result.text else ToolResult(text, is_error=result.is_error)


def _decoded(body: bytes) -> Mapping[str, Any]:
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _Refused(_PARSE_ERROR, "The body is not valid JSON.", status=400) from None
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise _Refused(_INVALID_REQUEST, "The body is not one JSON-RPC 2.0 message.", status=400)
    if not isinstance(message.get("method"), str):
        raise _Refused(_INVALID_REQUEST, "'method' must be a string; nothing was asked here.", status=400)
    if not isinstance(message.get("params"), dict | None):
        raise _Refused(_INVALID_PARAMS, "'params' must be an object.", status=400)
    if "id" in message and (not isinstance(message["id"], str | int) or isinstance(message["id"], bool)):
        raise _Refused(_INVALID_REQUEST, "'id' must be a string or a whole number.", status=400)
    return message


def _is_stateless(context: RequestContext, method: str, params: Mapping[str, Any]) -> bool:
    """Whether a request speaks a revision without a handshake. Raises for one that is not served."""
    header = context.headers.get(_REVISION_HEADER)
    meta = params.get("_meta")
    named = meta.get(_REVISION_KEY) if isinstance(meta, dict) else None
    if named is None and (header is None or header in HANDSHAKE_REVISIONS):
        return False
    revision = named if named is not None else header
    if revision not in STATELESS_REVISIONS:
        data = {"supported": [*HANDSHAKE_REVISIONS, *STATELESS_REVISIONS], "requested": str(revision)}
        raise _Refused(_UNSUPPORTED_VERSION, "This revision of MCP is not spoken here.", status=400, data=data)
    if header != revision or context.headers.get(_METHOD_HEADER) != method:
        raise _Refused(_HEADER_MISMATCH, "The headers do not say what the body says.", status=400)
    return True


def _check_origin(context: RequestContext) -> None:
    """A web page may only ask from where it came from: else any page could reach a gateway on its visitor's machine.

    That a page was served under our name says nothing without an API key: whoever owns a name can let it point here
    once the page is loaded (DNS rebinding). An address, or ``localhost``, cannot be pointed elsewhere.
    """
    origin = context.headers.get("origin")
    if origin is None:
        return
    try:
        page = urlsplit(origin)
        own = page.netloc.casefold() == context.headers.get("host", "").casefold()
        fixed = page.hostname is not None and _is_fixed(page.hostname)
    except ValueError:
        own = fixed = False
    if not own or not (fixed or context.identity is not None):
        raise _Refused(_INVALID_REQUEST, "Pages of other origins may not ask here.", status=403)


def _is_fixed(host: str) -> bool:
    """Whether nobody can let this host be another machine."""
    if host == "localhost":
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _tool_result(result: ToolResult) -> dict[str, Any]:
    shown: dict[str, Any] = {"content": [{"type": "text", "text": result.text}], "isError": result.is_error}
    if isinstance(result.value, dict):
        shown["structuredContent"] = result.value
    return shown


def _reply(status: int, message: Mapping[str, Any]) -> Reply:
    return Reply(status, JSON, orjson.dumps(message))
