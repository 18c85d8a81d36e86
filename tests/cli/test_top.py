"""`trident top`: live on a terminal, once without one, as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from router.telemetry import catalogue, semconv
from tests.cli.observed_instance import ObservedInstance, observed_instance, request_span


def busy(instance: ObservedInstance) -> None:
    """What a worker has counted after a few requests."""
    metrics = instance.metrics
    for status in (200, 200, 502):
        metrics.request_started("models")
        metrics.request_finished("models", status, "/v1/chat/completions", 0.3)
    metrics.request_started("models")
    metrics.turn_finished("chat", "models", 0.3, 0.04)
    metrics.operation_finished(
        "chat", "openai", provider="openai", model="gpt-4o", error="", duration_s=0.28, first_byte_s=0.03
    )
    metrics.operation_finished(
        "invoke_agent", "weather", provider="", model="", error="timeout", duration_s=0.2, first_byte_s=None
    )
    metrics.tokens_counted(
        "chat", "openai/gpt-4o", provider="openai", model="gpt-4o", tokens={"input": 1200, "output": 340}
    )
    metrics.used("models", "", "openai/gpt-4o", {"input": 1200, "output": 340}, 0.0042)
    metrics.guard_judged("jailbreak", "block")
    metrics.degraded("orchestrator")
    metrics.breaker_changed("openai", "open")
    metrics.registry.sum(catalogue.SIGNALS).add(2, "looping")
    root = request_span(**{semconv.LISTENER: "models", semconv.HTTP_STATUS: 502})
    root.fail("502")
    root.end()
    instance.report(root)


async def test_once_it_is_lines_without_a_terminal(tmp_path: Path) -> None:
    async with observed_instance(tmp_path) as instance:
        busy(instance)
        text = await instance.run("top")
        assert await instance.run("obs", "--once", str(instance.config))
    lines = text.splitlines()
    assert lines[0].startswith(f"{instance.config}  up ")
    assert lines[0].endswith("1 worker")
    assert "1 in flight  3 requests  1 errors" in lines[1]
    assert "tokens 1,200/340  $0.0042" in lines[1]
    (listener,) = [line for line in lines if line.startswith("listener models  ")]
    assert "errors=1" in listener
    assert "first token=" in listener
    (model,) = [line for line in lines if line.startswith("model openai/gpt-4o  ")]
    assert "tokens in/out=1200/340  cost=$0.0042" in model
    (agent,) = [line for line in lines if line.startswith("agent weather  ")]
    assert "errors=1" in agent
    for fact in (
        "guards: jailbreak block 1",
        "signals: looping 2",
        "degraded: orchestrator 1",
        "breakers: openai open",
    ):
        assert fact in lines
    assert any(line.startswith("recent  ") and "POST /v1/chat/completions  502" in line for line in lines)


async def test_json_is_one_object_or_one_a_line(tmp_path: Path) -> None:
    async with observed_instance(tmp_path) as instance:
        busy(instance)
        once = json.loads(await instance.run("top", "--once", "--json"))
        assert (once["requests"]["total"], once["workers"]) == (3, 1)
        assert once["window_s"] >= 1.0
        async with instance.running("top", "--json", "--interval", "0.2") as command:
            await command.until('"recent"')
            await command.until("\n{")
            assert await command.interrupt() == 0
            assert json.loads(command.text.splitlines()[0])["models"][0]["name"] == "openai/gpt-4o"


async def test_on_a_terminal_it_is_live_until_ctrl_c(tmp_path: Path) -> None:
    async with (
        observed_instance(tmp_path) as instance,
        instance.running("top", "--interval", "0.2", terminal=True) as command,
    ):
        await command.until("0 requests")
        busy(instance)
        text = await command.until("openai/gpt-4o")
        for title in ("LISTENER", "MODEL", "req/s"):
            assert title in text
        await command.until("jailbreak block 1")
        assert "\x1b[?1049h" in command.raw  # a screen of its own,
        assert await command.interrupt() == 0
        assert "\x1b[?1049l" in command.raw  # which is left behind
        assert "Traceback" not in command.text


async def test_once_on_a_terminal_it_stays_there(tmp_path: Path) -> None:
    async with observed_instance(tmp_path) as instance:
        busy(instance)
        text = await instance.run("top", "--once", terminal=True)
    assert "MODEL" in text
    assert "RECENT" in text


async def test_an_instance_that_goes_away_is_told(tmp_path: Path) -> None:
    async with observed_instance(tmp_path) as instance, instance.running("top", "--json") as command:
        await command.until('"recent"')
        await instance.channel.close()
        await instance.observer.close()
        assert await command.ended() == 1
        assert "The telemetry process went away" in command.text


@pytest.mark.parametrize("name", ["\x1b[2Jowned", "a\nb"])
async def test_names_do_not_steer_the_terminal(tmp_path: Path, name: str) -> None:
    async with observed_instance(tmp_path) as instance:
        root = request_span(name)
        root.end()
        instance.report(root)
        instance.metrics.request_started(name)
        async with instance.running("top", "--once", terminal=True) as command:
            assert await command.ended() == 0
            assert name not in command.raw
