"""Filters that do as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from router.context import RequestContext
from router.dialects.canonical import ChatRequest, JsonObject
from router.filters.base import AnswerFilter, AnswerOutcome, RequestOutcome


class ScriptedFilter:
    """``on`` makes the outcome of a request; ``answers`` makes the filters of answers, which are kept in ``made``."""

    def __init__(
        self,
        name: str = "f",
        *,
        on: Callable[[ChatRequest], Any] = lambda request: request,
        answers: Callable[[], AnswerFilter | None] = lambda: None,
        hold: asyncio.Event | None = None,
    ) -> None:
        self.name = name
        self._on = on
        self._answers = answers
        self._hold = hold
        self.seen: list[ChatRequest] = []
        self.made: list[AnswerFilter] = []

    async def on_request(self, request: ChatRequest, context: RequestContext) -> RequestOutcome:
        self.seen.append(request)
        if self._hold is not None:
            await self._hold.wait()
        outcome: RequestOutcome = self._on(request)
        return outcome

    def answer_filter(self, request: ChatRequest, context: RequestContext) -> AnswerFilter | None:
        made = self._answers()
        if made is not None:
            self.made.append(made)
        return made


class ScriptedAnswer:
    """Passes ``feed`` and ``finish`` to functions; without them everything passes."""

    def __init__(
        self,
        feed: Callable[[list[JsonObject]], Any] = lambda chunks: chunks,
        finish: Callable[[], Any] = list,
        held: Callable[[], list[JsonObject]] = list,
        hold: asyncio.Event | None = None,
    ) -> None:
        self._feed = feed
        self._finish = finish
        self._held = held
        self._hold = hold

    async def feed(self, chunks: list[JsonObject]) -> AnswerOutcome:
        if self._hold is not None:
            await self._hold.wait()
        outcome: AnswerOutcome = self._feed(chunks)
        return outcome

    async def finish(self) -> AnswerOutcome:
        outcome: AnswerOutcome = self._finish()
        return outcome

    def held(self) -> list[JsonObject]:
        return self._held()


def saying(change: Callable[[str], str]) -> Callable[[list[JsonObject]], list[JsonObject]]:
    """A ``feed`` that changes what is said."""

    def feed(chunks: list[JsonObject]) -> list[JsonObject]:
        for each in chunks:
            for choice in each["choices"]:
                if choice["delta"].get("content"):
                    choice["delta"]["content"] = change(choice["delta"]["content"])
        return chunks

    return feed
