"""The channel between ``trident up`` and each of its processes, from the process's end.

A socket pair. The supervisor sends the configuration that it has checked (every worker serves the same one, whatever
happens to the file later), the worker answers that it is ready. From then on the supervisor may send commands, each
with a number, which the worker answers under the same number when it has carried them out. All the while the worker
watches for the other end: a worker whose supervisor is gone, even by SIGKILL, ends at once, so that nothing is left
behind and the ports are free.

Commands are pickled: they come from the parent process, over a pair that nobody else can open. Answers are JSON: a
worker reads what strangers send it, and its supervisor does not.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import socket
import threading
from collections.abc import Mapping
from typing import Any

import orjson

from router.config import LoadedConfig
from router.errors import OperatorError
from router.runtime.succession import CarryOut, Command

logger = logging.getLogger(__name__)

# What the worker sends when every listener of it accepts connections.
READY = b"R"

# Length of what follows, big-endian.
SIZE_BYTES = 8

# Far above what a worker has to say.
MAX_ANSWER_BYTES = 4 * 1024 * 1024


def framed(content: bytes) -> bytes:
    """``content`` as it goes over the channel."""
    return len(content).to_bytes(SIZE_BYTES, "big") + content


class SupervisorChannel:
    """The worker's end. One call each, in this order: `receive_config`, `end_with_supervisor`, `announce_ready`.

    Commands are carried out from `take_commands` on, which is called in the event loop.
    """

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._carry_out: CarryOut | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def receive_config(self) -> LoadedConfig:
        """The configuration to serve; blocks until the supervisor has sent it."""
        content = self._read_frame()
        if content is None:
            raise SystemExit(1)
        loaded = pickle.loads(content)  # noqa: S301
        if not isinstance(loaded, LoadedConfig):
            raise TypeError(f"expected a configuration, got {type(loaded).__name__}")
        return loaded

    def end_with_supervisor(self) -> None:
        """From now on, end this process when the supervisor's end closes."""
        threading.Thread(target=self._watch, name="supervisor-watch", daemon=True).start()

    def take_commands(self, carry_out: CarryOut) -> None:
        """Have ``carry_out`` do what the supervisor says. It says nothing before it has been told of readiness."""
        self._loop, self._carry_out = asyncio.get_running_loop(), carry_out

    def announce_ready(self) -> None:
        """Tell the supervisor that every listener accepts connections."""
        self._socket.send(READY)

    def _watch(self) -> None:
        while (content := self._read_frame()) is not None:
            number, command = pickle.loads(content)  # noqa: S301
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._begin, number, command)
        # No clean-up: Triton went with the supervisor, and the next start needs the ports.
        os._exit(1)

    def _begin(self, number: int, command: Command) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(number, command))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, number: int, command: Command) -> None:
        answer: Mapping[str, Any]
        try:
            if self._carry_out is None:
                raise OperatorError("Nothing can be changed in this process.")
            answer = {"result": await self._carry_out(command)}
        except OperatorError as exc:
            answer = {"error": exc.message, "fix": exc.fix}
        except Exception:
            logger.exception("command failed", extra={"action": command.action})
            answer = {"error": "A worker failed at this; its log has the details.", "fix": None}
        # The supervisor reads all the time, and a frame fits into the socket's buffer.
        self._socket.sendall(framed(orjson.dumps({"number": number, **answer})))

    def _read_frame(self) -> bytes | None:
        size = self._read_exactly(SIZE_BYTES)
        return None if size is None else self._read_exactly(int.from_bytes(size, "big"))

    def _read_exactly(self, size: int) -> bytes | None:
        received = bytearray()
        while len(received) < size:
            part = self._socket.recv(size - len(received))
            if not part:
                return None
            received += part
        return bytes(received)
