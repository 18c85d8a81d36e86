"""One HTTP request over a connection of its own."""

from __future__ import annotations

import asyncio


async def get(port: int, path: str, *, accept: str = "*/*", method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    """Status, headers (names in lower case) and body of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode())
    data = await reader.read()
    writer.close()
    before, _, body = data.partition(b"\r\n\r\n")
    line, *fields = before.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (field.split(": ", 1) for field in fields)}
    return int(line.split()[1]), headers, body
