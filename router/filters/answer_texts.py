"""Every text of a streamed answer through a rewriter of its own, with everything still in its order.

An answer has several texts that grow piece by piece: the content, the reasoning, a refusal, the arguments of each tool
call, the transcript of speech. Each gets a rewriter, which sees its pieces one after the other and may hold back an end
that is not decided yet. What follows such an end in the stream, a tool call for example, waits until it is decided:

    piece of ``content`` "Key: s"     -> "Key: " goes out, "s" is held
    tool call                         -> waits behind "s"
    piece of ``content`` "k-123"      -> "[key]" goes out in the place of "s", then the tool call
    finish_reason                     -> all rewriters finish; what they still hold goes out, then everything else

Texts that come whole, in lists and objects such as citations, are rewritten at once. ``logprobs`` are left out: they
spell the text as it was. Kept reasoning (``thinking_blocks``) that would change is left out too, because its signature
would no longer be right. ``text_leaves`` says which strings are no text.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from router.dialects.canonical import JsonObject
from router.filters.answer_pieces import Place, growing_text, pieces_of, says_something, with_text
from router.filters.base import AnswerOutcome, Blocked
from router.filters.text_leaves import rewrite_leaves

MAX_WAITING_CHARS = 4_000_000

_CHUNK_FIELDS = frozenset(
    {"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier", "trident"}
)
_CHOICE_FIELDS = frozenset({"index", "delta", "finish_reason", "native_finish_reason", "logprobs"})


class TextBlocked(Exception):
    """A rewriter's word for ``Blocked``: nothing more of this answer may go out."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class TextRewriter(Protocol):
    """Rewrites one text that arrives in pieces. May raise ``TextBlocked``."""

    @property
    def holds(self) -> bool:
        """Whether an end of the text is undecided."""

    def feed(self, piece: str) -> str:
        """What is decided of the text so far and was not given out yet. What raises has not taken ``piece``."""

    def finish(self) -> str:
        """The rest; another text may follow."""

    def held(self) -> str:
        """What was fed and not given out yet, unchanged."""


class AnswerTexts:
    """An ``AnswerFilter`` over rewriters.

    ``text`` makes one for a text, ``arguments`` one for the arguments of a tool call, which are JSON. Raises
    ``OverflowError`` when more than ``MAX_WAITING_CHARS`` would have to wait behind an open end.
    """

    def __init__(self, text: Callable[[], TextRewriter], arguments: Callable[[], TextRewriter]) -> None:
        self._new_text = text
        self._new_arguments = arguments
        self._rewriters: dict[Place, TextRewriter] = {}
        self._holds: dict[Place, _Hold] = {}
        self._queue: deque[_Hold | JsonObject] = deque()
        self._ready: list[JsonObject] = []
        self._unread: deque[JsonObject] = deque()
        self._waiting_chars = 0

    async def feed(self, chunks: list[JsonObject]) -> AnswerOutcome:
        self._unread.extend(chunks)
        try:
            while self._unread:
                self._read(self._unread[0])
                self._unread.popleft()
        except TextBlocked as exc:
            return Blocked(exc.message)
        if self._waiting_chars > MAX_WAITING_CHARS:
            raise OverflowError
        return self._taken()

    async def finish(self) -> AnswerOutcome:
        try:
            self._finish_texts()
        except TextBlocked as exc:
            return Blocked(exc.message)
        return self._taken()

    def held(self) -> list[JsonObject]:
        while self._queue:
            waiting = self._queue.popleft()
            if isinstance(waiting, _Hold):
                text = "".join(waiting.decided) + self._rewriters[waiting.place].held()
                waiting = waiting.piece(text)
            self._ready.append(waiting)
        self._holds.clear()
        unread = list(self._unread)
        self._unread.clear()
        return self._taken() + unread

    def _taken(self) -> list[JsonObject]:
        taken, self._ready = self._ready, []
        return taken

    def _read(self, chunk: JsonObject) -> None:
        chunk = self._known(chunk, _CHUNK_FIELDS)
        choices = chunk.get("choices")
        if not choices:
            self._put(chunk)
            return
        base = {name: value for name, value in chunk.items() if name not in ("choices", "usage")}
        for choice in choices:
            self._read_choice(base, self._known(choice, _CHOICE_FIELDS))
        ends = [{**choice, "delta": {}, "logprobs": None} for choice in choices if choice.get("finish_reason")]
        if ends:
            self._finish_texts()
            self._put({**chunk, "choices": ends})

    def _read_choice(self, base: JsonObject, choice: JsonObject) -> None:
        delta = choice.get("delta")
        if not delta:
            return
        shell = {**choice, "finish_reason": None, "logprobs": None}
        for piece in pieces_of(delta):
            found = growing_text(piece)
            if found is not None:
                keys, text = found
                self._read_text(base, shell, piece, (choice.get("index", 0), *keys), text)
                continue
            whole = self._whole_texts_rewritten(piece)
            if says_something(whole):
                self._put({**base, "choices": [{**shell, "delta": whole}]})

    def _read_text(self, base: JsonObject, shell: JsonObject, delta: JsonObject, place: Place, text: str) -> None:
        rewriter = self._rewriters.get(place)
        if rewriter is None:
            new = self._new_arguments if place[1] == "tool_calls" else self._new_text
            rewriter = self._rewriters[place] = new()
        decided = rewriter.feed(text)
        held = rewriter.holds
        hold = self._holds.get(place)
        if hold is not None:
            hold.decided.append(decided)
            decided = ""
        delta = with_text(delta, place[1:], decided)
        if says_something(delta):
            self._put({**base, "choices": [{**shell, "delta": delta}]})
        if hold is None and held:
            hold = self._holds[place] = _Hold(place, base, shell)
            self._queue.append(hold)
        elif hold is not None:
            if not held:
                self._close(hold)
            self._drain()

    def _put(self, chunk: JsonObject) -> None:
        if self._queue:
            self._waiting_chars += _chars(chunk)
            self._queue.append(chunk)
        else:
            self._ready.append(chunk)

    def _close(self, hold: _Hold) -> None:
        del self._holds[hold.place]
        hold.open = False

    def _drain(self) -> None:
        """Move out everything up to the first end that is still open."""
        while self._queue:
            first = self._queue[0]
            if isinstance(first, _Hold):
                if text := "".join(first.decided):
                    self._ready.append(first.piece(text))
                    first.decided.clear()
                if first.open:
                    return
            else:
                self._waiting_chars -= _chars(first)
                self._ready.append(first)
            self._queue.popleft()

    def _finish_texts(self) -> None:
        for place, rewriter in self._rewriters.items():
            rest = rewriter.finish()
            if (hold := self._holds.get(place)) is not None:
                hold.decided.append(rest)
                self._close(hold)
        self._drain()

    def _known(self, holder: JsonObject, known: frozenset[str]) -> JsonObject:
        """``holder`` with the texts in fields that nobody knows rewritten."""
        unknown = holder.keys() - known
        if not unknown:
            return holder
        return {**holder, **{name: rewrite_leaves(holder[name], self._rewritten) for name in unknown}}

    def _whole_texts_rewritten(self, delta: JsonObject) -> JsonObject:
        changed = {}
        for name, value in delta.items():
            if name == "thinking_blocks" and isinstance(value, list):
                changed[name] = [block for block in value if rewrite_leaves(block, self._rewritten) is block]
            elif isinstance(value, (list, dict)):
                changed[name] = rewrite_leaves(value, self._rewritten)
        return {**delta, **changed}

    def _rewritten(self, text: str) -> str:
        rewriter = self._new_text()
        whole = rewriter.feed(text) + rewriter.finish()
        return text if whole == text else whole


class _Hold:
    """An end of a text that is not decided, in its place among the chunks."""

    __slots__ = ("_base", "_shell", "decided", "open", "place")

    def __init__(self, place: Place, base: JsonObject, shell: JsonObject) -> None:
        self.place = place
        self.decided: list[str] = []
        self.open = True
        self._base = base
        self._shell = shell

    def piece(self, text: str) -> JsonObject:
        """A chunk that says ``text`` in this place."""
        return {**self._base, "choices": [{**self._shell, "delta": with_text({}, self.place[1:], text)}]}


def _chars(chunk: JsonObject) -> int:
    """About how much a waiting chunk holds."""

    def size(value: Any) -> int:
        if isinstance(value, str):
            return len(value)
        if isinstance(value, dict):
            return sum(map(size, value.values()))
        return sum(map(size, value)) if isinstance(value, list) else 8

    return size(chunk)
