"""``trident worker``: one gateway process of ``trident up``."""

from __future__ import annotations

from pathlib import Path

import click
import uvloop

from router.cli.channel import SupervisorChannel
from router.cli.options import LogOptions, logging_options
from router.runtime import Surroundings, serve
from router.telemetry.channel import socket_address


@click.command("worker", hidden=True)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--triton-url", required=True, help="gRPC address of Triton.")
@click.option("--supervisor-fd", type=int, required=True, help="The worker's end of the channel.")
@click.option("--folder", type=click.Path(path_type=Path), required=True, help="Where the instance keeps its state.")
@click.option("--workers", type=int, required=True, help="How many workers the instance has.")
@click.option("--number", type=int, required=True, help="Which worker this is; on every log line.")
@logging_options
def worker_command(
    file: Path, triton_url: str, supervisor_fd: int, folder: Path, workers: int, number: int, logs: LogOptions
) -> None:
    """Serve every listener of FILE until SIGTERM, then let the requests in flight finish. Started by `trident up`."""
    logs.apply(worker=number)
    channel = SupervisorChannel(supervisor_fd)
    loaded = channel.receive_config()
    channel.end_with_supervisor()
    access_log = logs.access_log(worker=number)
    surroundings = Surroundings(triton_url, folder, workers, number, socket_address(folder))
    uvloop.run(
        serve(
            loaded,
            surroundings,
            access_log=access_log,
            reuse_port=True,
            on_ready=channel.announce_ready,
            take_commands=channel.take_commands,
        )
    )
