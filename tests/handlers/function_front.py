"""A prompt listener's handler over a fake API, with or without a fake language model."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from router.access.control import AccessControl
from router.access.counters import Counters
from router.access.keys import KeyRing
from router.access.rate_limits import RateLimits
from router.context import RequestContext
from router.dialects.canonical import DialectName
from router.dialects.registry import CLIENT_DIALECTS
from router.functions.engine import FunctionEngine, schemas_of
from router.functions.extractor import ExtractedCall, PendingCall
from router.functions.planning import Planner
from router.functions.selection import TargetSelection
from router.functions.targets import ApiEndpoint, HttpMethod, Parameter, Target
from router.guardrails import Guard, GuardPolicy, InputGuards, LabelCheck, ScoredModel
from router.handlers.admission import Admission
from router.handlers.answering_model import AnsweringModel
from router.handlers.function_agent import FunctionAgent
from router.handlers.functions import FunctionsHandler
from router.handlers.reply import Reply
from router.handlers.serving import ModelServing
from router.routing import prompt
from router.routing.models import ModelRouter, ProviderModel
from router.state.memory import MemoryStore
from router.upstream.chat import ChatUpstream
from router.upstream.fallback import Fallback, FallbackPolicy
from router.upstream.http import Endpoint, HttpClient
from router.upstream.service import FixedService, agent_url
from tests.fakes.agents import FakeAgent
from tests.fakes.counters import RecordedMetrics
from tests.fakes.models import ScriptedClassifier, ScriptedOrchestrator
from tests.fakes.prices import FakePrices
from tests.functions.apis import ScriptedExtractor, calls_of, clients, host_of

CITY = Parameter("location", "The city", required=True)
DAYS = Parameter("days", "How many days", "integer", default=7)
ASKING = "To go on with 'get weather', one thing is missing: The city. What should it be?"


def weather(host: str, *, dispatch: bool = True, method: HttpMethod = "GET", name: str = "get_weather") -> Target:
    endpoint = ApiEndpoint("weather_api", host, "/forecast", method, max_retries=0)
    return Target(name, "Weather forecasts.", (CITY, DAYS), endpoint, auto_llm_dispatch=dispatch)


def reads(text: str, pending: PendingCall | None) -> Sequence[ExtractedCall]:
    """Oslo and Seattle, and the first number."""
    found: dict[str, Any] = {}
    if city := re.search(r"Oslo|Seattle", text):
        found["location"] = city[0]
    if number := re.search(r"\d+", text):
        found["days"] = number[0]
    return [ExtractedCall("get_weather", found)]


@dataclass
class FunctionFront:
    """``scores`` are those of the orchestrator; ``contexts`` those of the requests so far."""

    handler: FunctionsHandler
    engine: FunctionEngine
    model: AnsweringModel | None
    access: AccessControl
    admission: Admission
    scorer: ScriptedOrchestrator
    extractor: ScriptedExtractor
    recorded: RecordedMetrics
    contexts: list[RequestContext] = field(default_factory=list)

    def agent(self) -> FunctionAgent:
        """The first target as an agent."""
        return FunctionAgent(self.engine.targets[0].name, self.engine, self.model)

    async def ask(self, *texts: str, dialect: DialectName = "openai_chat", **fields: object) -> Reply:
        """Texts of the user and the assistant, in turn."""
        self.contexts.append(new_context(dialect))
        return await self.handler.complete(self.contexts[-1], body_of(dialect, *texts, **fields))


def new_context(dialect: DialectName = "openai_chat") -> RequestContext:
    path = CLIENT_DIALECTS[dialect].PATH
    return RequestContext("req-1", "front", path, {}, time.monotonic() + 5, dialect=dialect)


def body_of(dialect: DialectName, *texts: str, **fields: object) -> bytes:
    messages = [{"role": "assistant" if index % 2 else "user", "content": text} for index, text in enumerate(texts)]
    said: Mapping[str, object] = {"input": messages} if dialect == "openai_responses" else {"messages": messages}
    limit = {"max_tokens": 999} if dialect == "anthropic_messages" else {}
    return orjson.dumps({"model": "any", **said, **limit, **fields})


@asynccontextmanager
async def function_front(
    targets: Sequence[Target],
    *,
    provider: FakeAgent | None = None,
    scores: Mapping[str, float] | None = None,
    extract: Callable[[str, PendingCall | None], Sequence[ExtractedCall]] = reads,
    guards: bool = True,
    system_prompt: str | None = None,
    error: FakeAgent | None = None,
) -> AsyncIterator[FunctionFront]:
    recorded = RecordedMetrics()
    metrics = recorded.metrics
    scorer = ScriptedOrchestrator({"get_weather": 0.9} if scores is None else scores)
    extractor = ScriptedExtractor(extract)
    check = LabelCheck(ScoredModel(ScriptedClassifier()), {"jailbreak": 0.5})
    policy = Guard(GuardPolicy("jailbreak", "No."), check)
    admission = Admission(InputGuards([policy] if guards else [], metrics, max_chars=1000))
    access = AccessControl(KeyRing(), RateLimits([]), Counters(MemoryStore()), FakePrices({}), metrics)
    client = HttpClient(connect_timeout_s=2)
    model = None if provider is None else _model(provider, client, access, recorded)
    selection = TargetSelection(
        "front", targets, scorer=scorer, fit=prompt.fit, threshold=0.5, timeout_s=1, metrics=metrics
    )
    async with clients() as made:
        report = None if error is None else ApiEndpoint("desk", host_of(error), "/error", "POST")
        engine = FunctionEngine(
            targets,
            Planner(targets, schemas_of(targets), extractor),
            calls_of(targets, made, report),
            selection=selection,
            system_prompt=system_prompt,
            judge=admission.judged_result,
        )
        handler = FunctionsHandler(engine, model, admission, access)
        try:
            yield FunctionFront(handler, engine, model, access, admission, scorer, extractor, recorded)
        finally:
            await client.close()


def _model(provider: FakeAgent, client: HttpClient, access: AccessControl, recorded: RecordedMetrics) -> AnsweringModel:
    fallback = Fallback(FallbackPolicy(max_retries=0), recorded.metrics)
    endpoint = Endpoint("openai", agent_url(provider.url), 5, {"Authorization": "Bearer provider-key"})
    member = fallback.member(
        "openai", ChatUpstream(FixedService(endpoint), client, max_response_bytes=99_999), provider="openai"
    )
    router = ModelRouter([ProviderModel("openai", "openai", "gpt-4o", default=True)], {})
    return AnsweringModel(
        router, ModelServing({"openai": member}, fallback, access, max_retries=None), max_event_bytes=99_999
    )
