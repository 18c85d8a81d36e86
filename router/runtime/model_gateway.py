"""Everything behind the model listeners: providers with fail-over, who chooses among them, what is kept of sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from router.config import Config, Listener, ModelProvider
from router.dialects.canonical import DialectName
from router.dialects.registry import CLIENT_DIALECTS
from router.handlers import token_count
from router.handlers.admission import Admission
from router.handlers.answering_model import AnsweringModel
from router.handlers.completions import CompletionsHandler
from router.handlers.moderations import ModerationsHandler
from router.handlers.relay import RelayHandler
from router.handlers.relay_admission import ConversationAdmission, RelayAdmission, TextsAdmission
from router.handlers.serving import ModelServing
from router.handlers.token_count import TokenCountHandler
from router.listeners.middleware import Resource
from router.routing.affinity import AffinitySettings, SessionAffinity
from router.routing.budget import RoutingBudget
from router.routing.cache_marking import CacheMarking
from router.routing.metrics_sources import Latencies, MetricsSources, SourceSettings
from router.routing.model_decision import ModelDecider
from router.routing.preferences import Preference, PreferenceRouter
from router.routing.selection import ModelSelection
from router.runtime.guards import MODERATION_MODEL
from router.runtime.models import build_chats, build_model_router, build_services
from router.runtime.orchestrators import Orchestrators, preference_orchestrator_name
from router.runtime.parts import Parts
from router.state.base import Store
from router.state.kept import KeptStores
from router.state.opening import open_session_store
from router.triton.models import Classifier
from router.upstream.breaker import BreakerPolicy
from router.upstream.chat import ChatUpstream, Upstream
from router.upstream.cluster import Member
from router.upstream.fallback import Fallback, FallbackPolicy
from router.upstream.fetch import Fetcher
from router.upstream.json_api import JsonApi
from router.upstream.retry import Backoff
from router.upstream.usage_counting import UsageCounting

_EMBEDDINGS = "/v1/embeddings"
_MODERATIONS = "/v1/moderations"
_COUNT_TOKENS = "/messages/count_tokens"
_CATALOGUE_TIMEOUT_S = 30.0
_MAX_CATALOGUE_BYTES = 32 * 1024 * 1024


class ModelGateway:
    """Open it before the listeners, close it after them."""

    def __init__(self, parts: Parts, affinity_store: Store | None) -> None:
        config = parts.config
        self._parts = parts
        self._closing = AsyncExitStack()
        self._router = build_model_router(config)
        self._fallback = Fallback(_policy(config), parts.metrics)
        self._services = build_services(config)
        chats = build_chats(config, self._services, parts.client)
        self.orchestrators = Orchestrators(
            config, parts.triton, self._router, chats, parts.elsewhere, metrics=parts.metrics
        )
        self._entries = {entry.name: entry for entry in config.model_providers}
        self._members = {
            name: self._member(self._entries[name], self._conversation(self._entries[name], chat))
            for name, chat in chats.items()
        }
        self._latencies = Latencies(self._measured_latency)
        self._selection = ModelSelection(
            self._router.full_name, price=parts.prices.blended_usd, latency=self._latencies.of
        )
        self._affinity = None if affinity_store is None else self._build_affinity(affinity_store)

    @classmethod
    async def open(
        cls, parts: Parts, *, state_dir: Path, workers: int, stores: KeptStores | None = None
    ) -> ModelGateway:
        """Open the store of the sessions, and begin to fetch what is known about models elsewhere.

        ``stores`` are those in memory that a reload keeps. Raises ``OperatorError`` when the store cannot be used.
        """
        async with AsyncExitStack() as opened:
            routing, memory = parts.config.routing, (stores or KeptStores()).named("sessions")
            store = await open_session_store(routing, directory=state_dir, workers=workers, memory=memory)
            opened.push_async_callback(store.close)
            gateway = cls(parts, store)
            if parts.config.model_metrics_sources:
                task = asyncio.create_task(gateway._sources().run(), name="model metrics")
                opened.push_async_callback(_cancelled, task)
            gateway._closing = opened.pop_all()
        return gateway

    async def close(self) -> None:
        """Let go of the store and of what runs in the background."""
        await self._closing.aclose()

    def paths(self, listener: Listener, admission: Admission) -> dict[str, Resource]:
        """What a model listener offers."""
        parts, config = self._parts, self._parts.config
        serving = self._serving(self._members, listener)
        preferences = self._preferences(listener)
        decider = ModelDecider(self._router, preferences, self._affinity, permits=serving.permits)
        completions = CompletionsHandler(decider, serving, admission)
        moderator = Classifier(parts.triton, MODERATION_MODEL) if listener.moderations else None
        relay = self._relay("/moderations", listener, TextsAdmission(admission, guarded=False))
        moderations = ModerationsHandler(moderator, relay, parts.access, max_chars=config.limits.max_guard_chars)
        offered = {}
        for name, dialect in CLIENT_DIALECTS.items():
            offered[dialect.PATH] = Resource({"POST": completions.complete}, name)
            offered[f"/routing{dialect.PATH}"] = Resource({"POST": completions.decide}, name)
        offered[_EMBEDDINGS] = Resource({"POST": self._relay("/embeddings", listener, TextsAdmission(admission)).relay})
        conversation = ConversationAdmission(admission)
        counting = TokenCountHandler(self._relay(_COUNT_TOKENS, listener, conversation, dialect="anthropic_messages"))
        offered[token_count.PATH] = Resource({"POST": counting.count}, "anthropic_messages")
        offered[_MODERATIONS] = Resource({"POST": moderations.moderate})
        return offered

    def answering_model(self, listener: Listener) -> AnsweringModel | None:
        """Who words answers on a listener that is not for models itself; ``None`` where no model can be asked."""
        if not self._members:
            return None
        serving = self._serving(self._members, listener)
        max_bytes = self._parts.config.limits.max_response_bytes
        return AnsweringModel(self._router, serving, max_event_bytes=max_bytes)

    def _serving(self, members: Mapping[str, Member], listener: Listener) -> ModelServing:
        return ModelServing(members, self._fallback, self._parts.access, max_retries=listener.max_retries)

    def _relay(
        self, path: str, listener: Listener, admission: RelayAdmission, *, dialect: DialectName = "openai_chat"
    ) -> RelayHandler:
        members = {}
        for name, service in self._services.items():
            api = JsonApi(
                name,
                partial(service.json_call, path, dialect=dialect),
                self._parts.client,
                max_response_bytes=self._parts.config.limits.max_response_bytes,
            )
            members[name] = self._member(self._entries[name], api)
        serving = self._serving(members, listener)
        return RelayHandler(self._router, serving, admission, uses_tokens=path != _COUNT_TOKENS)

    def _conversation(self, entry: ModelProvider, chat: ChatUpstream) -> Upstream:
        caching = self._parts.config.prompt_caching
        upstream: Upstream = UsageCounting(chat)
        if caching.enabled and caching.inject_cache_control:
            upstream = CacheMarking(upstream, entry.provider, min_prefix_tokens=caching.min_prefix_tokens)
        return upstream

    def _member(self, entry: ModelProvider, upstream: Upstream) -> Member:
        return self._fallback.member(
            entry.name,
            upstream,
            weight=entry.weight,
            context_window=self._parts.prices.context_window(entry.model),
            own_credentials=not entry.passthrough_auth,
            provider=entry.provider,
        )

    def _measured_latency(self, model: str) -> float | None:
        if not self._router.usable(model):
            return None
        choice = self._router.choices(model)[0]
        measured = [
            seconds
            for entry in choice.entries
            if (seconds := self._members[entry.id].latency.measured_latency(choice.model)) is not None
        ]
        # Who has not been measured lately is tried first: nobody would ever find out that it is the fastest.
        return min(measured, default=0.0)

    def _preferences(self, listener: Listener) -> PreferenceRouter:
        orchestrator, settings = self.orchestrators.named(preference_orchestrator_name(self._parts.config))
        return PreferenceRouter(
            listener.name,
            _preferences(self._parts.config),
            orchestrator=orchestrator,
            threshold=settings.threshold,
            timeout_s=settings.timeout,
            selection=self._selection,
            metrics=self._parts.metrics,
        )

    def _build_affinity(self, store: Store) -> SessionAffinity:
        routing, caching = self._parts.config.routing, self._parts.config.prompt_caching
        budget = routing.routing_budget
        settings = AffinitySettings(
            ttl_s=routing.session_ttl_seconds,
            implicit_ttl_s=(caching.enabled and caching.session_ttl_seconds) or routing.session_ttl_seconds,
            tenant_header=routing.session_cache.tenant_header,
            stick=caching.enabled and caching.session_affinity,
            route_on_user_only=routing.route_on_user_only,
            budget=None if budget is None else RoutingBudget(**budget.model_dump()),
        )
        return SessionAffinity(
            settings,
            store,
            prices=self._parts.prices,
            usable=self._router.usable,
            full_name=self._router.full_name,
            count_degraded=partial(self._parts.metrics.degraded, "state"),
        )

    def _sources(self) -> MetricsSources:
        sources = [
            SourceSettings(source.provider, source.refresh_interval, source.url, source.query, source.model_aliases)
            for source in self._parts.config.model_metrics_sources
        ]
        fetcher = Fetcher(self._parts.client, max_bytes=_MAX_CATALOGUE_BYTES, timeout_s=_CATALOGUE_TIMEOUT_S)
        return MetricsSources(
            sources,
            fetcher,
            prices=self._parts.prices,
            latencies=self._latencies,
            count_failure=lambda _: self._parts.metrics.degraded("model_metrics"),
        )


def _preferences(config: Config) -> Sequence[Preference]:
    return [
        Preference(entry.name, entry.description, entry.models, entry.selection_policy.prefer)
        for entry in config.routing_preferences
    ]


def _policy(config: Config) -> FallbackPolicy:
    settings = config.resilience
    breaker = settings.circuit_breaker
    return FallbackPolicy(
        max_retries=settings.max_retries,
        first_byte_timeout_s=settings.first_byte_timeout,
        retry_budget_ratio=settings.retry_budget_pct / 100,
        backoff=Backoff(settings.backoff.base, settings.backoff.max),
        breaker=BreakerPolicy(
            consecutive_failures=breaker.consecutive_failures,
            failure_ratio=breaker.failure_ratio,
            window_s=breaker.window,
            min_requests=breaker.min_requests,
            open_for_s=breaker.open_for,
        ),
        hedge_after_at_least_s=settings.hedging.min_delay if settings.hedging.enabled else None,
    )


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
