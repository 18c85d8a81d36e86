"""The ports of an instance: found taken before anything starts, then held while it runs."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from router.errors import OperatorError


@dataclass(frozen=True, slots=True)
class Binding:
    """Where one listener listens."""

    listener: str
    address: str
    port: int


class PortTakenError(OperatorError):
    """A listener cannot have its port; ``binding`` says which."""

    def __init__(self, message: str, binding: Binding, *, fix: str) -> None:
        super().__init__(message, fix=fix)
        self.binding = binding


def claim_ports(bindings: Sequence[Binding], *, ours: Collection[int] = ()) -> list[socket.socket]:
    """Hold every port for workers that bind it again with SO_REUSEPORT; the caller closes the sockets.

    ``ours`` are ports that the caller holds at other addresses: they are known to be nobody else's.

    A port is free when it can be bound without SO_REUSEPORT: workers of another instance share theirs, so their ports
    would look free otherwise. The sockets returned do not listen; they only make the next instance's check fail.
    """
    held: list[socket.socket] = []
    try:
        for binding in bindings:
            held.extend(_claim(binding, probe=binding.port not in ours))
    except BaseException:
        release_ports(held)
        raise
    return held


def release_ports(held: Sequence[socket.socket]) -> None:
    """Close what `claim_ports` returned."""
    for claim in held:
        claim.close()


def _claim(binding: Binding, *, probe: bool) -> list[socket.socket]:
    try:
        found = socket.getaddrinfo(
            binding.address, binding.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )
    except socket.gaierror as exc:
        raise OperatorError(
            f"Listener {binding.listener}: the address {binding.address} cannot be resolved.",
            fix="Use an address of this machine, for example 127.0.0.1, or 0.0.0.0 for all of them.",
        ) from exc
    held = []
    for family, kind, protocol, _, address in dict.fromkeys(found):
        if probe:
            _probe(binding, socket.socket(family, kind, protocol), address)
        claim = socket.socket(family, kind, protocol)
        claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        _only_ipv6(claim)
        try:
            claim.bind(address)
        except OSError:
            # Connections of an earlier, non-sharing server still in TIME_WAIT: nothing listens, it is only not held.
            claim.close()
        else:
            held.append(claim)
    return held


def _probe(binding: Binding, probe: socket.socket, address: object) -> None:
    with probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _only_ipv6(probe)
        try:
            probe.bind(address)  # type: ignore[arg-type]
        except OSError as exc:
            raise _refusal(binding, exc) from exc


def _only_ipv6(endpoint: socket.socket) -> None:
    # As asyncio's create_server does: an IPv6 wildcard must not take the IPv4 one with it.
    if endpoint.family == socket.AF_INET6:
        endpoint.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)


def _refusal(binding: Binding, exc: OSError) -> OperatorError:
    where = f"Listener {binding.listener}: "
    match exc.errno:
        case errno.EADDRINUSE:
            message = f"{where}port {binding.port} on {binding.address} is already in use."
            return PortTakenError(message, binding, fix="Stop what listens there, or give the listener another port.")
        case errno.EACCES:
            message = f"{where}this user may not listen on port {binding.port}."
            return OperatorError(message, fix="Use a port from 1024 up.")
        case errno.EADDRNOTAVAIL:
            message = f"{where}{binding.address} is not an address of this machine."
            return OperatorError(message, fix="Use 127.0.0.1, or 0.0.0.0 for all addresses.")
        case _:
            reason = os.strerror(exc.errno) if exc.errno else str(exc)
            message = f"{where}{binding.address}:{binding.port} cannot be bound: {reason}."
            return OperatorError(message, fix="Check the listener's address and port.")
