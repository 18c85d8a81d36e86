"""``trident memory``: who is remembered by the memory filters of a configuration, and how they are forgotten."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

import click
from rich.console import Console

from router.cli.instances import instance_folder
from router.cli.loading import load_or_exit
from router.cli.options import config_argument, state_dir_option
from router.errors import OperatorError, StateUnavailable
from router.memories.base import MemoryStore, MemorySummary
from router.memories.opening import open_memories

_Answer = TypeVar("_Answer")


@click.group("memory")
def memory_command() -> None:
    """List and forget what memory filters remember."""


@memory_command.command("list")
@config_argument
@click.option("--filter", "space", help="Only what this filter remembers.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=1000, show_default=True, help="Most keys.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, for machines.")
@state_dir_option
def list_command(file: Path, space: str | None, limit: int, as_json: bool, state_dir: Path) -> None:
    """Print every key that something is remembered under, and how much; what it is stays where it is.

    \b
    Examples:
      trident memory list config.yaml
      trident memory list config.yaml --json | jq -r .key
    """

    async def read(store: MemoryStore) -> list[MemorySummary]:
        return await store.summaries(space=space, limit=limit)

    summaries = _asked(file, state_dir, read)
    for summary in summaries:
        click.echo(json.dumps(_fields(summary)) if as_json else _line(summary))
    if not summaries and not as_json:
        click.echo("Nothing is remembered.")


@memory_command.command("forget")
@config_argument
@click.option("--key", required=True, help="The user, session or API key that is forgotten.")
@click.option("--api-key", "owner", help="Only what came with the API key of this name. Default: with any, or none.")
@click.option("--filter", "space", help="Only what this filter remembers. Default: what any does.")
@state_dir_option
def forget_command(file: Path, key: str, owner: str | None, space: str | None, state_dir: Path) -> None:
    """Remove everything that is remembered under a key. The gateway may be running.

    \b
    Examples:
      trident memory forget config.yaml --key ada@example.com
      trident memory forget config.yaml --key session-17 --api-key shop
    """

    async def forget(store: MemoryStore) -> int:
        return await store.forget(key, space=space, owner=owner)

    count = _asked(file, state_dir, forget)
    click.echo(f"Forgot {count} fact{'' if count == 1 else 's'}.")


def _asked(file: Path, state_dir: Path, ask: Callable[[MemoryStore], Awaitable[_Answer]]) -> _Answer:
    loaded = load_or_exit(file, Console(stderr=True))

    async def run() -> _Answer:
        store = await open_memories(loaded.config, directory=instance_folder(loaded.path, state_dir))
        if store is None:
            raise OperatorError(
                f"{file} has no filter that remembers.", fix="Add one of the type `memory`, or name another file."
            )
        try:
            return await ask(store)
        except StateUnavailable as exc:
            raise OperatorError("The store of the memories does not answer.", fix="Try again in a moment.") from exc
        finally:
            await store.close()

    return asyncio.run(run())


def _fields(summary: MemorySummary) -> dict[str, object]:
    place = summary.key
    return {
        "filter": place.space,
        "api_key": place.owner or None,
        "key": place.key,
        "facts": summary.facts,
        "newest": _time(summary),
    }


def _line(summary: MemorySummary) -> str:
    place = summary.key
    owner = f"  api key {place.owner}" if place.owner else ""
    facts = f"{summary.facts} fact{'' if summary.facts == 1 else 's'}"
    return f"{place.key}  {facts}, newest {_time(summary)}{owner}  ({place.space})"


def _time(summary: MemorySummary) -> str:
    return datetime.fromtimestamp(summary.newest_at, tz=timezone.utc).isoformat(timespec="seconds")
