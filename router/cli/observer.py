"""``trident observer``: the telemetry process of ``trident up``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
import uvloop

from router.cli.channel import SupervisorChannel
from router.cli.options import LogOptions, logging_options
from router.observer.process import ObserverOptions, observe

# Where there is too little of the machine for both, requests are answered first.
_NICENESS = 5


@click.command("observer", hidden=True)
@click.option("--triton-url", required=True, help="gRPC address of Triton.")
@click.option("--model", "models", multiple=True, help="A model in use; may be given several times.")
@click.option("--supervisor-fd", type=int, required=True, help="This process's end of the channel.")
@click.option("--folder", type=click.Path(path_type=Path), required=True, help="Where the instance keeps its state.")
@click.option("--workers", type=int, required=True, help="How many workers the instance has.")
@click.option("--admin-port", type=int, help="Port for metrics and health; none without it.")
@click.option("--run", help="Which run of the gateway this is; what was counted in it before goes on.")
@logging_options
def observer_command(supervisor_fd: int, models: tuple[str, ...], logs: LogOptions, **options: Any) -> None:
    """Gather what the workers report, until SIGTERM. Started by `trident up`."""
    logs.apply(process="observer")
    os.nice(_NICENESS)
    channel = SupervisorChannel(supervisor_fd)
    loaded = channel.receive_config()
    channel.end_with_supervisor()
    observed = ObserverOptions(models=models, log_level=logs.level, **options)
    uvloop.run(observe(loaded.config, observed, on_ready=channel.announce_ready))
