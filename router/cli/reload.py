"""``trident reload``: has a running instance serve what its configuration file says now."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from pathlib import Path

import click
from rich.console import Console

from router.aio import timeout as within
from router.cli.control import Refused, tell
from router.cli.observing import folder_of, instance_argument, running_instance
from router.errors import OperatorError


@click.command("reload")
@instance_argument
@click.option("--timeout", type=click.FloatRange(min=0), default=180.0, show_default=True, help="Seconds to wait.")
def reload_command(config: Path | None, timeout: float, state_dir: Path) -> None:
    """Have a running instance of `trident up` serve what its configuration file says now.

    No request fails and no connection is closed: requests in flight finish as they began. A file with errors, and one
    that cannot be served, change nothing: what is wrong is printed, and the exit status is 1. Without FILE, the one
    instance that runs is meant. SIGHUP to `trident up` does the same; `trident up --watch` does it by itself.

    \b
    Examples:
      trident reload                 The only one.
      trident reload config.yaml     The one that was started with this file.
    """
    instance = running_instance(config, state_dir)
    began = time.monotonic()
    with Console(stderr=True).status(f"Reloading {instance.config}"):
        asyncio.run(_reload(folder_of(instance, state_dir), timeout))
    click.echo(f"{instance.config} is served now ({time.monotonic() - began:.1f} s).")


async def _reload(folder: Path, timeout_s: float) -> None:
    try:
        async with within(timeout_s), aclosing(tell(folder, "reload")) as steps:
            async for _ in steps:
                pass
    except Refused as exc:
        for problem in exc.problems:
            click.echo(problem, err=True)
        raise
    except (TimeoutError, asyncio.TimeoutError) as exc:
        raise OperatorError("The instance has not answered yet.", fix="Its log will say what comes of it.") from exc
