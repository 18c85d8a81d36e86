"""The channel between ``trident up`` and each of its workers, from the worker's end.

A socket pair. The supervisor sends the configuration that it has checked (every worker serves the same one, whatever
happens to the file later), the worker answers that it is ready, and from then on it only watches for the other end: a
worker whose supervisor is gone, even by SIGKILL, ends at once, so that nothing is left behind and the ports are free.
"""

from __future__ import annotations

import os
import pickle
import socket
import threading

from router.config import LoadedConfig

# What the worker sends when every listener of it accepts connections.
READY = b"R"

# Length of the pickled configuration that follows, big-endian.
SIZE_BYTES = 8


class SupervisorChannel:
    """The worker's end. One call each, in this order: `receive_config`, `end_with_supervisor`, `announce_ready`."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)

    def receive_config(self) -> LoadedConfig:
        """The configuration to serve; blocks until the supervisor has sent it."""
        size = int.from_bytes(self._read_exactly(SIZE_BYTES), "big")
        # The peer is our parent process, over a pair that nobody else can open.
        loaded = pickle.loads(self._read_exactly(size))  # noqa: S301
        if not isinstance(loaded, LoadedConfig):
            raise TypeError(f"expected a configuration, got {type(loaded).__name__}")
        return loaded

    def end_with_supervisor(self) -> None:
        """From now on, end this process when the supervisor's end closes."""
        threading.Thread(target=self._watch, name="supervisor-watch", daemon=True).start()

    def announce_ready(self) -> None:
        """Tell the supervisor that every listener accepts connections."""
        self._socket.send(READY)

    def _watch(self) -> None:
        while self._socket.recv(1):
            pass
        # No clean-up: Triton went with the supervisor, and the next start needs the ports.
        os._exit(1)

    def _read_exactly(self, size: int) -> bytes:
        received = bytearray()
        while len(received) < size:
            part = self._socket.recv(size - len(received))
            if not part:
                raise SystemExit(1)
            received += part
        return bytes(received)
