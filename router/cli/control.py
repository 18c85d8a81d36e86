"""How other commands of the same user speak to the supervisor of a running instance: one command per connection.

A line of JSON each way: ``{"command": ..., ...}`` in; out any number of steps, and at the end ``{"end": true}``, with
``error`` (and ``fix``, ``problems``) where it failed. Whoever asks may go away; what was begun goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import orjson

from router.aio import timeout
from router.config import ConfigErrors
from router.dialects.canonical import JsonObject
from router.errors import OperatorError
from router.observer.unix_socket import bind_in, is_trusted
from router.telemetry.channel import socket_address

logger = logging.getLogger(__name__)

SOCKET_NAME = "control.sock"

_MAX_LINE_BYTES = 1024 * 1024
_REQUEST_WITHIN_S = 5.0

Say: TypeAlias = Callable[[JsonObject], None]
"""Takes a step, for whoever asks."""

Handler: TypeAlias = Callable[[Mapping[str, Any], Say], Awaitable[JsonObject]]
"""Gets the fields of a command, gives the fields of its end. Raises ``OperatorError`` or ``ConfigErrors``."""


class Refused(OperatorError):
    """A command failed; ``problems`` are those of a configuration file, each on a line as `trident check` prints it."""

    def __init__(self, message: str, *, fix: str | None, problems: tuple[str, ...]) -> None:
        super().__init__(message, fix=fix)
        self.problems = problems


class ControlServer:
    """Carries out the commands of ``handlers``, by name. `open` it, and ``close`` it before what they change."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, folder: Path) -> None:
        """Listen. Raises ``OperatorError`` when that cannot be."""
        try:
            endpoint = bind_in(folder, SOCKET_NAME)
            self._server = await asyncio.start_unix_server(self._serve, sock=endpoint, limit=_MAX_LINE_BYTES)
        except OSError as exc:
            raise OperatorError(f"The control socket in {folder} cannot be made: {exc.strerror or exc}.") from exc

    async def close(self) -> None:
        """Stop listening, and end what is being carried out."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            if is_trusted(writer.get_extra_info("socket")):
                async with timeout(_REQUEST_WITHIN_S):
                    line = await reader.readline()
                await self._carry_out(line, writer)
        except (OSError, ValueError, asyncio.TimeoutError, TimeoutError):
            logger.info("a control connection ended early")
        finally:
            writer.close()

    async def _carry_out(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        def say(step: JsonObject) -> None:
            if not writer.is_closing():
                writer.write(orjson.dumps(step) + b"\n")

        request = orjson.loads(line)
        handler = self._handlers.get(request.get("command"))
        end: JsonObject
        try:
            if handler is None:
                raise OperatorError(
                    "This instance has no such command.", fix="Restart it with this version of Trident."
                )
            end = await handler(request, say)
        except ConfigErrors as exc:
            problems = [problem.format(exc.path) for problem in exc.problems]
            end = {"error": f"{exc.path} is refused; nothing changed.", "fix": None, "problems": problems}
        except OperatorError as exc:
            end = {"error": exc.message, "fix": exc.fix}
        except Exception:
            logger.exception("command failed", extra={"command": request.get("command")})
            end = {"error": "The instance failed at this; its log has the details.", "fix": None}
        say({**end, "end": True})
        with suppress(OSError):
            await writer.drain()


async def tell(folder: Path, command: str, **arguments: Any) -> AsyncGenerator[JsonObject, None]:
    """The steps of one command to the instance that keeps its state in ``folder``; its end comes last.

    Raises ``OperatorError`` where nobody listens, ``Refused`` where it failed.
    """
    try:
        reader, writer = await asyncio.open_unix_connection(socket_address(folder, SOCKET_NAME), limit=_MAX_LINE_BYTES)
    except OSError as exc:
        raise OperatorError("The instance does not answer.", fix="`trident up` starts it.") from exc
    try:
        writer.write(orjson.dumps({"command": command, **arguments}) + b"\n")
        while line := await reader.readline():
            step: JsonObject = orjson.loads(line)
            if "error" in step:
                raise Refused(step["error"], fix=step["fix"], problems=tuple(step.get("problems", ())))
            yield step
            if step.get("end"):
                return
        raise OperatorError("The instance went away before it had answered.")
    except (OSError, ValueError) as exc:
        raise OperatorError("The instance went away before it had answered.") from exc
    finally:
        writer.close()
