from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Literal

import orjson
import pytest

from router.errors import InvalidRequest, UpstreamError, UpstreamProtocolError, UpstreamTimeout, UpstreamUnreachable
from router.functions.addresses import public_address
from router.functions.http_call import ApiAnswer, ApiCall
from router.functions.targets import ApiEndpoint
from tests.fakes import agents
from tests.fakes.agents import Behaviour, FakeAgent
from tests.functions.apis import answers, clients, context, host_of, raw

Method = Literal["GET", "POST", "PUT", "DELETE"]


@asynccontextmanager
async def _api(behaviour: Behaviour) -> AsyncIterator[tuple[FakeAgent, Any]]:
    """An API, and a function that calls it."""
    async with FakeAgent(behaviour=behaviour) as agent, clients() as made:

        async def call(
            arguments: dict[str, Any], path: str = "/v1", method: Method = "GET", **fields: Any
        ) -> ApiAnswer:
            endpoint = ApiEndpoint("weather", host_of(agent), path, method, **fields)
            return await ApiCall(endpoint, made).call(arguments, context())

        yield agent, call


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_reading_and_deleting_carry_their_arguments_in_the_query(method: Method) -> None:
    async with _api(answers({"ok": True})) as (agent, call):
        answer = await call({"city": "São Paulo", "days": 3, "id": "a b"}, "/v1/{id}?units=c", method)
    request = agent.requests[0]
    assert (request.method, request.path) == (method, "/v1/a%20b?units=c&city=S%C3%A3o%20Paulo&days=3")
    assert request.body == b""
    assert "content-length" not in request.headers
    assert (answer.ok, orjson.loads(answer.body)) == (True, {"ok": True})


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_writing_carries_its_arguments_as_json(method: Method) -> None:
    async with _api(answers({})) as (agent, call):
        await call({"city": "Oslo", "days": 3, "id": 7}, "/v1/{id}", method)
    request = agent.requests[0]
    assert (request.method, request.path) == (method, "/v1/7")
    assert request.json == {"city": "Oslo", "days": 3}
    assert request.headers["content-type"] == "application/json"


async def test_headers_are_the_endpoints_own_whatever_the_arguments_are() -> None:
    async with _api(answers({})) as (agent, call):
        hostile = {"authorization": "stolen", "x": "a\r\nhost: evil.example\r\n\r\nGET /admin"}
        await call(hostile, headers={"authorization": "Bearer key", "host": "api.example"})
    assert len(agent.requests) == 1
    headers = agent.requests[0].headers
    assert (headers["authorization"], headers["host"], headers["x-request-id"]) == (
        "Bearer key",
        "api.example",
        "req-1",
    )
    assert "application/json" in headers["accept"]


async def test_credentials_are_in_no_representation() -> None:
    assert "secret" not in repr(ApiEndpoint("weather", "h", headers={"authorization": "secret"}))


@pytest.mark.parametrize("failure", [agents.fail(503), agents.fail(429), agents.die(), agents.die(reset=False)])
async def test_reading_is_tried_again_after_what_may_pass(failure: Behaviour) -> None:
    async with _api(agents.in_turn(failure, failure, answers({"ok": True}))) as (agent, call):
        assert (await call({})).status == 200
        assert len(agent.requests) == 3


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("failure", [agents.fail(503), agents.die()])
async def test_what_changes_something_is_sent_once(method: Method, failure: Behaviour) -> None:
    async with _api(agents.in_turn(failure, answers({}))) as (agent, call):
        with suppress(UpstreamUnreachable):
            assert (await call({}, method=method)).status == 503
        assert len(agent.requests) == 1


async def test_what_changes_something_never_meets_a_connection_that_may_be_closed() -> None:
    async with _api(agents.in_turn(answers({}), agents.die(), answers({}))) as (agent, call):
        await call({}, method="POST")
        with pytest.raises(UpstreamUnreachable):
            await call({}, method="POST")
        assert (len(agent.requests), agent.connections_made) == (2, 2)


async def test_retries_end_with_what_the_api_says() -> None:
    async with _api(agents.fail(502)) as (agent, call):
        assert (await call({}, max_retries=1)).status == 502
        assert len(agent.requests) == 2


async def test_an_answer_that_is_too_long_is_no_answer() -> None:
    async with _api(answers({"text": "a" * 5000})) as (_, call):
        with pytest.raises(UpstreamProtocolError, match="more than 1000 bytes"):
            await call({}, max_response_bytes=1000, max_retries=0)


@pytest.mark.parametrize(
    "answer", [answers({"text": "a" * 5000}), answers({}, 302, {"location": "http://evil.example/"}), agents.garbage()]
)
async def test_an_answer_that_is_none_is_not_asked_for_again(answer: Behaviour) -> None:
    async with _api(answer) as (agent, call):
        with pytest.raises(UpstreamProtocolError):
            await call({}, max_response_bytes=1000)
        assert len(agent.requests) == 1


async def test_a_redirect_is_not_followed() -> None:
    async with _api(answers({}, 302, {"location": "http://evil.example/"})) as (agent, call):
        with pytest.raises(UpstreamProtocolError, match="redirect"):
            await call({}, max_retries=0)
        assert len(agent.requests) == 1


async def test_the_time_of_a_call_is_bounded_all_tries_together() -> None:
    async with _api(agents.hang()) as (agent, call):
        started = time.monotonic()
        with pytest.raises(UpstreamTimeout):
            await call({}, timeout_s=0.2)
        assert time.monotonic() - started < 2
        await agent.wait_connections(0)


async def test_the_time_of_the_request_bounds_it_too() -> None:
    async with FakeAgent(behaviour=agents.hang()) as agent, clients() as made:
        with pytest.raises(UpstreamTimeout):
            await ApiCall(ApiEndpoint("weather", host_of(agent)), made).call({}, context(0.1))


async def test_an_unreachable_api_says_its_name_and_no_address() -> None:
    async with clients() as made:
        with pytest.raises(UpstreamError) as failed:
            await ApiCall(ApiEndpoint("weather", "127.0.0.1:1", max_retries=0), made).call({}, context())
    assert failed.value.message == "'weather' cannot be reached."


async def _private(host: str) -> Sequence[str]:
    return ["127.0.0.1"]


async def test_a_host_from_a_parameter_may_not_be_private() -> None:
    async with FakeAgent(behaviour=answers({})) as agent, clients() as made:
        endpoint = ApiEndpoint("tenants", f"{{tenant}}.example.com:{agent.port}", max_retries=0)
        with pytest.raises(InvalidRequest, match="not a public address"):
            await ApiCall(endpoint, made, find_address=partial(public_address, resolve=_private)).call(
                {"tenant": "a"}, context()
            )
        assert agent.requests == []


async def _checked(host: str, *, timeout_s: float) -> str:
    return "127.0.0.1"


async def test_a_host_from_a_parameter_is_connected_to_where_it_was_checked() -> None:
    async with FakeAgent(behaviour=answers({})) as agent, clients() as made:
        endpoint = ApiEndpoint("tenants", f"{{tenant}}.tenants.invalid:{agent.port}")
        answer = await ApiCall(endpoint, made, find_address=_checked).call({"tenant": "a", "q": 1}, context())
        assert answer.ok
        assert agent.requests[0].headers["host"] == f"a.tenants.invalid:{agent.port}"
        assert agent.requests[0].path == "/?q=1"


async def test_a_private_host_may_be_allowed() -> None:
    async with FakeAgent(behaviour=answers({})) as agent, clients() as made:
        endpoint = ApiEndpoint("any", f"{{host}}:{agent.port}", allow_private=True)
        assert (await ApiCall(endpoint, made).call({"host": "127.0.0.1"}, context())).ok


async def test_a_body_without_json_is_handed_back() -> None:
    async with _api(raw(b"Sunny", "text/plain; charset=utf-8")) as (_, call):
        answer = await call({})
    assert (answer.content_type, answer.body) == ("text/plain", b"Sunny")
