"""The load generator: a closed loop of connections that each send the next request when the last answer is whole.

python benchmarks/load.py --port 9100 --concurrency 16 --seconds 3 [--stream] [--dialect messages] [--same]

Raw ``asyncio.Protocol`` on uvloop. Every answer is validated, latencies and times to the first token are recorded one
by one, and the result is one line of JSON (see `Result`).
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import re
import resource
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import cast

import uvloop

from benchmarks.answers import Expected
from benchmarks.mock_agent import WORDS
from benchmarks.prompts import PATHS, Dialect, bodies, headers

PREPARED = 5_000  # distinct requests of one measurement, sent again from the first where a target is faster than that
FINISH_WITHIN_S = 20.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Result:
    """One measurement; times in milliseconds, of the requests that were sent and answered after the warm-up."""

    requests: int
    errors: int
    all_requests: int
    """With those of the warm-up: what the CPU time of the target was spent on."""
    requests_per_s: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    first_token_p50_ms: float | None
    first_token_p99_ms: float | None
    client_cpu_ms: float
    """CPU time of the load generator per request."""
    first_error: str | None


class Run:
    """What all connections of one measurement share."""

    def __init__(
        self,
        requests: Sequence[bytes],
        *,
        stream: bool,
        words: int,
        port: int,
        dialect: Dialect = "chat",
        key: str | None = None,
    ) -> None:
        fields = {"host": f"127.0.0.1:{port}", "content-type": "application/json", **headers(dialect, key)}
        lines = [f"POST {PATHS[dialect]} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        head = "\r\n".join([*lines, "content-length: "]).encode()
        self.requests = [b"%b%d\r\n\r\n%b" % (head, len(body), body) for body in requests]
        self.stream = stream
        self._expected = Expected(dialect, words)
        self.first_token = self._expected.first_token
        self.sent = 0
        self.recording = False
        self.stopped = False
        self.latencies: list[float] = []
        self.first_tokens: list[float] = []
        self.answered = 0
        self.errors: list[str] = []

    def next_request(self) -> bytes:
        request = self.requests[self.sent % len(self.requests)]
        self.sent += 1
        return request

    def is_valid(self, answer: bytes) -> bool:
        """Whether a whole HTTP answer, head included, is what the mock said."""
        return self._expected.is_stream(answer) if self.stream else self._expected.is_answer(answer)


class Connection(asyncio.Protocol):
    """One keep-alive connection of the closed loop."""

    def __init__(self, run: Run, closed: asyncio.Future[None]) -> None:
        self._run = run
        self._closed = closed
        self._buffer = b""
        self._end = -1  # length of the whole answer, once known
        self._waiting = False
        self._first_token = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._run.stream:
            if self._first_token == 0.0 and self._run.first_token in self._buffer:
                self._first_token = time.perf_counter()
            if self._buffer.endswith(b"\r\n0\r\n\r\n") or self._is_whole():
                self._finish()
        elif self._is_whole():
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting:
            self._run.errors.append(f"connection lost: {exc or 'closed'} after {self._buffer[:200]!r}")
        if not self._closed.done():
            self._closed.set_result(None)

    def _send(self) -> None:
        if self._run.stopped:
            self._transport.close()
            return
        self._buffer, self._end, self._first_token, self._waiting = b"", -1, 0.0, True
        self._recorded = self._run.recording
        self._transport.write(self._run.next_request())
        self._started = time.perf_counter()

    def _is_whole(self) -> bool:
        """For answers with a content length: JSON, and errors instead of a stream."""
        if self._end < 0:
            head_end = self._buffer.find(b"\r\n\r\n")
            length = _LENGTH.search(self._buffer, 0, head_end) if head_end > 0 else None
            if length is None:
                return False
            self._end = head_end + 4 + int(length[1])
        return len(self._buffer) >= self._end

    def _finish(self) -> None:
        now = time.perf_counter()
        run = self._run
        self._waiting = False
        run.answered += 1
        if not run.is_valid(self._buffer):
            run.errors.append(self._buffer[:300].decode("latin-1"))
        elif self._recorded and not run.stopped:
            run.latencies.append(now - self._started)
            if self._first_token:
                run.first_tokens.append(self._first_token - self._started)
        self._send()


async def drive(run: Run, port: int, *, concurrency: int, warmup_s: float, seconds: float) -> Result:
    """Run the closed loop and sum it up. A broken connection stays closed and counts as an error."""
    loop = asyncio.get_running_loop()
    closed: list[asyncio.Future[None]] = []
    for _ in range(concurrency):
        future: asyncio.Future[None] = loop.create_future()
        closed.append(future)
        await loop.create_connection(functools.partial(Connection, run, future), "127.0.0.1", port)
    await asyncio.sleep(warmup_s)
    run.recording = True
    started = time.perf_counter()
    await asyncio.wait(closed, timeout=seconds)
    elapsed = time.perf_counter() - started
    run.stopped = True
    _, hanging = await asyncio.wait(closed, timeout=FINISH_WITHIN_S)
    if hanging:
        run.errors.append(f"{len(hanging)} requests were not answered within {FINISH_WITHIN_S:.0f} s")
    return summarise(run.latencies, run.first_tokens, run.errors, answered=run.answered, elapsed_s=elapsed)


def summarise(
    latencies_s: Sequence[float],
    first_tokens_s: Sequence[float],
    errors: Sequence[str],
    *,
    answered: int,
    elapsed_s: float,
) -> Result:
    """The result of a measurement of ``elapsed_s`` in this process; ``answered`` counts the warm-up too."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    latencies, first_tokens = sorted(latencies_s), sorted(first_tokens_s)
    return Result(
        requests=len(latencies),
        errors=len(errors),
        all_requests=answered,
        requests_per_s=round(len(latencies) / elapsed_s, 1),
        p50_ms=percentile_ms(latencies, 0.50),
        p90_ms=percentile_ms(latencies, 0.90),
        p99_ms=percentile_ms(latencies, 0.99),
        first_token_p50_ms=percentile_ms(first_tokens, 0.50) if first_tokens else None,
        first_token_p99_ms=percentile_ms(first_tokens, 0.99) if first_tokens else None,
        client_cpu_ms=round((usage.ru_utime + usage.ru_stime) * 1000 / max(answered, 1), 4),
        first_error=errors[0] if errors else None,
    )


def percentile_ms(ordered_s: Sequence[float], share: float) -> float:
    """A percentile of sorted seconds, in milliseconds; 0 when there are none."""
    if not ordered_s:
        return 0.0
    return round(ordered_s[min(int(len(ordered_s) * share), len(ordered_s) - 1)] * 1000, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--warmup", type=float, default=0.5)
    parser.add_argument("--words", type=int, default=WORDS)
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--dialect", choices=sorted(PATHS), default="chat")
    parser.add_argument("--key", help="the API key that the target wants")
    parser.add_argument("--start", type=int, default=0, help="number of the first prompt")
    parser.add_argument("--same", action="store_true", help="one prompt again and again, to see what caches do")
    arguments = parser.parse_args()
    count = 1 if arguments.same else PREPARED
    words, stream, dialect = arguments.words, arguments.stream, arguments.dialect
    requests = bodies(arguments.start, count, words=words, stream=stream, dialect=dialect)
    run = Run(requests, stream=stream, words=words, port=arguments.port, dialect=dialect, key=arguments.key)
    driving = drive(
        run,
        arguments.port,
        concurrency=arguments.concurrency,
        warmup_s=arguments.warmup,
        seconds=arguments.seconds,
    )
    print(json.dumps(asdict(uvloop.run(driving))), flush=True)


if __name__ == "__main__":
    main()
