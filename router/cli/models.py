"""``trident models``: which models Triton serves, and changing that while requests go on."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from router.cli.control import tell
from router.cli.instances import Instance
from router.cli.loading import load_or_exit
from router.cli.models_promote import promote_command, rollback_command
from router.cli.models_pull import pull_command
from router.cli.observing import folder_of, instance_option, running_instance
from router.errors import ModelUnavailable, OperatorError
from router.telemetry.logs import configure_logging
from router.triton.client import TritonClient
from router.triton.metadata import IndexEntry, ModelStatistics

T = TypeVar("T")

_TIMEOUT_S = 10.0


@click.group("models")
def models_command() -> None:
    """Show the models on Triton, and change them while requests go on.

    Asks the Triton of the running instance, or the one of the configuration (`triton.url`). Where several instances
    run, --config says which.
    """
    configure_logging(sys.stderr, level="error")


for command in (pull_command, promote_command, rollback_command):
    models_command.add_command(command)


@dataclass(frozen=True, slots=True)
class Place:
    """A Triton, and the instance that it belongs to, ``None`` for one that somebody else runs."""

    url: str
    folder: Path | None


def where(config: Path | None, state_dir: Path) -> Place:
    """The Triton that is meant. Raises ``OperatorError`` when there is none, or when it is not clear which."""
    try:
        instance: Instance = running_instance(config, state_dir)
    except OperatorError:
        if config is None:
            raise
        url = load_or_exit(config, Console(stderr=True)).config.triton.url
        if url is None:
            raise
        return Place(url, None)
    if instance.triton is None:
        raise OperatorError("The instance is still starting.", fix="Try again in a moment.")
    embedded = "triton" in instance.logs
    return Place(instance.triton, folder_of(instance, state_dir) if embedded else None)


def ask(place: Place, question: Callable[[TritonClient], Coroutine[Any, Any, T]]) -> T:
    """The answer of Triton. Raises ``OperatorError`` where there is none."""

    async def run() -> T:
        client = TritonClient(place.url)
        try:
            return await question(client)
        except ModelUnavailable as exc:
            details = getattr(exc.__cause__, "details", None)
            said = details() if callable(details) else None
            raise OperatorError(f"Triton at {place.url}: {said or exc.message}") from exc
        finally:
            await client.close()

    return asyncio.run(run())


def tell_instance(folder: Path, command: str, **arguments: Any) -> None:
    """Have the instance carry out a command of one step. Raises ``OperatorError`` where it fails."""

    async def run() -> None:
        async with aclosing(tell(folder, command, **arguments)) as steps:
            async for _ in steps:
                pass

    asyncio.run(run())


@models_command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@instance_option
def list_command(config: Path | None, as_json: bool, state_dir: Path) -> None:
    """List every model in the repository, and whether it is served."""
    entries = ask(where(config, state_dir), lambda client: client.index(_TIMEOUT_S))
    if as_json:
        click.echo(json.dumps([asdict(entry) for entry in entries]))
        return
    rows = [(entry.name, entry.version or "-", state(entry), entry.reason) for entry in entries]
    Console().print(table(("model", "version", "state", "reason"), sorted(rows)))


@models_command.command("status")
@click.argument("model", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@instance_option
def status_command(model: str | None, config: Path | None, as_json: bool, state_dir: Path) -> None:
    """Show what MODEL, or every model that is or was served, has done since it was loaded.

    Queue and compute are means over the inferences that went well: what they waited for an instance of the model, and
    what that then took, with the copying of their tensors. Exits with 1 when MODEL is not served.
    """

    async def question(client: TritonClient) -> tuple[tuple[IndexEntry, ...], tuple[ModelStatistics, ...]]:
        return await client.index(_TIMEOUT_S), await client.statistics(_TIMEOUT_S)

    index, statistics = ask(where(config, state_dir), question)
    found = [fields for fields in statuses(index, statistics) if model in (None, fields["model"])]
    if model is not None and not found:
        raise OperatorError(f"There is no model {model!r} in the repository, or it was never loaded.")
    if as_json:
        click.echo(json.dumps(found))
    else:
        columns = ("model", "version", "state", "requests", "failed", "queue ms", "compute ms")
        rows = [
            (
                each["model"],
                each["version"],
                each["state"],
                str(each["requests"]),
                str(each["failed"]),
                _ms(each["queue_ms"]),
                _ms(each["compute_ms"]),
            )
            for each in found
        ]
        Console().print(table(columns, rows, numbers=range(3, 7)))
    if model is not None and not any(each["state"] == "ready" for each in found):
        raise SystemExit(1)


@models_command.command("load")
@click.argument("model")
@instance_option
def load_command(model: str, config: Path | None, state_dir: Path) -> None:
    """Load MODEL, or load it again; the one that is served serves until then, and goes on where that fails."""
    place = where(config, state_dir)
    if place.folder is not None:
        tell_instance(place.folder, "load", model=model)
    else:
        ask(place, lambda client: client.load(model))
    click.echo(f"{model} is served.")


@models_command.command("unload")
@click.argument("model")
@click.option("--force", is_flag=True, help="Also a model that the configuration needs.")
@instance_option
def unload_command(model: str, force: bool, config: Path | None, state_dir: Path) -> None:
    """Stop serving MODEL; what it is being asked it may finish."""
    place = where(config, state_dir)
    if place.folder is not None:
        tell_instance(place.folder, "unload", model=model, force=force)
    else:
        ask(place, lambda client: client.unload(model))
    click.echo(f"{model} is not served any more.")


def statuses(index: tuple[IndexEntry, ...], statistics: tuple[ModelStatistics, ...]) -> list[dict[str, Any]]:
    """What there is to say about every version that was ever loaded, by name and version; times in milliseconds."""
    counted = {(each.name, each.version): each for each in statistics}
    found = []
    for entry in sorted(index, key=lambda entry: (entry.name, entry.version)):
        if not entry.state:
            continue
        counts = counted.get((entry.name, entry.version))
        done = 0 if counts is None else counts.succeeded
        found.append(
            {
                "model": entry.name,
                "version": entry.version,
                "state": state(entry),
                "reason": entry.reason,
                "requests": done + (0 if counts is None else counts.failed),
                "failed": 0 if counts is None else counts.failed,
                "queue_ms": None if counts is None or not done else counts.queue_s / done * 1000,
                "compute_ms": None if counts is None or not done else counts.compute_s / done * 1000,
            }
        )
    return found


def state(entry: IndexEntry) -> str:
    """The state of a version in a word."""
    return entry.state.lower() or "not loaded"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: range = range(0)) -> Table:
    """Rows without lines between them; the columns ``numbers`` are aligned to the right."""
    made = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for place, column in enumerate(columns):
        made.add_column(column, justify="right" if place in numbers else "left", overflow="fold")
    for row in rows:
        made.add_row(*map(Text, row))
    return made


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
