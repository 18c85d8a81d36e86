from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from router.cli.instances import Instance, InstanceDirectory, process_start
from router.cli.route import Question, as_fields, choose_listener, decide, print_decision, route_command
from router.config import LoadedConfig, load_config
from router.context import RouteDecision, Turn
from router.errors import OperatorError
from tests.fakes.triton import FakeTriton

CONFIG = """\
version: v0.4.0
agents:
  - {{id: weather_agent, url: http://localhost:1}}
  - {{id: flight_agent, url: http://localhost:2}}
listeners:
  - type: agent
    name: travel
    port: 8001
    agents:
      - {{id: weather_agent, description: Weather.}}
      - {{id: flight_agent, description: Flights.}}
orchestrators:
  - {{name: plano_orchestrator_v1, threshold: 0.5}}
triton:
  url: {triton}
"""

DECISION = RouteDecision(
    stages=(("flight_agent", "hotel_agent"), ("weather_agent",)),
    reason="orchestrator",
    scores={"weather_agent": 0.61, "flight_agent": 0.97, "hotel_agent": 0.8, "car_agent": 0.02},
    model="orchestrator",
    model_version="3",
    latency_s=0.01234,
)


def load(folder: Path, triton: str) -> LoadedConfig:
    file = folder / "config.yaml"
    file.write_text(CONFIG.format(triton=triton))
    return load_config(file, {})


def question(*, triton_url: str | None = None) -> Question:
    return Question((Turn("user", "Fly to Oslo, then the weather"),), None, triton_url)


async def asked(loaded: LoadedConfig, state_dir: Path, *, triton_url: str | None = None) -> RouteDecision:
    _, decision = await decide(loaded, question(triton_url=triton_url), state_dir, Console(stderr=True))
    return decision


async def test_the_decision_comes_from_the_orchestrator_of_the_configuration(tmp_path: Path) -> None:
    async with FakeTriton() as triton:
        triton.orchestrator(lambda conversation, routes: ([0.7, 0.9], [1, 0]))
        name, decision = await decide(
            load(tmp_path, triton.address), question(), tmp_path / "state", Console(stderr=True)
        )
        assert name == "travel"
        assert decision.routes == ("flight_agent", "weather_agent")
        assert triton.requests[0].json("CONVERSATION") == [{"role": "user", "content": "Fly to Oslo, then the weather"}]


async def test_the_running_instance_of_the_same_file_is_asked(tmp_path: Path) -> None:
    async with FakeTriton() as triton:
        triton.orchestrator(lambda conversation, routes: [0.9, 0.1])
        loaded = load(tmp_path, "127.0.0.1:9")
        running = Instance(
            pid=os.getpid(),
            started=process_start(os.getpid()),
            config=str(loaded.path.resolve()),
            workers=1,
            stop_within_s=1,
            triton=triton.address,
        )
        InstanceDirectory(tmp_path / "state").record(running)
        assert (await asked(loaded, tmp_path / "state")).routes == ("weather_agent",)
        assert (await asked(loaded, tmp_path / "other")).reason == "degraded"


async def test_a_triton_named_on_the_command_line_wins(tmp_path: Path) -> None:
    async with FakeTriton() as triton:
        triton.orchestrator(lambda conversation, routes: [0.1, 0.9])
        decision = await asked(load(tmp_path, "127.0.0.1:9"), tmp_path / "state", triton_url=triton.address)
        assert decision.routes == ("flight_agent",)


def test_the_listener_has_to_be_clear() -> None:
    assert choose_listener(("travel",), None) == "travel"
    assert choose_listener(("travel", "work"), "work") == "work"
    with pytest.raises(OperatorError, match="Several listeners route to agents: travel, work"):
        choose_listener(("travel", "work"), None)
    with pytest.raises(OperatorError, match="No listener home routes to agents"):
        choose_listener(("travel",), "home")
    with pytest.raises(OperatorError, match="No listener of this file routes to agents"):
        choose_listener((), None)


def printed(decision: RouteDecision, *, terminal: bool) -> str:
    stream = io.StringIO()
    color = "standard" if terminal else None
    print_decision(Console(file=stream, force_terminal=terminal, width=100, color_system=color), "travel", decision)
    return stream.getvalue()


def test_plain_output_has_the_order_the_scores_and_the_reason() -> None:
    assert printed(DECISION, terminal=False).splitlines() == [
        "flight_agent + hotel_agent -> weather_agent  (the orchestrator found these agents needed)",
        "  1  0.970  flight_agent",
        "  1  0.800  hotel_agent",
        "  2  0.610  weather_agent",
        "  -  0.020  car_agent",
        "travel: orchestrator version 3, 12.3 ms",
    ]


def test_a_terminal_gets_bars() -> None:
    output = printed(DECISION, terminal=True)
    assert "\x1b[" in output
    assert "█" * 19 + "░" in output
    assert "travel: orchestrator version 3, 12.3 ms" in output


@pytest.mark.parametrize(
    ("reason", "words"),
    [("no_match", "no agent fits"), ("only_route", "the only agent"), ("degraded", "could not be asked")],
)
def test_a_decision_without_scores_says_why(reason: str, words: str) -> None:
    decision = RouteDecision((("weather_agent",),), reason)  # type: ignore[arg-type]
    for terminal in (False, True):
        output = printed(decision, terminal=terminal)
        assert words in output
        assert "weather_agent" in output
        assert "no model was asked" in output


def test_json_has_every_field() -> None:
    assert json.loads(json.dumps(as_fields("travel", DECISION))) == {
        "listener": "travel",
        "routes": ["flight_agent", "hotel_agent", "weather_agent"],
        "stages": [["flight_agent", "hotel_agent"], ["weather_agent"]],
        "reason": "orchestrator",
        "scores": {"weather_agent": 0.61, "flight_agent": 0.97, "hotel_agent": 0.8, "car_agent": 0.02},
        "model": "orchestrator",
        "model_version": "3",
        "latency_ms": 12.34,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give TEXT"),
        (["--message", "user:a", "--message", "assistant:b"], "give TEXT"),
        (["--message", "system:a", "b"], "does not begin with `user:` or `assistant:`"),
        (["--message", "no role", "b"], "does not begin with `user:` or `assistant:`"),
    ],
)
def test_a_conversation_that_does_not_end_with_the_user_is_refused(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    result = CliRunner().invoke(route_command, [str(tmp_path / "config.yaml"), *arguments])
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_a_broken_file_gets_every_problem(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("version: v9\nlistners: []\n")
    result = CliRunner().invoke(route_command, [str(file), "text"])
    assert result.exit_code == 1
    assert f"{file}:1:" in result.stderr
    assert f"{file}:2:" in result.stderr
