"""An instance that commands can look at: its telemetry process, with a worker's channel to it, but no gateway.

Commands run as processes of their own, with pipes or on a pseudo-terminal.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import pty
import re
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from router.aio import timeout
from router.cli.instances import Instance, InstanceDirectory, instance_folder, process_start
from router.config import load_config
from router.observer.process import Observer, ObserverOptions
from router.telemetry import frames
from router.telemetry.channel import Channel, socket_address
from router.telemetry.metrics import Metrics
from router.telemetry.tracing import Sampler, Span

CONFIG = """\
version: v0.4.0
listeners:
  - {type: model, name: models, port: 12000}
overrides: {disable_signals: true}
"""
WITHIN_S = 30.0

_RUN = "import sys; from router.cli.main import main; main()"
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[=>])")


@dataclass
class Command:
    """A command that runs; ``output`` grows while it does."""

    process: asyncio.subprocess.Process
    output: bytearray = field(default_factory=bytearray)
    readers: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What it has said, without what steers a terminal."""
        return _ESCAPES.sub("", self.output.decode("utf-8", "replace")).replace("\r\n", "\n")

    @property
    def raw(self) -> str:
        return self.output.decode("utf-8", "replace")

    async def until(self, text: str) -> str:
        """Wait until it has said ``text``; everything that it has said."""
        try:
            async with timeout(WITHIN_S):
                while text not in self.text:
                    if self.process.returncode is not None and all(reader.done() for reader in self.readers):
                        break
                    await asyncio.sleep(0.01)
        except (TimeoutError, asyncio.TimeoutError):
            pass
        assert text in self.text, self.text
        return self.text

    async def ended(self) -> int:
        """Its exit status."""
        async with timeout(WITHIN_S):
            await asyncio.gather(self.process.wait(), *self.readers)
        assert self.process.returncode is not None
        return self.process.returncode

    async def interrupt(self) -> int:
        """Ctrl-C; its exit status."""
        self.process.send_signal(signal.SIGINT)
        return await self.ended()


@dataclass
class ObservedInstance:
    """``metrics`` and ``report`` are the worker's."""

    config: Path
    state_dir: Path
    metrics: Metrics
    channel: Channel
    observer: Observer
    log_levels: list[str]

    def report(self, root: Span) -> None:
        """Hand the telemetry process the trace of a finished request."""
        message = {
            "type": "request",
            "trace": frames.trace_fields(root.trace),
            "exchange": None,
            "dialect": "openai_chat",
            "stream": False,
        }
        self.channel.request(message, ())
        self.channel.flush()

    async def run(self, *arguments: str, status: int = 0, terminal: bool = False) -> str:
        """What a command prints that ends with ``status``; ``--state-dir`` is added."""
        async with self.running(*arguments, terminal=terminal) as command:
            ended = await command.ended()
            assert ended == status, command.text
            return command.text

    @asynccontextmanager
    async def running(self, *arguments: str, terminal: bool = False) -> AsyncIterator[Command]:
        """A command while it runs; it is ended with the block."""
        async with running(*arguments, f"--state-dir={self.state_dir}", terminal=terminal) as command:
            yield command


@asynccontextmanager
async def running(*arguments: str, terminal: bool = False) -> AsyncIterator[Command]:
    """``trident`` with these arguments while it runs, on a terminal of 140 columns or with a pipe."""
    environ = {**os.environ, "PYTHONUNBUFFERED": "1", "TERM": "xterm-256color", "COLUMNS": "", "NO_COLOR": ""}
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
        environ.pop(name, None)
    start = (sys.executable, "-c", _RUN, *arguments)
    if terminal:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 140, 0, 0))
        process = await asyncio.create_subprocess_exec(
            *start, stdin=theirs, stdout=theirs, stderr=theirs, env=environ, start_new_session=True
        )
        os.close(theirs)
        command = Command(process)
        command.readers.append(asyncio.create_task(_read_terminal(ours, command.output)))
    else:
        process = await asyncio.create_subprocess_exec(
            *start,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environ,
        )
        command = Command(process)
        command.readers.append(asyncio.create_task(_read_pipe(process, command.output)))
    try:
        yield command
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
        await command.ended()


@asynccontextmanager
async def observed_instance(folder: Path, config: str = CONFIG) -> AsyncIterator[ObservedInstance]:
    """An instance that runs, as far as commands can tell: it is this process."""
    file = folder / "config.yaml"
    file.write_text(config)
    state_dir = folder / "state"
    loaded = load_config(file, {})
    home = instance_folder(file, state_dir)
    levels: list[str] = []
    metrics = Metrics(models=["openai/gpt-4o", "gpt-4o"])
    level = logging.getLogger().level
    observer = Observer(loaded.config, ObserverOptions(home, "127.0.0.1:9", (), 1, None, "info"))
    await observer.start()
    channel = Channel(socket_address(home), metrics.registry, worker=0, on_log_level=levels.append)
    await channel.open()
    InstanceDirectory(state_dir).record(
        Instance(os.getpid(), process_start(os.getpid()), str(file.resolve()), workers=1, stop_within_s=1)
    )
    try:
        yield ObservedInstance(file, state_dir, metrics, channel, observer, levels)
    finally:
        await channel.close()
        await observer.close()
        logging.getLogger().setLevel(level)


def request_span(name: str = "POST /v1/chat/completions", **attributes: object) -> Span:
    """The span of a request that has just begun."""
    return Sampler(1.0).begin(name, {}, dict(attributes))  # type: ignore[arg-type]


async def _read_pipe(process: asyncio.subprocess.Process, output: bytearray) -> None:
    assert process.stdout is not None
    while data := await process.stdout.read(65536):
        output += data


async def _read_terminal(ours: int, output: bytearray) -> None:
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def read() -> None:
        try:
            data = os.read(ours, 65536)
        except OSError:  # nobody has the other end any more
            data = b""
        if data:
            output.extend(data)
        elif not ended.done():
            ended.set_result(None)

    loop.add_reader(ours, read)
    try:
        await ended
    finally:
        loop.remove_reader(ours)
        os.close(ours)
