"""Workers that are killed at random moments: what a client could use is all there, and nothing is there by halves."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from router.conversations.archive import Archive
from router.conversations.conversations import Conversations
from router.conversations.records import ConversationRecord, ItemPlace, ResponseRecord, Turn
from router.conversations.responses import Responses
from tests.conversations import crash_worker
from tests.conversations.crash_worker import BOUNDS, SCOPE, open_store, output_of
from tests.fakes.postgres_server import PostgresServer

WRITES = 1000
SEED = 8


def killed_workers(location: str) -> list[dict[str, Any]]:
    """What workers told their clients until each of them was killed, ``WRITES`` answers in all."""
    chance = random.Random(SEED)
    told: list[dict[str, Any]] = []
    run = 0
    while len(told) < WRITES:
        run += 1
        told += _until_killed(location, run, min(chance.randint(1, 250), WRITES - len(told)))
    assert run >= 5
    return told


def _until_killed(location: str, run: int, after: int) -> list[dict[str, Any]]:
    command = [sys.executable, crash_worker.__file__, location, str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        assert worker.stderr is not None
        lines = []
        for line in worker.stdout:
            lines.append(line)
            if len(lines) == after:
                worker.kill()  # while it works on the next ones
        complaints = worker.stderr.read().decode()
    assert len(lines) >= after, complaints
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


async def _check_what_was_told(location: str, told: list[dict[str, Any]]) -> None:
    store = await open_store(location)
    archive = Archive(store, BOUNDS)
    conversations = Conversations(archive)
    responses = Responses(archive, conversations)
    by_id = {each["id"]: each for each in told}
    assert len(by_id) == len(told)
    in_conversations: dict[str, list[str]] = {}
    for each in told:
        record = await responses.get(SCOPE, each["id"])
        assert record.input.items == [{"type": "message", "role": "user", "content": each["said"]}]
        assert record.response["output"] == output_of(each["said"])
        past = await responses.past(SCOPE, each["id"])
        assert past.items[-2:] == [*record.input.items, *record.response["output"]]
        if each["after"] is not None:
            before = await responses.past(SCOPE, each["after"])
            assert past.items[:-2] == before.items
        if each["conversation"] is not None:
            in_conversations.setdefault(each["conversation"], []).append(each["said"])
    for conversation_id, said in in_conversations.items():
        items = (await conversations.items(SCOPE, conversation_id)).items
        asked = [item["content"] for item in items[::2]]
        assert set(said) <= set(asked)
        assert len(set(asked)) == len(asked)
        assert [item for text in asked for item in output_of(text)] == list(items[1::2])
    await store.close()


def _check_nothing_is_there_by_halves(entries: Mapping[str, bytes]) -> None:
    """Everything can be read, and has all of its parts; nothing is a part of nothing."""
    names = {key.removeprefix(f"{SCOPE}/"): value for key, value in entries.items()}
    assert all(name[:2] in ("r/", "c/", "t/", "i/") for name in names)
    records = {name: ResponseRecord.decode(value) for name, value in names.items() if name.startswith("r/")}
    heads = {name: ConversationRecord.decode(value) for name, value in names.items() if name.startswith("c/")}
    turns = {name: Turn.decode(value) for name, value in names.items() if name.startswith("t/")}
    places = {name: ItemPlace.decode(value) for name, value in names.items() if name.startswith("i/")}
    assert None not in (*records.values(), *heads.values(), *turns.values(), *places.values())
    given_out = {
        f"i/{item['id']}": name for name, record in records.items() if record for item in record.response["output"]
    }
    assert {name: place.name for name, place in places.items() if place is not None} == given_out
    needed = {name for record in records.values() if record is not None for name in record.past}
    assert needed <= names.keys()
    assert turns.keys() == {
        f"t/{head.id}/{turn.id}" for head in heads.values() if head is not None for turn in head.turns
    }
    said = [item["content"] for record in records.values() if record is not None for item in record.input.items]
    in_turns = [turn.items[0]["content"] for turn in turns.values() if turn is not None]
    assert set(in_turns) <= set(said)  # a turn of a conversation is written with its response


async def _check(location: str, read: Callable[[], Mapping[str, bytes]]) -> None:
    told = killed_workers(location)
    await _check_what_was_told(location, told)
    _check_nothing_is_there_by_halves(read())


async def test_a_killed_worker_loses_nothing_in_sqlite(tmp_path: Path) -> None:
    def read() -> Mapping[str, bytes]:
        connection = sqlite3.connect(tmp_path / "state-conversations.db")
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        entries: dict[str, bytes] = dict(connection.execute("SELECT key, value FROM entries").fetchall())
        connection.close()
        return entries

    await _check(str(tmp_path / "state.db"), read)


@pytest.mark.postgres
async def test_a_killed_worker_loses_nothing_in_postgresql(postgres_cluster: PostgresServer) -> None:
    def read() -> Mapping[str, bytes]:
        rows = postgres_cluster.run("SELECT key, encode(value, 'hex') FROM trident_entries").splitlines()
        return {key: bytes.fromhex(value) for key, value in (row.split("|") for row in rows)}

    await _check(postgres_cluster.url, read)
