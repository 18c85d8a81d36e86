"""Cross-checks of ``admin``: a port that was chosen, and that something else of the file has."""

from __future__ import annotations

from collections.abc import Iterator

from router.config.admin import Admin
from router.config.draft import Draft
from router.config.grpc import Grpc
from router.config.listeners import Listener
from router.config.listening import overlap, port_at
from router.config.problems import KeyPath, Problem

_ADMIN: KeyPath = ("admin",)
_PORT: KeyPath = (*_ADMIN, "port")
_GRPC: KeyPath = ("grpc",)
_ADDRESS = str(Admin.model_fields["address"].default)
_LISTENERS_ADDRESS = str(Listener.model_fields["address"].default)
_GRPC_ADDRESS = str(Grpc.model_fields["address"].default)


def check_admin(draft: Draft) -> Iterator[Problem]:
    """A default port gives way, a chosen one cannot."""
    port = port_at(draft, _ADMIN)
    if port is None or draft.get((*_ADMIN, "enabled")) is False:
        return
    address = draft.text((*_ADMIN, "address")) or _ADDRESS
    for path, default in _others(draft):
        if port_at(draft, path) == port and overlap(draft.text((*path, "address")) or default, address):
            name = draft.show((*path, "name")) if draft.text((*path, "name")) else f"`{path[0]}`"
            message = f"Port {draft.show(_PORT)} is already used by {name}."
            hint = "Give the operator's port a number of its own, or leave it out."
            yield draft.document.problem(_PORT, message, hint)
            return


def _others(draft: Draft) -> Iterator[tuple[KeyPath, str]]:
    for path in draft.entries(("listeners",)):
        yield path, _LISTENERS_ADDRESS
    yield _GRPC, _GRPC_ADDRESS
