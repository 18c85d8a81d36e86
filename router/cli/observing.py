"""Finds the running instance that a command is about, and asks its telemetry process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import Any

import click

from router.aio import timeout
from router.cli.instances import Instance, InstanceDirectory, instance_folder
from router.cli.options import state_dir_option
from router.dialects.canonical import JsonObject
from router.errors import OperatorError
from router.observer.client import ask

ANSWER_WITHIN_S = 10.0


def instance_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """``[FILE]`` and ``--state-dir``, as ``config`` and ``state_dir``: which of the running instances is meant."""
    argument = click.argument("config", type=click.Path(path_type=Path), metavar="[FILE]", required=False)
    return argument(state_dir_option(command))


def instance_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same with ``--config FILE``, for commands that have another argument."""
    option = click.option(
        "-c",
        "--config",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Which instance: the one that was started with FILE. Needed where several run.",
    )
    return option(state_dir_option(command))


def running_instance(config: Path | None, state_dir: Path) -> Instance:
    """The instance that is meant. Raises ``OperatorError`` when none runs, or when it is not clear which."""
    running = InstanceDirectory(state_dir).running()
    if not running:
        raise OperatorError(
            "No instance runs.", fix="Start one with `trident up`, or name its state folder with --state-dir."
        )
    listing = "\n".join(f"  {instance.config}  (process {instance.pid})" for instance in running)
    if config is not None:
        wanted = str(config.resolve())
        chosen = [instance for instance in running if instance.config == wanted]
        if not chosen:
            raise OperatorError(f"No instance runs with {config}. These do:\n{listing}", fix="Name one of them.")
        return chosen[-1]
    if len({instance.config for instance in running}) > 1:
        raise OperatorError(f"Several instances run:\n{listing}", fix="Name the file of one of them.")
    return running[-1]


def folder_of(instance: Instance, state_dir: Path) -> Path:
    """Where an instance keeps the socket of its telemetry process."""
    return instance_folder(Path(instance.config), state_dir)


async def answers(folder: Path, what: str, **arguments: Any) -> list[JsonObject]:
    """All results of a query that ends. Raises ``OperatorError``, also when it takes too long."""
    try:
        async with timeout(ANSWER_WITHIN_S), aclosing(ask(folder, what, **arguments)) as results:
            return [result async for result in results]
    except (TimeoutError, asyncio.TimeoutError) as exc:
        raise OperatorError(
            "The telemetry process of this instance did not answer in time.", fix="Its log may say why."
        ) from exc


def run_until_interrupted(work: Coroutine[Any, Any, None]) -> None:
    """Run ``work``, for which Ctrl-C is the ordinary end."""
    try:
        asyncio.run(work)
    except KeyboardInterrupt:
        click.echo(err=True)
