"""``trident down``: stops running instances and waits until they are gone."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import click
from rich.console import Console

from router.cli.instances import Instance, InstanceDirectory
from router.cli.options import state_dir_option
from router.errors import OperatorError

# On top of what the instance itself allows for draining: Triton's stop and the removal of its note.
MARGIN_S = 15.0
POLL_S = 0.05


@click.command("down")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--all", "every", is_flag=True, help="Stop every running instance.")
@click.option("--now", is_flag=True, help="Do not wait for requests in flight.")
@click.option(
    "--timeout", type=click.FloatRange(min=0), help="Seconds to wait. Default: what the instance needs to drain."
)
@state_dir_option
def down_command(file: Path | None, every: bool, now: bool, timeout: float | None, state_dir: Path) -> None:
    """Stop a running instance of `trident up`.

    New connections are refused at once; requests in flight finish first, within limits.drain_timeout. Without FILE, the
    one instance that runs is stopped.

    \b
    Examples:
      trident down                 The only one.
      trident down config.yaml     The one that was started with this file.
      trident down --all --now     Everything, at once.
    """
    directory = InstanceDirectory(state_dir)
    chosen = choose(directory.running(), file=file, every=every)
    if not chosen:
        click.echo("Nothing is running.")
        return
    for instance in chosen:
        send_stop(instance, now=now)
    waits = [(instance, instance.stop_within_s + MARGIN_S if timeout is None else timeout) for instance in chosen]
    console = Console(stderr=True)
    began = time.monotonic()
    for instance, wait_s in waits:
        with console.status(f"Stopping {instance.config} (requests in flight finish first)"):
            stopped = wait_until_gone(instance, until=began + wait_s)
        if not stopped:
            raise OperatorError(
                f"{instance.config} (process {instance.pid}) still runs after {wait_s:g} s.",
                fix="Wait longer with --timeout, or end it with `trident down --now`.",
            )
        click.echo(f"Stopped {instance.config}.")
        directory.forget(instance.pid)


def choose(running: list[Instance], *, file: Path | None, every: bool) -> list[Instance]:
    """The instances to stop; raises OperatorError when that is not clear."""
    if every:
        if file is not None:
            raise click.UsageError("Give FILE or --all, not both.")
        return running
    listing = "\n".join(f"  {instance.config}  (process {instance.pid})" for instance in running)
    if file is not None:
        wanted = str(file.resolve())
        chosen = [instance for instance in running if instance.config == wanted]
        if running and not chosen:
            raise OperatorError(
                f"No instance runs with {file}. These do:\n{listing}", fix="Name one of them, or use --all."
            )
        return chosen
    if len(running) > 1:
        raise OperatorError(f"Several instances run:\n{listing}", fix="Name the file of one of them, or use --all.")
    return running


def send_stop(instance: Instance, *, now: bool) -> None:
    """Ask the supervisor to drain and stop; with ``now``, to drop what is in flight as well."""
    try:
        os.kill(instance.pid, signal.SIGTERM)
        if now:
            # What a second Ctrl-C does.
            os.kill(instance.pid, signal.SIGINT)
    except ProcessLookupError:
        pass
    except PermissionError as exc:
        raise OperatorError(
            f"{instance.config} (process {instance.pid}) belongs to another user.", fix="Stop it as that user."
        ) from exc


def wait_until_gone(instance: Instance, *, until: float) -> bool:
    """Whether the instance is gone by ``until`` (monotonic clock)."""
    while instance.alive:
        if time.monotonic() >= until:
            return False
        time.sleep(POLL_S)
    return True
