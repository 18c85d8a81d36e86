"""The one question that handlers ask: may this request go on, and what does it count as?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from router.access.budgets import PriceTable, reservation, used_in_the_end
from router.access.counters import Counter, Counters
from router.access.keys import KeyRing
from router.access.quotas import Quota
from router.access.rate_limits import RateLimits, limit_headers
from router.context import Identity, RequestContext
from router.errors import GatewayError, InsufficientQuota, PermissionDenied, RateLimited, StateUnavailable
from router.telemetry.metrics import Metrics

CHARS_PER_TOKEN = 4  # the usual rule of thumb for what is not counted yet


def estimated_tokens(chars: int) -> int:
    """How many tokens a text of ``chars`` characters is taken to have until somebody counts them."""
    return math.ceil(chars / CHARS_PER_TOKEN)


@dataclass(slots=True)
class _Charge:
    """What a request takes out of one counter; ``window`` is ``None`` while nothing was taken.

    ``models``: it is for answers of these only; ``None`` for whoever answers.
    """

    counter: Counter
    amount: int
    window: tuple[int, int] | None = None
    models: tuple[str, ...] | None = None


class AccessControl:
    """Rate limits and budgets of one gateway. ``start`` it inside the event loop, and ``close`` it.

    Limits hold for what is admitted; what answers use beyond their requests counts when they are finished.
    ``has_free_models``: some model may cost nothing, and be used when a budget in dollars is gone.
    """

    def __init__(
        self,
        keys: KeyRing,
        rate_limits: RateLimits,
        counters: Counters,
        prices: PriceTable,
        metrics: Metrics,
        *,
        has_free_models: bool = True,
    ) -> None:
        self.keys = keys
        self._rate_limits = rate_limits
        self._counters = counters
        self._prices = prices
        self._metrics = metrics
        self._has_free_models = has_free_models

    def start(self) -> None:
        """Begin to settle counts in the background."""
        self._counters.start()

    async def close(self) -> None:
        """Settle what is left; requests have to be over. The store stays open."""
        await self._counters.close()

    def check_model(self, identity: Identity | None, *models: str) -> None:
        """Raises ``PermissionDenied`` when the key is not for a model that has these names.

        Every model that may serve a request has to be checked, also those that it only falls back to. Without a key,
        there is nothing to check: that one is needed has been seen to by the listener.
        """
        if identity is None:
            return
        grant = self.keys.grant(identity)
        if grant is None or not grant.may_use(*models):
            self._metrics.access_refused("model_not_allowed")
            name = models[0] if models else ""
            raise PermissionDenied(
                f"This API key is not for the model '{name}'.", code="model_not_allowed", param="model"
            )

    async def check_left(self, context: RequestContext, estimated_input_tokens: int) -> None:
        """Whether the limits of the client's key leave room for a request, before anything is spent on it.

        Counts nothing: ``admit`` still has to. Raises ``RateLimited`` or ``InsufficientQuota``. Where the counters
        cannot be asked, ``admit`` is who says so.
        """
        grant = self.keys.grant(context.identity)
        if grant is None or not grant.quotas:
            return
        holder = f"key:{grant.identity.name}"
        for quota in grant.quotas:
            if quota.resource == "usd" and self._has_free_models:
                continue  # which model it will be is not known yet, and such a one may be used without any dollars
            amount = max(1, estimated_input_tokens) if quota.resource == "tokens" else 1
            counter = self._counters.counter(holder, quota)
            with suppress(StateUnavailable):
                retry_after_s = await counter.lacks(amount)
                self._counters.settled(counter)
                if retry_after_s is not None:
                    every = (self._counters.counter(holder, each) for each in grant.quotas)
                    context.response_headers.update(limit_headers(every))
                    raise self._refusal(quota, retry_after_s)

    async def admit(
        self,
        context: RequestContext,
        model: str | None,
        estimated_input_tokens: int,
        *,
        equals: Sequence[str] = (),
        counted: bool = False,
    ) -> None:
        """Count a request for ``model`` (``provider/model``, as resolved) before anything is sent anywhere.

        ``equals`` are its other names, where several providers share the requests for it: it falls under the limits of
        all of them. ``None`` is for what no provider's model answers, such as an agent: it falls under the limits of
        its key, except those in dollars, as it has no price. ``counted`` is for a model that is asked on behalf of
        such a request, which was admitted before: of the limits of the key, it falls under those in dollars alone.

        Raises ``RateLimited`` or ``InsufficientQuota`` when a limit is reached, in which case nothing is counted,
        ``PermissionDenied`` when the key's budget cannot pay for the model, and ``StateUnavailable`` when the counters
        cannot be asked and their quota says ``deny``. Puts the ``x-ratelimit-*`` headers into the answer, whichever it
        is, and sees to it that what was really used counts when the request is finished. A model that stands in for
        this one falls under its own limits once ``context.admit_stand_in`` is asked about it; tokens count for
        the one that answered.
        """
        charges = self._charges(context, model, estimated_input_tokens, equals, counted=counted)
        if charges:
            try:
                await self._take_all(charges, context)
            finally:
                context.response_headers.update(limit_headers(charge.counter for charge in charges))
        if model is not None and self._rate_limits:
            self._offer_stand_ins(charges, estimated_input_tokens, context)
        elif not charges:
            return

        def settle(finished: RequestContext) -> None:
            used = [
                used_in_the_end(charge.counter.quota, model or "", charge.amount, finished, self._prices)
                if charge.models is None or _answered_by(finished, charge.models)
                else charge.amount * (charge.counter.quota.resource == "requests")
                for charge in charges
            ]
            self._settle(charges, used)

        context.on_finished.append(settle)

    def _offer_stand_ins(self, charges: list[_Charge], input_tokens: int, context: RequestContext) -> None:
        """Let ``context`` have the limits of other models counted, in ``charges``, when they are about to answer."""

        async def admit(models: Sequence[str]) -> None:
            counted = {id(charge.counter): charge for charge in charges if charge.models is not None}
            more = []
            for charge in self._limit_charges(models, input_tokens, context):
                if (known := counted.get(id(charge.counter))) is None:
                    more.append(charge)
                elif known.models is not None:
                    known.models = (*known.models, *models)
            if more:
                await self._take_all(more, context)
                charges.extend(more)
                context.response_headers.update(limit_headers(charge.counter for charge in charges))

        context.admit_stand_in = admit

    def _charges(
        self, context: RequestContext, model: str | None, input_tokens: int, equals: Sequence[str], *, counted: bool
    ) -> list[_Charge]:
        grant = self.keys.grant(context.identity)
        quotas = () if grant is None else grant.quotas
        holder = "" if grant is None else f"key:{grant.identity.name}"
        try:
            charges = [
                _Charge(
                    self._counters.counter(holder, quota), reservation(quota, model or "", input_tokens, self._prices)
                )
                for quota in quotas
                if (not counted if quota.resource != "usd" else model is not None)
            ]
        except PermissionDenied:
            self._metrics.access_refused("model_not_priced")
            raise
        return charges if model is None else [*charges, *self._limit_charges((model, *equals), input_tokens, context)]

    def _limit_charges(self, models: Sequence[str], input_tokens: int, context: RequestContext) -> list[_Charge]:
        return [
            _Charge(
                self._counters.counter(holder, quota),
                reservation(quota, models[0], input_tokens, self._prices),
                models=tuple(models),
            )
            for holder, quota in self._rate_limits.quotas(models, context.headers)
        ]

    async def _take_all(self, charges: list[_Charge], context: RequestContext) -> None:
        """All of ``charges``, or none."""
        context.counts_usage = context.counts_usage or any(
            charge.counter.quota.resource != "requests" for charge in charges
        )
        admitted = False
        try:
            for charge in charges:
                await self._take(charge, context)
            admitted = True
        finally:
            if not admitted:
                self._settle(charges, [0] * len(charges))

    async def _take(self, charge: _Charge, context: RequestContext) -> None:
        counter = charge.counter
        try:
            retry_after_s = await counter.take(charge.amount)
        except StateUnavailable:
            self._metrics.degraded("state")
            if counter.quota.on_error == "deny":
                raise
            if "state" not in context.degraded:
                context.degraded.append("state")
            return
        if retry_after_s is not None:
            raise self._refusal(counter.quota, retry_after_s)
        charge.window = counter.window

    def _settle(self, charges: list[_Charge], used: list[int]) -> None:
        for charge, amount in zip(charges, used, strict=True):
            if charge.window is not None:
                charge.counter.settle(charge.amount, amount, charge.window)
            elif amount:
                # Let through without having been counted; it counts as soon as that is possible again.
                charge.counter.settle(0, amount, charge.counter.window)
            self._counters.settled(charge.counter)

    def _refusal(self, quota: Quota, retry_after_s: float) -> GatewayError:
        if quota.kind == "budget":
            self._metrics.access_refused("insufficient_quota")
            return InsufficientQuota(
                f"The budget of this API key for this {quota.period} is used up.", retry_after_s=retry_after_s
            )
        self._metrics.access_refused("rate_limited")
        resource: Literal["requests", "tokens"] = "requests" if quota.resource == "requests" else "tokens"
        limit = f"the limit of {quota.amount} {resource} per {quota.period}"
        if math.isinf(retry_after_s):
            return RateLimited(f"This request alone is over {limit}.", resource="tokens")
        whole_s = math.ceil(retry_after_s)
        return RateLimited(
            f"Rate limit reached: {limit}. Try again in {whole_s}s.", resource=resource, retry_after_s=float(whole_s)
        )


def _answered_by(context: RequestContext, models: Sequence[str]) -> bool:
    """Whether it was one of ``models`` that answered, or was asked last."""
    return not context.attempts or context.attempts[-1].full_model in models
