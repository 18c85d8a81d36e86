"""Sessions that stay with a model: pinned by the client, recognized by their beginning, or held by what a change costs.

A session is named by ``X-Model-Affinity``, or else recognized by its system prompt and its first user message (where
prompt caching, a routing budget or ``route_on_user_only`` asks for that, and not with ``X-Plano-Cache: off``). Sessions
of different tenants and API keys never meet. What is remembered is the model, never what was said; keys in the store
are hashes.

session                          who decides
named, no budget                 the pinned model, whatever the request names
recognized, session affinity     the model that has it cached, as long as the request names the same one
continued turn, user only        the model of the turn: tool results go back to whoever asked for them
any, with a routing budget       routing; leaving the model has to be paid for while its prompt cache is warm

Remembering lasts for the TTL after the last use. Without its store the gateway goes on, and forgets.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from router.context import RequestContext
from router.dialects.canonical import ChatRequest
from router.errors import InvalidRequest, StateUnavailable
from router.pricing import ModelPrice, PriceTable
from router.routing import prompt_caching
from router.routing.budget import SWITCH_SPEND_HEADER, Ledger, RoutingBudget, judge_switch
from router.routing.context_size import estimated_tokens
from router.routing.sessions import (
    Binding,
    Session,
    SettledSession,
    SettleReason,
    is_continued,
    recognize,
    settle_freely,
)
from router.state.base import Store

logger = logging.getLogger(__name__)

AFFINITY_HEADER = "x-model-affinity"
NAMESPACE = "sessions"

_MAX_SESSION_CHARS = 256
_MAX_NAME_CHARS = 256
_MAX_PERCENT = 100.0
_MAX_FALLBACKS = 8

# How long providers keep a prompt cache that is not used, in seconds; five minutes where nothing else is known.
# Anthropic: "5 minutes"; OpenAI: "5 to 10 minutes of inactivity"; DeepSeek keeps it on disk for hours.
_CACHE_LIFETIME_S = 300.0
_CACHE_LIFETIMES_S: Mapping[str, float] = {"deepseek": 3600.0}


@dataclass(frozen=True, slots=True)
class AffinitySettings:
    """``routing`` and ``prompt_caching``. ``stick`` keeps recognized sessions with their model (session affinity)."""

    ttl_s: float = 600.0
    implicit_ttl_s: float = 600.0
    tenant_header: str | None = None
    stick: bool = False
    route_on_user_only: bool = False
    budget: RoutingBudget | None = None

    @property
    def recognizes(self) -> bool:
        """Whether sessions without a name are of interest."""
        return self.stick or self.route_on_user_only or self.budget is not None


class SessionAffinity:
    """Finds the session of a request, and settles which model it goes on with.

    ``usable`` says whether a name means a model that can be asked; ``full_name`` gives its ``provider/model``, for
    prices. ``count_degraded`` is called when the store does not answer. ``clock`` gives Unix time, which several
    gateways share.
    """

    def __init__(
        self,
        settings: AffinitySettings,
        store: Store,
        *,
        prices: PriceTable,
        usable: Callable[[str], bool],
        full_name: Callable[[str], str],
        count_degraded: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._store = store
        self._prices = prices
        self._usable = usable
        self._full_name = full_name
        self._count_degraded = count_degraded
        self._clock = clock

    async def find(self, request: ChatRequest, context: RequestContext) -> Session | None:
        """The session of ``request``; ``None`` when it belongs to none.

        Raises ``InvalidRequest`` for headers that make no sense.
        """
        settings = self._settings
        named = context.headers.get(AFFINITY_HEADER)
        if named is not None and not 0 < len(named) <= _MAX_SESSION_CHARS:
            raise InvalidRequest(
                f"'{AFFINITY_HEADER}' has to have 1 to {_MAX_SESSION_CHARS} characters.", param=AFFINITY_HEADER
            )
        if named is None and not (settings.recognizes and prompt_caching.is_wanted(context.headers)):
            return None
        session_id = named or recognize(request)
        if session_id is None:
            return None
        key = self._key(session_id, named is not None, context)
        binding = await self._remembered(key, context)
        requested = request.model[:_MAX_NAME_CHARS] if request.model is not None else None
        if binding is not None and named is None and binding.requested != requested:
            binding = None  # the client has changed its mind about the model
        budget = _budget(settings.budget, context.headers)
        decides = binding is not None and (
            (settings.route_on_user_only and is_continued(request))
            or (budget is None and (named is not None or settings.stick))
        )
        return Session(
            session_id,
            key,
            settings.ttl_s if named is not None else settings.implicit_ttl_s,
            requested,
            binding,
            binding.model if binding is not None and decides else None,
            budget,
        )

    async def settle(
        self,
        session: Session,
        candidate: str,
        request: ChatRequest,
        context: RequestContext,
        *,
        fallbacks: Sequence[str] = (),
    ) -> SettledSession:
        """Which model the session goes on with, and remember it.

        ``candidate`` is what was asked for or decided, ``fallbacks`` what to try when it fails.
        """
        now = self._clock()
        if session.budget is None:
            settled, ledger = settle_freely(session, candidate)
        else:
            tokens = estimated_tokens(request.messages, request.payload.get("tools"))
            settled, ledger = self._settle_within(session, session.budget, candidate, tokens, now)
        others = [name for name in fallbacks if name != settled.model and len(name) <= _MAX_NAME_CHARS]
        binding = Binding(settled.model, session.requested, now, ledger, tuple(others[:_MAX_FALLBACKS]))
        if NAMESPACE in context.degraded or len(settled.model) > _MAX_NAME_CHARS:
            return settled  # no use in waiting for the store a second time; no model has such a name
        try:
            await self._store.set(NAMESPACE, session.key, binding.encode(), ttl_s=session.ttl_s)
        except StateUnavailable as exc:
            self._note_degraded(context, exc)
        return settled

    def _settle_within(
        self, session: Session, budget: RoutingBudget, candidate: str, tokens: int, now: float
    ) -> tuple[SettledSession, Ledger]:
        before = session.binding
        discount = budget.cache_read_discount
        if before is None or not self._is_warm(before, now):
            carried = before.ledger if before is not None and not budget.replenish_on_rebind else Ledger(candidate)
            ledger = carried.with_turn(self._price(carried.default_model), tokens, warm=False, discount=discount)
            reason: SettleReason = "new" if before is None else "cold"
            changed = before is not None and before.model != candidate
            return SettledSession(session.id, candidate, False, changed, reason), ledger
        default = self._price(before.ledger.default_model)
        ledger = before.ledger.with_turn(default, tokens, warm=True, discount=discount)
        anchor = before.model
        if session.model is not None or candidate == anchor:
            reason = "pinned" if session.model is not None else "same_model"
            return SettledSession(session.id, anchor, True, False, reason), ledger
        verdict = judge_switch(
            budget, ledger, anchor=self._price(anchor), candidate=self._price(candidate), tokens=tokens
        )
        refused = None if verdict.allowed or not budget.record_counterfactual else candidate
        settled = SettledSession(
            session.id,
            candidate if verdict.allowed else anchor,
            pinned=not verdict.allowed,
            switched=verdict.allowed,
            reason=verdict.reason,
            cost_usd=verdict.cost_usd,
            refused=refused,
        )
        return settled, verdict.ledger

    def _is_warm(self, binding: Binding, now: float) -> bool:
        provider = self._full_name(binding.model).partition("/")[0]
        return now - binding.used_at < _CACHE_LIFETIMES_S.get(provider, _CACHE_LIFETIME_S)

    def _price(self, model: str) -> ModelPrice | None:
        return self._prices.price(self._full_name(model))

    async def _remembered(self, key: str, context: RequestContext) -> Binding | None:
        try:
            value = await self._store.get(NAMESPACE, key)
        except StateUnavailable as exc:
            self._note_degraded(context, exc)
            return None
        if value is None:
            return None
        try:
            binding = Binding.decode(value)
        except (ValueError, TypeError):
            return None  # written by another version
        return binding if self._usable(binding.model) else None

    def _key(self, session_id: str, named: bool, context: RequestContext) -> str:
        tenant_header = self._settings.tenant_header
        tenant = context.headers.get(tenant_header.lower()) if tenant_header is not None else None
        identity = None if context.identity is None else context.identity.name
        return hashlib.sha256(json.dumps([context.listener, tenant, identity, named, session_id]).encode()).hexdigest()

    def _note_degraded(self, context: RequestContext, error: StateUnavailable) -> None:
        context.degraded.append(NAMESPACE)
        self._count_degraded()
        logger.warning(
            "session store unavailable, going on without", extra={"listener": context.listener, "cause": repr(error)}
        )


def _budget(configured: RoutingBudget | None, headers: Mapping[str, str]) -> RoutingBudget | None:
    """The budget of one request, whose header may say another percentage."""
    said = headers.get(SWITCH_SPEND_HEADER)
    if configured is None or said is None:
        return configured
    try:
        percent = float(said)
    except ValueError:
        percent = math.nan
    if not 0 <= percent <= _MAX_PERCENT:
        raise InvalidRequest(f"'{SWITCH_SPEND_HEADER}' has to be a number from 0 to 100.", param=SWITCH_SPEND_HEADER)
    return replace(configured, max_switch_spend_pct=percent)
