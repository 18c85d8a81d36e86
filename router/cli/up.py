"""``trident up``: starts Triton and the gateway in the foreground."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
from rich.console import Console

from router.cli.loading import load_or_exit, print_warnings
from router.cli.options import LogOptions, config_argument, logging_options, state_dir_option
from router.cli.supervisor import Supervisor, UpOptions

MAX_WORKERS = 64


@click.command("up")
@config_argument
@click.option(
    "--workers",
    type=click.IntRange(1, MAX_WORKERS),
    default=1,
    show_default=True,
    help="Gateway processes; they share the ports and one Triton.",
)
@state_dir_option
@logging_options
def up_command(file: Path, workers: int, state_dir: Path, logs: LogOptions) -> None:
    """Start Triton and the gateway with FILE (config.yaml if left out), and keep them running.

    Runs in the foreground. Ctrl-C or SIGTERM stops: requests in flight finish first, within limits.drain_timeout; a
    second Ctrl-C drops them. Without `triton.url` in FILE, Triton is started on this machine.

    \b
    Examples:
      trident up                             With config.yaml of this folder.
      trident up examples/travel/config.yaml
      trident up config.yaml --workers 4     One process for each of four cores.
      trident up >trident.log 2>&1 &         In the background; `trident down` stops it.
    """
    logs.apply()
    err = Console(stderr=True)
    loaded = load_or_exit(file, err)
    print_warnings(loaded, err)
    options = UpOptions(workers, state_dir, logs)
    supervisor = Supervisor(loaded, options, out=Console(), err=err)
    raise SystemExit(asyncio.run(supervisor.run()))
