"""A filter of your own: explains the words of the house to the model, when a question has one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.context import RequestContext
from router.dialects.canonical import ChatRequest, message_text
from router.filters.base import AnswerFilter, RequestOutcome


class Glossary:
    """``options``: ``terms``, each with its meaning."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self.name = name
        self._terms: dict[str, str] = {str(term): str(meaning) for term, meaning in options["terms"].items()}

    async def on_request(self, request: ChatRequest, context: RequestContext) -> RequestOutcome:
        """The request, with a message in front that explains the terms in its newest message."""
        question = message_text(request.messages[-1]).lower()
        notes = [f"{term}: {meaning}" for term, meaning in self._terms.items() if term.lower() in question]
        if not notes:
            return request
        note = {"role": "system", "content": "Words of this house:\n" + "\n".join(notes)}
        return request.replace(messages=[note, *request.messages])

    def answer_filter(self, request: ChatRequest, context: RequestContext) -> AnswerFilter | None:
        """Answers are not looked at."""
        return None
