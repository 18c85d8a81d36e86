"""The stores under test, each behind the same name."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from router.state.base import Store
from router.state.memory import MemoryStore
from router.state.postgres import PostgresStore
from router.state.redis import RedisStore
from router.state.sqlite import SqliteStore
from tests.fakes.postgres_server import PostgresServer, postgres_server
from tests.fakes.redis_server import redis_server


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "redis: needs redis-server (Debian package redis-server)")
    config.addinivalue_line("markers", "postgres: needs a PostgreSQL server (Debian package postgresql)")


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis for the tests of this session."""
    with tempfile.TemporaryDirectory() as directory, redis_server(Path(directory)) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[PostgresServer]:
    """A PostgreSQL for the tests of this session."""
    with tempfile.TemporaryDirectory() as directory, postgres_server(Path(directory)) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_cluster: PostgresServer) -> str:
    """The URL of a database without any tables."""
    postgres_cluster.run("DROP TABLE IF EXISTS trident_entries, trident_schema")
    return postgres_cluster.url


@pytest.fixture(
    params=[
        "memory",
        "sqlite",
        pytest.param("redis", marks=pytest.mark.redis),
        pytest.param("postgres", marks=pytest.mark.postgres),
    ]
)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store of each kind."""
    made: Store
    if request.param == "memory":
        made = MemoryStore()
    elif request.param == "sqlite":
        made = await SqliteStore.open(tmp_path / "state.sqlite3")
    elif request.param == "postgres":
        made = await PostgresStore.open(request.getfixturevalue("postgres_url"), timeout_s=20)
    else:
        made = await RedisStore.open(request.getfixturevalue("redis_url"), prefix=tmp_path.name)
    yield made
    await made.close()
