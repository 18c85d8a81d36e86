"""Cross-checks of ``grpc`` and ``services``: taken ports, services that everybody can call, keys in the open."""

from __future__ import annotations

from collections.abc import Iterator

from router.config.access_checks import is_loopback
from router.config.draft import Draft
from router.config.grpc import Grpc
from router.config.listeners import Listener
from router.config.listening import overlap, port_at
from router.config.problems import KeyPath, Problem

_GRPC: KeyPath = ("grpc",)
_DEFAULT_ADDRESS = str(Grpc.model_fields["address"].default)
_DEFAULT_PORT = int(Grpc.model_fields["port"].default)
_LISTENERS_ADDRESS = str(Listener.model_fields["address"].default)


def check_grpc(draft: Draft) -> Iterator[Problem]:
    """What keeps the services from being served or asked, or makes that unsafe."""
    if isinstance(draft.get(_GRPC), dict):
        yield from _exposed(draft)
        yield from _port_conflict(draft)
        yield from _carried_listener(draft)
    for name in ("router", "guardrails"):
        yield from _key_in_the_open(draft, ("services", name))


def _exposed(draft: Draft) -> Iterator[Problem]:
    place: KeyPath = (*_GRPC, "address")
    address = draft.text(place) or _DEFAULT_ADDRESS
    meant = draft.flag((*_GRPC, "unauthenticated")) or draft.get((*_GRPC, "tls", "client_ca")) is not None
    if draft.get(("auth",)) is None and not is_loopback(address) and not meant:
        message = f"The gRPC services are open to everybody who can reach {draft.show(place)}."
        hint = "Add `auth` with API keys or `tls.client_ca`, or say that this is meant with `unauthenticated: true`."
        yield draft.document.warning(place, message, hint)


def _port_conflict(draft: Draft) -> Iterator[Problem]:
    port = _DEFAULT_PORT if draft.get((*_GRPC, "port")) is None else port_at(draft, _GRPC)
    address = draft.text((*_GRPC, "address")) or _DEFAULT_ADDRESS
    for path in draft.entries(("listeners",)):
        if port_at(draft, path) == port and overlap(draft.text((*path, "address")) or _LISTENERS_ADDRESS, address):
            name = draft.show((*path, "name")) if draft.text((*path, "name")) else "a listener"
            message = f"The port of the gRPC services, {port}, is already used by {name}."
            yield draft.document.problem(_GRPC, message, "Give them a `port` of their own.", on_key=True)
            return


def _carried_listener(draft: Draft) -> Iterator[Problem]:
    place: KeyPath = (*_GRPC, "ext_proc", "listener")
    wanted = draft.text(place)
    if wanted is None:
        return
    named = [path for path in draft.entries(("listeners",)) if draft.text((*path, "name")) == wanted]
    if not named:
        message = f"There is no listener {draft.show(place)}."
        yield draft.document.problem(place, message, "Name the `agent` or `model` listener that Envoy stands for.")
    elif draft.text((*named[0], "type")) not in ("agent", "model"):
        message = f"Envoy cannot stand for {draft.show(place)}: it calls APIs by itself."
        yield draft.document.problem(place, message, "Name an `agent` or a `model` listener.")


def _key_in_the_open(draft: Draft, path: KeyPath) -> Iterator[Problem]:
    if draft.get((*path, "api_key")) is None or isinstance(draft.get((*path, "tls")), dict):
        return
    given = draft.get((*path, "url"))
    addresses = [given] if isinstance(given, str) else [text for _, text in draft.texts((*path, "url"))]
    hosts = [address.removeprefix("grpc://").rpartition(":")[0] for address in addresses]
    if any(not is_loopback(host) for host in hosts):
        message = "The key is sent without encryption to another machine."
        yield draft.document.warning(
            (*path, "api_key"), message, "Add `tls: {}`, unless the network encrypts by itself."
        )
