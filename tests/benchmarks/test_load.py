from __future__ import annotations

import asyncio
import json
import sys

import pytest
from aiohttp.test_utils import TestServer

from benchmarks.floor import build_app
from benchmarks.load import Result, Run, drive, percentile_ms
from benchmarks.mock_agent import answer_text
from benchmarks.prompts import bodies
from benchmarks.targets import FOLDER
from router.aio import timeout
from tests.fakes.agents import Behaviour, FakeAgent, answer, answer_json, die, fail, garbage, in_turn, stream


async def _measure(port: int, *, streamed: bool = False, concurrency: int = 2) -> Result:
    run = Run(bodies(0, 50, words=5, stream=streamed), stream=streamed, words=5, port=port)
    async with timeout(20):
        return await drive(run, port, concurrency=concurrency, warmup_s=0.02, seconds=0.1)


@pytest.mark.parametrize("streamed", [False, True])
async def test_measures_the_mock(mock_port: int, streamed: bool) -> None:
    result = await _measure(mock_port, streamed=streamed)
    assert (result.errors, result.first_error) == (0, None)
    assert 0 < result.requests <= result.all_requests
    assert 0 < result.p50_ms <= result.p90_ms <= result.p99_ms
    assert (result.first_token_p50_ms is not None) is streamed


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_floor_passes_answers_on_unchanged(mock_port: int, streamed: bool) -> None:
    async with TestServer(build_app(f"http://127.0.0.1:{mock_port}")) as floor:
        assert floor.port is not None
        result = await _measure(floor.port, streamed=streamed)
    assert result.errors == 0
    assert result.requests > 0


async def test_a_stream_torn_at_every_byte_is_still_read(mock_port: int) -> None:
    async with FakeAgent(behaviour=stream(answer_text(5), torn=True)) as agent:
        result = await _measure(agent.port, streamed=True)
    assert result.errors == 0
    assert result.all_requests > 0


@pytest.mark.parametrize(
    ("behaviour", "streamed", "part"),
    [
        (answer_json("word0 word1"), False, "word0 word1"),
        (answer("word0 word1 word2 word3"), True, "HTTP/1.1 200"),
        (answer("word0 word1 word2 word3 word4 word5"), True, "HTTP/1.1 200"),
        (answer("word0 word1 word1 word3 word4"), True, "HTTP/1.1 200"),
        (fail(503), False, "503"),
        (fail(503), True, "503"),
        (die(), False, "connection lost"),
        (garbage(), True, "connection lost"),
    ],
)
async def test_wrong_answers_are_errors_not_fast_answers(behaviour: Behaviour, streamed: bool, part: str) -> None:
    async with FakeAgent(behaviour=behaviour) as agent:
        result = await _measure(agent.port, streamed=streamed, concurrency=1)
    assert result.requests == 0
    assert result.errors > 0
    assert part in (result.first_error or "")


async def test_one_wrong_answer_among_good_ones_is_seen() -> None:
    good = answer(answer_text(5))
    async with FakeAgent(behaviour=in_turn(good, fail(500), good)) as agent:
        result = await _measure(agent.port, concurrency=1)
    assert result.errors == 1
    assert result.requests > 0


async def test_the_program_prints_one_line_of_json(mock_port: int) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(FOLDER / "load.py"),
        f"--port={mock_port}",
        "--seconds=0.1",
        "--warmup=0.05",
        "--same",
        stdout=asyncio.subprocess.PIPE,
    )
    async with timeout(20):
        output, _ = await process.communicate()
    assert Result(**json.loads(output)).errors == 0


def test_percentiles_are_milliseconds_of_sorted_seconds() -> None:
    times = [i / 1000 for i in range(1, 101)]
    assert (percentile_ms(times, 0.5), percentile_ms(times, 0.99), percentile_ms(times, 1.0)) == (51, 100, 100)
    assert percentile_ms([], 0.5) == 0
