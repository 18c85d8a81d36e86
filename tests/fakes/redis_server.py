"""A real Redis on a socket of its own, for tests."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_STARTS_WITHIN_S = 20.0


@contextmanager
def redis_server(directory: Path) -> Iterator[str]:
    """Runs ``redis-server`` and gives its URL. Where it is not installed the test is skipped, but never in CI."""
    program = shutil.which("redis-server")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("redis-server is not installed")
        pytest.skip("redis-server is not installed")
    path = directory / "r.sock"
    settings = ["--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(directory), "--requirepass", "pw"]
    process = subprocess.Popen([program, *settings], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(path)
        yield f"unix://:pw@{path}"
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN_S
    while True:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(path))
            except OSError:
                assert time.monotonic() < deadline, "redis-server did not start"
                time.sleep(0.01)
            else:
                return
