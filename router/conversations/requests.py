"""Requests for responses: what they say about state, and what becomes of them for whoever answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from router.conversations.archive import Past
from router.conversations.items import replayed
from router.conversations.references import is_reference
from router.dialects.canonical import JsonObject, encode_json
from router.dialects.openai_responses.client_request import ENCRYPTED_REASONING
from router.dialects.openai_responses.reasoning import is_own
from router.errors import InvalidRequest

_REFERRING = (b'"previous_response_id"', b'"conversation"', b'"item_reference"')
_STATE_FIELDS = ("previous_response_id", "conversation", "store")
# A letter or an underscore that is written as an escape, which no encoder does: it hides a name.
_HIDING = re.compile(rb"\\u00[4-7]")
_STORE = re.compile(rb'[{,]\s*"store"\s*:\s*false\s*[,}]')


def is_stateless(body: bytes) -> bool:
    """Whether a body says that nothing is to be kept, and refers to nothing that was, told without reading all of it.

    What follows ``"store": false`` is valid JSON behind an opening brace only where that stands at the top, so the
    rest alone is read. ``False`` where it cannot be told.
    """
    at = body.rfind(b'"store"')
    if at < 0 or any(name in body for name in _REFERRING) or _HIDING.search(body) is not None:
        return False
    before = body[:at].rstrip()[-1:]
    if before not in (b"{", b",") or _STORE.match(before + body[at : at + 64]) is None:
        return False
    try:
        rest = orjson.loads(b"{" + body[at:])
    except orjson.JSONDecodeError:
        return False
    return rest.get("store") is False


@dataclass(frozen=True, slots=True)
class Stateful:
    """What a request says about state: ``store`` is ``None`` where it says nothing."""

    payload: JsonObject
    previous_response_id: str | None
    conversation_id: str | None
    store: bool | None

    @classmethod
    def of(cls, body: bytes) -> Stateful | None:
        """``None`` for what is no request. Raises ``InvalidRequest`` that names the field."""
        try:
            payload = orjson.loads(body)
        except orjson.JSONDecodeError:
            return None
        if not isinstance(payload, dict):
            return None
        if payload.get("background"):  # a provider would keep it under an id of its own
            message = "'background' cannot be used here: nobody could ask for the response later. Leave it out."
            raise InvalidRequest(message, param="background")
        previous, store = payload.get("previous_response_id"), payload.get("store")
        if previous is not None and not isinstance(previous, str):
            raise InvalidRequest("'previous_response_id' must be a string.", param="previous_response_id")
        if store is not None and not isinstance(store, bool):
            raise InvalidRequest("'store' must be true or false.", param="store")
        conversation = _conversation_id(payload.get("conversation"))
        if previous is not None and conversation is not None:
            message = "'previous_response_id' and 'conversation' cannot be used together."
            raise InvalidRequest(message, param="previous_response_id")
        return cls(payload, previous, conversation, store)

    @property
    def goes_on(self) -> bool:
        """Whether the request refers to what was kept."""
        return self.previous_response_id is not None or self.conversation_id is not None or self.names_items

    @property
    def names_items(self) -> bool:
        """Whether items are named that are not in the request."""
        items = self.payload.get("input")
        return isinstance(items, list) and any(isinstance(item, dict) and is_reference(item) for item in items)

    def body(self, past: Past, items: Sequence[JsonObject]) -> bytes:
        """The request as whoever answers gets it: with all of the conversation, and nothing that refers to state.

        The state is the gateway's, so no provider keeps any; reasoning has to come back encrypted then, which is asked
        for where there is some: models that do not reason refuse to.
        """
        sent = {name: value for name, value in self.payload.items() if name not in _STATE_FIELDS}
        if past.items or self.names_items:
            sent["input"] = replayed([*past.items, *items])
        sent["store"] = False
        include = sent.get("include")
        wanted = include if isinstance(include, list) else []
        if self._reasons(past) and ENCRYPTED_REASONING not in wanted and include in (None, wanted):
            sent["include"] = [*wanted, ENCRYPTED_REASONING]
        return encode_json(sent)

    def _reasons(self, past: Past) -> bool:
        reasoning = self.payload.get("reasoning")
        asked = isinstance(reasoning, dict) and bool(reasoning) and reasoning.get("effort") != "none"
        return asked or any(item.get("type") == "reasoning" and not is_own(item) for item in past.items)


def _conversation_id(value: object) -> str | None:
    if isinstance(value, dict):
        value = value.get("id")
        if not isinstance(value, str):
            raise InvalidRequest("'conversation.id' must be a string.", param="conversation.id")
    if value is not None and not isinstance(value, str):
        raise InvalidRequest("'conversation' must be an id or an object with one.", param="conversation")
    return value
