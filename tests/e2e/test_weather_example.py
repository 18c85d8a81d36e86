"""The weather example on the real Triton: natural language in, the example's own API called, its answer as text."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from mcp import Client

from tests.e2e.trident import free_port, up

# The example is imported as a user's copy of the folder is.
sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "weather"))

from weather_api import build_app

FOLDER = Path(__file__).parents[2] / "examples" / "weather"
pytestmark = [pytest.mark.e2e, pytest.mark.triton]

FIRST = "How is the weather in Seattle for the next 10 days?"
ASKING = (
    "To go on with 'get weather', one thing is missing: The city whose weather is wanted, as City, State. What should "
    "it be?"
)


class Example:
    """The service of the example, which notes what it is asked, and the gateway's URL."""

    def __init__(self, url: str, asked: list[str]) -> None:
        self.url = url
        self.asked = asked

    async def talk(self, *texts: str) -> str:
        """What is answered to texts of the user and the assistant, in turn."""
        messages = [{"role": "assistant" if index % 2 else "user", "content": text} for index, text in enumerate(texts)]
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}/v1/chat/completions", json={"messages": messages}) as response,
        ):
            assert response.status == 200, await response.text()
            answer = await response.json()
        text: str = answer["choices"][0]["message"]["content"]
        return text


@pytest.fixture
async def example(tmp_path: Path) -> AsyncIterator[Example]:
    asked: list[str] = []

    @web.middleware
    async def noted(request: web.Request, handler: object) -> web.StreamResponse:
        asked.append(f"{request.method} {request.rel_url} {await request.text()}".strip())
        return await handler(request)  # type: ignore[operator,no-any-return]

    app = build_app()
    app.middlewares.append(noted)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port, config = free_port(), tmp_path / "config.yaml"
    text, _, _ = (FOLDER / "config.yaml").read_text().partition("model_providers:")  # as without a key
    for written, used in (("port: 10000", f"port: {port}"), ("localhost:10530", f"127.0.0.1:{runner.addresses[0][1]}")):
        assert text.count(written) == 1
        text = text.replace(written, used)
    config.write_text(text)
    try:
        async with up(config, tmp_path / "state", port):
            yield Example(f"http://127.0.0.1:{port}", asked)
    finally:
        await runner.cleanup()


def _query(asked: Sequence[str]) -> dict[str, str]:
    method, url, *_ = asked[-1].split(" ")
    assert method == "GET"
    return dict(aiohttp.client.URL(url).query)


async def test_questions_become_calls_and_answers_text(example: Example) -> None:
    first = await example.talk(FIRST)
    assert _query(example.asked) == {"location": "Seattle", "days": "10", "units": "celsius"}
    assert first.startswith("Location: Seattle, Washington\nUnits: celsius\nDays:\n  - date: ")
    assert first.count("\n  - date: ") == 10

    second = await example.talk(FIRST, first, "And in Oslo?")
    assert _query(example.asked) == {"location": "Oslo", "days": "10", "units": "celsius"}
    assert second.startswith("Location: Oslo, Norway")

    assert await example.talk("How's the weather?") == ASKING
    assert len(example.asked) == 2
    third = await example.talk("How's the weather?", ASKING, "Tokyo")
    assert _query(example.asked)["location"] == "Tokyo"
    assert third.startswith("Location: Tokyo, Japan")

    signed = await example.talk("Send storm warnings for Oslo to bob@example.com, please")
    assert example.asked[-1] == 'POST /alerts {"email":"bob@example.com","location":"Oslo","event":"storm"}'
    assert signed == "bob@example.com will be told about storm in Oslo, Norway."

    async with Client(f"{example.url}/mcp") as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["get_weather", "create_alert"]
        result = await client.call_tool("get_weather", {"location": "Rome", "units": "fahrenheit"})
        assert result.structured_content["location"] == "Rome, Italy"
        assert _query(example.asked) == {"location": "Rome", "days": "1", "units": "fahrenheit"}
