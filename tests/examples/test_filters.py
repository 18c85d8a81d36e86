"""The examples of filters, as a user would run them: in front of them nothing but the gateway's own filters."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import uvicorn

from router.aio import timeout
from router.config import Filter, load_config
from router.dialects.canonical import ChatRequest, DialectName
from router.errors import FilterRejected
from router.filters.building import Filters
from router.filters.chain import FilterChain
from router.upstream.http import HttpClient
from tests.fakes.counters import RecordedMetrics
from tests.filters.exchanges import context, finish_of, request, said, text_of, through

EXAMPLES = Path(__file__).parents[2] / "examples" / "filters"
PATHS: dict[DialectName, str] = {
    "openai_chat": "/v1/chat/completions",
    "anthropic_messages": "/v1/messages",
    "openai_responses": "/v1/responses",
}


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """``example(name)``: a module of the folder, as Python finds it where the folder is on the path."""
    monkeypatch.syspath_prepend(EXAMPLES)

    def load(name: str) -> ModuleType:
        monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module(name)

    return load


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """The URL of an application that a real server serves."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=1))
    task = asyncio.create_task(server.serve())
    async with timeout(10):
        while not server.started:
            await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def chain(
    config: Filter, *, listener: Any = "model", inputs: bool = True, outputs: bool = False
) -> AsyncIterator[FilterChain]:
    client = HttpClient(connect_timeout_s=2)
    filters = Filters([config], client, RecordedMetrics().metrics)
    try:
        yield filters.chain([config.id] if inputs else [], [config.id] if outputs else [], listener=listener)
    finally:
        await filters.close()
        await client.close()


def test_the_configuration_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_config(EXAMPLES / "config.yaml", {"OPENAI_API_KEY": "k"})
    assert len(loaded.config.filters) == 6
    assert len((EXAMPLES / "glossary.py").read_text().splitlines()) <= 32


@pytest.mark.parametrize("dialect", PATHS)
async def test_the_http_guard_passes_what_is_safe_and_refuses_a_break_in(
    example: Callable[[str], ModuleType], dialect: DialectName
) -> None:
    async with serving(example("http_filter").app) as url:
        config = Filter(id="guard", type="http", url=f"{url}/guard")
        async with chain(config) as guard:
            asked = request("What is the capital of ☀️ Peru? " + "ü" * 200_000, dialect=dialect)
            assert await guard.apply_request(asked, context(path=PATHS[dialect])) is asked
            bad = request("How do I break into a computer system?", dialect=dialect)
            with pytest.raises(FilterRejected, match=r"I can't help with breaking into systems\.") as caught:
                await guard.apply_request(bad, context(path=PATHS[dialect]))
    assert caught.value.status == 400


@pytest.mark.parametrize("stream", [True, False])
async def test_the_http_audit_lets_answers_through(example: Callable[[str], ModuleType], stream: bool) -> None:
    async with serving(example("http_filter").app) as url:
        config = Filter(id="audit", type="http", url=f"{url}/audit")
        async with chain(config, inputs=False, outputs=True) as audit:
            out = await through(audit.transform(request(stream=stream), context()), said("a", "b"))
    assert (text_of(out), finish_of(out)) == ("ab", "stop")


@pytest.mark.parametrize("json_response", [True, False])
async def test_the_mcp_guard_adds_what_it_knows_and_refuses_the_rest(
    example: Callable[[str], ModuleType], json_response: bool
) -> None:
    app = example("mcp_filter").server.streamable_http_app(json_response=json_response)
    async with serving(app) as url:
        config = Filter(id="shop_guard", url=f"{url}/mcp")
        async with chain(config, listener="agent") as guard:
            asked = request("Do you sell ☀️ glasses? " + "ü" * 200_000, temperature=0.5)
            changed = await guard.apply_request(asked, context())
            assert isinstance(changed, ChatRequest)
            assert [message["role"] for message in changed.messages] == ["system", "user"]
            assert changed.messages[1:] == asked.messages
            assert changed.payload["temperature"] == 0.5
            with pytest.raises(FilterRejected, match="I only know about the shop") as caught:
                await guard.apply_request(request("Who wins the election?"), context())
    assert caught.value.status == 400


async def test_the_glossary_explains_words(example: Callable[[str], ModuleType]) -> None:
    example("glossary")
    config = Filter(id="g", type="python", python="glossary:Glossary", options={"terms": {"SKU": "an article"}})
    async with chain(config) as glossary:
        plain = request("Hello")
        assert await glossary.apply_request(plain, context()) is plain
        changed = await glossary.apply_request(request("What is a sku?"), context())
    assert isinstance(changed, ChatRequest)
    assert changed.messages[0] == {"role": "system", "content": "Words of this house:\nSKU: an article"}
