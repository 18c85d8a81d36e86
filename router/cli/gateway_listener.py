"""The listener of a running instance that a program is started against: found, and asked whether it serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import orjson
from yarl import URL

from router.cli.coding_agents import Gateway
from router.cli.instances import Instance
from router.config import ConfigErrors
from router.config.client_environment import API_KEY_VARIABLE
from router.config.draft import Draft
from router.config.migration import migrate
from router.config.reading import read_document
from router.errors import OperatorError, UpstreamError
from router.upstream.http import Endpoint, HttpClient
from router.upstream.request import Method

ANSWER_WITHIN_S = 10.0
_MAX_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Place:
    """Where a gateway is: ``base_url`` without a path, ``name`` for messages."""

    name: str
    base_url: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """A listener that serves, and the first of the models asked about that it has; ``None`` where it has none."""

    gateway: Gateway
    known: str | None


def place_of(instance: Instance, wanted: str | None) -> Place:
    """The listener ``wanted``, else the only model listener. Raises ``OperatorError`` where that is not clear."""
    listeners = {name: str(URL(url).origin()) for name, url in instance.listeners.items()}
    names = ", ".join(listeners) or "none"
    if wanted is not None:
        if wanted not in listeners:
            raise OperatorError(f"There is no listener {wanted}.", fix=f"There are: {names}.")
        return Place(wanted, listeners[wanted])
    offered = [name for name in _model_listeners(instance) if name in listeners]
    if len(offered) == 1:
        return Place(offered[0], listeners[offered[0]])
    if offered:
        raise OperatorError(
            f"There are several model listeners: {', '.join(offered)}.", fix="Choose one with `--listener`."
        )
    raise OperatorError(
        f"{instance.config} has no model listener.",
        fix=f"Add one (`type: model`), or choose another with `--listener`: {names}.",
    )


def place_at(url: str) -> Place:
    """A gateway that runs elsewhere. Raises ``OperatorError`` for what is no URL of one."""
    try:
        parsed = URL(url)
        origin = str(parsed.origin())
    except ValueError as exc:
        raise OperatorError(f"{url} is not a URL.", fix="Write it as in http://gateway.example:12000.") from exc
    if parsed.user is not None or parsed.path.rstrip("/") not in ("", "/v1"):
        raise OperatorError(f"{url} is not where a gateway is.", fix="Leave out its path and credentials.")
    return Place(parsed.host or origin, origin)


async def inspect(place: Place, key: str | None, wanted: Sequence[str]) -> Inspection:
    """What a listener has of the models in ``wanted``; no provider is asked for that.

    Raises ``OperatorError`` where it does not answer, or wants another key.
    """
    gateway = Gateway(place.base_url, key, await _models(place, key))
    for model in wanted:
        if await _has(place, model, key):
            return Inspection(gateway, model)
    return Inspection(gateway, None)


async def _models(place: Place, key: str | None) -> tuple[str, ...]:
    """The models that it lists: those with a name of their own, which can be asked."""
    status, answer = await _exchange(place, "GET", "/v1/models", b"", key)
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise _refused(place, key)
    try:
        if status != HTTPStatus.OK:
            raise ValueError(status)
        return tuple(str(each["id"]) for each in orjson.loads(answer)["data"] if each.get("available", True))
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise OperatorError(
            f"What answers at {place.base_url} is not a model listener of trident.", fix="Check the URL."
        ) from exc


async def _has(place: Place, model: str, key: str | None) -> bool:
    """Whether requests for ``model`` have somewhere to go."""
    body = orjson.dumps({"model": model, "messages": [{"role": "user", "content": "Hello"}]})
    status, answer = await _exchange(place, "POST", "/routing/v1/chat/completions", body, key)
    if status != HTTPStatus.NOT_FOUND:
        return True
    try:
        return bool(orjson.loads(answer)["error"]["code"] != "model_not_found")
    except (ValueError, KeyError, TypeError):
        return True  # no listener for models: an agent answers to any name


async def _exchange(place: Place, method: Method, path: str, body: bytes, key: str | None) -> tuple[int, bytes]:
    headers: Mapping[str, str] = {} if key is None else {"authorization": f"Bearer {key}"}
    client = HttpClient(connect_timeout_s=ANSWER_WITHIN_S)
    try:
        endpoint = Endpoint(place.name, URL(place.base_url).with_path(path), ANSWER_WITHIN_S, headers, method)
        async with client.post(endpoint, body, {"content-type": "application/json"}) as response:
            return response.status, await response.read(_MAX_BYTES)
    except ValueError as exc:
        raise OperatorError(f"{API_KEY_VARIABLE} has characters that no key has.", fix="Set it anew.") from exc
    except UpstreamError as exc:
        raise OperatorError(
            f"The listener {place.name} does not answer at {place.base_url}: {exc.message}",
            fix="`trident logs` may say why; `trident up` starts one.",
        ) from exc
    finally:
        await client.close()


def _refused(place: Place, key: str | None) -> OperatorError:
    if key is None:
        return OperatorError(
            f"The listener {place.name} wants an API key.",
            fix=f"Set {API_KEY_VARIABLE} to one of `auth` in its configuration; `trident keys new` makes one.",
        )
    return OperatorError(
        f"The listener {place.name} does not accept the key in {API_KEY_VARIABLE}.",
        fix="Use one that `auth` in its configuration has, for this listener.",
    )


def _model_listeners(instance: Instance) -> list[str]:
    """Their names in the file of an instance; none where it cannot be read any more."""
    try:
        document, _ = read_document(Path(instance.config))
    except ConfigErrors:
        return []
    migrate(document)
    draft = Draft(document)
    entries = draft.entries(("listeners",))
    return [
        name for path in entries if draft.text((*path, "type")) == "model" and (name := draft.text((*path, "name")))
    ]
