"""Who may talk to the telemetry process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from router.observer.unix_socket import is_trusted

NOBODY = 65534
CONNECT = """
import os, socket, sys
os.setuid(int(sys.argv[2]))
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(chr(0) + sys.argv[1])
    connection.recv(1)
"""


@pytest.fixture
def listening() -> Iterator[tuple[socket.socket, str]]:
    """A socket without a place in the file system, so that its modes keep nobody away."""
    name = f"trident-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{name}")
        server.listen()
        server.settimeout(30)
        yield server, name


def test_the_same_user_is_trusted() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert is_trusted(ours)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_is_not(listening: tuple[socket.socket, str]) -> None:
    server, name = listening
    stranger = subprocess.Popen([sys.executable, "-c", CONNECT, name, str(NOBODY)])
    connection, _ = server.accept()
    with connection:
        assert not is_trusted(connection)
    stranger.wait(30)
