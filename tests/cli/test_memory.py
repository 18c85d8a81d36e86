"""``trident memory``: who is remembered, and how they are forgotten."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from router.cli.instances import instance_folder
from router.cli.main import cli
from router.memories.base import Fact, MemoryBounds, MemoryKey
from router.memories.opening import FILE_NAME
from router.memories.sqlite import SqliteMemories
from router.triton.models import Embedding

CONFIG = """
version: v0.4.0
model_providers: [{model: openai/gpt-4o, access_key: k}]
listeners: [{type: model, name: m, port: 12000, input_filters: [users]}]
filters: [{id: users, type: memory, memory: {key: user}}]
"""
KEYS = (MemoryKey("users", "", "ada"), MemoryKey("users", "shop", "ada"), MemoryKey("sessions", "", "s-1"))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG, encoding="utf-8")

    async def fill() -> None:
        store = await SqliteMemories.open(instance_folder(file, tmp_path / "state") / FILE_NAME)
        facts = [Fact(f"I own boat {n}.", Embedding(b"\0\0\x80?", "encoder/1"), 1e9 + n, 9e9) for n in range(2)]
        for key in KEYS:
            await store.keep(key, facts, bounds=MemoryBounds())
        await store.close()

    asyncio.run(fill())
    return file


def run(config: Path, *arguments: str) -> Result:
    command, *options = arguments
    state = str(config.parent / "state")
    return CliRunner().invoke(cli, ["memory", command, str(config), "--state-dir", state, *options])


def listed(config: Path) -> set[tuple[str, str | None, str]]:
    lines = run(config, "list", "--json").stdout.splitlines()
    return {(entry["filter"], entry["api_key"], entry["key"]) for entry in map(json.loads, lines)}


def test_everybody_who_is_remembered_is_listed_and_not_what_they_said(config: Path) -> None:
    assert listed(config) == {("users", None, "ada"), ("users", "shop", "ada"), ("sessions", None, "s-1")}
    text = run(config, "list", "--filter", "users")
    assert text.exit_code == 0
    assert "ada  2 facts, newest 2001-09-09T01:46:41+00:00  api key shop  (users)" in text.stdout.splitlines()
    assert "s-1" not in text.stdout
    assert "boat" not in text.stdout


def test_a_key_is_forgotten_everywhere_or_where_it_is_said(config: Path) -> None:
    assert run(config, "forget", "--key", "ada", "--api-key", "shop").stdout == "Forgot 2 facts.\n"
    assert listed(config) == {("users", None, "ada"), ("sessions", None, "s-1")}
    assert run(config, "forget", "--key", "s-1", "--filter", "users").stdout == "Forgot 0 facts.\n"
    assert run(config, "forget", "--key", "ada").stdout == "Forgot 2 facts.\n"
    assert run(config, "forget", "--key", "s-1").stdout == "Forgot 2 facts.\n"
    assert run(config, "list").stdout == "Nothing is remembered.\n"


def test_a_key_has_to_be_named(config: Path) -> None:
    assert run(config, "forget").exit_code == 2
    assert len(listed(config)) == len(KEYS)


def test_a_configuration_that_remembers_nothing_is_refused(config: Path) -> None:
    config.write_text(CONFIG.replace("type: memory, memory: {key: user}", "type: header"), encoding="utf-8")
    result = run(config, "list")
    assert result.exit_code == 1
    assert "no filter that remembers" in result.stderr
