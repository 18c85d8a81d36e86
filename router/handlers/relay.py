"""Other APIs of the providers, in OpenAI's manner: find who serves the model, relay the JSON both ways."""

from __future__ import annotations

import orjson

from router.access.control import estimated_tokens
from router.context import RequestContext
from router.dialects.canonical import ChatRequest
from router.errors import InvalidRequest
from router.handlers.relay_admission import RelayAdmission
from router.handlers.reply import JSON, Reply
from router.handlers.serving import ModelServing
from router.routing.models import HINT_HEADER, ModelRouter


class RelayHandler:
    """One path of one model listener, such as ``/v1/embeddings``. ``uses_tokens``: it costs what is sent there.

    ``admission`` are the filters and guards that look at what is sent.
    """

    def __init__(
        self, router: ModelRouter, serving: ModelServing, admission: RelayAdmission, *, uses_tokens: bool = True
    ) -> None:
        self._router = router
        self._serving = serving
        self._admission = admission
        self._uses_tokens = uses_tokens

    async def relay(self, context: RequestContext, body: bytes) -> Reply:
        """``POST``: the body as it came, or as filters and guards leave it, with the model's name at its provider."""
        request = decode_json(body)
        choices = self._serving.permitted(
            self._router.choices(request.model, context.headers.get(HINT_HEADER)), context.identity
        )
        await self._serving.admit(context, choices, estimated_tokens(len(body)) if self._uses_tokens else 0)
        request = await self._admission.admitted(request, context)
        return Reply(200, JSON, await self._serving.upstream(choices).complete(request, context))


def decode_json(body: bytes) -> ChatRequest:
    """A body of which only ``model`` is read. Raises ``InvalidRequest``."""
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise InvalidRequest(f"The body is not valid JSON: {exc}.") from exc
    if not isinstance(payload, dict):
        raise InvalidRequest("The body must be a JSON object.")
    if not isinstance(payload.get("model"), str | None):
        raise InvalidRequest("'model' must be a string.", param="model")
    return ChatRequest(payload, body)
