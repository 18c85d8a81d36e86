from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from router.access.key_file import KeyFileWatch
from router.access.keys import Grant, KeyRing
from router.config import ConfigErrors
from router.config.access import ApiKey, key_hash

FIXED = "the-key-of-the-configuration"
FIRST = "the-first-key-of-the-file"
SECOND = "the-second-key-of-the-file"


def write(path: Path, **keys: str) -> None:
    """Replace the file as editors and Kubernetes do: at once."""
    lines = [f"  - {{name: {name}, hash: '{key_hash(key)}'}}" for name, key in keys.items()]
    replace(path, "keys:\n" + "\n".join(lines))


def replace(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with one key."""
    path = tmp_path / "keys.yaml"
    write(path, first=FIRST)
    return path


@pytest.fixture
def ring() -> KeyRing:
    """The keys in use."""
    return KeyRing()


@pytest.fixture
async def watch(path: Path, ring: KeyRing) -> AsyncIterator[KeyFileWatch]:
    """A watch that has loaded the file, and looks at it often."""
    fixed = [ApiKey(name="fixed", key=SecretStr(FIXED))]
    watch = KeyFileWatch(ring, path, fixed, ["front"], look_every_s=0.01)
    watch.load()
    watch.start()
    yield watch
    await watch.close()


async def test_a_change_is_noticed(path: Path, ring: KeyRing, watch: KeyFileWatch) -> None:
    assert ring.find(FIRST) is not None
    assert ring.find(FIXED) is not None
    write(path, second=SECOND)
    await until(lambda: ring.find(SECOND) is not None)
    assert ring.find(FIRST) is None
    assert ring.find(FIXED) is not None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("keys: [", "not valid YAML"),
        ("keys: [{name: x, hash: nonsense}]", "no hash of a key"),
        (f"keys: [{{name: fixed, hash: '{key_hash(SECOND)}'}}]", "two keys with the name `fixed`"),
        (f"keys: [{{name: x, hash: '{key_hash(FIXED)}'}}]", "have the same key"),
        (f"keys: [{{name: x, hash: '{key_hash(SECOND)}', listeners: [nope]}}]", "listener `nope`"),
    ],
)
async def test_a_file_that_is_wrong_changes_nothing(
    path: Path, ring: KeyRing, watch: KeyFileWatch, caplog: pytest.LogCaptureFixture, text: str, reason: str
) -> None:
    replace(path, text)
    await until(lambda: any(record.levelno == logging.ERROR for record in caplog.records))
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert reason in str(vars(record)["problems"])
    assert ring.find(FIRST) is not None
    write(path, second=SECOND)
    await until(lambda: ring.find(SECOND) is not None)


async def test_a_file_that_is_gone_changes_nothing_until_it_is_back(
    path: Path, ring: KeyRing, watch: KeyFileWatch, caplog: pytest.LogCaptureFixture
) -> None:
    path.unlink()
    await until(lambda: any(record.levelno == logging.ERROR for record in caplog.records))
    assert ring.find(FIRST) is not None
    write(path, second=SECOND)
    await until(lambda: ring.find(SECOND) is not None)


async def test_the_first_load_has_to_succeed(tmp_path: Path) -> None:
    ring = KeyRing([Grant.of(ApiKey(name="fixed", key=SecretStr(FIXED)))])
    with pytest.raises(ConfigErrors):
        KeyFileWatch(ring, tmp_path / "none.yaml", [], []).load()
    assert ring.find(FIXED) is not None
