"""The chunks of an answer, cut into windows that are judged before any of them goes out (no I/O).

A window is whole chunks: it ends with the chunk that ends a sentence, or that makes it long enough. What is judged of
each text in it begins with the end of the window before, so that what stands across a cut is seen whole. The last one
has the arguments of finished tool calls in it again, from beginning to end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from router.dialects.canonical import JsonObject
from router.guardrails.policy import Windowing
from router.guardrails.reading import TextReader, argument_texts
from router.guardrails.texts import Passage, Subject

# Whose text it is: the choice, and the field of the delta; arguments and whatever is no plain text have names of ours.
Channel: TypeAlias = tuple[int, str]

_ARGUMENTS = "arguments of tool call "
_OTHER = "other"
# A full stop or the like with what closes behind it and a space, an ideographic one, or the end of a line.
_SENTENCE_END = re.compile(r"[.!?\u2026][\"'\u201d\u2019)\]*_]*\s|[\u3002\uff01\uff1f]|\n")
_CLOSING_CHARS = 4
_SHORTEST_SENTENCE = 16  # what is shorter is judged with what follows
_NOT_TEXT = frozenset({"role"})
# What says nothing; ``trident`` is our own mark.
_CHUNK_FIELDS = frozenset(
    {
        *("choices", "created", "id", "model", "object", "obfuscation", "service_tier", "system_fingerprint"),
        *("trident", "usage"),
    }
)
_CHOICE_FIELDS = frozenset({"delta", "finish_reason", "index", "logprobs", "native_finish_reason", "stop_reason"})


@dataclass(frozen=True, slots=True)
class Window:
    """Chunks that are held back. ``texts`` is what is new in them by channel, ``before`` what preceded that."""

    chunks: Sequence[JsonObject]
    texts: Mapping[Channel, str]
    before: Mapping[Channel, str]
    finished_calls: Sequence[str] = ()

    @property
    def subject(self) -> Subject:
        """What is judged: the passages of ``texts``, each with its position as its message, then finished calls."""
        passages = [
            Passage(text, (position,))
            for position, (channel, new) in enumerate(self.texts.items())
            if (text := (self.before.get(channel, "") + new).strip())
        ]
        passages += [Passage(text) for text in self.finished_calls]
        return Subject(tuple(passages))

    def hit_channels(self, hits: Sequence[Passage]) -> list[Channel] | None:
        """The channels that ``hits`` of ``subject`` are about; ``None`` when one cannot be replaced in place."""
        channels = list(self.texts)
        hit = [channels[index] for passage in hits for index in passage.messages]
        if len(hit) < len(hits) or any(name == _OTHER or name.startswith(_ARGUMENTS) for _, name in hit):
            return None
        return hit

    def replaced(self, texts: Mapping[Channel, str]) -> Window:
        """The same window with other texts in these channels: each stands where the first of it stood."""
        chunks = list(self.chunks)
        for channel, text in texts.items():
            for position, piece in enumerate(chunks):
                new = _with_text(piece, channel, text)
                if new is not None:
                    chunks[position], text = new, ""
        return Window(chunks, {**self.texts, **texts}, self.before, self.finished_calls)


class Windows:
    """Takes chunks; gives windows. A ``whole`` answer is one window."""

    def __init__(self, windowing: Windowing, *, whole: bool) -> None:
        self._windowing = windowing
        self.whole = whole
        self._chunks: list[JsonObject] = []
        self._texts: dict[Channel, list[str]] = {}
        self._sizes: dict[Channel, int] = {}
        self._before: dict[Channel, str] = {}
        self._arguments: dict[Channel, list[str]] = {}
        self._cut = False
        self._finished = False

    @property
    def pending(self) -> bool:
        """Whether chunks are held."""
        return bool(self._chunks)

    @property
    def ready(self) -> bool:
        """Whether what is held should be judged now; the end of a text always should."""
        return not self.whole and (self._cut or self._finished)

    def add(self, chunks: Sequence[JsonObject]) -> None:
        """Take chunks, in the order of the answer."""
        for piece in chunks:
            self._chunks.append(piece)
            for channel, text in _texts_of(piece):
                self._add_text(channel, text)
            self._finished = self._finished or any(choice.get("finish_reason") for choice in piece.get("choices") or ())

    def _add_text(self, channel: Channel, text: str) -> None:
        held = self._texts.setdefault(channel, [])
        held.append(text)
        size = self._sizes[channel] = self._sizes.get(channel, 0) + len(text)
        if channel[1].startswith(_ARGUMENTS):
            self._arguments.setdefault(channel, []).append(text)
        if size >= self._windowing.window_chars:
            self._cut = True
        elif self._windowing.at == "sentence" and size >= _SHORTEST_SENTENCE and not self._cut:
            # The end of a sentence may be in the chunk before and the space behind it in this one.
            before = held[-2][-_CLOSING_CHARS:] if len(held) > 1 else ""
            self._cut = any(found.end() > len(before) for found in _SENTENCE_END.finditer(before + text))

    def take(self) -> Window:
        """All that is held, as a window."""
        texts = {channel: "".join(held) for channel, held in self._texts.items()}
        calls: list[str] = []
        if self._finished:
            calls = ["\n".join(argument_texts("".join(said))) for said in self._arguments.values()]
            self._arguments.clear()
        known = {text.strip() for text in texts.values()}
        window = Window(
            self._chunks, texts, dict(self._before), [text for text in calls if text.strip() and text not in known]
        )
        self._remember(texts)
        self._chunks, self._texts, self._sizes = [], {}, {}
        self._cut = self._finished = False
        return window

    def correct(self, window: Window) -> None:
        """Say what became of the window that was taken last, where something in it was replaced."""
        self._before = dict(window.before)
        self._remember(window.texts)

    def _remember(self, texts: Mapping[Channel, str]) -> None:
        for channel, text in texts.items():
            self._before[channel] = (self._before.get(channel, "") + text)[-self._windowing.window_chars :]


def _texts_of(piece: JsonObject) -> Iterator[tuple[Channel, str]]:
    """What one chunk says, by channel."""
    reader = TextReader()
    for choice in piece.get("choices") or ():
        index = choice.get("index")
        number = index if isinstance(index, int) else 0
        for name, value in (choice.get("delta") or {}).items():
            if isinstance(value, str):
                if value and name not in _NOT_TEXT:
                    yield (number, name), value
            elif name == "tool_calls":
                yield from _call_texts(number, value, reader)
            elif name == "function_call":
                yield from _call_texts(number, [{"function": value}], reader)
            elif value:
                yield from _other(number, reader.texts(value))
        yield from _other(number, reader.texts({k: v for k, v in choice.items() if k not in _CHOICE_FIELDS}))
    yield from _other(0, reader.texts({k: v for k, v in piece.items() if k not in _CHUNK_FIELDS}))


def _call_texts(number: int, calls: object, reader: TextReader) -> Iterator[tuple[Channel, str]]:
    for call in calls if isinstance(calls, list) else []:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            yield from _other(number, reader.texts(call))
            continue
        if isinstance(function.get("name"), str) and function["name"]:
            yield (number, _OTHER), function["name"] + "\n"
        if isinstance(function.get("arguments"), str) and function["arguments"]:
            yield (number, f"{_ARGUMENTS}{call.get('index', 0)}"), function["arguments"]
        yield from _other(number, reader.texts({k: v for k, v in call.items() if k != "function"}))


def _other(number: int, texts: Sequence[str]) -> Iterator[tuple[Channel, str]]:
    for text in texts:
        yield (number, _OTHER), text + "\n"


def _with_text(piece: JsonObject, channel: Channel, text: str) -> JsonObject | None:
    """``piece`` with ``text`` in ``channel``, and without the tokens that it had; ``None`` where it has none of it."""
    number, name = channel
    changed = None
    choices: list[Any] = list(piece.get("choices") or ())
    for position, choice in enumerate(choices):
        delta = choice.get("delta") or {}
        if (choice.get("index") or 0) == number and isinstance(delta.get(name), str) and delta[name]:
            choices[position] = {**choice, "delta": {**delta, name: text}, "logprobs": None}
            changed = {**piece, "choices": choices}
    return changed
