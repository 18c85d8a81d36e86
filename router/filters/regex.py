"""``regex``: patterns that are taken out of requests and answers, or that end them."""

from __future__ import annotations

from collections.abc import Sequence

from router.context import RequestContext
from router.dialects.canonical import ChatRequest, encode_json
from router.dialects.registry import CLIENT_DIALECTS
from router.filters.answer_texts import MAX_WAITING_CHARS, AnswerTexts, TextBlocked
from router.filters.base import AnswerFilter, Rejection, RequestOutcome
from router.filters.text_leaves import rewrite_leaves
from router.filters.text_patterns import ArgumentsText, PatternSet, TextPattern, TextStream


class RegexFilter:
    """Patterns in every text of a request, and of an answer, also where a match is cut anywhere by a stream.

    A request is looked at as the client wrote it, so that nothing of it is missed that has no canonical form. What
    could be the beginning of a match longer than ``max_match_bytes`` is a failure of the filter. Raises ``ValueError``
    for a pattern that is none.
    """

    def __init__(
        self, name: str, inputs: Sequence[TextPattern], outputs: Sequence[TextPattern], *, max_match_bytes: int
    ) -> None:
        self.name = name
        self._inputs = PatternSet(inputs)
        self._outputs = PatternSet(outputs)
        self._max_match_bytes = max_match_bytes

    async def on_request(self, request: ChatRequest, context: RequestContext) -> RequestOutcome:
        """The request without what the patterns take out of it, or a rejection with status 400."""
        try:
            return self._rewritten(request)
        except TextBlocked as exc:
            return Rejection(exc.message)

    def answer_filter(self, request: ChatRequest, context: RequestContext) -> AnswerFilter | None:
        if not self._outputs:
            return None
        return AnswerTexts(
            lambda: TextStream(self._outputs, self._max_match_bytes),
            lambda: ArgumentsText(self._outputs.rewrite, MAX_WAITING_CHARS),
        )

    def _rewritten(self, request: ChatRequest) -> ChatRequest:
        native = request.native
        if native is not None:
            changed = rewrite_leaves(native, self._inputs.rewrite)
            return (
                request if changed is native else CLIENT_DIALECTS[request.dialect].decode_request(encode_json(changed))
            )
        payload = rewrite_leaves(request.payload, self._inputs.rewrite)
        extras = rewrite_leaves(request.extras, self._inputs.rewrite)
        if payload is request.payload and extras is request.extras:
            return request
        return ChatRequest(
            payload,
            dialect=request.dialect,
            untranslated=request.untranslated,
            refused=request.refused,
            extras=extras,
        )
