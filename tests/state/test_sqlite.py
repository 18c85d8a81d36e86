from __future__ import annotations

import asyncio
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from router.errors import OperatorError, StateUnavailable
from router.state.sqlite import SqliteStore
from router.state.sqlite_file import FileOptions

_WORKER = """
import asyncio, sys
from pathlib import Path
from router.state.sqlite import SqliteStore

async def main():
    store = await SqliteStore.open(Path(sys.argv[1]), timeout_s=60)
    for number in range(100):
        await store.add("rate", "shared", 1, ttl_s=600)
        await store.set("pins", f"{sys.argv[2]}-{number}", b"x" * number, ttl_s=600)
    await store.close()

asyncio.run(main())
"""


async def test_processes_that_start_together_share_one_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "state.sqlite3"
    workers = [subprocess.Popen([sys.executable, "-c", _WORKER, str(path), str(n)]) for n in range(4)]
    assert [worker.wait(100) for worker in workers] == [0, 0, 0, 0]
    store = await SqliteStore.open(path)
    assert await store.add("rate", "shared", 0, ttl_s=600) == 400
    for worker in range(4):
        assert await store.get("pins", f"{worker}-99") == b"x" * 99
    await store.close()


async def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "private" / "state.sqlite3"
    store = await SqliteStore.open(path)
    await store.set("pins", "a", b"1", ttl_s=60)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    await store.close()
    assert {"state.sqlite3", "state.sqlite3-wal", "state.sqlite3-shm"} <= modes.keys()
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite3"
    path.touch(mode=0o644)
    store = await SqliteStore.open(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    await store.close()


async def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OperatorError, match="not a regular file"):
        await SqliteStore.open(tmp_path / "link")
    assert not (tmp_path / "elsewhere").exists()


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite3"
    path.write_text("no database " * 1000)
    with pytest.raises(OperatorError, match="cannot be used"):
        await SqliteStore.open(path)
    assert path.read_text().startswith("no database")


async def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite3"
    await (await SqliteStore.open(path)).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(OperatorError, match="format 99"):
        await SqliteStore.open(path)


async def test_state_outlives_the_store(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite3"
    first = await SqliteStore.open(path)
    unawaited = [asyncio.ensure_future(first.add("budget", "a", 1, ttl_s=60)) for _ in range(600)]
    await asyncio.sleep(0)
    await first.close()
    await asyncio.gather(*unawaited)
    with pytest.raises(StateUnavailable):
        await first.get("pins", "a")
    second = await SqliteStore.open(path)
    assert await second.add("budget", "a", 0, ttl_s=60) == 600
    await second.close()


async def test_a_locked_file_is_an_outage_that_ends(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite3"
    store = await SqliteStore.open(path, timeout_s=0.1)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StateUnavailable):
        await store.add("rate", "a", 1, ttl_s=60)
    other.execute("ROLLBACK")
    other.close()
    await store.close()
    again = await SqliteStore.open(path)
    assert await again.add("rate", "b", 1, ttl_s=60) == 1
    await again.close()


async def test_a_full_file_is_an_outage(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "state.sqlite3", file=FileOptions(256 * 1024))
    puts = [store.set("pins", str(number), bytes(10_000), ttl_s=60) for number in range(2)]
    await asyncio.gather(*puts)
    with pytest.raises(StateUnavailable):
        await store.set("pins", "large", bytes(500_000), ttl_s=60)
    assert (tmp_path / "state.sqlite3").stat().st_size <= 256 * 1024
    assert await store.get("pins", "0") == bytes(10_000)
    await store.close()


async def test_a_file_that_makes_room_lets_go_of_what_expires_first(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "state.sqlite3", file=FileOptions(256 * 1024, makes_room=True))
    for number in range(24):
        await store.set("pins", str(number), bytes(10_000), ttl_s=100 + number)
    assert await store.prune() > 0
    assert await store.prune() == 0
    assert await store.get("pins", "0") is None
    assert await store.get("pins", "23") == bytes(10_000)
    await store.close()


async def test_pruning_removes_what_is_over(tmp_path: Path) -> None:
    now = 0.0
    path = tmp_path / "state.sqlite3"
    store = await SqliteStore.open(path, max_entries=5, clock=lambda: now)
    for number in range(10):
        await store.set("pins", str(number), b"1", ttl_s=100 + number)
    await store.add("budget", "a", 3, ttl_s=1000)
    assert await store.prune() == 5
    assert [await store.get("pins", str(number)) for number in (4, 5)] == [None, b"1"]
    now = 107.0
    assert await store.prune() == 3
    assert await store.prune() == 0
    assert await store.get("pins", "8") == b"1"
    assert await store.add("budget", "a", 0, ttl_s=1) == 3
    await store.close()


_WRITER = """
import asyncio, sys
from pathlib import Path
from router.state.sqlite import SqliteStore

async def main():
    store = await SqliteStore.open(Path(sys.argv[1]), timeout_s=60)
    for number in range(100_000):
        await asyncio.gather(
            store.set("pins", str(number), str(number).encode() * 500, ttl_s=600),
            store.add("budget", "a", 1, ttl_s=600),
        )
        print(number, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("after", [1, 40, 150])
async def test_a_process_that_is_killed_loses_nothing_that_was_confirmed(tmp_path: Path, after: int) -> None:
    path = tmp_path / "state.sqlite3"
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    for line in writer.stdout:
        if int(line) >= after:
            writer.kill()
            break
    confirmed = after + len(writer.stdout.read().splitlines())
    writer.stdout.close()
    writer.wait(10)
    store = await SqliteStore.open(path)
    assert confirmed < await store.add("budget", "a", 0, ttl_s=1) <= confirmed + 2
    for number in range(confirmed + 1):
        assert await store.get("pins", str(number)) == str(number).encode() * 500
    await store.close()
