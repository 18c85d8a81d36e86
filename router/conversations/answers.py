"""Answers on their way to the client: what the gateway says in them in the provider's place, and when they are over.

Only the events that carry the whole response object are read; all others are passed on as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from router.dialects import sse
from router.dialects.canonical import JsonObject, encode_answer

# A type that stands inside of a text has its quotes escaped.
_NOTABLE = re.compile(
    rb'"type"\s*:\s*"response\.(?:created|queued|in_progress|completed|incomplete|failed|output_item\.done)"'
)
_ITEM_DONE = "response.output_item.done"
_ENDS = frozenset({"response.completed", "response.incomplete"})
_FINISHED = frozenset({"completed", "incomplete", None})


def finished_response(body: bytes) -> JsonObject | None:
    """A whole answer where it is a response that is over, and has an output."""
    try:
        response = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(response, dict) or response.get("status") not in _FINISHED:
        return None
    return response if _has_output(response) else None


def _has_output(response: Mapping[str, Any]) -> bool:
    output = response.get("output")
    return isinstance(output, list) and all(isinstance(item, dict) for item in output)


class AnswerStream:
    """The events of one response, with ``echo`` in every response object among them.

    The last event is held back until somebody has seen to the response that it completes: ``ended`` is that response
    from then on, and ``last`` gives, once, the bytes that are still to go out.
    """

    __slots__ = ("_echo", "_event", "_items", "_items_bytes", "_max_bytes", "_over", "_rest", "ended")

    def __init__(self, echo: Mapping[str, object], *, max_bytes: int) -> None:
        self.ended: JsonObject | None = None
        self._echo = echo
        self._max_bytes = max_bytes
        self._event: JsonObject = {}
        self._items: list[bytes] = []
        self._items_bytes = 0
        self._rest: list[bytes] = []
        self._over = False

    def feed(self, events: bytes) -> bytes:
        """Whole events in; those that may go out now. From the last one on, ``last`` has to be called first."""
        if self._over or (self.ended is None and _NOTABLE.search(events) is None):
            return events
        passed: list[bytes] = []
        for event in sse.split(events):
            if self.ended is not None:
                self._rest.append(event)
            elif _NOTABLE.search(event) is None:
                passed.append(event)
            else:
                passed.append(self._read(event))
        return b"".join(passed)

    def last(self, response: JsonObject) -> bytes:
        """The event that ends the answer, with ``response`` in it, and whatever was behind it."""
        self._over = True
        return _encode({**self._event, "response": response}) + b"".join(self._rest)

    def _read(self, event: bytes) -> bytes:
        known = _decode(event)
        if known is None:
            return event
        kind, response = known.get("type"), known.get("response")
        if kind == _ITEM_DONE:
            self._remember(event)
            return event
        if not isinstance(response, dict):
            return event
        known["response"] = response = {**response, **self._echo}
        if kind in _ENDS and self._complete(response):
            self._event, self.ended = known, response
            return b""
        return _encode(known)

    def _remember(self, event: bytes) -> None:
        """Keep a finished item: some servers do not repeat them in the end."""
        self._items_bytes += len(event)
        if self._items_bytes <= self._max_bytes:
            self._items.append(event)

    def _complete(self, response: JsonObject) -> bool:
        if not response.get("output") and self._items and self._items_bytes <= self._max_bytes:
            done = [known["item"] for event in self._items if (known := _decode(event)) is not None and "item" in known]
            response["output"] = done
        return _has_output(response)


def _decode(event: bytes) -> JsonObject | None:
    try:
        known = orjson.loads(b"".join(sse.event_data(event)))
    except orjson.JSONDecodeError:
        return None
    return known if isinstance(known, dict) else None


def _encode(event: Mapping[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (str(event["type"]).encode(), encode_answer(event))
