"""An MCP server of the time before sessions were optional, written from the specification, on port 0.

Revision 2025-06-18 over streamable HTTP: ``initialize`` opens a session, which every other request has to name. It has
one tool, ``guard``, and answers as JSON or as a stream of events.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal

from tests.fakes.agents import FakeAgent
from tests.fakes.http_exchange import Exchange, head

# What the tool makes of its arguments: the result of ``tools/call``.
Tool = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


def text_result(value: object) -> dict[str, Any]:
    """A result as JSON in its text."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return {"content": [{"type": "text", "text": text}]}


def refused(text: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], "isError": True}


@dataclass
class FakeMcpServer:
    """A running fake; ``url`` is known inside ``async with``. ``forget`` makes it lose all of its sessions."""

    tool: Tool
    manner: Literal["json", "events"] = "json"
    calls: list[dict[str, Any]] = field(default_factory=list)
    call_headers: list[Mapping[str, str]] = field(default_factory=list)
    sessions: set[str] = field(default_factory=set)
    opened: int = 0
    broken: bool = False
    """Whether every request is answered with 503."""

    def __post_init__(self) -> None:
        self.http = FakeAgent(behaviour=self._serve)

    @property
    def url(self) -> str:
        return f"{self.http.url}/mcp"

    async def __aenter__(self) -> FakeMcpServer:
        await self.http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.stop()

    def forget(self) -> None:
        self.sessions.clear()

    async def _serve(self, exchange: Exchange) -> None:
        request = exchange.request
        session = request.headers.get("mcp-session-id")
        if self.broken:
            await exchange.send(head(503, {"content-length": "0"}))
        elif request.method == "GET":
            await exchange.send(head(405, {"content-length": "0"}))
        elif request.method == "DELETE":
            self.sessions.discard(session or "")
            await exchange.send(head(200, {"content-length": "0"}))
        else:
            await self._answer(exchange, request.json, session)

    async def _answer(self, exchange: Exchange, message: dict[str, Any], session: str | None) -> None:
        method = message["method"]
        if method == "initialize":
            self.opened += 1
            session = f"session-{self.opened}"
            self.sessions.add(session)
            await self._send(exchange, message, self._initialized(), {"mcp-session-id": session})
        elif session is None:
            await exchange.send_json({"error": "no session"}, status=400)
        elif session not in self.sessions:
            await exchange.send(head(404, {"content-length": "0"}))
        elif "id" not in message:
            await exchange.send(head(202, {"content-length": "0"}))
        elif method == "tools/list":
            tool = {"name": "guard", "inputSchema": {"type": "object"}}
            await self._send(exchange, message, {"tools": [tool]}, {})
        else:
            self.calls.append(message["params"])
            self.call_headers.append(exchange.request.headers)
            await self._send(exchange, message, await self.tool(message["params"]["arguments"]), {})

    def _initialized(self) -> dict[str, Any]:
        return {
            "protocolVersion": "2025-06-18",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "fake", "version": "1"},
        }

    async def _send(
        self, exchange: Exchange, message: dict[str, Any], result: dict[str, Any], headers: Mapping[str, str]
    ) -> None:
        reply = {"jsonrpc": "2.0", "id": message["id"], "result": result}
        raw = json.dumps(reply, ensure_ascii=False).encode()
        kind = "application/json"
        if self.manner == "events":
            raw, kind = b"event: message\ndata: " + raw + b"\n\n", "text/event-stream"
        await exchange.send(head(200, {"content-type": kind, "content-length": str(len(raw)), **headers}) + raw)
        await asyncio.sleep(0)
