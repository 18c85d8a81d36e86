"""``/v1/messages/count_tokens``: counted by the provider where it offers that, estimated where it does not."""

from __future__ import annotations

import orjson

from router.context import RequestContext
from router.errors import InvalidRequest
from router.handlers.relay import RelayHandler, decode_json
from router.handlers.reply import JSON, Reply
from router.routing.context_size import estimated_tokens

PATH = "/v1/messages/count_tokens"
ESTIMATED_HEADER = "x-trident-estimated"


class TokenCountHandler:
    """Relays to providers of the Anthropic dialect; for all others the text is measured, and a header says so."""

    def __init__(self, relay: RelayHandler) -> None:
        self._relay = relay

    async def count(self, context: RequestContext, body: bytes) -> Reply:
        """``POST``. Raises what relaying raises, and ``InvalidRequest`` for a body without messages."""
        payload = decode_json(body).payload
        if not isinstance(payload.get("messages"), list):
            raise InvalidRequest("'messages' must be a list.", param="messages")
        try:
            return await self._relay.relay(context, body)
        except InvalidRequest:  # nobody who was asked has this API
            tokens = estimated_tokens(payload.get("system"), payload["messages"], payload.get("tools"))
            return Reply(200, JSON, orjson.dumps({"input_tokens": tokens}), {ESTIMATED_HEADER: "input_tokens"})
