from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer, unused_port
from chat import BadRequest, Conversation, build_app, read_conversation
from openai import AsyncOpenAI
from places import DATA

from router.aio import timeout

ASK = {"role": "user", "content": "flights to Paris and the weather there"}


def _respond(conversation: Conversation) -> str:
    if conversation.newest == "explode":
        raise RuntimeError("a secret")
    return f"Grüße: {conversation.newest}"


@pytest_asyncio.fixture
async def url() -> AsyncIterator[str]:
    async with TestServer(build_app("test_agent", _respond)) as server:
        yield str(server.make_url("")).rstrip("/")


async def _post(url: str, data: object) -> tuple[int, str, bytes]:
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    async with aiohttp.ClientSession() as session, session.post(f"{url}/v1/chat/completions", data=body) as response:
        return response.status, response.content_type, await response.read()


async def test_answers_a_completion(url: str) -> None:
    status, kind, raw = await _post(url, {"model": "any", "messages": [{"role": "user", "content": "hei  du"}]})
    body = json.loads(raw)
    assert (status, kind, body["object"], body["model"]) == (200, "application/json", "chat.completion", "any")
    assert body["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "Grüße: hei  du"}, "finish_reason": "stop"}
    ]
    assert body["usage"] == {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}


@pytest.mark.parametrize("usage", [True, False])
async def test_streams_word_by_word_with_usage_only_when_asked(url: str, usage: bool) -> None:
    request = {"messages": [{"role": "user", "content": "hei du"}], "stream": True}
    if usage:
        request["stream_options"] = {"include_usage": True}
    status, kind, raw = await _post(url, request)
    *events, done, end = raw.decode().split("\n\n")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    assert (status, kind, done, end) == (200, "text/event-stream", "data: [DONE]", "")
    assert ("usage" in chunks[-1]) is usage
    deltas = [chunk["choices"][0] for chunk in chunks if chunk["choices"]]
    assert [delta["delta"].get("content") for delta in deltas] == ["", "Grüße:", " hei", " du", None]
    assert [delta["finish_reason"] for delta in deltas] == [None] * 4 + ["stop"]
    assert len({chunk["id"] for chunk in chunks}) == 1


async def test_the_openai_client_reads_both_forms(url: str) -> None:
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        messages: Any = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
        whole = await client.chat.completions.create(model="any", messages=messages)
        stream = await client.chat.completions.create(model="any", messages=messages, stream=True)
        streamed = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert whole.choices[0].message.content == "".join(streamed) == "Grüße: hi"


async def test_findings_of_an_earlier_agent_come_first(url: str) -> None:
    finding = {"role": "assistant", "name": "flight_agent", "content": "Flight T1 at 10:00."}
    _, _, raw = await _post(url, {"messages": [finding, ASK]})
    text = json.loads(raw)["choices"][0]["message"]["content"]
    assert text == f"Flight T1 at 10:00.\n\nGrüße: {ASK['content']}"


def _assistant(content: str, name: str | None = None) -> dict[str, str]:
    return {"role": "assistant", "content": content, **({"name": name} if name else {})}


@pytest.mark.parametrize(
    ("messages", "findings"),
    [
        ([ASK], ()),
        ([_assistant("A", "a"), _assistant("B", "b"), ASK], ("A", "B")),
        ([_assistant("A", "a"), _assistant("A\n\nB", "b"), ASK], ("A\n\nB",)),
        ([ASK, _assistant("old answer"), ASK], ()),
        ([ASK, _assistant("old answer"), _assistant("A", "a"), ASK], ("A",)),
        ([_assistant("A", "a"), ASK, _assistant("old answer"), ASK], ()),
        ([_assistant("mine", "me"), _assistant(" ", "a"), ASK], ()),
    ],
)
def test_findings_are_the_named_answers_right_before_the_newest_user_message(
    messages: list[dict[str, str]], findings: tuple[str, ...]
) -> None:
    assert read_conversation(messages, "me").findings == findings


def test_only_user_messages_are_turns() -> None:
    messages = [{"role": "system", "content": "be brief"}, ASK, _assistant("x"), {"role": "user", "content": None}]
    assert read_conversation(messages, "me").user_turns == (ASK["content"], "")


@pytest.mark.parametrize("messages", [None, "hi", [], ["hi"], [_assistant("x")], [{"role": "user", "content": 7}]])
def test_messages_that_are_none_are_named(messages: object) -> None:
    with pytest.raises(BadRequest) as caught:
        read_conversation(messages, "me")
    assert caught.value.param == "messages"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"\xff\xfe", None),
        (b"[" * 100_000, None),
        ([], None),
        ({}, "messages"),
        ({"messages": [ASK], "stream": "yes"}, "stream"),
    ],
)
async def test_bad_requests_get_an_openai_error(url: str, body: object, param: str | None) -> None:
    status, kind, raw = await _post(url, body)
    error = json.loads(raw)["error"]
    assert (status, kind, error["type"], error["param"]) == (400, "application/json", "invalid_request_error", param)
    assert error["message"]


async def test_a_bug_is_a_500_that_tells_nothing(url: str) -> None:
    status, _, raw = await _post(url, {"messages": [{"role": "user", "content": "explode"}]})
    assert (status, json.loads(raw)["error"]["message"]) == (500, "The agent failed.")


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("GET", "/v1/chat/completions", 405)])
async def test_unknown_paths_and_methods_get_an_openai_error(url: str, method: str, path: str, status: int) -> None:
    async with aiohttp.ClientSession() as session, session.request(method, url + path) as response:
        assert response.status == status
        assert (await response.json())["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("script", "part"),
    [("weather_agent.py", "Weather in Paris"), ("flight_agent.py", "From which city or airport")],
)
async def test_the_agents_run_as_programs_and_stop_on_sigterm(script: str, part: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(DATA.parent / script), "--port", str(unused_port()), stdout=asyncio.subprocess.PIPE
    )
    try:
        async with timeout(20):
            assert process.stdout is not None
            url = (await process.stdout.readline()).decode().split()[-1]
            await _until_healthy(url, script.removesuffix(".py"))
            _, _, raw = await _post(url, {"messages": [ASK]})
            assert part in json.loads(raw)["choices"][0]["message"]["content"]
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _until_healthy(url: str, name: str) -> None:
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"{url}/healthz") as response:
                    assert await response.json() == {"status": "ok", "agent": name}
                    return
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.02)
