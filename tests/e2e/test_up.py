"""`trident up` and `trident down` as a user runs them: whole processes, real signals, ports and files."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from router.aio import timeout
from router.cli.instances import instance_folder
from router.errors import OperatorError
from router.observer.client import ask as observer_ask
from tests.e2e.trident import (
    SECRET,
    TRIDENT,
    Instance,
    ask,
    body,
    environment,
    free_port,
    kill_tree,
    refuses,
    trident,
    until,
    up,
)
from tests.fakes.agents import FakeAgent, hang_midstream, sse_events
from tests.fakes.http_exchange import Exchange

pytestmark = pytest.mark.e2e

CONFIG = """\
version: v0.4.0
agents:
  - id: weather_agent
    url: {agent}
    headers: {{x-agent-key: $AGENT_KEY}}
model_providers:
  - model: openai/gpt-4o
    access_key: $OPENAI_API_KEY
  - model: groq/llama-3.3-70b
    access_key: $GROQ_KEY_THAT_IS_NOT_SET
listeners:
  - type: agent
    name: travel
    port: {port}
    agents:
      - id: weather_agent
        description: Weather.
limits:
  drain_timeout: {drain}
"""


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
async def agent() -> AsyncIterator[FakeAgent]:
    async with FakeAgent(reply="Sunny in Oslo.") as fake:
        yield fake


def write_config(folder: Path, agent: FakeAgent, *, port: int, drain: str = "20s") -> Path:
    file = folder / "config.yaml"
    file.write_text(CONFIG.format(agent=agent.url, port=port, drain=drain))
    return file


def served_by(instance: Instance) -> set[object]:
    return {line["worker"] for line in instance.log if line["message"] == "request"}


def notes(state_dir: Path) -> list[Path]:
    return list((state_dir / "instances").glob("*"))


def noted(state_dir: Path) -> dict[str, Any]:
    (note,) = notes(state_dir)
    found: dict[str, Any] = json.loads(note.read_text())
    return found


async def test_the_status_block_says_what_runs_in_plain_lines(
    agent: FakeAgent, tmp_path: Path, state_dir: Path
) -> None:
    port = free_port()
    async with up(write_config(tmp_path, agent, port=port), state_dir, port) as instance:
        admin = noted(state_dir)["admin"]
        assert "\x1b" not in instance.out + instance.log_file.read_text()
        assert instance.out.splitlines() == [
            f"trident 0.1.0 is ready (process {instance.pid}, 1 worker)",
            "Listeners:",
            f"  travel  agent  http://localhost:{port}/v1/chat/completions",
            "Agents:",
            f"  weather_agent  {agent.url}  on travel (default)",
            "Providers:",
            "  openai/gpt-4o  available",
            "  groq/llama-3.3-70b  unavailable: the environment variable GROQ_KEY_THAT_IS_NOT_SET is not set",
            "Admin:",
            f"  metrics  {admin}/metrics",
            f"  ready  {admin}/readyz",
            "Stop with Ctrl-C, or `trident down` from another terminal.",
        ]
        assert await ask(instance) == "Sunny in Oslo."


async def test_secrets_are_not_printed_logged_noted_or_in_the_process_list(
    agent: FakeAgent, tmp_path: Path, state_dir: Path
) -> None:
    port = free_port()
    async with up(write_config(tmp_path, agent, port=port), state_dir, port, "--log-level", "debug") as instance:
        await ask(instance)
        assert agent.requests[0].headers["x-agent-key"] == SECRET
        commands = [" ".join(process.cmdline()) for process in (psutil.Process(instance.pid), *instance.children())]
        written = [file.read_text() for file in (*notes(state_dir), instance.log_file)]
        assert len(commands) == 3
        assert not [text for text in (instance.out, *commands, *written) if SECRET in text]


async def test_a_terminal_gets_a_panel_and_ctrl_c_stops(agent: FakeAgent, tmp_path: Path, state_dir: Path) -> None:
    config = write_config(tmp_path, agent, port=free_port())
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    process = await asyncio.create_subprocess_exec(
        *TRIDENT,
        "up",
        str(config),
        "--state-dir",
        str(state_dir),
        env=environment(TERM="xterm-256color"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = bytearray()

    def shows(text: str) -> bool:
        with contextlib.suppress(BlockingIOError, OSError):
            shown.extend(os.read(ours, 65536))
        return text in re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", shown.decode(errors="replace"))

    try:
        await until(lambda: shows("Stop with Ctrl-C"), within_s=60)
        assert shows("╭")
        assert shows("● weather_agent")
        process.send_signal(signal.SIGINT)
        async with timeout(20):
            assert await process.wait() == 0
    finally:
        os.close(ours)
        await kill_tree(process)


async def test_a_second_instance_on_the_same_port_is_refused(agent: FakeAgent, tmp_path: Path, state_dir: Path) -> None:
    port = free_port()
    config = write_config(tmp_path, agent, port=port)
    async with up(config, state_dir, port) as instance:
        status, out, err = await trident("up", str(config), state_dir=state_dir)
        assert (status, out) == (1, "")
        assert f"Listener travel: port {port} on 127.0.0.1 is already in use" in err
        assert f"trident runs there with {config} (process {instance.pid})" in err
        assert f"trident down {config}" in err
        assert await ask(instance) == "Sunny in Oslo."
        assert len(notes(state_dir)) == 1


async def test_a_file_with_errors_is_refused_before_anything_starts(tmp_path: Path, state_dir: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("version: v0.4.0\nlisteners:\n  - type: agent\n    nmae: travel\n    port: 99999\n")
    status, out, err = await trident("up", str(config), state_dir=state_dir)
    assert (status, out) == (1, "")
    assert "nmae" in err
    assert "port" in err
    assert "Traceback" not in err
    assert not state_dir.exists()


async def test_down_stops_it_and_leaves_nothing(agent: FakeAgent, tmp_path: Path, state_dir: Path) -> None:
    port = free_port()
    config = write_config(tmp_path, agent, port=port)
    async with up(config, state_dir, port) as instance:
        assert [file.stat().st_mode & 0o777 for file in notes(state_dir)] == [0o600]
        children = instance.children()
        status, out, _ = await trident("down", str(config), state_dir=state_dir)
        assert (status, out) == (0, f"Stopped {config}.\n")
        assert await instance.stopped() == 0
        assert not [child for child in children if child.is_running()]
        assert notes(state_dir) == []
    status, out, _ = await trident("down", state_dir=state_dir)
    assert (status, out) == (0, "Nothing is running.\n")


async def test_sigterm_lets_a_stream_in_flight_finish_and_refuses_new_connections(
    agent: FakeAgent, tmp_path: Path, state_dir: Path
) -> None:
    go_on = asyncio.Event()
    events = sse_events("Sunny in Oslo.")

    async def pause(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.send_part(events[0] + events[1])
        await go_on.wait()
        await exchange.send_part(b"".join(events[2:]))
        await exchange.end_stream()

    agent.behaviour = pause
    port = free_port()
    async with (
        up(write_config(tmp_path, agent, port=port), state_dir, port) as instance,
        aiohttp.ClientSession() as session,
        session.post(f"{instance.url}/v1/chat/completions", json=body(stream=True)) as answer,
    ):
        received = await answer.content.readany()
        instance.process.terminate()
        await until(lambda: refuses(port))
        assert instance.process.returncode is None
        go_on.set()
        received += await answer.content.read()
        assert received.endswith(b"data: [DONE]\n\n")
        assert b"Oslo." in received
        assert await instance.stopped() == 0
        assert notes(state_dir) == []


async def test_a_stream_that_outlasts_the_drain_timeout_is_cut(
    agent: FakeAgent, tmp_path: Path, state_dir: Path
) -> None:
    agent.behaviour = hang_midstream()
    port = free_port()
    async with (
        up(write_config(tmp_path, agent, port=port, drain="300ms"), state_dir, port) as instance,
        aiohttp.ClientSession() as session,
        session.post(f"{instance.url}/v1/chat/completions", json=body(stream=True)) as answer,
    ):
        await answer.content.readany()
        instance.process.terminate()
        assert await instance.stopped() == 0
        await agent.wait_disconnect()


async def test_a_second_ctrl_c_stops_at_once(agent: FakeAgent, tmp_path: Path, state_dir: Path) -> None:
    agent.behaviour = hang_midstream()
    port = free_port()
    async with (
        up(write_config(tmp_path, agent, port=port, drain="10m"), state_dir, port) as instance,
        aiohttp.ClientSession() as session,
        session.post(f"{instance.url}/v1/chat/completions", json=body(stream=True)) as answer,
    ):
        await answer.content.readany()
        children = instance.children()
        instance.process.send_signal(signal.SIGINT)
        await until(lambda: refuses(port))
        instance.process.send_signal(signal.SIGINT)
        assert await instance.stopped(within_s=10) == 130
        assert not [child for child in children if child.is_running()]
        assert notes(state_dir) == []


async def test_workers_share_the_port(agent: FakeAgent, tmp_path: Path, state_dir: Path) -> None:
    port = free_port()
    async with up(write_config(tmp_path, agent, port=port), state_dir, port, "--workers", "2") as instance:
        assert "2 workers" in instance.out
        async with timeout(30):
            while served_by(instance) != {0, 1}:
                assert await ask(instance) == "Sunny in Oslo."


async def test_a_killed_worker_comes_back(agent: FakeAgent, tmp_path: Path, state_dir: Path) -> None:
    port = free_port()
    async with up(write_config(tmp_path, agent, port=port), state_dir, port) as instance:
        (worker,) = instance.running("worker")
        worker.kill()
        await until(lambda: "worker serves again" in instance.messages())
        (again,) = instance.running("worker")
        assert again.pid != worker.pid
        assert await ask(instance) == "Sunny in Oslo."
        (warning,) = (line for line in instance.log if line["message"] == "worker ended, restarting it")
        assert (warning["level"], warning["worker_pid"], warning["status"]) == ("warning", worker.pid, -9)


async def test_a_restarted_worker_serves_the_configuration_that_was_started(
    agent: FakeAgent, tmp_path: Path, state_dir: Path
) -> None:
    port = free_port()
    config = write_config(tmp_path, agent, port=port)
    async with up(config, state_dir, port) as instance:
        config.write_text("not: valid\n")
        instance.running("worker")[0].kill()
        await until(lambda: "worker serves again" in instance.messages())
        assert await ask(instance) == "Sunny in Oslo."


async def test_killing_the_parent_leaves_no_process_and_frees_the_port(
    agent: FakeAgent, tmp_path: Path, state_dir: Path
) -> None:
    port = free_port()
    config = write_config(tmp_path, agent, port=port)
    async with up(config, state_dir, port, "--workers", "2") as instance:
        children = instance.children()
        assert len(children) == 3
        instance.process.kill()
        await until(lambda: not [child for child in children if child.is_running()])
        assert len(notes(state_dir)) == 1
    async with up(config, state_dir, port) as instance:
        assert await ask(instance) == "Sunny in Oslo."
        assert [file.name for file in notes(state_dir)] == [f"{instance.pid}.json"]


async def test_sighup_reads_the_log_level_again_in_all_processes(
    agent: FakeAgent, tmp_path: Path, state_dir: Path
) -> None:
    port = free_port()
    async with up(write_config(tmp_path, agent, port=port), state_dir, port) as instance:
        (tmp_path / ".env").write_text("LOG_LEVEL=error\n")
        instance.process.send_signal(signal.SIGHUP)
        await until(lambda: "log level changed" in instance.messages())
        async with timeout(20):
            while await logs_a_request(instance):
                pass
        (tmp_path / ".env").write_text("LOG_LEVEL=info\n")
        instance.process.send_signal(signal.SIGHUP)
        async with timeout(20):
            while not await logs_a_request(instance):
                pass


async def logs_a_request(instance: Instance) -> bool:
    """Whether a request is logged now; access lines are up to a tenth of a second late."""
    before = instance.messages().count("request")
    assert await ask(instance) == "Sunny in Oslo."
    with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
        await until(lambda: instance.messages().count("request") > before, within_s=0.5)
    return instance.messages().count("request") > before


async def test_all_workers_are_counted_in_one_place_and_a_second_instance_has_a_place_of_its_own(
    agent: FakeAgent, tmp_path: Path, state_dir: Path
) -> None:
    port, other_port = free_port(), free_port()
    (tmp_path / "other").mkdir()
    other_state = tmp_path / "other" / "state"
    config, other_config = (
        write_config(folder, agent, port=of) for folder, of in ((tmp_path, port), (tmp_path / "other", other_port))
    )
    async with (
        up(config, state_dir, port, "--workers", "2") as instance,
        up(other_config, other_state, other_port) as other,
    ):
        for _ in range(6):
            await ask(instance)
        await ask(other)
        assert noted(state_dir)["admin"] != noted(other_state)["admin"]
        for state, count in ((state_dir, 6), (other_state, 1)):
            wanted = f'trident_requests_total{{trident_listener="travel",trident_status_class="2xx"}} {count}\n'
            async with timeout(20):
                while wanted not in await scraped(noted(state)["admin"]):
                    await asyncio.sleep(0.1)


async def test_nothing_that_was_counted_is_lost_with_the_process_that_counted_it(
    agent: FakeAgent, tmp_path: Path, state_dir: Path
) -> None:
    port = free_port()
    config = write_config(tmp_path, agent, port=port)
    async with up(config, state_dir, port) as instance:
        admin = noted(state_dir)["admin"]

        async def shown(count: int) -> None:
            wanted = f'trident_requests_total{{trident_listener="travel",trident_status_class="2xx"}} {count}\n'
            scrape = ""
            async with timeout(30):
                while wanted not in scrape or "\ntrident_workers 1\n" not in scrape:
                    await asyncio.sleep(0.1)
                    with contextlib.suppress(aiohttp.ClientError):
                        scrape = await scraped(admin)
            active = [line for line in scrape.splitlines() if line.startswith("http_server_active_requests{")]
            assert active in ([], ['http_server_active_requests{trident_listener="travel"} 0'])

        async def killed(command: str) -> None:
            [process] = instance.running(command)
            process.kill()

            def is_replaced() -> bool:
                with contextlib.suppress(psutil.Error):  # it is just going away
                    return process.pid not in {each.pid for each in instance.running(command)} != set()
                return False

            await until(is_replaced)

        async def answered() -> None:
            async with timeout(30):
                while True:
                    with contextlib.suppress(aiohttp.ClientError):
                        assert await ask(instance) == "Sunny in Oslo."
                        return
                    await asyncio.sleep(0.05)

        for count in (1, 2):
            await answered()
            await shown(count)
            await killed("worker")
        await shown(2)
        saved = instance_folder(config, state_dir) / "metrics.json"
        requests = re.compile(rb'"trident\.requests":\[\[\["travel","2xx"\],(\d+)')
        await until(lambda: sum(map(int, requests.findall(saved.read_bytes()))) == 2)
        await killed("observer")
        await shown(2)
        await answered()
        await shown(3)


async def test_a_request_is_one_trace_that_goes_on_in_the_agent(
    agent: FakeAgent, tmp_path: Path, state_dir: Path
) -> None:
    port = free_port()
    config = write_config(tmp_path, agent, port=port)
    async with up(config, state_dir, port) as instance:
        await ask(instance, "No, that is wrong, I asked about Oslo, not Bergen.")
        _, trace_id, parent_id, sampled = agent.requests[0].headers["traceparent"].split("-")
        spans: list[dict[str, Any]] = []
        async with timeout(20):
            while not spans:
                with contextlib.suppress(OperatorError):  # it is not there yet
                    query = observer_ask(instance_folder(config, state_dir), "trace", id=trace_id)
                    async with contextlib.aclosing(query) as results:
                        spans = [each["span"] async for each in results if "span" in each]
                await asyncio.sleep(0.05)
    assert sampled == "01"
    root, *others = spans
    called = next(span for span in others if span["span_id"] == parent_id)
    assert (root["name"], called["name"]) == ("POST /v1/chat/completions", "invoke_agent weather_agent")
    assert called["parent_id"] == root["span_id"]
    assert called["attributes"]["gen_ai.response.finish_reasons"] == ["stop"]
    assert root["attributes"]["trident.conversation.quality"] in {"excellent", "good", "neutral", "poor", "severe"}
    assert "Bergen" not in repr(spans)
    assert "Sunny" not in repr(spans)


async def test_a_telemetry_process_that_dies_costs_no_request(
    agent: FakeAgent, tmp_path: Path, state_dir: Path
) -> None:
    port = free_port()
    async with up(write_config(tmp_path, agent, port=port), state_dir, port) as instance:
        (observer,) = instance.running("observer")
        observer.kill()
        for _ in range(5):
            assert await ask(instance) == "Sunny in Oslo."
        admin = noted(state_dir)["admin"]
        async with timeout(20):
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    if " 5\n" in await scraped(admin):
                        break
                await asyncio.sleep(0.1)
        assert "telemetry process ended, restarting it; requests are served meanwhile" in instance.messages()


async def scraped(admin: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"{admin}/metrics") as answer:
        return await answer.text()
