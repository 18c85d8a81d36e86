"""The operator's port: held from the start, so that the telemetry process has the same one whenever it is restarted."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from router.cli.ports import Binding, PortTakenError, claim_ports, release_ports
from router.config.admin import Admin

# What it is called where listeners are named.
_NAME = "admin"


@contextmanager
def admin_port(admin: Admin) -> Iterator[int | None]:
    """Hold the port of ``admin``; where the file does not choose it and it is taken, any that is free.

    ``None`` where there is none to be. Raises ``OperatorError`` when it cannot be had.
    """
    if not admin.enabled:
        yield None
        return
    held = _claim(admin)
    try:
        port: int = held[0].getsockname()[1] if held else admin.port
        yield port
    finally:
        release_ports(held)


def _claim(admin: Admin) -> list[socket.socket]:
    binding = Binding(_NAME, admin.address, admin.port)
    try:
        return claim_ports([binding])
    except PortTakenError:
        if admin.port_is_chosen:
            raise
    return claim_ports([replace(binding, port=0)])
