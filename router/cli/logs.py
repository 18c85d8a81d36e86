"""``trident logs``: the log files of a running instance, and how much it logs."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections import deque
from pathlib import Path

import click

from router.cli.instances import Instance
from router.cli.observing import answers, folder_of, instance_argument, running_instance
from router.config.log_level import LEVELS
from router.errors import OperatorError

POLL_S = 0.25

_READ_BYTES = 256 * 1024
_MAX_LINE_BYTES = 1024 * 1024
_MAX_BACK_BYTES = 16 * 1024 * 1024  # of what is there at the start
_STDERR = 2


@click.command("logs")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written, until Ctrl-C.")
@click.option(
    "-n", "--lines", type=click.IntRange(0, 100_000), default=50, show_default=True, help="Lines of each file to show."
)
@click.option("--name", help="Only this log, as in gateway or triton.")
@click.option(
    "--level", type=click.Choice(LEVELS), help="From now on, log this much; nothing is shown without --follow."
)
@instance_argument
def logs_command(
    follow: bool, lines: int, name: str | None, level: str | None, config: Path | None, state_dir: Path
) -> None:
    """Show the logs of a running instance: Triton's, and the gateway's where that goes to a file.

    FILE says which instance, where several run.

    \b
    Examples:
      trident logs --follow
      trident logs --name triton -n 200
      trident logs --level debug         The running instance, at once; `info` is the default.
    """
    instance = running_instance(config, state_dir)
    if level is not None:
        (told,) = asyncio.run(answers(folder_of(instance, state_dir), "log_level", level=level))
        workers = told["workers"]
        click.echo(f"{workers} worker{'' if workers == 1 else 's'} and the telemetry process log at {level}.", err=True)
        if not follow:
            return
    files = log_files(instance)
    if name is not None and name in files:
        files = {name: files[name]}
    elif name is not None:
        raise OperatorError(f"There is no log {name}.", fix=f"There are: {', '.join(files) or 'none in files'}.")
    if not files:
        raise OperatorError(
            "This instance logs to its terminal only.", fix="Start it with `trident up 2>gateway.log` to have a file."
        )
    try:
        show(files, lines=lines, follow=follow)
    except KeyboardInterrupt:
        click.echo(err=True)


def log_files(instance: Instance) -> dict[str, Path]:
    """The log files by name, as far as they exist."""
    named = {"gateway": Path(f"/proc/{instance.pid}/fd/{_STDERR}")}
    named |= {name.lower(): Path(path) for name, path in instance.logs.items()}
    # By its own name, a file that is replaced is found again.
    return {name: next(filter(_is_file, (file.resolve(), file))) for name, file in named.items() if _is_file(file)}


def show(files: dict[str, Path], *, lines: int, follow: bool) -> None:
    """Print the last ``lines`` of each file, and with ``follow`` what is written then; of several, with their names."""
    tails = {name: Tail(file) for name, file in files.items()}
    for name, tail in tails.items():
        _print(name if len(tails) > 1 else None, tail.last(lines))
    while follow:
        time.sleep(POLL_S)
        for name, tail in tails.items():
            _print(name if len(tails) > 1 else None, tail.new())


class Tail:
    """The end of a file that others write, also where they begin a new one under its name."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._inode = 0
        self._position = 0
        self._unfinished = b""

    def last(self, lines: int) -> list[str]:
        """The last lines that are complete; ``new`` goes on behind them."""
        kept: deque[str] = deque(maxlen=lines)
        while (found := self._read()) is not None:
            kept.extend(found)
        return list(kept)

    def new(self) -> list[str]:
        """Lines that were completed since."""
        return self._read() or []

    def _read(self) -> list[str] | None:
        """The lines that the next piece completes, ``None`` where there is no more."""
        try:
            with self._file.open("rb") as stream:
                found = os.fstat(stream.fileno())
                if found.st_ino != self._inode or found.st_size < self._position:
                    begins = max(0, found.st_size - _MAX_BACK_BYTES) if not self._inode else 0
                    self._inode, self._position, self._unfinished = found.st_ino, begins, b""
                stream.seek(self._position)
                data = stream.read(_READ_BYTES)
        except OSError:
            return None
        if not data:
            return None
        self._position += len(data)
        *complete, self._unfinished = (self._unfinished + data).split(b"\n")
        if len(self._unfinished) > _MAX_LINE_BYTES:
            complete, self._unfinished = [*complete, self._unfinished], b""
        return [line.decode("utf-8", "replace") for line in complete]


def _print(name: str | None, lines: list[str]) -> None:
    for line in lines:
        click.echo(line if name is None else f"{click.style(name, fg='cyan')} {line}")


def _is_file(file: Path) -> bool:
    try:
        return stat.S_ISREG(file.stat().st_mode)
    except OSError:
        return False
