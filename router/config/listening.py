"""Cross-checks of listeners: what they offer, and ports that get in each other's way."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from router.config.draft import Draft
from router.config.listeners import Listener
from router.config.problems import KeyPath, Problem

_DEFAULT_ADDRESS = str(Listener.model_fields["address"].default)


def check_listeners(draft: Draft) -> Iterator[Problem]:
    """Listeners that cannot serve, or not beside each other."""
    paths = draft.entries(("listeners",))
    for path in paths:
        yield from _address(draft, path)
        yield from _agents(draft, path)
    yield from _port_conflicts(draft, paths)
    yield from _loops(draft, paths)


def _address(draft: Draft, path: KeyPath) -> Iterator[Problem]:
    address = draft.text((*path, "address"))
    if address is not None and ("/" in address or address.count(":") == 1):
        message = f"{draft.show((*path, 'address'))} is not an address."
        yield draft.document.problem(
            (*path, "address"), message, "Write an IP address or a host name; the port is `port`."
        )


def _agents(draft: Draft, path: KeyPath) -> Iterator[Problem]:
    agents = draft.entries((*path, "agents"))
    kind = draft.text((*path, "type"))
    if kind == "agent" and not draft.get((*path, "agents")):
        message = "An `agent` listener needs `agents`."
        yield draft.document.problem(path, message, "Add a list: `- id: ...`, `description: ...`.")
    if kind == "model" and agents:
        message = "A `model` listener does not route to agents."
        yield draft.document.problem((*path, "agents"), message, "Make it `type: agent`, or remove them.", on_key=True)
    defaults = [entry for entry in agents if draft.flag((*entry, "default"))]
    for entry in defaults[1:]:
        message = "More than one agent of this listener is the default."
        yield draft.document.problem((*entry, "default"), message, "Leave `default: true` at one of them.")
    if len(agents) > 1:
        for entry in agents:
            description = draft.get((*entry, "description"))
            if description is None or (isinstance(description, str) and not description.strip()):
                message = "This agent has no `description`: the orchestrator could never choose it."
                yield draft.document.problem(entry, message, "Say in plain language what the agent is for.")


def _port_conflicts(draft: Draft, paths: list[KeyPath]) -> Iterator[Problem]:
    taken: list[tuple[int, str, KeyPath]] = []
    for path in paths:
        port = port_at(draft, path)
        if port is None:
            continue
        address = draft.text((*path, "address")) or _DEFAULT_ADDRESS
        for other_port, other_address, other in taken:
            if port == other_port and overlap(address, other_address):
                name = draft.show((*other, "name")) if draft.text((*other, "name")) else "another listener"
                message = f"Port {draft.show((*path, 'port'))} is already used by {name}."
                yield draft.document.problem((*path, "port"), message, "Give each listener its own port.")
                break
        taken.append((port, address, path))


def port_at(draft: Draft, path: KeyPath) -> int | None:
    """The ``port`` of the mapping at ``path``."""
    value = draft.get((*path, "port"))
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit() and len(value) < 8:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def overlap(one: str, other: str) -> bool:
    """Whether two addresses take each other's ports."""
    # An unspecified IPv6 address does not take the IPv4 port with it: listeners bind each family on its own.
    first, second = _ip(one), _ip(other)
    if first is None or second is None:
        return one.lower() == other.lower()
    if first.version != second.version:
        return False
    return first == second or first.is_unspecified or second.is_unspecified


def _ip(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address("127.0.0.1" if address == "localhost" else address.strip("[]"))
    except ValueError:
        return None


def _loops(draft: Draft, paths: list[KeyPath]) -> Iterator[Problem]:
    """Agents that are the very listener that offers them."""
    urls = {draft.text((*path, "id")): (*path, "url") for path in draft.entries(("agents",))}
    for path in paths:
        port = port_at(draft, path)
        for entry in draft.entries((*path, "agents")):
            place = urls.get(draft.text((*entry, "id")))
            if place is not None and port is not None and _is_local(draft.text(place), port):
                message = (
                    f"The agent listens where the listener that offers it does (port {draft.show((*path, 'port'))})."
                )
                yield draft.document.warning(
                    place, message, "Give the agent's own address: requests would go in circles."
                )


def _is_local(url: str | None, port: int) -> bool:
    try:
        parts = urlsplit(url or "")
        host = _ip(parts.hostname or "")
        return parts.port == port and host is not None and (host.is_loopback or host.is_unspecified)
    except ValueError:
        return False
