"""A gateway's engines elsewhere: the same scores, several addresses, and failures that are policy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from router.aio import timeout
from router.config.access import ApiKey
from router.context import RouteDescription, Turn
from router.errors import ModelUnavailable
from router.guardrails import Guard, GuardPolicy, LabelCheck, ScoredModel, TopicCheck
from router.guardrails.engine import judge_one
from router.guardrails.texts import Passage, Subject
from router.protos.v1.guardrail_pb2_grpc import GuardrailServiceStub
from router.protos.v1.router_pb2_grpc import RouterServiceStub
from router.routing.router import AgentRouter
from router.services.remote import ClientTls, RemoteOptions, RemoteService
from router.services.remote_guardrails import RemoteClassifier, RemoteTopics
from router.services.remote_router import RemoteOrchestrator
from router.services.server import ServerTls
from tests.fakes.counters import RecordedMetrics
from tests.services.certificates import Certificates
from tests.services.serving import ATTACK, JAILBREAK, ROUTES, Served, serving, until

SECRET = "a-key-that-is-long-enough"
RAIN = [Turn("user", "Rain in Oslo?")]


@asynccontextmanager
async def remote(stub: Any, *addresses: str, **options: Any) -> AsyncIterator[RemoteService[Any]]:
    service: RemoteService[Any] = RemoteService(RemoteOptions("service", addresses, **options), stub)
    try:
        yield service
    finally:
        await service.close()


@asynccontextmanager
async def remote_router(*addresses: str, **options: Any) -> AsyncIterator[RemoteOrchestrator]:
    async with remote(RouterServiceStub, *addresses, **options) as service:
        yield RemoteOrchestrator(service)


async def test_scores_from_elsewhere_are_those_of_the_orchestrator_there() -> None:
    async with serving() as served, remote_router(served.address) as orchestrator:
        served.orchestrator.scores, served.orchestrator.order = {"weather": 0.1 + 0.2}, ["weather"]
        there = await orchestrator.score(RAIN, ROUTES, timeout_s=5)
        here = await served.orchestrator.score(RAIN, ROUTES, timeout_s=5)
        assert there == here
        assert served.orchestrator.asked[0] == RAIN


async def test_even_one_route_is_scored_and_surrogates_arrive() -> None:
    async with serving() as served, remote_router(served.address) as orchestrator:
        scores = await orchestrator.score([Turn("user", "a\ud800b")], ROUTES[1:], timeout_s=5)
        assert scores.scores == (0.9,)
        assert served.orchestrator.asked == [[Turn("user", "a?b")]]


async def test_a_named_orchestrator_is_asked_by_its_name() -> None:
    async with serving() as served, remote(RouterServiceStub, served.address) as service:
        await RemoteOrchestrator(service, "named").score(RAIN, ROUTES, timeout_s=5)
        with pytest.raises(ModelUnavailable, match="The service failed"):
            await RemoteOrchestrator(service, "unknown").score(RAIN, ROUTES, timeout_s=5)


async def test_without_the_service_the_default_route_is_taken() -> None:
    recorded = RecordedMetrics()
    async with serving() as served, remote_router(served.address) as orchestrator:
        router = AgentRouter(
            "travel",
            ROUTES,
            default="flights",
            orchestrator=orchestrator,
            threshold=None,
            timeout_s=5,
            metrics=recorded.metrics,
        )
        assert (await router.decide(RAIN, timeout_s=5)).routes == ("weather",)
        served.orchestrator.error = ModelUnavailable("gone")
        assert (await router.decide(RAIN, timeout_s=5)).reason == "degraded"
        served.orchestrator.error = None
        await served.server.drain()
        assert (await router.decide(RAIN, timeout_s=5)).reason == "degraded"


async def test_a_service_that_does_not_answer_in_time_is_given_up() -> None:
    async with serving() as served, remote_router(served.address, timeout_s=0.1) as orchestrator:
        served.orchestrator.hold = asyncio.Event()
        with pytest.raises(ModelUnavailable, match="did not answer in time"):
            await orchestrator.score(RAIN, ROUTES, timeout_s=5)
        await until(lambda: served.lines.entries)


async def test_calls_are_spread_over_all_addresses_and_go_where_least_is_done() -> None:
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(serving()) for _ in range(3)]
        orchestrator = await stack.enter_async_context(remote_router(*(server.address for server in servers)))
        for _ in range(9):
            await orchestrator.score(RAIN, ROUTES, timeout_s=5)
        assert [len(server.orchestrator.asked) for server in servers] == [3, 3, 3]
        hold = servers[0].orchestrator.hold = asyncio.Event()
        stuck = [asyncio.ensure_future(orchestrator.score(RAIN, ROUTES, timeout_s=5)) for _ in range(3)]
        await until(lambda: len(servers[0].orchestrator.asked) == 4)
        for _ in range(6):
            await orchestrator.score(RAIN, ROUTES, timeout_s=5)
        assert len(servers[0].orchestrator.asked) == 4
        hold.set()
        await asyncio.gather(*stuck)


async def test_an_address_that_is_gone_is_left_out_and_comes_back() -> None:
    async with serving() as first, serving() as second, remote_router(first.address, second.address) as orchestrator:
        await first.server.drain()
        for _ in range(6):
            await orchestrator.score(RAIN, ROUTES, timeout_s=5)
        assert len(second.orchestrator.asked) == 6
        async with serving(port=first.server.port) as again:
            await until_asked(orchestrator, again)


async def test_a_key_and_certificates_are_shown_to_the_service(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    tls = ServerTls(certificates.server.cert, certificates.server.key, certificates.ca)
    client = ClientTls(certificates.ca, certificates.client.cert, certificates.client.key, "localhost")
    async with serving(keys=[ApiKey(name="gateway", key=SECRET)], tls=tls) as served:
        async with remote_router(served.address, tls=client, api_key=SECRET) as orchestrator:
            assert (await orchestrator.score(RAIN, ROUTES, timeout_s=5)).scores == (0.0, 0.9)
        async with remote_router(served.address, tls=client, api_key="not-" + SECRET) as orchestrator:
            with pytest.raises(ModelUnavailable):
                await orchestrator.score(RAIN, ROUTES, timeout_s=5)
        await until(lambda: len(served.lines.entries) == 2)
        assert [entry.get("key") for entry in served.lines.entries] == ["gateway", None]


def test_a_key_is_not_shown() -> None:
    assert SECRET not in repr(RemoteOptions("service", ("a:1",), api_key=SECRET))


async def test_texts_are_scored_elsewhere_as_here() -> None:
    async with serving() as served, remote(GuardrailServiceStub, served.address) as service:
        classifier = RemoteClassifier(service, "jailbreak")
        assert await classifier.threshold(timeout_s=5) == 0.5  # also before anything was judged
        there = await classifier.classify(["Hello.", ATTACK, "Hello."], timeout_s=5)
        assert there == await served.classifier.classify(["Hello.", ATTACK, "Hello."], timeout_s=5)
        assert await classifier.thresholds(timeout_s=5) == {"benign": 0.5, "jailbreak": 0.5, "injection": 0.5}
        assert await classifier.classify([], timeout_s=5) == []


@pytest.mark.parametrize(("on_error", "outcome"), [("deny", "unavailable"), ("allow", "allowed_unchecked")])
async def test_guards_on_a_service_that_is_gone_follow_their_policy(on_error: Any, outcome: str) -> None:
    async with serving() as served, remote(GuardrailServiceStub, served.address) as service:
        scored = ScoredModel(RemoteClassifier(service, "jailbreak"))
        guard = Guard(GuardPolicy("jailbreak", on_error=on_error), LabelCheck(scored, JAILBREAK))
        attack, other = Subject((Passage(ATTACK),)), Subject((Passage("Hello."),))
        assert (await judge_one(guard, attack, timeout_s=5)).outcome == "block"
        served.classifier.error = ModelUnavailable("gone")
        assert (await judge_one(guard, other, timeout_s=5)).outcome == outcome
        await served.server.drain()
        assert (await judge_one(guard, other, timeout_s=5)).outcome == outcome
        assert (await judge_one(guard, attack, timeout_s=5)).outcome == "block"  # known


async def test_topics_are_scored_elsewhere() -> None:
    topics = [RouteDescription("travel", "Trips."), RouteDescription("food", "Meals.")]
    async with serving() as served, remote(GuardrailServiceStub, served.address) as service:
        served.orchestrator.scores = {"travel": 0.25, "food": 0.125}
        check = TopicCheck(RemoteTopics(service, "orchestrator"), topics)
        subject = Subject((), (Turn("user", "Tell me a joke."),))
        finding = await check.find(subject, {}, timeout_s=5)
        assert (finding.label, finding.score, len(finding.hits)) == ("off_topic", 0.75, 1)


async def test_a_closed_service_is_one_that_is_gone() -> None:
    async with serving() as served:
        service: RemoteService[Any] = RemoteService(RemoteOptions("service", (served.address,)), RouterServiceStub)
        await service.close()
        with pytest.raises(ModelUnavailable):
            await RemoteOrchestrator(service).score(RAIN, ROUTES, timeout_s=5)


async def until_asked(orchestrator: RemoteOrchestrator, served: Served) -> None:
    """Go on asking until this server is among those that are asked."""
    async with timeout(20):
        while not served.orchestrator.asked:
            await orchestrator.score(RAIN, ROUTES, timeout_s=5)
