"""Asking the telemetry process of a running instance, from another process of the same user."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from router.dialects.canonical import JsonObject
from router.errors import OperatorError
from router.telemetry import frames
from router.telemetry.channel import socket_address

_READ_BYTES = 64 * 1024


async def ask(folder: Path, what: str, **arguments: Any) -> AsyncGenerator[JsonObject, None]:
    """The results of one query (``queries``) to the telemetry process that keeps its socket in ``folder``.

    Raises ``OperatorError`` where there is no such process, where it cannot answer, and where it goes away meanwhile.
    Closing the generator ends the query.
    """
    try:
        reader, writer = await asyncio.open_unix_connection(socket_address(folder))
    except OSError as exc:
        raise OperatorError(
            "The telemetry process of this instance does not answer.",
            fix="`trident up` starts it; its messages are in the gateway's log.",
        ) from exc
    try:
        writer.write(frames.encode({"type": "query", "what": what, **arguments}))
        incoming = frames.FrameReader()
        while data := await reader.read(_READ_BYTES):
            for message, _ in incoming.feed(data):
                if message.get("error"):
                    raise OperatorError(str(message["error"]))
                if message.get("end"):
                    return
                yield message
        raise OperatorError("The telemetry process went away before it had answered.")
    except (ConnectionError, frames.FrameError) as exc:
        raise OperatorError("The telemetry process went away before it had answered.") from exc
    finally:
        writer.close()
