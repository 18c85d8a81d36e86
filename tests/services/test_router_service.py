"""``RouterService`` over the wire: the decisions of listeners and of requests, one at a time and in batches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from google.rpc import code_pb2

from router.errors import ModelUnavailable
from router.protos.v1 import router_pb2 as wire
from router.telemetry import semconv
from tests.services.serving import ROUTES, Clients, Served, connected, fields, reason, serving, until


@pytest_asyncio.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as server:
        yield server


@pytest_asyncio.fixture
async def clients(served: Served) -> AsyncIterator[Clients]:
    async with connected(served.address) as stubs:
        yield stubs


def asking(*said: str, **fields: object) -> wire.RouteRequest:
    """A request in which the user says this, message by message."""
    return wire.RouteRequest(conversation=[wire.Message(role="user", content=text) for text in said], **fields)


def inline(*names: str, **options: object) -> dict[str, object]:
    routes = [wire.RouteDefinition(name=name, description=f"About {name}.") for name in names]
    return {"routes": wire.RouteDefinitions(routes=routes), "options": wire.RouteOptions(**options)}


def chosen(answer: wire.RouteResponse) -> list[list[str]]:
    return [list(stage.routes) for stage in answer.stages]


async def test_a_listener_decides_with_its_agents_scores_and_model(served: Served, clients: Clients) -> None:
    answer = await clients.router.Route(asking("Rain in Oslo?", listener="travel"))
    assert chosen(answer) == [["weather"]]
    assert answer.reason == wire.ROUTE_REASON_ORCHESTRATOR
    assert [(score.route, score.score) for score in answer.scores] == [("flights", 0.0), ("weather", 0.9)]
    assert (answer.model, answer.model_version) == ("orchestrator", "1")
    assert answer.latency.ToNanoseconds() > 0
    assert [turn.content for turn in served.orchestrator.asked[0]] == ["Rain in Oslo?"]


async def test_a_listener_without_its_orchestrator_takes_its_default_and_says_so(
    served: Served, clients: Clients
) -> None:
    served.orchestrator.error = ModelUnavailable("gone")
    call = clients.router.Route(asking("Rain in Oslo?", listener="travel"))
    answer = await call
    assert (chosen(answer), answer.reason) == ([["flights"]], wire.ROUTE_REASON_DEGRADED)
    assert ("x-trident-degraded", "orchestrator") in list(await call.trailing_metadata())
    assert served.recorded.count(semconv.DEGRADED, "orchestrator") == 1


async def test_routes_of_a_request_come_with_positions_and_the_threshold(served: Served, clients: Clients) -> None:
    served.orchestrator.scores, served.orchestrator.order = {"b": 0.8, "c": 0.7, "a": 0.1}, ["b", "c", "a"]
    answer = await clients.router.Route(asking("Do it.", **inline("a", "b", "c")))
    assert chosen(answer) == [["b"], ["c"]]
    assert [(score.route, score.score, score.position) for score in answer.scores] == [
        ("a", 0.1, 2),
        ("b", 0.8, 0),
        ("c", 0.7, 1),
    ]
    assert answer.model_threshold == 0.5


async def test_a_threshold_of_the_request_replaces_that_of_the_model(served: Served, clients: Clients) -> None:
    served.orchestrator.scores = {"a": 0.6}
    answer = await clients.router.Route(asking("Do it.", **inline("a", "b", threshold=0.7)))
    assert (chosen(answer), answer.reason) == ([], wire.ROUTE_REASON_NO_MATCH)


async def test_a_default_is_chosen_when_nothing_fits_and_when_nobody_can_say(served: Served, clients: Clients) -> None:
    request = asking("Do it.", **inline("a", "b", default_route="b"))
    answer = await clients.router.Route(request)
    assert (chosen(answer), answer.reason) == ([["b"]], wire.ROUTE_REASON_NO_MATCH)
    served.orchestrator.error = ModelUnavailable("gone")
    answer = await clients.router.Route(request)
    assert (chosen(answer), answer.reason) == ([["b"]], wire.ROUTE_REASON_DEGRADED)


async def test_the_only_route_is_taken_unasked_where_it_is_the_default(served: Served, clients: Clients) -> None:
    answer = await clients.router.Route(asking("Do it.", **inline("a", default_route="a")))
    assert (chosen(answer), answer.reason) == ([["a"]], wire.ROUTE_REASON_ONLY_ROUTE)
    assert served.orchestrator.asked == []
    answer = await clients.router.Route(asking("Do it.", **inline("a")))
    assert (chosen(answer), answer.reason) == ([], wire.ROUTE_REASON_NO_MATCH)


async def test_without_a_default_an_orchestrator_that_is_gone_is_an_error(served: Served, clients: Clients) -> None:
    served.orchestrator.error = ModelUnavailable("The orchestrator is gone.")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await clients.router.Route(asking("Do it.", **inline("a", "b")))
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert reason(raised.value) == "MODEL_UNAVAILABLE"


@pytest.mark.parametrize(
    ("request_", "code", "field"),
    [
        (wire.RouteRequest(listener="travel"), "INVALID_ARGUMENT", "conversation"),
        (asking("Hi."), "INVALID_ARGUMENT", "choices"),
        (asking("Hi.", listener="travle"), "NOT_FOUND", "listener"),
        (asking("Hi.", listener="travel", options=wire.RouteOptions(threshold=0.5)), "INVALID_ARGUMENT", "options"),
        (asking("Hi.", **inline()), "INVALID_ARGUMENT", "routes.routes"),
        (asking("Hi.", **inline("a", "a")), "INVALID_ARGUMENT", "routes.routes[1].name"),
        (asking("Hi.", **inline("a", "")), "INVALID_ARGUMENT", "routes.routes[1].name"),
        (asking("Hi.", **inline("a", "b" * 129)), "INVALID_ARGUMENT", "routes.routes[1].name"),
        (asking("Hi.", **inline(*map(str, range(257)))), "INVALID_ARGUMENT", "routes.routes"),
        (asking("Hi.", **inline("a", threshold=1.5)), "INVALID_ARGUMENT", "options.threshold"),
        (asking("Hi.", **inline("a", threshold=float("nan"))), "INVALID_ARGUMENT", "options.threshold"),
        (asking("Hi.", **inline("a", default_route="b")), "INVALID_ARGUMENT", "options.default_route"),
        (asking("Hi.", **inline("a", orchestrator="gpt")), "NOT_FOUND", "options.orchestrator"),
    ],
)
async def test_a_request_that_is_wrong_names_its_field(
    clients: Clients, request_: wire.RouteRequest, code: str, field: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await clients.router.Route(request_)
    assert raised.value.code().name == code
    assert fields(raised.value) == [field]


async def test_a_batch_is_answered_in_any_order_and_fails_one_by_one(served: Served, clients: Clients) -> None:
    held = served.orchestrator.hold = asyncio.Event()
    requests = [
        wire.RouteStreamRequest(id="slow", request=asking("Rain?", listener="travel")),
        wire.RouteStreamRequest(id="wrong", request=asking("Rain?", listener="nowhere")),
        wire.RouteStreamRequest(id="other", request=asking("Rain?", **inline("weather", "b"))),
    ]
    answers = []
    async for answer in clients.router.RouteStream(each_of(requests)):
        answers.append(answer)
        held.set()  # whoever is first did not wait for the slow one
    assert answers[0].id == "wrong"
    assert (answers[0].error.code, answers[0].error.reason, answers[0].error.field) == (
        code_pb2.NOT_FOUND,
        "NOT_FOUND",
        "listener",
    )
    assert {answer.id: chosen(answer.response) for answer in answers[1:]} == {
        "slow": [["weather"]],
        "other": [["weather"]],
    }


async def test_no_more_of_a_batch_is_read_than_is_answered_at_a_time(served: Served, clients: Clients) -> None:
    held = served.orchestrator.hold = asyncio.Event()
    requests = [wire.RouteStreamRequest(id=str(n), request=asking("Rain?", listener="travel")) for n in range(200)]
    call = clients.router.RouteStream(each_of(requests))
    waiting = asyncio.ensure_future(call.read())
    await until(lambda: len(served.orchestrator.asked) >= 32)
    for _ in range(200):
        await asyncio.sleep(0)
    assert len(served.orchestrator.asked) == 32
    held.set()
    answered = {(await waiting).id}
    while (answer := await call.read()) is not grpc.aio.EOF:
        answered.add(answer.id)
    assert answered == {str(number) for number in range(200)}


async def test_listeners_and_requests_are_scored_by_the_same_orchestrator(served: Served, clients: Clients) -> None:
    routes = [wire.RouteDefinition(name=route.name, description=route.description) for route in ROUTES]
    of_request = asking("Rain in Oslo?", routes=wire.RouteDefinitions(routes=routes))
    first = await clients.router.Route(asking("Rain in Oslo?", listener="travel"))
    second = await clients.router.Route(of_request)
    assert chosen(first) == chosen(second)
    assert served.orchestrator.asked[0] == served.orchestrator.asked[1]


async def each_of(requests: Iterable[wire.RouteStreamRequest]) -> AsyncIterator[wire.RouteStreamRequest]:
    for request in requests:
        yield request
