"""A filter as an MCP server: keeps a shop's assistant to questions about the shop.

pip install -r requirements.txt
python mcp_filter.py
"""

from __future__ import annotations

from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

OFF_TOPIC = ("election", "medical advice", "stock tip")

server = MCPServer("shop-filters")


@server.tool()
async def shop_guard(body: dict[str, Any], path: str) -> dict[str, Any]:
    """The body as it goes on; an error is what the client reads."""
    for message in body["messages"]:
        content = message.get("content")
        if message["role"] == "user" and any(topic in str(content).lower() for topic in OFF_TOPIC):
            raise ToolError("I only know about the shop. What would you like to buy?")
    note = {"role": "system", "content": "The shop is open from 9 to 18 o'clock."}
    return {**body, "messages": [note, *body["messages"]]}


if __name__ == "__main__":
    server.run("streamable-http", port=10502)
