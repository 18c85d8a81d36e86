"""A PostgreSQL for the tests that kill gateways."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.postgres_server import PostgresServer, postgres_server


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "postgres: needs a PostgreSQL server (Debian package postgresql)")


@pytest.fixture(scope="module")
def postgres_cluster() -> Iterator[PostgresServer]:
    with tempfile.TemporaryDirectory() as directory, postgres_server(Path(directory)) as server:
        yield server
