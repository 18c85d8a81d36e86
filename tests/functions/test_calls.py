from __future__ import annotations

import asyncio

import pytest

from router.errors import UpstreamStatus
from router.functions.planning import Plan, PlannedCall
from router.functions.targets import ApiEndpoint, HttpMethod, Target
from tests.fakes import agents
from tests.fakes.agents import FakeAgent
from tests.fakes.http_exchange import Exchange
from tests.functions.apis import answers, calls_of, clients, context, host_of, raw


def _target(name: str, agent: FakeAgent, method: HttpMethod = "GET") -> Target:
    return Target(name, name, (), ApiEndpoint(f"{name}_api", host_of(agent), f"/{name}", method, max_retries=0))


def _plan(*targets: Target) -> Plan:
    return Plan(tuple(PlannedCall(target, {"q": 1}) for target in targets))


async def test_reading_happens_at_the_same_time_and_is_told_in_order() -> None:
    together = asyncio.Event()
    waiting: list[str] = []

    async def meet(exchange: Exchange) -> None:
        waiting.append(exchange.request.path)
        if len(waiting) == 2:
            together.set()
        await together.wait()
        await exchange.send_json({"message": exchange.request.path})

    async with FakeAgent(behaviour=meet) as agent, clients() as made:
        plan = _plan(_target("a", agent), _target("b", agent))
        results = await calls_of([call.target for call in plan.calls], made).run(plan, context())
    assert [result.text for result in results] == ["/a?q=1", "/b?q=1"]


async def test_what_changes_something_happens_in_a_row_and_ends_with_a_failure() -> None:
    async with (
        FakeAgent(behaviour=agents.in_turn(answers({"message": "1"}), agents.fail(500))) as agent,
        clients() as made,
    ):
        plan = _plan(*[_target(name, agent, "POST") for name in "abc"])
        results = await calls_of([call.target for call in plan.calls], made).run(plan, context())
        assert [request.path for request in agent.requests] == ["/a", "/b"]
    assert [result.text for result in results] == ["1", "The API of 'b' answered with status 500: The agent is broken."]


@pytest.mark.parametrize(("status", "kind"), [(404, "invalid_request_error"), (503, "upstream_error")])
async def test_a_failure_has_the_status_of_the_api_and_its_reason(status: int, kind: str) -> None:
    async with FakeAgent(behaviour=answers({"detail": "No such city."}, status)) as agent, clients() as made:
        target = _target("weather", agent)
        with pytest.raises(UpstreamStatus) as failed:
            await calls_of([target], made).run(_plan(target), context())
    assert (failed.value.status, failed.value.code, failed.value.type) == (status, "api_error", kind)
    assert failed.value.message == f"The API of 'weather' answered with status {status}: No such city."


@pytest.mark.parametrize("status", [401, 403])
async def test_what_an_api_says_about_credentials_stays_here(status: int) -> None:
    async with FakeAgent(behaviour=answers({"error": "bad key sk-123"}, status)) as agent, clients() as made:
        target = _target("weather", agent)
        with pytest.raises(UpstreamStatus) as failed:
            await calls_of([target], made).run(_plan(target), context())
    assert failed.value.message == f"The API of 'weather' answered with status {status}."


async def test_an_api_that_repeats_our_credentials_is_not_repeated() -> None:
    async with FakeAgent(behaviour=answers({"error": "No such key: sk-12345678."}, 400)) as agent, clients() as made:
        headers = {"authorization": "Bearer sk-12345678"}
        target = Target("weather", "weather", (), ApiEndpoint("api", host_of(agent), headers=headers))
        with pytest.raises(UpstreamStatus) as failed:
            await calls_of([target], made).run(_plan(target), context())
    assert failed.value.message == "The API of 'weather' answered with status 400."


async def test_failures_are_reported_and_the_report_may_be_answered() -> None:
    async with (
        FakeAgent(behaviour=agents.fail(500)) as api,
        FakeAgent(behaviour=answers({"message": "Try again later."})) as desk,
        clients() as made,
    ):
        target = _target("weather", api)
        error = ApiEndpoint("desk", host_of(desk), "/error", "POST")
        results = await calls_of([target], made, error).run(_plan(target), context())
        assert [result.text for result in results] == ["Try again later."]
        assert desk.requests[0].json == {
            "target": "weather",
            "arguments": {"q": 1},
            "error": {
                "status": 500,
                "code": "api_error",
                "message": "The API of 'weather' answered with status 500: The agent is broken.",
            },
        }


@pytest.mark.parametrize("desk_says", [agents.fail(500), agents.die(), raw(b"", "text/plain", 204), raw(b"{")])
async def test_where_nobody_answers_the_report_the_failure_stands(desk_says: agents.Behaviour) -> None:
    async with (
        FakeAgent(behaviour=agents.fail(418)) as api,
        FakeAgent(behaviour=desk_says) as desk,
        clients() as made,
    ):
        target = _target("weather", api)
        error = ApiEndpoint("desk", host_of(desk), "/error", "POST")
        with pytest.raises(UpstreamStatus) as failed:
            await calls_of([target], made, error).run(_plan(target), context())
    assert failed.value.status == 418


async def test_a_failure_that_was_answered_ends_a_row_all_the_same() -> None:
    async with (
        FakeAgent(behaviour=agents.fail(500)) as api,
        FakeAgent(behaviour=answers({"message": "Try again later."})) as desk,
        clients() as made,
    ):
        plan = _plan(*[_target(name, api, "POST") for name in "ab"])
        error = ApiEndpoint("desk", host_of(desk), "/error", "POST")
        results = await calls_of([call.target for call in plan.calls], made, error).run(plan, context())
        assert [result.text for result in results] == ["Try again later."]
        assert [request.path for request in api.requests] == ["/a"]


async def test_calls_that_nobody_waits_for_any_more_are_cut_off() -> None:
    async with FakeAgent(behaviour=agents.hang()) as agent, clients() as made:
        plan = _plan(_target("a", agent), _target("b", agent))
        task = asyncio.create_task(calls_of([call.target for call in plan.calls], made).run(plan, context()))
        await agent.wait_requests(2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await agent.wait_connections(0)
