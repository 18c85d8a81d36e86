"""``trident serve``: one part of a deployment, or all of them, as one process in the foreground."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import get_args

import click
import uvloop
from rich.console import Console

from router.cli.admin_port import admin_port
from router.cli.instances import instance_folder
from router.cli.loading import load_or_exit, print_warnings
from router.cli.observer_keeper import ObserverKeeper, observer_arguments
from router.cli.options import LogOptions, config_argument, logging_options, state_dir_option
from router.cli.triton import triton_for
from router.config import LoadedConfig
from router.runtime import Surroundings, models_in_use, serve
from router.runtime.services import Part, config_for, serve_services
from router.telemetry.channel import socket_address

logger = logging.getLogger(__name__)


@click.command("serve")
@click.argument("part", type=click.Choice(get_args(Part)))
@config_argument
@state_dir_option
@logging_options
def serve_command(part: Part, file: Path, state_dir: Path, logs: LogOptions) -> None:
    """Serve one PART of a deployment with FILE (config.yaml if left out): one process, for containers.

    \b
      router     RouterService over gRPC, for gateways and other clients.
      guardrail  GuardrailService over gRPC, likewise.
      gateway    The listeners. Asks such services elsewhere where `services` names them.
      all        The listeners and the gRPC services.

    SIGTERM or Ctrl-C stops: what is in flight finishes first, within limits.drain_timeout. Without `triton.url` in
    FILE, a Triton with the models of this part is started on this machine.

    \b
    Examples:
      trident serve router config.yaml
      trident serve gateway config.yaml
    """
    logs.apply(part=part)
    err = Console(stderr=True)
    loaded = load_or_exit(file, err)
    print_warnings(loaded, err)
    loaded = replace(loaded, config=config_for(loaded.config, part))
    # Several parts may run side by side on one machine; what they keep must not get mixed up.
    uvloop.run(_serve(loaded, part, state_dir / f"serve-{part}", logs))


async def _serve(loaded: LoadedConfig, part: Part, state_dir: Path, logs: LogOptions) -> None:
    def announce() -> None:
        logger.info("serving", extra={"part": part, "config": str(loaded.path)})

    async with triton_for(loaded, state_dir, Console(stderr=True)) as triton:
        folder = instance_folder(loaded.path, state_dir)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        surroundings = Surroundings(triton.url, folder)
        access_log = logs.access_log(part=part)
        if part in ("gateway", "all"):
            with admin_port(loaded.config.admin) as port:
                arguments = observer_arguments(triton.url, models_in_use(loaded.config), folder, 1, port)
                async with ObserverKeeper(loaded, lambda: (*arguments, *logs.as_arguments())):
                    told = replace(surroundings, telemetry=socket_address(folder))
                    await serve(loaded, told, access_log=access_log, on_ready=announce)
        else:
            await serve_services(loaded.config, surroundings, (part,), access_log=access_log, on_ready=announce)
