"""The stores of memories under test, each behind the same name, by a clock of the test's own."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from router.memories.base import MemoryStore
from router.memories.postgres import PostgresMemories
from router.memories.sqlite import SqliteMemories
from tests.fakes.postgres_server import PostgresServer, postgres_server


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "postgres: needs a PostgreSQL server (Debian package postgresql)")


class Clock:
    """Seconds since the epoch, as the test says."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[PostgresServer]:
    """A PostgreSQL for the tests of this session."""
    with tempfile.TemporaryDirectory() as directory, postgres_server(Path(directory)) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_cluster: PostgresServer) -> str:
    """The URL of a database without our tables."""
    postgres_cluster.run("DROP TABLE IF EXISTS trident_memory_facts, trident_memory_keys")
    return postgres_cluster.url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[MemoryStore]:
    """An empty store of each kind."""
    if request.param == "sqlite":
        made: MemoryStore = await SqliteMemories.open(tmp_path / "memories.sqlite3", clock=clock)
    else:
        made = await PostgresMemories.open(request.getfixturevalue("postgres_url"), timeout_s=20, clock=clock)
    yield made
    await made.close()
