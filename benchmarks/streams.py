"""What many idle streams cost: opens them through one worker of the gateway, holds them, and reads its memory.

python benchmarks/streams.py [--streams 10000] [--dialect chat|messages|responses] [--hold 3] [--limit-mb 1500]

The agent behind the gateway sends the first event of every stream and then nothing. A stream counts once its first
bytes have arrived; at the end all of them have to be open still, and after the clients have left, none may be left at
the agent. Prints one line of JSON; exits with 1 when a stream failed or the gateway took more than ``--limit-mb``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import resource
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, cast

import uvloop

from benchmarks.mock_agent import MockAgent, Tally
from benchmarks.targets import FOLDER, STATE, Process, Target, TargetError, running

AGENT_PORT = 9105
GATEWAY = Target(
    "streams",
    "Trident, idle streams",
    9104,
    (sys.executable, "-m", "router", "up", str(FOLDER / "config" / "streams.yaml"), "--state-dir", str(STATE)),
)
AT_ONCE = 100  # connections that are being opened at the same time, well below any listening backlog
FIRST_BYTES_WITHIN_S = 30.0
RELEASE_WITHIN_S = 30.0
SPARE_FILES = 256  # what a process has open beside its streams

Dialect = Literal["chat", "messages", "responses"]
PATHS: dict[Dialect, str] = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
_TURN = {"role": "user", "content": "Say one word."}
_BODIES: dict[Dialect, dict[str, object]] = {
    "chat": {"messages": [_TURN]},
    "messages": {"messages": [_TURN], "max_tokens": 16},
    "responses": {"input": "Say one word."},
}


@dataclass(frozen=True, slots=True)
class Report:
    """One run. Memory is the resident memory of all processes of the gateway; ``kb_per_stream`` what a stream added."""

    dialect: Dialect
    streams: int
    opened: int
    held: int
    opening_s: float
    rss_before_mb: float
    rss_mb: float
    kb_per_stream: float
    left_at_agent: int
    first_error: str | None

    def passes(self, limit_mb: float) -> bool:
        """Whether every stream held, all of it was released, and the memory stayed within the limit."""
        return self.held == self.streams and self.left_at_agent == 0 and self.rss_mb <= limit_mb


class IdleAgent(MockAgent):
    """Sends the first event of a stream and then no more; it is in ``connections`` while it is connected."""

    def __init__(self, tally: Tally, connections: set[IdleAgent]) -> None:
        super().__init__(tally)
        self._connections = connections
        self.streams = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)

    def _send(self, parts: tuple[bytes, ...], index: int) -> None:
        self.streams = True
        self._transport.write(parts[0])


class Stream(asyncio.Protocol):
    """A client that asks for a stream and reads what comes; ``first`` is done with the first bytes of the body."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._head = b""
        self.first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.open = True
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self.first.done():
            return
        self._head += data
        head, end, body = self._head.partition(b"\r\n\r\n")
        if end and not head.startswith(b"HTTP/1.1 200"):
            self.first.set_exception(TargetError(f"not a stream: {self._head[:300]!r}"))
        elif body:
            self._head = b""
            self.first.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        if not self.first.done():
            self.first.set_exception(TargetError(f"connection lost: {exc or 'closed'}"))

    def close(self) -> None:
        self._transport.abort()


@dataclass(frozen=True, slots=True)
class Opened:
    """The streams that could be opened, and why the first one that could not be failed."""

    streams: Sequence[Stream]
    seconds: float
    first_error: str | None

    @property
    def held(self) -> int:
        return sum(stream.open for stream in self.streams)

    def close(self) -> None:
        for stream in self.streams:
            stream.close()


async def open_streams(port: int, count: int, dialect: Dialect = "chat") -> Opened:
    """Open ``count`` streams, ``AT_ONCE`` at a time, until the first failure."""
    body = json.dumps({"model": "mock-1", "stream": True, **_BODIES[dialect]}, separators=(",", ":")).encode()
    head = f"POST {PATHS[dialect]} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    request = b"%bcontent-length: %d\r\n\r\n%b" % (head.encode(), len(body), body)
    loop = asyncio.get_running_loop()
    streams: list[Stream] = []
    started, error = time.perf_counter(), None

    async def open_one() -> None:
        _, stream = await loop.create_connection(lambda: Stream(request), "127.0.0.1", port)
        streams.append(stream)
        await asyncio.wait_for(stream.first, FIRST_BYTES_WITHIN_S)

    while len(streams) < count and error is None:
        batch = [open_one() for _ in range(min(AT_ONCE, count - len(streams)))]
        results = await asyncio.gather(*batch, return_exceptions=True)
        error = next((str(result) or repr(result) for result in results if isinstance(result, Exception)), None)
    return Opened(streams, time.perf_counter() - started, error)


async def measure(*, count: int, dialect: Dialect, hold_s: float) -> Report:
    """Start agent and gateway, open, hold and release the streams, and stop everything. Raises ``TargetError``."""
    connections: set[IdleAgent] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: IdleAgent(Tally(), connections), "127.0.0.1", AGENT_PORT, backlog=1024)
    stack = contextlib.ExitStack()
    async with server:
        gateway = await asyncio.to_thread(stack.enter_context, running(GATEWAY, None))
        try:
            return await _measure(gateway, connections, count=count, dialect=dialect, hold_s=hold_s)
        finally:
            await asyncio.to_thread(stack.close)


async def _measure(
    gateway: Process, connections: set[IdleAgent], *, count: int, dialect: Dialect, hold_s: float
) -> Report:
    before = sum(gateway.rss_mb().values())
    opened = await open_streams(GATEWAY.port, count, dialect)
    try:
        await asyncio.sleep(hold_s)
        held, memory = opened.held, sum(gateway.rss_mb().values())
    finally:
        opened.close()
    left = await _left(connections)
    return Report(
        dialect=dialect,
        streams=count,
        opened=len(opened.streams),
        held=held,
        opening_s=round(opened.seconds, 2),
        rss_before_mb=round(before, 1),
        rss_mb=round(memory, 1),
        kb_per_stream=round((memory - before) * 1024 / max(1, held), 1),
        left_at_agent=left,
        first_error=opened.first_error,
    )


async def _left(connections: Iterable[IdleAgent]) -> int:
    """How many streams the gateway has not let go of, once none is left or the time for it is over."""
    deadline = time.monotonic() + RELEASE_WITHIN_S
    while (left := sum(agent.streams for agent in connections)) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    return left


def allow_files(streams: int) -> None:
    """Let this process, and the gateway that it starts, have the sockets of ``streams``: two each in both of them.

    Raises ``TargetError`` when the limit of open files cannot be raised that far.
    """
    needed = 2 * streams + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    try:
        new_hard = hard if hard == resource.RLIM_INFINITY else max(hard, needed)
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, new_hard))
    except (OSError, ValueError) as exc:
        raise TargetError(
            f"{streams} streams need {needed} open files, and no more than {hard} are allowed here. Raise the hard "
            f"limit (LimitNOFILE=, --ulimit nofile=), or ask for --streams {max(0, (hard - SPARE_FILES) // 2)}."
        ) from exc


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--dialect", choices=sorted(PATHS), default="chat")
    parser.add_argument("--hold", type=float, default=3.0, help="seconds for which all streams have to stay open")
    parser.add_argument("--limit-mb", type=float, default=1500.0)
    arguments = parser.parse_args()
    try:
        allow_files(arguments.streams)
        report = uvloop.run(measure(count=arguments.streams, dialect=arguments.dialect, hold_s=arguments.hold))
    except TargetError as exc:
        print(exc, file=sys.stderr)
        return 2
    print(json.dumps(asdict(report)), flush=True)
    return 0 if report.passes(arguments.limit_mb) else 1


if __name__ == "__main__":
    raise SystemExit(main())
