"""Cross-checks of API keys: what they refer to, what they share, and listeners that everybody can use."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from pathlib import Path

from router.config.access import Auth, contradictions, key_hash
from router.config.draft import Draft
from router.config.key_file import load_key_file
from router.config.listeners import Listener
from router.config.problems import ConfigErrors, KeyPath, Problem, render_path

_KEYS: KeyPath = ("auth", "keys")
_FILE: KeyPath = ("auth", "file")
_DEFAULT_ADDRESS = str(Listener.model_fields["address"].default)
_OWN_HEADERS = ("authorization", "x-api-key", "api-key")


def check_access(draft: Draft) -> Iterator[Problem]:
    """Keys that contradict each other or can do nothing, and listeners that nobody guards."""
    yield from _exposed(draft)
    auth = draft.get(("auth",))
    if not isinstance(auth, dict):
        return
    if not draft.get(_KEYS) and draft.get(_FILE) is None:
        message = "There are neither `keys` nor a `file` with keys: nobody could use the gateway."
        yield draft.document.problem(("auth",), message, "Add one; `trident keys new` makes a key.", on_key=True)
    header = draft.text(("auth", "header"))
    if header is not None and header.lower() in _OWN_HEADERS:
        message = f"{draft.show(('auth', 'header'))} is looked at anyway."
        yield draft.document.warning(("auth", "header"), message, "Remove this key.")
    paths = draft.entries(_KEYS)
    names = [((*path, "name"), name) for path in paths if (name := draft.text((*path, "name"))) is not None]
    yield from draft.duplicates(names, "name", "Give each key its own name: what it may use is counted by it.")
    yield from _same_secrets(draft, paths)
    for path in paths:
        yield from _key(draft, path)


def check_key_file(
    draft: Draft, auth: Auth | None, directory: Path, environ: Mapping[str, str] | None
) -> list[Problem]:
    """What is wrong with the file that ``auth.file`` names (relative to ``directory``), and with it beside ``auth``."""
    name = draft.text(_FILE)
    if name is None:
        return []
    try:
        keys = load_key_file(directory / Path(name).expanduser(), environ)
    except ConfigErrors as exc:
        return [_in_file(draft, problem) for problem in exc.problems]
    except RuntimeError:
        return [draft.document.problem(_FILE, f"There is no user with the folder {draft.show(_FILE)}.")]
    listeners = draft.names(("listeners",), "name")
    found = contradictions((*(auth.keys if auth is not None else ()), *keys), listeners)
    return [draft.document.problem(_FILE, f"With the keys of {draft.show(_FILE)}: {message}") for message in found]


def _in_file(draft: Draft, problem: Problem) -> Problem:
    line = f", line {problem.line}" if problem.line else ""
    subject = f"{problem.path}: " if problem.path else ""
    make = draft.document.problem if problem.severity == "error" else draft.document.warning
    return make(_FILE, f"In {draft.show(_FILE)}{line}: {subject}{problem.message}", problem.suggestion)


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach an address to listen on."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return False


def _exposed(draft: Draft) -> Iterator[Problem]:
    if draft.get(("auth",)) is not None:
        return
    for path in draft.entries(("listeners",)):
        address = draft.text((*path, "address")) or _DEFAULT_ADDRESS
        if not is_loopback(address) and not draft.flag((*path, "unauthenticated")):
            message = f"This listener is open to everybody who can reach {draft.show((*path, 'address'))}."
            hint = "Add `auth` with API keys, or say that this is meant with `unauthenticated: true` at the listener."
            yield draft.document.warning((*path, "address"), message, hint)


def _same_secrets(draft: Draft, paths: list[KeyPath]) -> Iterator[Problem]:
    first: dict[str, KeyPath] = {}
    for path in paths:
        key, hash_ = draft.text((*path, "key")), draft.text((*path, "hash"))
        secret = key_hash(key.strip()) if key is not None else hash_
        if secret is None:
            continue
        if secret in first:
            message = f"This is the same key as that of {render_path(first[secret])}."
            yield draft.document.problem(path, message, "Give everybody a key of their own.")
        first.setdefault(secret, path)


def _key(draft: Draft, path: KeyPath) -> Iterator[Problem]:
    if draft.text((*path, "key")) is not None and "$" not in draft.show((*path, "key")):
        message = "The key stands in the file as it is."
        yield draft.document.warning((*path, "key"), message, "Write its `hash`, or `$VAR`, and make a new key.")
    listeners = draft.names(("listeners",), "name")
    for place, name in draft.texts((*path, "listeners")):
        if name not in listeners:
            yield draft.unknown(place, listeners, what="listener", plural="listeners")
