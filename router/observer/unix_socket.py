"""A socket in the file system, such as that of the telemetry process: made for one user, replaced when it is stale."""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
from pathlib import Path

from router.telemetry.channel import SOCKET_NAME, socket_address

_PEER_CREDENTIALS = struct.Struct("3i")  # struct ucred: process, user, group


def bind_in(folder: Path, name: str = SOCKET_NAME) -> socket.socket:
    """A socket bound in ``folder``, which becomes this user's alone. Raises ``OSError``, also where another listens."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    address = socket_address(folder, name)
    _remove_stale(Path(address))
    endpoint = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        endpoint.bind(address)
        (folder / name).chmod(0o600)
        endpoint.setblocking(False)
    except BaseException:
        endpoint.close()
        raise
    return endpoint


def is_trusted(endpoint: socket.socket) -> bool:
    """Whether the peer is this user or root; where the system does not tell, the folder's mode has to do."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return True
    _, uid, _ = _PEER_CREDENTIALS.unpack(endpoint.getsockopt(socket.SOL_SOCKET, option, _PEER_CREDENTIALS.size))
    return uid in {os.getuid(), 0}


def _remove_stale(path: Path) -> None:
    """Remove a socket that nobody listens on. Raises ``OSError`` where somebody does, and for any other file."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, f"{path.name} is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise OSError(errno.EADDRINUSE, f"another process listens on {path.name}")
