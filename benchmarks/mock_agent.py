"""The agent behind everything that is measured: it costs next to nothing, so that what is in front of it shows.

python benchmarks/mock_agent.py [--port 9100]

Raw ``asyncio.Protocol`` on uvloop. The answer's length is in the request's model name: ``mock-16`` is sixteen words,
streamed one event per word when the request says ``"stream":true``, all at once otherwise. ``GET /stats`` tells how
many completions were answered.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import re
from dataclasses import dataclass
from typing import cast

import uvloop

WORDS = 16
_MODEL = re.compile(rb'"model": ?"mock-(\d{1,4})"')
_STREAM = re.compile(rb'"stream": ?true')
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_COMMON = {"id": "chatcmpl-mock", "created": 1700000000, "model": "mock"}


def answer_text(words: int) -> str:
    """What the mock says: numbered words, so that a lost or torn one shows."""
    return " ".join(f"word{number}" for number in range(words))


@functools.cache
def json_answer(words: int) -> bytes:
    """A whole HTTP answer with a chat completion."""
    message = {"role": "assistant", "content": answer_text(words)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": words, "total_tokens": 10 + words}
    return _json({**_COMMON, "object": "chat.completion", "choices": [choice], "usage": usage})


@functools.cache
def stream_parts(words: int) -> tuple[bytes, ...]:
    """The parts of a streamed answer: the head with the first event, then one event each, then the end."""
    deltas = [{"content": word if i == 0 else f" {word}"} for i, word in enumerate(answer_text(words).split())]
    chunks = [_event({"index": 0, "delta": delta, "finish_reason": None}) for delta in deltas]
    chunks.append(_event({"index": 0, "delta": {}, "finish_reason": "stop"}))
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return (head + _part(chunks[0]), *map(_part, chunks[1:]), _part(b"data: [DONE]\n\n") + b"0\r\n\r\n")


@dataclass
class Tally:
    """What all connections count together."""

    answered: int = 0


class MockAgent(asyncio.Protocol):
    """One connection; requests on it are answered one after the other."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._call_soon = asyncio.get_running_loop().call_soon

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        length = _LENGTH.search(self._buffer, 0, head_end)
        end = head_end + 4 + (int(length[1]) if length else 0)
        if len(self._buffer) < end:
            return
        request, self._buffer = self._buffer[:end], self._buffer[end:]
        self._answer(request)

    def _answer(self, request: bytes) -> None:
        if request.startswith(b"GET"):
            self._transport.write(_json({"answered": self._tally.answered}))
            return
        self._tally.answered += 1
        model = _MODEL.search(request)
        words = int(model[1]) if model else WORDS
        if _STREAM.search(request):
            self._send(stream_parts(words), 0)
        else:
            self._transport.write(json_answer(words))

    def _send(self, parts: tuple[bytes, ...], index: int) -> None:
        """One part per turn of the loop: each one is a packet of its own, as a model's tokens are."""
        self._transport.write(parts[index])
        if index + 1 < len(parts) and not self._transport.is_closing():
            self._call_soon(self._send, parts, index + 1)


def _event(choice: object) -> bytes:
    chunk = {**_COMMON, "object": "chat.completion.chunk", "choices": [choice]}
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def _part(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _json(payload: object) -> bytes:
    body = json.dumps(payload, separators=(",", ":")).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


async def main(port: int) -> None:
    tally = Tally()
    server = await asyncio.get_running_loop().create_server(lambda: MockAgent(tally), "127.0.0.1", port)
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=9100)
    uvloop.run(main(parser.parse_args().port))
