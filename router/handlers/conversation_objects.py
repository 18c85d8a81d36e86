"""The API of what is kept: responses, conversations and their items, as OpenAI documents it.

Reference: https://platform.openai.com/docs/api-reference/responses and .../conversations.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import parse_qs

import orjson

from router.context import RequestContext
from router.conversations.conversations import Conversations
from router.conversations.ids import scope_of
from router.conversations.items import input_items, listed
from router.conversations.records import Turn
from router.conversations.responses import Responses
from router.dialects.canonical import JsonObject, encode_json
from router.errors import InvalidRequest, NotFound
from router.handlers.reply import JSON, Reply

Handler: TypeAlias = Callable[[RequestContext, bytes], Awaitable[Reply]]

_MAX_PAGE = 100
_DEFAULT_PAGE = 20
_MAX_QUERY_FIELDS = 50
_MAX_ADDED_ITEMS = 20
_MAX_METADATA = 16
_MAX_METADATA_KEY_CHARS = 64
_MAX_METADATA_VALUE_CHARS = 512


class ConversationObjects:
    """Handlers for the paths of ``paths``. Nobody sees what belongs to another API key or tenant."""

    def __init__(self, responses: Responses, conversations: Conversations, *, tenant_header: str | None) -> None:
        self._responses = responses
        self._conversations = conversations
        self._tenant_header = tenant_header

    def paths(self) -> dict[str, dict[str, Handler]]:
        """The handler of each method, by path template."""
        return {
            "/v1/responses/{response_id}": {"GET": self.response, "DELETE": self.delete_response},
            "/v1/responses/{response_id}/input_items": {"GET": self.input_items},
            "/v1/conversations": {"POST": self.create},
            "/v1/conversations/{conversation_id}": {
                "GET": self.conversation,
                "POST": self.update,
                "DELETE": self.delete,
            },
            "/v1/conversations/{conversation_id}/items": {"GET": self.items, "POST": self.add_items},
            "/v1/conversations/{conversation_id}/items/{item_id}": {"GET": self.item, "DELETE": self.delete_item},
        }

    async def response(self, context: RequestContext, body: bytes) -> Reply:
        """The response as it was answered."""
        if _last(context, "stream") == "true":
            raise InvalidRequest("A response that is kept cannot be streamed; leave 'stream' out.", param="stream")
        record = await self._responses.get(self._scope(context), _named(context, "response_id"))
        return _json(record.response)

    async def delete_response(self, context: RequestContext, body: bytes) -> Reply:
        """Removes the response with its input."""
        response_id = _named(context, "response_id")
        await self._responses.delete(self._scope(context), response_id)
        return _json({"id": response_id, "object": "response", "deleted": True})

    async def input_items(self, context: RequestContext, body: bytes) -> Reply:
        """The items that the request had, without what came before them."""
        page = Page.of(context)
        record = await self._responses.get(self._scope(context), _named(context, "response_id"))
        return _json(page.cut(record.input))

    async def create(self, context: RequestContext, body: bytes) -> Reply:
        """A conversation, perhaps with items."""
        payload = _payload(body)
        metadata, items = _metadata(payload.get("metadata")), _added(payload.get("items"))
        return _json((await self._conversations.create(self._scope(context), metadata, items)).public())

    async def conversation(self, context: RequestContext, body: bytes) -> Reply:
        """The conversation without its items."""
        return _json((await self._conversations.get(self._scope(context), _conversation_id(context))).public())

    async def update(self, context: RequestContext, body: bytes) -> Reply:
        """Replaces the metadata."""
        payload = _payload(body)
        if "metadata" not in payload:
            raise InvalidRequest("'metadata' is required.", param="metadata")
        metadata = _metadata(payload["metadata"])
        record = await self._conversations.update(self._scope(context), _conversation_id(context), metadata)
        return _json(record.public())

    async def delete(self, context: RequestContext, body: bytes) -> Reply:
        """Removes the conversation with its items."""
        conversation_id = _conversation_id(context)
        await self._conversations.delete(self._scope(context), conversation_id)
        return _json({"id": conversation_id, "object": "conversation.deleted", "deleted": True})

    async def items(self, context: RequestContext, body: bytes) -> Reply:
        """The items of the conversation, page by page."""
        page = Page.of(context)
        return _json(page.cut(await self._conversations.items(self._scope(context), _conversation_id(context))))

    async def add_items(self, context: RequestContext, body: bytes) -> Reply:
        """Adds items at the end, and answers with them."""
        items = _added(_payload(body).get("items"))
        if not items:
            raise InvalidRequest("'items' must be a list of items.", param="items")
        turn = await self._conversations.add(self._scope(context), _conversation_id(context), items)
        return _json(Page(_MAX_PAGE, "asc", None).cut(turn))

    async def item(self, context: RequestContext, body: bytes) -> Reply:
        """One item."""
        item_id, conversation_id = _named(context, "item_id"), _conversation_id(context)
        turn = await self._conversations.items(self._scope(context), conversation_id)
        for item, id_ in zip(turn.items, turn.ids, strict=True):
            if id_ == item_id:
                return _json(listed(item, id_))
        raise NotFound(f"Item with id '{item_id}' not found in conversation '{conversation_id}'.")

    async def delete_item(self, context: RequestContext, body: bytes) -> Reply:
        """Removes one item, and answers with the conversation."""
        record = await self._conversations.delete_item(
            self._scope(context), _conversation_id(context), _named(context, "item_id")
        )
        return _json(record.public())

    def _scope(self, context: RequestContext) -> str:
        return scope_of(context, self._tenant_header)


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for: ``limit`` items in this order, those behind the item ``after``."""

    limit: int
    order: Literal["asc", "desc"]
    after: str | None

    @classmethod
    def of(cls, context: RequestContext) -> Page:
        """What the query says. Raises ``InvalidRequest`` that names the parameter."""
        limit, order = _last(context, "limit") or str(_DEFAULT_PAGE), _last(context, "order") or "desc"
        if not (limit.isascii() and limit.isdigit() and len(limit) < 4 and 1 <= int(limit) <= _MAX_PAGE):
            raise InvalidRequest(f"'limit' must be a number from 1 to {_MAX_PAGE}.", param="limit")
        if order not in ("asc", "desc"):
            raise InvalidRequest("'order' must be 'asc' or 'desc'.", param="order")
        return cls(int(limit), "asc" if order == "asc" else "desc", _last(context, "after"))

    def cut(self, turn: Turn) -> JsonObject:
        """The list object. Raises ``InvalidRequest`` where there is no item ``after``."""
        pairs = list(zip(turn.items, turn.ids, strict=True))
        if self.order == "desc":
            pairs.reverse()
        start = 0
        if self.after is not None:
            start = next((at + 1 for at, (_, id_) in enumerate(pairs) if id_ == self.after), -1)
            if start < 0:
                raise InvalidRequest(f"There is no item '{self.after}' here.", param="after")
        shown = pairs[start : start + self.limit]
        return {
            "object": "list",
            "data": [listed(item, id_) for item, id_ in shown],
            "first_id": shown[0][1] if shown else None,
            "last_id": shown[-1][1] if shown else None,
            "has_more": start + self.limit < len(pairs),
        }


def _json(payload: object) -> Reply:
    return Reply(200, JSON, orjson.dumps(payload))


def _named(context: RequestContext, name: str) -> str:
    return context.path_parameters[name]


def _conversation_id(context: RequestContext) -> str:
    return _named(context, "conversation_id")


def _last(context: RequestContext, name: str) -> str | None:
    """A parameter of the query; the last one, where it is there several times."""
    if not context.query:
        return None
    try:
        values = parse_qs(context.query, max_num_fields=_MAX_QUERY_FIELDS).get(name)
    except ValueError as exc:
        raise InvalidRequest("The query has too many fields.") from exc
    return values[-1] if values else None


def _payload(body: bytes) -> JsonObject:
    if not body:
        return {}
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise InvalidRequest(f"The body is not valid JSON: {exc}.") from exc
    if not isinstance(payload, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return payload


def _added(value: object) -> list[JsonObject]:
    if isinstance(value, str):
        raise InvalidRequest("'items' must be a list of items.", param="items")
    items = input_items(value, "items")
    if len(items) > _MAX_ADDED_ITEMS:
        raise InvalidRequest(f"At most {_MAX_ADDED_ITEMS} items can be added at a time.", param="items")
    encode_json({"items": items})  # what is nested too deep to be written down
    return items


def _metadata(value: object) -> Mapping[str, str]:
    """Raises ``InvalidRequest`` for what the API does not take as metadata."""
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > _MAX_METADATA:
        raise InvalidRequest(f"'metadata' must be an object with at most {_MAX_METADATA} keys.", param="metadata")
    for key, text in value.items():
        if not isinstance(text, str) or len(text) > _MAX_METADATA_VALUE_CHARS or len(key) > _MAX_METADATA_KEY_CHARS:
            message = (
                f"'metadata' has keys of at most {_MAX_METADATA_KEY_CHARS} characters "
                f"and strings of at most {_MAX_METADATA_VALUE_CHARS}."
            )
            raise InvalidRequest(message, param="metadata")
    return value
