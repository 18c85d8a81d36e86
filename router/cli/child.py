"""A process of ``trident up``: started with its configuration, and ended with its supervisor (``channel``)."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson

from router.aio import timeout
from router.cli.channel import MAX_ANSWER_BYTES, READY, SIZE_BYTES, framed
from router.errors import OperatorError
from router.runtime.succession import Command

# Nothing of the working directory may shadow a module of ours: it is first on the path of `python -c` and `python -m`.
_BOOT = "import sys; del sys.path[0]; from router.cli.main import main; main()"

# It imports the gateway and binds its ports; far above what a busy machine needs for that.
READY_WITHIN_S = 60.0

# Preparing a configuration opens stores, also on other machines.
ANSWER_WITHIN_S = 30.0

# For the end of the channel to be noticed once the process has ended.
_ANSWERS_WITHIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before the n-th restart in a row; a process that lived ``forget_after_s`` starts afresh."""

    first_s: float = 0.2
    factor: float = 2.0
    longest_s: float = 30.0
    forget_after_s: float = 60.0

    def delay_s(self, failures: int) -> float:
        """The wait after ``failures`` (from 1) short lives in a row."""
        return float(min(self.longest_s, self.first_s * self.factor ** (failures - 1)))


class Child:
    """One process and the supervisor's end of its channel."""

    def __init__(self, process: asyncio.subprocess.Process, channel: socket.socket) -> None:
        self.process = process
        self._channel = channel
        self._numbers = 0
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._sending = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def spawn(cls, command: str, arguments: Sequence[str], config: bytes) -> Child:
        """Start ``trident COMMAND`` and send it its configuration, pickled."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            with theirs:
                descriptor = theirs.fileno()
                # A session of its own: Ctrl-C reaches the supervisor only, which decides what the others are told.
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-c",
                    _BOOT,
                    command,
                    *arguments,
                    "--supervisor-fd",
                    str(descriptor),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=(descriptor,),
                    start_new_session=True,
                )
        except BaseException:
            ours.close()
            raise
        child = cls(process, ours)
        try:
            with suppress(ConnectionError):
                await asyncio.get_running_loop().sock_sendall(ours, framed(config))
        except BaseException:
            await child.end()
            raise
        return child

    async def ready(self) -> bool:
        """Wait until it serves; ``False`` when it ended, or took too long, before that."""
        try:
            async with timeout(READY_WITHIN_S):
                return await asyncio.get_running_loop().sock_recv(self._channel, 1) == READY
        except (TimeoutError, asyncio.TimeoutError, ConnectionError):
            return False

    async def tell(self, command: Command, *, within_s: float | None = ANSWER_WITHIN_S) -> Mapping[str, Any]:
        """Have a worker that is ready carry out ``command``; what it says about it.

        Raises ``OperatorError`` when it could not, when it ended meanwhile, and when it takes longer than ``within_s``.
        """
        try:
            async with timeout(within_s):
                answer = await self._ask(command)
        except (TimeoutError, asyncio.TimeoutError) as exc:
            raise OperatorError("A worker did not answer in time.", fix="Its log may say why.") from exc
        except OSError as exc:
            raise OperatorError("A worker ended meanwhile.") from exc
        if "error" in answer:
            raise OperatorError(answer["error"], fix=answer["fix"])
        result: Mapping[str, Any] = answer["result"]
        return result

    async def _ask(self, command: Command) -> dict[str, Any]:
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_answers(), name="worker's answers")
        self._numbers += 1
        number = self._numbers
        answered: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._asked[number] = answered
        try:
            async with self._sending:
                frame = framed(pickle.dumps((number, command)))
                await asyncio.get_running_loop().sock_sendall(self._channel, frame)
            if self._reading.done():
                raise ConnectionError("the worker has ended")
            return await answered
        finally:
            del self._asked[number]

    async def _read_answers(self) -> None:
        try:
            while True:
                size = int.from_bytes(await self._read_exactly(SIZE_BYTES), "big")
                if size > MAX_ANSWER_BYTES:
                    raise ConnectionError("a worker says too much")
                answer = orjson.loads(await self._read_exactly(size))
                asked = self._asked.get(answer["number"])
                if asked is not None and not asked.done():
                    asked.set_result(answer)
        except OSError:
            for asked in self._asked.values():
                if not asked.done():
                    asked.set_exception(ConnectionError("the worker has ended"))

    async def _read_exactly(self, size: int) -> bytes:
        received = bytearray()
        while len(received) < size:
            part = await asyncio.get_running_loop().sock_recv(self._channel, size - len(received))
            if not part:
                raise ConnectionError("the worker has ended")
            received += part
        return bytes(received)

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when it has ended."""
        # Not `process.send_signal`: it polls first, which takes the exit status away from asyncio's own wait.
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, number)

    async def end(self) -> None:
        """Kill it if it still runs, reap it, close the channel."""
        if self.process.returncode is None:
            self.send(signal.SIGKILL)
            await self.process.wait()
        if self._reading is not None:
            await asyncio.wait({self._reading}, timeout=_ANSWERS_WITHIN_S)
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        self._channel.close()
