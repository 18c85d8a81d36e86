"""Finding patterns in texts, whole ones and texts that arrive in pieces, in time linear in their length.

The engine is RE2: no pattern and no text make it backtrack. It has no look-around and no back-references.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import re2  # type: ignore[import-untyped]  # Google's own binding has no annotations

from router.filters.answer_texts import TextBlocked
from router.filters.prefix_pattern import matches_no_text, prefix_pattern
from router.filters.text_leaves import rewrite_json_text


@dataclass(frozen=True, slots=True)
class TextPattern:
    """What is looked for, and what becomes of it: replaced, or the end of the message that has it."""

    name: str
    pattern: str
    action: Literal["redact", "block"]
    replacement: str
    message: str


class PatternSearch:
    """One pattern, compiled. Raises ``ValueError`` for what is no pattern of RE2, or matches the empty text."""

    def __init__(self, pattern: TextPattern) -> None:
        self.pattern = pattern
        try:
            self._whole = _compiled(pattern.pattern)
            self.prefix = prefix_pattern(pattern.pattern)
            self._partial = _compiled(f"(?:{self.prefix})\\z")
        except re2.error as exc:
            reason = exc.args[0].decode("utf-8", "replace") if exc.args else ""
            raise ValueError(f"The pattern '{pattern.name}' is not valid: {reason}.") from exc
        if matches_no_text(pattern.pattern):
            raise ValueError(f"The pattern '{pattern.name}' matches the empty text, and so every text.")
        self._replacement = pattern.replacement.encode()

    def rewrite(self, text: str) -> str:
        """The whole ``text`` with every match replaced; ``text`` itself where there is none. Raises ``TextBlocked``."""
        data = text.encode()
        rewritten, _ = self.decide(data, 0, final=True)
        return text if rewritten == data else rewritten.decode()

    def decide(self, data: bytes, start: int, *, final: bool) -> tuple[bytes, int]:
        """What ``data`` from ``start`` on amounts to, and where the end begins that cannot be decided yet.

        With ``final`` nothing follows, and everything is decided. Raises ``TextBlocked``.
        """
        parts: list[bytes] = []
        while True:
            # A match is certain when it begins before every place where one could begin that goes on behind the end.
            match = self._whole.search(data, start)
            undecided = len(data) if final else self._partial.search(data, start).start()
            if match is None or (match.start() >= undecided and not final):
                parts.append(data[start:undecided])
                return b"".join(parts), undecided
            if self.pattern.action == "block":
                raise TextBlocked(self.pattern.message)
            parts += (data[start : match.start()], self._replacement)
            start = match.end()


class PatternStream:
    """A ``TextRewriter`` for one pattern; gives the same as ``PatternSearch.rewrite`` on the whole text.

    Raises ``OverflowError`` when what could be the beginning of a match gets longer than ``max_match_bytes``.
    """

    __slots__ = ("_max_match_bytes", "_search", "state")

    def __init__(self, search: PatternSearch, max_match_bytes: int) -> None:
        self._search = search
        self._max_match_bytes = max_match_bytes
        self.state = (b"", b"")
        """The last character that is decided, for ``\\b`` and ``(?m)^`` to look at, and what is held."""

    @property
    def holds(self) -> bool:
        return bool(self.state[1])

    def feed(self, piece: str) -> str:
        decided, undecided, data = self._decide(piece, final=False)
        if len(data) - undecided > self._max_match_bytes:
            raise OverflowError
        self.keep(data, undecided)
        return decided.decode()

    def finish(self) -> str:
        decided, undecided, data = self._decide("", final=True)
        self.keep(data, undecided)
        return decided.decode()

    def held(self) -> str:
        return self.state[1].decode()

    def _decide(self, piece: str, *, final: bool) -> tuple[bytes, int, bytes]:
        context, held = self.state
        data = context + held + piece.encode()
        decided, undecided = self._search.decide(data, len(context), final=final)
        return decided, undecided, data

    def keep(self, data: bytes, undecided: int) -> None:
        """Remember what of ``data`` is held, and what stands before it."""
        start = max(undecided - 1, 0)
        while start > 0 and data[start] & 0xC0 == 0x80:  # inside of a character in UTF-8
            start -= 1
        self.state = (data[start:undecided], data[undecided:])


class PatternSet:
    """Several patterns that work one after the other. Raises ``ValueError`` where one of them is none."""

    def __init__(self, patterns: Sequence[TextPattern]) -> None:
        self.searches = [PatternSearch(pattern) for pattern in patterns]
        wholes = [f"(?:{pattern.pattern})" for pattern in patterns]
        prefixes = "|".join([search.prefix for search in self.searches])
        try:
            self._any: Any = _compiled("|".join([*wholes, rf"(?:{prefixes})\z"]))
        except re2.error:
            self._any = None  # too many of them for one; then each looks for itself

    def __bool__(self) -> bool:
        return bool(self.searches)

    def concern(self, data: bytes, start: int) -> bool:
        """Whether any of the patterns may have to do with ``data`` from ``start`` on; one search for all of them."""
        return self._any is None or self._any.search(data, start).start() < len(data)

    def rewrite(self, text: str) -> str:
        """``text`` as all patterns leave it, ``text`` itself where nothing matches. Raises ``TextBlocked``."""
        if not self.concern(text.encode(), 0):
            return text
        for search in self.searches:
            text = search.rewrite(text)
        return text


class TextStream:
    """A ``TextRewriter`` for all patterns of a set."""

    __slots__ = ("_patterns", "_streams")

    def __init__(self, patterns: PatternSet, max_match_bytes: int) -> None:
        self._patterns = patterns
        self._streams = [PatternStream(search, max_match_bytes) for search in patterns.searches]

    @property
    def holds(self) -> bool:
        return any(stream.holds for stream in self._streams)

    def feed(self, piece: str) -> str:
        before = [stream.state for stream in self._streams]
        if self._passes(piece, before):
            return piece
        try:
            for stream in self._streams:
                piece = stream.feed(piece)
        except OverflowError:
            for stream, state in zip(self._streams, before, strict=True):
                stream.state = state
            raise
        return piece

    def _passes(self, piece: str, states: Sequence[tuple[bytes, bytes]]) -> bool:
        """Whether ``piece`` is no pattern's business, as most are not; the streams then know what precedes the next."""
        context = states[0][0]
        if any(state != (context, b"") for state in states):
            return False
        data = context + piece.encode()
        if self._patterns.concern(data, len(context)):
            return False
        for stream in self._streams:
            stream.keep(data, len(data))
        return True

    def finish(self) -> str:
        rest = ""
        for stream in self._streams:
            rest = stream.feed(rest) + stream.finish()
        return rest

    def held(self) -> str:
        return "".join([stream.held() for stream in reversed(self._streams)])


class ArgumentsText:
    """A ``TextRewriter`` for the arguments of a tool call: they are read as JSON, and so not before they are whole.

    Raises ``OverflowError`` above ``max_chars``.
    """

    __slots__ = ("_max_chars", "_pieces", "_rewrite", "_size")

    def __init__(self, rewrite: Callable[[str], str], max_chars: int) -> None:
        self._rewrite = rewrite
        self._max_chars = max_chars
        self._pieces: list[str] = []
        self._size = 0

    @property
    def holds(self) -> bool:
        return bool(self._pieces)

    def feed(self, piece: str) -> str:
        if self._size + len(piece) > self._max_chars:
            raise OverflowError
        self._size += len(piece)
        self._pieces.append(piece)
        return ""

    def finish(self) -> str:
        whole = self.held()
        self._pieces.clear()
        self._size = 0
        return rewrite_json_text(whole, self._rewrite)

    def held(self) -> str:
        return "".join(self._pieces)


def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    return re2.compile(pattern, options)
