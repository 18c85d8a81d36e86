"""``/v1/moderations``: answered by the embedded classifier, or by a provider when the model names one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Protocol

from router.access.control import AccessControl
from router.context import RequestContext
from router.dialects import openai_moderations
from router.errors import InvalidRequest, PayloadTooLarge
from router.guardrails import pieces
from router.handlers.relay import RelayHandler
from router.handlers.reply import JSON, Reply


class Moderator(Protocol):
    """A classifier with one independent probability, and one threshold, per category."""

    model: str

    async def classify(self, texts: Sequence[str], *, timeout_s: float) -> Sequence[Mapping[str, float]]:
        """For each text, a score between 0 and 1 per category. Raises ``ModelUnavailable``."""

    async def thresholds(self, *, timeout_s: float) -> Mapping[str, float]:
        """For each category, the score from which a text belongs to it. Raises ``ModelUnavailable``."""


class ModerationsHandler:
    """A request whose ``model`` is ``provider/model`` is relayed; any other is judged here, all of it or not at all.

    Without a ``moderator`` there is nobody here to judge it.
    """

    def __init__(
        self, moderator: Moderator | None, relay: RelayHandler, access: AccessControl, *, max_chars: int
    ) -> None:
        self._moderator = moderator
        self._relay = relay
        self._access = access
        self._max_chars = max_chars

    async def moderate(self, context: RequestContext, body: bytes) -> Reply:
        """``POST /v1/moderations``."""
        model, texts = openai_moderations.decode_request(body)
        if model is not None and "/" in model:
            return await self._relay.relay(context, body)
        if self._moderator is None:
            message = "Name a provider's model, as in 'openai/omni-moderation-latest': the embedded classifier is off."
            raise InvalidRequest(message, param="model")
        if sum(map(len, texts)) > self._max_chars:
            message = f"'input' has more than {self._max_chars} characters (limits.max_guard_chars)."
            raise PayloadTooLarge(message, param="input")
        await self._access.admit(context, None, 0)  # a request that costs no provider's tokens
        cut = [list(pieces(text)) for text in texts]
        judged = iter(await self._moderator.classify(list(chain(*cut)), timeout_s=context.remaining_s()))
        scores = [_worst([next(judged) for _ in parts]) for parts in cut]
        thresholds = await self._moderator.thresholds(timeout_s=context.remaining_s())
        return Reply(200, JSON, openai_moderations.encode_answer(scores, thresholds, model=self._moderator.model))


def _worst(scores: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """The highest score per category: a text is as bad as its worst piece."""
    return {category: max(each[category] for each in scores) for category in scores[0]}
