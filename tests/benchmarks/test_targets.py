from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest
from aiohttp.test_utils import unused_port

from benchmarks.run import QUICK_SCENARIOS, SCENARIOS, read_arguments
from benchmarks.targets import (
    DIRECT,
    FOLDER,
    MODELS,
    ORCHESTRATED,
    SINGLE,
    TARGETS,
    Target,
    TargetError,
    pinned,
    running,
)
from router.config import load_config
from router.config.access import key_digest


def _mock(port: int) -> Target:
    command = (sys.executable, str(FOLDER / "mock_agent.py"), f"--port={port}")
    return Target("mock", "a mock on any port", port, command)


def test_a_target_is_ready_watched_and_stopped() -> None:
    target = _mock(unused_port())
    with running(target, None) as process:
        assert process.cpu_s()["gateway"] > 0
        assert process.rss_mb()["gateway"] > 5
        assert process.rss_mb()["triton"] == 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", target.port)) != 0


def test_a_port_in_use_is_said_before_the_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        target = _mock(taken.getsockname()[1])
        with pytest.raises(TargetError, match="is in use"), running(target, None):
            pytest.fail("a port in use must not be measured")


def test_a_target_that_stops_by_itself_is_said() -> None:
    target = Target("broken", "a program that ends", unused_port(), (sys.executable, "-c", "raise SystemExit(3)"))
    with pytest.raises(TargetError, match="stopped by itself"), running(target, None):
        pytest.fail("a target that ended must not be measured")


def test_pinning_puts_taskset_in_front() -> None:
    assert pinned(("a", "b"), 1) == ["taskset", "-c", "1", "a", "b"]
    assert pinned(("a", "b"), None) == ["a", "b"]


@pytest.mark.parametrize("target", [SINGLE, MODELS, ORCHESTRATED])
def test_configurations_load_without_a_word_and_fit_their_target(target: Target) -> None:
    loaded = load_config(Path(target.command[4]))
    config = loaded.config
    assert loaded.warnings == ()
    assert [listener.port for listener in config.listeners] == [target.port]
    behind = [*(agent.url for agent in config.agents), *(entry.base_url for entry in config.model_providers)]
    assert behind
    assert all(str(DIRECT.port) in str(url) for url in behind)
    keys = [] if config.auth is None else [key.digest for key in config.auth.keys]
    assert keys == ([] if target.key is None else [key_digest(target.key)])


def test_only_the_full_plan_is_complete() -> None:
    assert read_arguments([]).complete
    assert read_arguments([]).scenarios == SCENARIOS
    quick = read_arguments(["--quick"])
    assert (quick.complete, quick.scenarios, quick.rounds) == (False, QUICK_SCENARIOS, 1)
    some = read_arguments(["--only", "floor,direct", "--rounds", "2", "--seconds", "0.5"])
    assert [target.name for target in some.targets] == ["direct", "floor"]
    assert (some.rounds, some.seconds, some.complete) == (2, 0.5, False)


def test_unknown_targets_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_arguments(["--only", "flor"])
    assert "unknown targets: flor" in capsys.readouterr().err


def test_targets_have_ports_of_their_own() -> None:
    assert len({target.port for target in TARGETS}) == len(TARGETS)
