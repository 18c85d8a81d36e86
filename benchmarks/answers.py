"""What the mock's answers have to look like behind a gateway, in each dialect that clients ask in (pure)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from benchmarks.mock_agent import answer_text
from benchmarks.prompts import Dialect

_END = b"\r\n0\r\n\r\n"


class Expected:
    """The right answer to every request of one measurement."""

    def __init__(self, dialect: Dialect, words: int) -> None:
        self._text = answer_text(words)
        # A stream has these in this order, where an event is not torn; one that differs is read the slow way.
        pieces = [word if i == 0 else f" {word}" for i, word in enumerate(self._text.split())]
        if dialect == "messages":
            self.first_token = b'"type":"text_delta"'
            self._texts = _message_texts
            ordered = [b'{"type":"text_delta","text":"%b"' % piece.encode() for piece in pieces]
            self._pieces = [*ordered, b"event: message_stop"]
        else:
            self.first_token = b'"content":'
            self._texts = _chat_texts
            self._pieces = [*(b'"content":"%b"' % piece.encode() for piece in pieces), b"data: [DONE]"]

    def is_answer(self, answer: bytes) -> bool:
        """Whether a whole HTTP answer, head included, says what the mock said."""
        return answer.startswith(b"HTTP/1.1 200") and self._text.encode() in answer

    def is_stream(self, answer: bytes) -> bool:
        """Whether a streamed one does: every word once, in its order, and the event that ends it."""
        if not (answer.startswith(b"HTTP/1.1 200") and answer.endswith(_END)):
            return False
        position = 0
        for piece in self._pieces:
            position = answer.find(piece, position)
            if position < 0:
                return "".join(self._texts(_events(answer))) == self._text
        return answer.count(self.first_token) == len(self._pieces) - 1


def _events(answer: bytes) -> list[bytes]:
    """The data of each event of a chunked HTTP answer."""
    rest, events = answer.partition(b"\r\n\r\n")[2], b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size.split(b";")[0], 16)
        events, rest = events + rest[:length], rest[length + 2 :]
    return [event.partition(b"data: ")[2] for event in events.split(b"\n\n") if b"data: " in event]


def _chat_texts(events: list[bytes]) -> Iterator[str]:
    """The pieces of text; none where the stream does not end with ``[DONE]``."""
    if events and events[-1] == b"[DONE]":
        for event in events[:-1]:
            for choice in json.loads(event).get("choices", []):
                yield choice["delta"].get("content") or ""


def _message_texts(events: list[bytes]) -> Iterator[str]:
    """The pieces of text; none where the stream does not end with ``message_stop``."""
    payloads: list[dict[str, Any]] = [json.loads(event) for event in events]
    if payloads and payloads[-1].get("type") == "message_stop":
        for payload in payloads:
            if payload.get("type") == "content_block_delta":
                yield payload["delta"].get("text") or ""
