"""``trident top``: what a running instance is doing, live."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live

from router.cli.observing import folder_of, instance_argument, run_until_interrupted, running_instance
from router.cli.top_view import print_overview, render_overview
from router.cli.trace import print_json
from router.dialects.canonical import JsonObject
from router.observer.client import ask

_FIRST_RATE_S = 1.0


@click.command("top")
@click.option("--once", is_flag=True, help="Show it once, with the rates of one second.")
@click.option(
    "--interval", type=click.FloatRange(0.2, 60), default=2.0, show_default=True, help="Seconds between two looks."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line; one object with --once.")
@instance_argument
def top_command(once: bool, interval: float, as_json: bool, config: Path | None, state_dir: Path) -> None:
    """Show what a running instance is doing: requests, agents, models, tokens, cost, guards, signals.

    FILE says which, where several run. Ctrl-C ends it. Without a terminal it is shown once. Rates and percentiles are
    those of the last minute.

    \b
    Examples:
      trident top
      trident top --once --json | jq .requests
    """
    instance = running_instance(config, state_dir)
    folder = folder_of(instance, state_dir)
    console = Console()
    if once or not (as_json or console.is_terminal):
        shown = asyncio.run(_look_twice(folder))
        if as_json:
            print_json(shown)
        else:
            print_overview(console, shown, instance.config)
    elif as_json:
        run_until_interrupted(_print_all(folder, interval))
    else:
        run_until_interrupted(_watch(folder, interval, console, instance.config))


async def _look_twice(folder: Path) -> JsonObject:
    """An overview with rates: there are none before the second look."""
    shown: JsonObject = {}
    async with aclosing(ask(folder, "overview", interval_s=_FIRST_RATE_S)) as frames:
        async for frame in frames:
            is_first = not shown
            shown = frame["overview"]
            if not is_first:
                break
    return shown


async def _print_all(folder: Path, interval_s: float) -> None:
    async with aclosing(ask(folder, "overview", interval_s=interval_s)) as frames:
        async for frame in frames:
            print_json(frame["overview"], one_line=True)


async def _watch(folder: Path, interval_s: float, console: Console, name: str) -> None:
    async with aclosing(ask(folder, "overview", interval_s=interval_s)) as frames:
        with Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
            async for frame in frames:
                live.update(render_overview(frame["overview"], name), refresh=True)
