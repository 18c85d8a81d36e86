"""The README's promises, kept by the real thing: `make demo`, the real Triton, the example agents, every command."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import openai
import psutil
import pytest

from router.aio import timeout
from router.config import load_config
from tests.e2e.trident import environment

pytestmark = [pytest.mark.e2e, pytest.mark.triton]

ROOT = Path(__file__).parents[2]
URL = "http://127.0.0.1:8001"
CHAT = f"{URL}/v1/chat/completions"
COMMANDS = [
    command.strip()
    for block in re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    for command in re.split(r"(?<!\\)\n", block)
    if command.strip() and not command.startswith("#")
]
# These run elsewhere: the demo in the fixture, the other two are what runs this test.
RUN_ELSEWHERE = {"make demo", "make test", "make check"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[psutil.Process]:
    """`make demo` as a new user starts it, on the ports that the README names."""
    folder = tmp_path_factory.mktemp("demo")
    log = folder / "demo.log"
    env = {name: value for name, value in environment(HOME=str(folder)).items() if not name.endswith("_KEY")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["make", "demo"], cwd=ROOT, env=env, stdout=output, stderr=output, start_new_session=True
        )
    try:
        # The last words of the launcher, after the gateway's status block.
        while "Ctrl-C stops the demo" not in log.read_text():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
            assert process.poll() is None, log.read_text()
        yield psutil.Process(process.pid)
    finally:
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) is not None


async def _ask(text: str, **fields: Any) -> tuple[int, str, str]:
    body = {"model": "any", "messages": [{"role": "user", "content": text}], **fields}
    async with aiohttp.ClientSession() as session, session.post(CHAT, json=body) as response:
        return response.status, response.headers.get("x-trident-route", ""), await response.text()


def _tritons(demo: psutil.Process) -> list[psutil.Process]:
    return [child for child in demo.children(recursive=True) if child.name() == "tritonserver"]


@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in RUN_ELSEWHERE])
def test_every_command_of_the_readme_runs(demo: psutil.Process, command: str) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=ROOT,
        env=environment(PATH=path),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if "Find flights" in command:
        assert "x-trident-route: flight_agent, weather_agent" in done.stdout
    if "Ignore all" in command:
        assert "x-trident-guard: jailbreak" in done.stdout


def test_the_commands_that_run_elsewhere_are_in_the_readme() -> None:
    assert set(COMMANDS) >= RUN_ELSEWHERE


async def test_the_official_client_gets_flights_and_weather(demo: psutil.Process) -> None:
    question = [{"role": "user", "content": "Find flights from NYC to Paris and check the weather there"}]
    async with openai.AsyncOpenAI(base_url=f"{URL}/v1", api_key="none") as client:
        answer = await client.chat.completions.create(model="any", messages=question)  # type: ignore[arg-type]
        stream = await client.chat.completions.create(model="any", messages=question, stream=True)  # type: ignore[call-overload]
        streamed = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
    text = answer.choices[0].message.content or ""
    assert "Flights from New York to Paris" in text
    assert "Weather in Paris" in text
    assert streamed == text


@pytest.mark.parametrize(
    ("text", "route"),
    [
        ("What's the weather in Oslo?", "weather_agent"),
        ("Will it rain in Tokyo tomorrow?", "weather_agent"),
        ("Are there any flights from London to Rome on Friday?", "flight_agent"),
        ("hi there, how are you?", "weather_agent"),
    ],
)
async def test_requests_reach_the_agent_that_they_are_for(demo: psutil.Process, text: str, route: str) -> None:
    status, chosen, _ = await _ask(text)
    assert (status, chosen) == (200, route)


async def test_gateway_and_triton_take_less_than_900_mb(demo: psutil.Process) -> None:
    await _ask("What's the weather in Oslo?")
    agents = {"weather_agent.py", "flight_agent.py"}
    parts = [child for child in demo.children(recursive=True) if not agents & {Path(a).name for a in child.cmdline()}]
    assert sum(part.memory_info().rss for part in parts) < 900 * 1024 * 1024


async def test_triton_killed_under_load_comes_back_and_no_request_hangs_or_passes_unchecked(
    demo: psutil.Process,
) -> None:
    answers: list[tuple[int, str, str]] = []
    served_again = asyncio.Event()

    async def client(number: int) -> None:
        turn = 0
        while not served_again.is_set():
            turn += 1
            async with timeout(15):
                answers.append(await _ask(f"What's the weather in Oslo, please? ({number}.{turn})"))

    (before,) = _tritons(demo)
    clients = [asyncio.create_task(client(number)) for number in range(4)]
    try:
        async with timeout(60):
            while len(answers) < 8:
                await asyncio.sleep(0.01)
            before.kill()
            while not any(status == 503 for status, _, _ in answers):
                await asyncio.sleep(0.01)
            seen = len(answers)
            while not any(status == 200 for status, _, _ in answers[seen:]):
                await asyncio.sleep(0.05)
    finally:
        served_again.set()
        await asyncio.gather(*clients)
    assert {status for status, _, _ in answers} == {200, 503}
    assert all("guardrail_unavailable" in body for status, _, body in answers if status == 503)
    assert _tritons(demo) != [before]


def test_every_key_of_the_demo_configuration_does_something() -> None:
    loaded = load_config(ROOT / "examples/travel/config.yaml", {})
    assert loaded.inactive_keys == ()
    assert [problem.severity for problem in loaded.warnings] == ["warning", "warning"]
