from __future__ import annotations

import asyncio
import signal
import socket

import pytest
from aiohttp.test_utils import unused_port
from demo import FOLDER, QUESTION, TRY_IT, Demo, DemoError, Part, check_ports, parts

from router.aio import timeout

DIES = "import sys; sys.exit(3)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"


def _agent() -> Part:
    port = unused_port()
    return Part("weather_agent", port, (str(FOLDER / "weather_agent.py"), "--port", str(port)), "/healthz")


def test_starts_the_agents_before_the_gateway_and_passes_arguments_on() -> None:
    wanted = parts(["--workers", "2"])
    assert [(part.name, part.port) for part in wanted] == [
        ("weather_agent", 10510),
        ("flight_agent", 10520),
        ("gateway", 8001),
    ]
    assert wanted[-1].arguments == ("-m", "router", "up", str(FOLDER / "config.yaml"), "--workers", "2")


def test_a_port_in_use_is_named_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(DemoError, match=rf"in use: {port} \(flight_agent\)"):
            check_ports([Part("flight_agent", port, (), "/healthz")])
    check_ports([Part("flight_agent", port, (), "/healthz")])


async def test_a_part_that_stops_by_itself_ends_the_demo() -> None:
    demo = Demo()
    part = _agent()
    async with timeout(30):
        try:
            await demo.start(part)
            watch = asyncio.ensure_future(demo.watch())
            _, process = demo.running[0]
            process.send_signal(signal.SIGKILL)
            with pytest.raises(DemoError, match=r"The weather_agent stopped by itself \(exit status -9\)"):
                await watch
        finally:
            await demo.stop()


async def test_a_part_that_never_gets_ready_is_told_apart_from_a_slow_one() -> None:
    demo = Demo()
    async with timeout(30):
        try:
            with pytest.raises(DemoError, match=r"The gateway stopped by itself \(exit status 3\)"):
                await demo.start(Part("gateway", unused_port(), ("-c", DIES), "/readyz"))
        finally:
            await demo.stop()


async def test_stopping_stops_every_part() -> None:
    demo = Demo()
    async with timeout(30):
        await demo.start(_agent())
        await demo.start(_agent())
        await demo.stop()
    assert [process.returncode for _, process in demo.running] == [0, 0]


async def test_a_part_that_ignores_sigterm_is_killed() -> None:
    demo = Demo(stop_within_s=0.2)
    async with timeout(30):
        starting = asyncio.ensure_future(demo.start(Part("gateway", unused_port(), ("-c", STUBBORN), "/readyz")))
        while not demo.running:
            await asyncio.sleep(0.01)
        starting.cancel()
        await demo.stop()
    assert demo.running[0][1].returncode in {-signal.SIGKILL, -signal.SIGTERM}


def test_says_what_to_try() -> None:
    assert QUESTION in TRY_IT
    assert "curl http://localhost:8001/v1/chat/completions" in TRY_IT
