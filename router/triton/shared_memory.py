"""The names of one embedded server under /dev/shm: its Python backend's segments, and a folder of links.

Triton hands the paths of the backend and of the models to a shell without quoting them, so a space in the checkout's or
the state directory's path would break it, and worse characters would do worse. The folder gives it plain paths. It is
under /dev/shm because Triton needs that in any case, nothing cleans it up by age, and it goes with the segments.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the POSIX shared memory of Linux, not a temporary folder of ours

_PREFIX = re.compile(r"trident-(?P<namespace>\d+)-(?P<pid>\d+)-")


def new_prefix() -> str:
    """A prefix for all names of one server. It says which process owns them, so that ``sweep`` can tell later."""
    return f"trident-{_pid_namespace()}-{os.getpid()}-{secrets.token_hex(3)}-"


def links_folder(prefix: str) -> Path:
    """The server's folder of links, which need not exist."""
    return SHARED_MEMORY / f"{prefix}links"


def remove(prefix: str) -> None:
    """Remove everything that carries ``prefix``; the processes that use it have to be gone."""
    for path in SHARED_MEMORY.glob(f"{prefix}*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def sweep() -> None:
    """Remove what servers left behind whose gateway was killed, as far as it is ours to remove.

    /dev/shm may be shared with other process namespaces, in which the same process id means another process.
    """
    for path in SHARED_MEMORY.glob("trident-*"):
        match = _PREFIX.match(path.name)
        if match is None or match["namespace"] != _pid_namespace() or _is_alive(int(match["pid"])):
            continue
        with contextlib.suppress(FileNotFoundError):  # others sweep, too
            if path.lstat().st_uid == os.getuid():
                remove(match[0])


def _pid_namespace() -> str:
    return str(Path("/proc/self/ns/pid").stat().st_ino)


def _is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
