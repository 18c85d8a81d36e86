from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from benchmarks.mock_agent import MockAgent, Tally


@pytest_asyncio.fixture
async def mock_port() -> AsyncIterator[int]:
    tally = Tally()
    server = await asyncio.get_running_loop().create_server(lambda: MockAgent(tally), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
