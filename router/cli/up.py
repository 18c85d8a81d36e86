"""``trident up``: starts Triton and the gateway in the foreground."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import click
from rich.console import Console

from router.cli.check import print_problems
from router.cli.loading import load_or_exit, print_warnings
from router.cli.options import LogOptions, logging_options, state_dir_option
from router.cli.plano import plano_up_options
from router.cli.ports import PortTakenError
from router.cli.status import print_status
from router.cli.supervisor import Supervisor, UpOptions
from router.cli.zero_config import (
    ZeroOptions,
    example_call,
    make_zero_config,
    write_zero_config,
    zero_options,
    zero_sections,
)
from router.config import ConfigErrors, LoadedConfig, load_config
from router.errors import OperatorError

MAX_WORKERS = 64

# What is used without FILE; the second is the other name that Plano looks for.
DEFAULT_FILES = (Path("config.yaml"), Path("plano_config.yaml"))


@click.command("up")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option(
    "--workers",
    type=click.IntRange(1, MAX_WORKERS),
    default=1,
    show_default=True,
    help="Gateway processes; they share the ports and one Triton.",
)
@click.option("--watch", is_flag=True, help="Reload FILE whenever it changes, as `trident reload` does.")
@zero_options("Without FILE")
@click.option("--print-config", is_flag=True, help="Print the configuration that is used without FILE, and exit.")
@plano_up_options
@state_dir_option
@logging_options
def up_command(
    file: Path | None,
    workers: int,
    watch: bool,
    state_dir: Path,
    logs: LogOptions,
    zero: ZeroOptions,
    print_config: bool,
) -> None:
    """Start Triton and the gateway with FILE (config.yaml if left out), and keep them running.

    Runs in the foreground. Ctrl-C or SIGTERM stops: requests in flight finish first, within limits.drain_timeout; a
    second Ctrl-C drops them. Without `triton.url` in FILE, Triton is started on this machine.

    Without FILE and without config.yaml, the gateway has the providers whose keys are in the environment or in .env:
    OPENAI_API_KEY, ANTHROPIC_API_KEY, GROQ_API_KEY, and so on. It listens on 127.0.0.1 only.

    \b
    Examples:
      trident up                             With config.yaml of this folder, else with the keys that there are.
      trident up examples/travel/config.yaml
      trident up config.yaml --workers 4     One process for each of four cores.
      trident up --watch                     Edit the file, and see it served a second later.
      trident up --ollama                    Without a file: the models of Ollama, and whatever there are keys for.
      trident up --print-config              What that would be, as a file.
      trident up >trident.log 2>&1 &         In the background; `trident down` stops it.
    """
    logs.apply()
    err = Console(stderr=True)
    chosen = file or next((name for name in DEFAULT_FILES if name.exists()), None)
    if print_config:
        if file is not None:
            raise click.UsageError("--print-config is about what is used without FILE: leave one of them out.")
        click.echo(make_zero_config(zero, Path.cwd()).text, nl=False)
        return
    if chosen is not None and zero.given:
        reason = "is used" if file is not None else "of this folder is used"
        raise click.UsageError(f"{', '.join(zero.given)} would do nothing: {chosen} {reason}. Set it there.")
    loaded = load_or_exit(chosen, err) if chosen is not None else _load_zero_config(zero, state_dir, err)
    print_warnings(loaded, err)
    load = partial(load_config, chosen) if chosen is not None else partial(_make_again, zero, state_dir)
    options = UpOptions(workers, state_dir, logs, watch)
    supervisor = Supervisor(loaded, options, load=load, out=Console(), err=err)
    try:
        raise SystemExit(asyncio.run(supervisor.run()))
    except PortTakenError as exc:
        if chosen is not None:
            raise
        raise OperatorError(exc.message, fix=f"{exc.fix} The port of this one: `--port`.") from exc


def _make_again(options: ZeroOptions, state_dir: Path) -> LoadedConfig:
    """The configuration that there is no file of, with the keys that there are now."""
    made = make_zero_config(options, Path.cwd())
    return load_config(write_zero_config(made, state_dir), made.variables)


def _load_zero_config(options: ZeroOptions, state_dir: Path, err: Console) -> LoadedConfig:
    """Make, note down and show the configuration that there is no file of."""
    made = make_zero_config(options, Path.cwd())
    path = write_zero_config(made, state_dir)
    try:
        loaded = load_config(path, made.variables)
    except ConfigErrors as error:  # an address of the environment that is none
        print_problems(error.problems, path, err)
        raise SystemExit(error.exit_code) from error
    out = Console()
    print_status(
        out,
        "no config.yaml here: a gateway from the keys in the environment",
        zero_sections(made),
        f"Its configuration: {path}",
    )
    # Outside the frame, so that it can be copied.
    out.out(f"Try it: {example_call(made)}", highlight=False)
    return loaded
