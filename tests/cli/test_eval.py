from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from tests.fakes.triton import FakeTriton

CONFIG = """\
version: v0.4.0
agents:
  - {{id: weather, url: http://localhost:1}}
  - {{id: flights, url: http://localhost:2}}
listeners:
  - type: agent
    name: travel
    port: 8001
    agents:
      - {{id: weather, description: Weather.}}
      - {{id: flights, description: Flights.}}
triton: {{url: "{triton}"}}
"""

TESTS = """\
minimum: 0.7
cases:
  - {text: rain in Oslo, agents: [weather]}
  - {text: fly to Oslo, agents: [flights]}
  - {text: hi there, agents: []}
  - {text: fly in the rain, agents: [flights, weather], ordered: true}
  - {text: my sunny holiday, agents: [weather]}
"""


def _scores(conversation: list[dict[str, str]], routes: list[dict[str, str]]) -> tuple[list[float], list[int]]:
    text = conversation[-1]["content"]
    return [0.9 * ("rain" in text), 0.8 * ("fly" in text or "holiday" in text)], [1, 0]


async def _run(folder: Path, *options: str, tests: str = TESTS) -> tuple[int, str, str]:
    async with FakeTriton() as triton:
        triton.orchestrator(_scores)
        (folder / "config.yaml").write_text(CONFIG.format(triton=triton.address))
        (folder / "tests.yaml").write_text(tests)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "router", "eval", str(folder / "tests.yaml"), "--state-dir", str(folder / "state"), *options),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()


async def test_the_report_names_what_went_wrong_and_who_collides(tmp_path: Path) -> None:
    code, out, _ = await _run(tmp_path)
    assert "4 of 5 cases right (80.0%), at least 70.0% wanted" in out
    assert code == 0
    assert "my sunny holiday" in out
    assert "Collisions" in out


async def test_too_few_right_cases_fail_the_run(tmp_path: Path) -> None:
    assert (await _run(tmp_path, "--minimum", "0.9"))[0] == 1


async def test_json_has_every_wrong_case_with_its_scores(tmp_path: Path) -> None:
    report = json.loads((await _run(tmp_path, "--json"))[1])
    assert (report["accuracy"], report["cases"], report["minimum"]) == (0.8, 5, 0.7)
    (wrong,) = report["wrong"]
    assert (wrong["expected"], wrong["chosen"], wrong["scores"]["flights"]) == (
        ["weather"],
        ["flights"],
        pytest.approx(0.8),
    )
    assert report["collisions"] == [{"wanted": "weather", "taken": "flights", "count": 1}]


async def test_an_agent_that_is_not_offered_is_said(tmp_path: Path) -> None:
    code, _, err = await _run(tmp_path, tests="cases: [{text: x, agents: [hotels]}]")
    assert code == 1
    assert "cases[0] expects hotels" in err
    assert "It offers weather, flights" in err


async def test_decisions_that_no_model_made_fail_the_run(tmp_path: Path) -> None:
    code, out, _ = await _run(tmp_path, "--triton-url", "127.0.0.1:1", "--minimum", "0.1")
    assert code == 1
    assert "(no decision)" in out
