from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_args

import pytest

from router.config.filters import Filter, FilterCondition, FilterPattern, FilterType
from router.dialects.canonical import ChatRequest
from router.errors import FilterRejected, FilterUnavailable, OperatorError
from router.filters.building import FILTER_TYPES, Filters
from router.upstream.http import HttpClient
from tests.fakes.agents import FakeAgent
from tests.fakes.counters import RecordedMetrics
from tests.fakes.mcp_server import FakeMcpServer, text_result
from tests.filters.exchanges import context, request, said, text_of, through
from tests.filters.test_http_callout import answering, echo


@asynccontextmanager
async def _filters(*configs: Filter) -> AsyncIterator[Filters]:
    client = HttpClient(connect_timeout_s=2)
    filters = Filters(configs, client, RecordedMetrics().metrics)
    try:
        yield filters
    finally:
        await filters.close()
        await client.close()


SECRETS = Filter(
    id="secrets",
    type="regex",
    patterns=(
        FilterPattern(name="key", pattern="sk-[0-9]{4,}"),
        FilterPattern(name="in", pattern="IN", replacement="", direction="input"),
        FilterPattern(name="out", pattern="OUT", replacement="*", direction="output"),
        FilterPattern(name="falcon", pattern="falcon", action="block"),
    ),
)


async def test_a_regex_filter_as_it_is_configured() -> None:
    async with _filters(SECRETS) as filters:
        chain = filters.chain(["secrets"], ["secrets"], listener="model")
        changed = await chain.apply_request(request("IN OUT sk-12345"), context())
        assert isinstance(changed, ChatRequest)
        assert changed.messages[0]["content"] == " OUT [key]"
        out = await through(chain.transform(request(), context()), said("IN OUT sk-12", "345"))
        assert text_of(out) == "IN * [key]"
        with pytest.raises(FilterRejected, match=r"not allowed here \(falcon\)"):
            await chain.apply_request(request("falcon"), context())


async def test_services_see_whole_bodies_on_model_listeners_and_messages_on_others() -> None:
    async def unchanged(arguments: dict[str, Any]) -> dict[str, Any]:
        return text_result(arguments["body"])

    async with FakeAgent(behaviour=answering(echo)) as http, FakeMcpServer(unchanged) as mcp:
        configs = Filter(id="a", type="http", url=http.url), Filter(id="b", url=mcp.url, tool="guard")
        async with _filters(*configs) as filters:
            for listener in ("model", "agent", "prompt"):
                chain = filters.chain(["a", "b"], [], listener=listener)  # type: ignore[arg-type]
                await chain.apply_request(request("x", temperature=1), context())
    bodies = [received.json for received in http.requests]
    assert bodies == [call["arguments"]["body"] for call in mcp.calls]
    assert [("temperature" in body, "messages" in body) for body in bodies] == [
        (True, True),
        (False, True),
        (False, True),
    ]
    assert mcp.calls[0]["name"] == "guard"
    assert mcp.sessions == set()


async def test_the_default_tool_of_an_mcp_filter_is_its_id() -> None:
    async def unchanged(arguments: dict[str, Any]) -> dict[str, Any]:
        return text_result(arguments["body"])

    async with FakeMcpServer(unchanged) as mcp, _filters(Filter(id="rewriter", url=mcp.url)) as filters:
        await filters.chain(["rewriter"], [], listener="model").apply_request(request(), context())
    assert mcp.calls[0]["name"] == "rewriter"


async def test_a_filter_is_made_once_whichever_lists_name_it() -> None:
    async with FakeAgent(behaviour=answering(echo)) as http:
        async with _filters(Filter(id="a", type="http", url=http.url)) as filters:
            for agent in (None, "x", "y"):
                chain = filters.chain(["a"], ["a"], listener="agent", agent=agent)
                await chain.apply_request(request(), context())
        assert http.connections_made == 1


async def test_the_policy_is_the_configurations() -> None:
    async with FakeAgent(behaviour=answering(lambda _: {}, 500)) as http:
        strict = Filter(id="a", type="http", url=http.url)
        lenient = Filter(id="b", type="http", url=http.url, on_error="allow")
        other = Filter(id="c", type="http", url=http.url, when=FilterCondition(models=("other",)))
        never = Filter(id="d", type="http", url=http.url, sample=0.0)
        async with _filters(strict, lenient, other, never) as filters:
            asked, asking = request(), context()
            chain = filters.chain(["b", "c", "d"], [], listener="model")
            assert await chain.apply_request(asked, asking) is asked
            assert asking.degraded == ["filter"]
            with pytest.raises(FilterUnavailable):
                await filters.chain(["a"], [], listener="model").apply_request(asked, context())


async def test_a_filter_may_be_for_some_agents() -> None:
    only = SECRETS.model_copy(update={"when": FilterCondition(agents=("x",))})
    async with _filters(only) as filters:
        asked = request("falcon")
        assert (
            await filters.chain(["secrets"], [], listener="agent", agent="y").apply_request(asked, context()) is asked
        )
        with pytest.raises(FilterRejected):
            await filters.chain(["secrets"], [], listener="agent", agent="x").apply_request(asked, context())


async def test_an_empty_chain_is_false() -> None:
    async with _filters() as filters:
        assert not filters.chain([], [], listener="model")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (Filter(id="a", type="python", python="no_such_module:Filter"), "cannot be loaded"),
        (Filter(id="a", type="python", python="router.filters.base:Rejection"), "cannot be made: TypeError"),
        (
            Filter(id="a", type="regex", patterns=(FilterPattern(name="p", pattern="(?:" * 40 + "a" + ")" * 40),)),
            "nested more than 32 deep",
        ),
    ],
)
async def test_a_filter_that_cannot_be_made_says_why(config: Filter, message: str) -> None:
    async with _filters(config) as filters:
        with pytest.raises(OperatorError, match=message) as caught:
            filters.chain(["a"], [], listener="model")
        assert caught.value.fix


def test_the_mcp_sdk_is_loaded_for_those_who_use_it_only() -> None:
    source = Path(sys.modules["router.filters.building"].__file__ or "").read_text(encoding="utf-8")
    assert "\nfrom router.filters.mcp" not in source


def test_types_are_those_of_the_configuration() -> None:
    assert set(FILTER_TYPES) <= set(get_args(FilterType))
