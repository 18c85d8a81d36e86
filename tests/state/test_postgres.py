from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from router.errors import OperatorError, StateUnavailable
from router.state.base import Batch
from router.state.postgres import PostgresStore
from router.state.postgres_url import tls_options
from tests.fakes.postgres_server import PASSWORD, PostgresServer

pytestmark = pytest.mark.postgres


async def test_gateways_that_start_together_make_the_tables_once(
    postgres_url: str, postgres_cluster: PostgresServer
) -> None:
    stores = await asyncio.gather(*(PostgresStore.open(postgres_url, timeout_s=20) for _ in range(4)))
    await asyncio.gather(*(store.add("rate", "shared", 1, ttl_s=60) for store in stores for _ in range(25)))
    assert await stores[0].add("rate", "shared", 0, ttl_s=60) == 100
    await asyncio.gather(*(store.close() for store in stores))
    assert postgres_cluster.run("SELECT version FROM trident_schema") == "1"


async def test_tables_of_a_newer_version_are_left_alone(postgres_url: str, postgres_cluster: PostgresServer) -> None:
    await (await PostgresStore.open(postgres_url)).close()
    postgres_cluster.run("UPDATE trident_schema SET version = 99")
    with pytest.raises(OperatorError, match="format 99"):
        await PostgresStore.open(postgres_url)
    assert postgres_cluster.run("SELECT version FROM trident_schema") == "99"


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ((f":{PASSWORD}@", ":wrong-password@"), "refuses"),
        (("/postgres", "/none"), "refuses"),
        (("127.0.0.1:", "127.0.0.1:x"), "cannot be understood"),
        (("postgresql://", "mysql://"), "is not one"),
        (("/postgres", "/postgres?sslmode=whatever"), "cannot be understood"),
        (("/postgres", "/postgres?sslmode=verify-full&sslrootcert=/none"), "cannot be read"),
    ],
)
async def test_what_cannot_work_is_refused(postgres_url: str, wrong: tuple[str, str], complaint: str) -> None:
    with pytest.raises(OperatorError, match=complaint) as caught:
        await PostgresStore.open(postgres_url.replace(*wrong))
    assert "password@" not in f"{caught.value} {caught.value.fix}".replace("user:password@", "")
    assert PASSWORD not in f"{caught.value} {caught.value.fix}"


async def test_a_server_that_is_away_is_an_outage_that_ends(
    postgres_url: str, postgres_cluster: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    early = await PostgresStore.open(postgres_url)
    await asyncio.gather(*(early.set("pins", "a", b"1", ttl_s=60) for _ in range(5)))
    with postgres_cluster.stopped():
        late = await PostgresStore.open(postgres_url, timeout_s=20)
        assert "state store cannot be reached" in caplog.text
        for store in (early, late):
            with pytest.raises(StateUnavailable):
                await store.get("pins", "a")
    deadline = time.monotonic() + 20
    for store in (early, late):
        while await _get(store, "a") != b"1":
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        await store.close()


async def _get(store: PostgresStore, key: str) -> bytes | None:
    try:
        return await store.get("pins", key)
    except StateUnavailable:
        return None


async def test_a_lock_that_somebody_holds_is_an_outage(postgres_url: str) -> None:
    import asyncpg

    store = await PostgresStore.open(postgres_url, timeout_s=0.3)
    await store.set("pins", "a", b"1", ttl_s=60)
    other = await asyncpg.connect(postgres_url)
    async with other.transaction():
        await other.execute("SELECT * FROM trident_entries FOR UPDATE")
        with pytest.raises(StateUnavailable):
            await store.commit("pins", Batch({"a": b"2"}, expects={"a": b"1"}), ttl_s=60)
    await other.close()
    assert await store.get("pins", "a") == b"1"
    await store.close()


async def test_batches_over_the_same_entries_do_not_block_each_other(postgres_url: str) -> None:
    store = await PostgresStore.open(postgres_url, timeout_s=20)
    keys = [f"key-{number}" for number in range(50)]
    await store.commit("pins", Batch(dict.fromkeys(keys, b"x")), ttl_s=60)
    batches = [Batch({f"new-{n}": b"y"}, renews=keys if n % 2 else keys[::-1]) for n in range(20)]
    assert all(await asyncio.gather(*(store.commit("pins", batch, ttl_s=600) for batch in batches)))
    assert None not in await store.get_many("pins", [*keys, *(f"new-{n}" for n in range(20))])
    await store.close()


async def test_pruning_removes_what_is_over(postgres_url: str, postgres_cluster: PostgresServer) -> None:
    store = await PostgresStore.open(postgres_url, max_entries=5)
    for number in range(10):
        await store.set("pins", str(number), b"1", ttl_s=100 + number)
    await store.add("budget", "a", 3, ttl_s=1000)
    assert await store.prune() == 5
    assert [await store.get("pins", str(number)) for number in (4, 5)] == [None, b"1"]
    postgres_cluster.run("UPDATE trident_entries SET expires = now() - interval '1 s' WHERE key IN ('5', '6')")
    assert await store.prune() == 2
    assert await store.prune() == 0
    assert await store.add("budget", "a", 0, ttl_s=1) == 3
    await store.close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_url(
    postgres_url: str, postgres_cluster: PostgresServer, authority: trustme.CA, tmp_path: Path
) -> Iterator[str]:
    """The URL of the server, which now has a certificate for ``localhost``."""
    certificate = authority.issue_cert("localhost")
    files = {"server.crt": certificate.cert_chain_pems[0], "server.key": certificate.private_key_pem}
    for name, pem in files.items():
        path = postgres_cluster.data / name
        pem.write_to_path(path)
        path.chmod(0o600)
        if postgres_cluster.user is not None:
            shutil.chown(path, postgres_cluster.user)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with postgres_cluster.stopped():
        postgres_cluster.start(ssl="on")
        yield postgres_url.replace("127.0.0.1", "localhost")
        postgres_cluster.stop()


async def test_a_certificate_is_checked(tls_url: str, tmp_path: Path) -> None:
    verified = f"{tls_url}?sslmode=verify-full"
    store = await PostgresStore.open(f"{verified}&sslrootcert={tmp_path / 'ca.pem'}", timeout_s=20)
    await store.set("pins", "a", b"1", ttl_s=60)
    await store.close()
    with pytest.raises(OperatorError, match="cannot be trusted"):
        await PostgresStore.open(verified)
    wrong_name = verified.replace("localhost", "127.0.0.1")
    with pytest.raises(OperatorError, match="cannot be trusted"):
        await PostgresStore.open(f"{wrong_name}&sslrootcert={tmp_path / 'ca.pem'}")


async def test_a_server_without_tls_is_refused_where_it_is_wanted(postgres_url: str) -> None:
    with pytest.raises(OperatorError, match="does not offer TLS"):
        await PostgresStore.open(f"{postgres_url}?sslmode=verify-full")


@pytest.mark.parametrize(
    ("url", "checked"),
    [
        ("postgresql://u:p@db.example/state", True),
        ("postgres://db.example:5432/state?sslmode=verify-full", True),
        ("postgresql://10.0.0.1,127.0.0.1/state", True),
        ("postgresql://u@[2001:db8::1]:5432/state", True),
        ("postgresql://db.example/state?sslmode=require", False),
        ("postgresql://db.example/state?sslmode=disable", False),
        ("postgresql://u:p@127.0.0.1:5432/state", False),
        ("postgresql://u@[::1]:5432/state", False),
        ("postgresql://localhost/state", False),
        ("postgresql:///state?host=/var/run/postgresql", False),
        ("postgresql:///state", False),
    ],
)
def test_tls_is_on_unless_the_url_or_the_way_says_otherwise(url: str, checked: bool) -> None:
    assert ("ssl" in tls_options(url)) is checked
