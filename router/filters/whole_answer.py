"""Answers that are held until they are complete, because whoever looks at them wants to see them whole."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from router.dialects.canonical import CompletionAssembler, JsonObject, chunks_of
from router.filters.base import AnswerOutcome, Blocked

_MAX_CHUNKS = 100_000


class WholeAnswer:
    """An ``AnswerFilter`` that asks ``judge`` once, about the whole canonical completion.

    Raises ``OverflowError`` for a stream of more than 100,000 chunks.
    """

    def __init__(self, judge: Callable[[JsonObject], Awaitable[JsonObject | Blocked]]) -> None:
        self._judge = judge
        self._chunks: list[JsonObject] = []

    async def feed(self, chunks: list[JsonObject]) -> AnswerOutcome:
        """Nothing yet."""
        self._chunks += chunks
        if len(self._chunks) > _MAX_CHUNKS:
            raise OverflowError
        return []

    async def finish(self) -> AnswerOutcome:
        """The answer that ``judge`` lets through."""
        assembler = CompletionAssembler()
        for chunk in self._chunks:
            assembler.add(chunk)
        judged = await self._judge(assembler.completion())
        return judged if isinstance(judged, Blocked) else chunks_of(judged)

    def held(self) -> list[JsonObject]:
        """All of it."""
        return self._chunks
