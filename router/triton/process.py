"""One run of tritonserver: the process, its model processes ("stubs"), and their end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from router.aio import timeout

# Asks the kernel to send SIGTERM when the gateway dies (prctl PR_SET_PDEATHSIG, which exec keeps), then becomes the
# server. A process of its own instead of a preexec_fn, which may deadlock in a process with threads, as gRPC has them.
# SIGTERM rather than SIGKILL: only Triton itself ends its model processes and removes their shared memory.
_LAUNCHER = """\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the gateway is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


class TritonProcess:
    """A running tritonserver in a session of its own, so that Ctrl-C reaches the gateway only, which drains first."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._ended = asyncio.Event()
        threading.Thread(
            target=self._reap, args=(asyncio.get_running_loop(),), name="triton-reaper", daemon=True
        ).start()

    @classmethod
    def spawn(cls, command: Sequence[str], *, environment: Mapping[str, str], output: int) -> TritonProcess:
        """Start ``command`` with its output to the descriptor ``output``. Call it in the thread of the event loop.

        The server gets SIGTERM when that thread ends, however that comes about. asyncio's subprocesses are not used:
        uvloop forks for them, which gRPC's threads do not take well, while ``Popen`` has a vfork here.
        """
        launcher = (sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()))
        process = subprocess.Popen(  # noqa: S603 - a binary of the wheel, no shell
            [*launcher, *command],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        return cls(process)

    @property
    def pid(self) -> int:
        """The server's process id, which is also the id of the process group of server and stubs."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the server has not ended yet."""
        return not self._ended.is_set()

    async def wait(self) -> int:
        """Wait for the end of the server; its exit status, negative for a signal. Its stubs may still be there."""
        await self._ended.wait()
        return self._process.returncode

    async def stop(self, timeout_s: float) -> None:
        """Ask the server to finish; after ``timeout_s``, or when cancelled, end it and its stubs by force."""
        try:
            if self.running:
                self._process.terminate()
                with contextlib.suppress(TimeoutError):
                    async with timeout(timeout_s):
                        await self.wait()
        finally:
            self._kill_group()
        await self.wait()

    async def kill(self) -> None:
        """End server and stubs by force: a stub whose server was killed waits for ever."""
        self._kill_group()
        await self.wait()

    def dead_stubs(self) -> frozenset[int]:
        """The process ids of model processes that ended without the server taking note of it (zombies).

        Empty where the kernel does not list children (CONFIG_PROC_CHILDREN).
        """
        dead: set[int] = set()
        for children in Path(f"/proc/{self.pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                dead.update(int(pid) for pid in children.read_text(encoding="ascii").split() if _is_zombie(pid))
        return frozenset(dead)

    def _reap(self, loop: asyncio.AbstractEventLoop) -> None:
        self._process.wait()
        with contextlib.suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(self._ended.set)

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


def _is_zombie(pid: str) -> bool:
    # "4711 (name) Z 1 ...": the name may contain anything, also ") ".
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(") ")[2].startswith("Z")
