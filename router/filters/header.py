"""``header``: which headers a request must have, and which of them go on to whoever answers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from router.context import RequestContext
from router.dialects.canonical import ChatRequest
from router.filters.base import AnswerFilter, Rejection, RequestOutcome


@dataclass(frozen=True, slots=True)
class HeaderRules:
    """``set`` go to the upstream as they are; ``forward`` are passed on where the client sent them; ``remove`` are not.

    ``require`` have to be there. ``metadata`` copies headers into the ``metadata`` of the body: key -> header.
    """

    set: Mapping[str, str] = field(default_factory=dict, repr=False)
    forward: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


class HeaderFilter:
    """Applies ``HeaderRules``. The header that the gateway's own key came in is never passed on."""

    def __init__(self, name: str, rules: HeaderRules) -> None:
        self.name = name
        self._rules = rules

    async def on_request(self, request: ChatRequest, context: RequestContext) -> RequestOutcome:
        """The request with its metadata; a rejection with status 400 that names the header that is missing."""
        rules = self._rules
        for name in rules.require:
            if not self._sent(name, context):
                return Rejection(f"The header '{name}' is required.")
        for name in rules.forward:
            if (value := self._sent(name, context)) is not None:
                context.upstream_headers[name.lower()] = value
        context.upstream_headers.update((name.lower(), value) for name, value in rules.set.items())
        context.upstream_headers.update(dict.fromkeys((name.lower() for name in rules.remove), None))
        copied = {
            key: value for key, name in rules.metadata.items() if (value := self._sent(name, context)) is not None
        }
        if not copied:
            return request
        metadata = request.payload.get("metadata")
        return request.replace(metadata={**(metadata if isinstance(metadata, dict) else {}), **copied})

    def answer_filter(self, request: ChatRequest, context: RequestContext) -> AnswerFilter | None:
        """Headers of answers are not looked at."""
        return None

    def _sent(self, name: str, context: RequestContext) -> str | None:
        lower = name.lower()
        return None if lower == (context.credential_header or "").lower() else context.headers.get(lower)
