"""``memory``: what a user said in earlier conversations, recalled into this one; what they say now, kept for later."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from router.context import RequestContext
from router.dialects.canonical import ChatRequest, message_text
from router.dialects.registry import CLIENT_DIALECTS
from router.errors import GatewayError
from router.filters.base import AnswerFilter, RequestOutcome
from router.filters.chain import FILTER_HEADER
from router.filters.recalled_messages import with_recalled
from router.memories.base import MemoryKey
from router.memories.memories import Memories
from router.memories.statements import statements
from router.pii.findings import Entity
from router.pii.redactor import Redactor
from router.telemetry.metrics import GuardOutcome, Metrics

logger = logging.getLogger(__name__)

MEMORY_HEADER = "x-trident-memory"
_OFF = "off"

# Where conversations are answered. What is embedded, moderated or counted is nothing that somebody says to a model.
_CONVERSING = frozenset(dialect.PATH for dialect in CLIENT_DIALECTS.values())

# Who finds such a number in a sentence leaves the sentence alone: it identifies or pays, and no later answer needs it.
NEVER_KEPT: tuple[Entity, ...] = (
    *("SECRET", "URL_CREDENTIALS", "CREDIT_CARD", "IBAN", "BANK_ACCOUNT", "CRYPTO_ADDRESS"),
    *("NATIONAL_ID", "TAX_ID", "HEALTH_ID", "PASSPORT", "DRIVERS_LICENSE"),
)
# What guards may say about a request whose statements are kept: it was judged, and nothing was taken out of it.
_UNTOUCHED: frozenset[GuardOutcome] = frozenset({"pass", "unseen", "annotate", "shadow"})
_ENDED: frozenset[GuardOutcome] = frozenset({"block", "unavailable"})

_MAX_KEY_CHARS = 256
_ASKED_CHARS = 1_000  # of the end of a long message, where its question stands; encoders read no more
_MAX_PENDING = 64

# Whose memory it is, as the client names it; ``None`` where it does not.
KeySource: TypeAlias = Callable[[ChatRequest, RequestContext], str | None]


def key_source(kind: Literal["api_key", "header", "user"], header: str | None) -> KeySource:
    """Where the key of a request stands."""
    if kind == "api_key":
        return lambda request, context: None if context.identity is None else context.identity.name
    if kind == "user":
        return lambda request, context: _usable(request.payload.get("user"))
    name = (header or "").lower()
    return lambda request, context: _usable(context.headers.get(name))


class MemoryFilter:
    """Recalls before the guards judge the request, keeps after the answer has gone out.

    Requests without a key pass, and so do those whose ``x-trident-memory`` is ``off``; with ``store: false`` something
    is recalled and nothing kept. Nothing is kept either of a request that was refused, redacted or not answered.
    Raises ``ModelUnavailable`` and ``StateUnavailable`` where nothing can be recalled; when something cannot be kept,
    the answer is gone already: that is logged and counted.
    """

    def __init__(
        self,
        name: str,
        memories: Memories,
        key_of: KeySource,
        never_kept: Redactor,
        metrics: Metrics,
        *,
        max_fact_chars: int,
        timeout_s: float,
    ) -> None:
        self.name = name
        self._memories = memories
        self._key_of = key_of
        self._never_kept = never_kept
        self._metrics = metrics
        self._max_fact_chars = max_fact_chars
        self._timeout_s = timeout_s
        self._pending: set[asyncio.Task[None]] = set()

    async def on_request(self, request: ChatRequest, context: RequestContext) -> RequestOutcome:
        """The request with what is recalled for its newest user message."""
        key, said = self._key(request, context), _newest_said(request)
        if key is None or said is None:
            return request
        timeout_s = min(self._timeout_s, context.remaining_s())
        recalled = await self._memories.recall(key, said[-_ASKED_CHARS:], timeout_s=timeout_s)
        if request.messages[-1]["role"] == "user" and _may_be_stored(request, context):
            kept = self._worth_keeping(said)
            if kept and (self.name, "kept") not in context.filter_state:
                context.filter_state[self.name, "kept"] = True  # once, though several agents may be asked
                context.on_finished.append(lambda finished: self._keep(key, kept, finished))
        if not recalled:
            return request
        context.response_headers[MEMORY_HEADER] = f"recalled={len(recalled)}"
        return with_recalled(request, recalled)

    def answer_filter(self, request: ChatRequest, context: RequestContext) -> AnswerFilter | None:
        """Answers are not looked at: what a model says is nothing that a user said."""
        return None

    async def close(self) -> None:
        """Finish what is being kept."""
        if self._pending:
            await asyncio.wait(self._pending, timeout=self._timeout_s)

    def _key(self, request: ChatRequest, context: RequestContext) -> MemoryKey | None:
        if context.path not in _CONVERSING or context.headers.get(MEMORY_HEADER, "").strip().lower() == _OFF:
            return None
        key = self._key_of(request, context)
        owner = "" if context.identity is None else context.identity.name
        return None if key is None else MemoryKey(self.name, owner, key)

    def _worth_keeping(self, text: str) -> list[str]:
        found = statements(text, max_chars=self._max_fact_chars)
        return [each for each in found if not self._never_kept.find(each)]

    def _keep(self, key: MemoryKey, texts: Sequence[str], context: RequestContext) -> None:
        """Begin to keep ``texts``, where the request was answered."""
        if not _answered(context):
            return
        if len(self._pending) >= _MAX_PENDING:
            self._not_kept("too many at once", context.request_id)
            return
        task = asyncio.get_running_loop().create_task(self._remember(key, texts, context.request_id))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def _remember(self, key: MemoryKey, texts: Sequence[str], request_id: str) -> None:
        try:
            await self._memories.remember(key, texts, timeout_s=self._timeout_s)
        except GatewayError as exc:
            self._not_kept(str(exc), request_id)
        except Exception as exc:  # nobody else would hear of it; its message may quote what was said
            self._not_kept(type(exc).__name__, request_id)

    def _not_kept(self, cause: str, request_id: str) -> None:
        self._metrics.degraded("filter")
        logger.warning("memory not kept", extra={"filter": self.name, "cause": cause, "request_id": request_id})


def _usable(value: object) -> str | None:
    """A key that may be one; anything else is none."""
    if not isinstance(value, str):
        return None
    key = value.strip()
    return key if key.isprintable() and 0 < len(key) <= _MAX_KEY_CHARS else None


def _newest_said(request: ChatRequest) -> str | None:
    newest = next((message for message in reversed(request.messages) if message["role"] == "user"), None)
    return None if newest is None else message_text(newest).strip() or None


def _may_be_stored(request: ChatRequest, context: RequestContext) -> bool:
    """Whether the client's body says nothing else. Where it is lost, it said so if it was one that might have."""
    if context.may_be_kept is not None:
        return context.may_be_kept
    written: Mapping[str, Any] | None = request.native
    if written is None and request.dialect == "openai_responses":
        return request.extras.get("store") is True
    return (request.payload if written is None else written).get("store") is not False


def _answered(context: RequestContext) -> bool:
    """Whether an answer went out whole, no filter and no guard ended it, and nothing was taken out of the request."""
    if context.error_code is not None or FILTER_HEADER in context.response_headers:
        return False
    if context.attempts and context.attempts[-1].outcome != "ok":
        return False
    return all(
        verdict.outcome in _UNTOUCHED if verdict.direction == "input" else verdict.outcome not in _ENDED
        for verdict in context.verdicts
    )
