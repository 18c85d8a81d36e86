"""A process of ``trident up``: started with its configuration, and ended with its supervisor (``channel``)."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from router.aio import timeout
from router.cli.channel import READY, SIZE_BYTES

# Nothing of the working directory may shadow a module of ours: it is first on the path of `python -c` and `python -m`.
_BOOT = "import sys; del sys.path[0]; from router.cli.main import main; main()"

# It imports the gateway and binds its ports; far above what a busy machine needs for that.
READY_WITHIN_S = 60.0


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
                await asyncio.get_running_loop().sock_sendall(ours, len(config).to_bytes(SIZE_BYTES, "big") + config)
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
        self._channel.close()
