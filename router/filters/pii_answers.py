"""Answers on their way back through a ``pii`` filter: personal data taken out, or put back in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from router.config.pii import PiiAction
from router.context import RequestContext
from router.dialects.canonical import JsonObject
from router.filters.answer_texts import MAX_WAITING_CHARS, AnswerTexts
from router.filters.base import AnswerFilter, AnswerOutcome, Blocked
from router.filters.text_leaves import rewrite_leaves
from router.filters.text_patterns import ArgumentsText
from router.pii.findings import Finding
from router.pii.placeholders import Placeholders, StreamRestorer, marked
from router.pii.redactor import Redactor

# A sentence is judged when it is over; one that goes on for longer, where no name or number is cut.
_SENTENCE_END = re.compile(r"[.!?。]['\")\]]*\s+|\n+")
_GAP = re.compile(r"(?<=[^\W\d_A-Z][,;:]) |(?<=[^\W\d_A-Z]) (?=[^\W\d_A-Z])")
_SENTENCE_CHARS = 200
_LONGEST_CHARS = 4_000
_CONTEXT_CHARS = 80  # of what was said before, which makes a finding more likely or less

_SEALED = "sealed"


class RestoredAnswer:
    """An ``AnswerFilter`` that puts values in the place of placeholders, also of those that the stream cuts.

    Reasoning that has to come back as it was (``thinking_blocks``) keeps its placeholders: it is signed.
    """

    def __init__(self, placeholders: Placeholders) -> None:
        self._texts = AnswerTexts(lambda: StreamRestorer(placeholders), lambda: StreamRestorer(placeholders, "json"))
        self._blocks: list[Any] = []

    async def feed(self, chunks: list[JsonObject]) -> AnswerOutcome:
        return self._unsealed(await self._texts.feed([self._sealed(chunk) for chunk in chunks]))

    async def finish(self) -> AnswerOutcome:
        return self._unsealed(await self._texts.finish())

    def held(self) -> list[JsonObject]:
        return [self._open(chunk) for chunk in self._texts.held()]

    def _sealed(self, chunk: JsonObject) -> JsonObject:
        """``chunk`` with its signed reasoning out of reach."""
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta")
            if delta and delta.get("thinking_blocks"):
                self._blocks.append(delta["thinking_blocks"])
                choice["delta"] = {**delta, "thinking_blocks": [{_SEALED: len(self._blocks) - 1}]}
        return chunk

    def _unsealed(self, outcome: AnswerOutcome) -> AnswerOutcome:
        return outcome if isinstance(outcome, Blocked) else [self._open(chunk) for chunk in outcome]

    def _open(self, chunk: JsonObject) -> JsonObject:
        if not self._blocks:
            return chunk
        for choice in chunk.get("choices") or ():
            sealed = (choice.get("delta") or {}).get("thinking_blocks")
            if sealed and _SEALED in sealed[0]:
                choice["delta"] = {**choice["delta"], "thinking_blocks": self._blocks[sealed[0][_SEALED]]}
        return chunk


class CheckedAnswer:
    """An ``AnswerFilter`` that looks for personal data in an answer, sentence by sentence.

    ``redact`` writes ``<PERSON>`` and the like in its place, for good; ``block`` ends the answer before the sentence.
    """

    def __init__(
        self,
        redactor: Redactor,
        action: PiiAction,
        message: str,
        context: RequestContext,
        annotate: Callable[[Iterable[str], RequestContext], None],
    ) -> None:
        self._redactor = redactor
        self._action = action
        self._message = message
        self._context = context
        self._annotate = annotate
        self._texts = AnswerTexts(Sentences, lambda: ArgumentsText(str, MAX_WAITING_CHARS))
        self._unjudged: list[JsonObject] = []
        self._before = ""

    async def feed(self, chunks: list[JsonObject]) -> AnswerOutcome:
        return await self._judged(await self._texts.feed(chunks))

    async def finish(self) -> AnswerOutcome:
        return await self._judged(await self._texts.finish())

    def held(self) -> list[JsonObject]:
        unjudged, self._unjudged = self._unjudged, []
        return unjudged + self._texts.held()

    async def _judged(self, outcome: AnswerOutcome) -> AnswerOutcome:
        """The chunks with what was found in their texts replaced. Raises ``ModelUnavailable``."""
        if isinstance(outcome, Blocked):
            return outcome
        self._unjudged = outcome
        texts: list[str] = []

        def collect(text: str) -> str:
            texts.append(text)
            return text

        _rewrite_deltas(outcome, collect)
        if not texts:
            return outcome
        found = await self._find(texts)
        self._unjudged = []
        kinds = [finding.entity for findings in found for finding in findings]
        if not kinds:
            return outcome
        if self._action == "block":
            return Blocked(self._message)
        if self._action == "annotate":
            self._annotate(kinds, self._context)
            return outcome
        rewritten = iter([marked(text, findings) for text, findings in zip(texts, found, strict=True)])
        return _rewrite_deltas(outcome, lambda _: next(rewritten))

    async def _find(self, texts: list[str]) -> list[list[Finding]]:
        """What is in each text; each is read behind the end of what came before it."""
        before = []
        for text in texts:
            before.append(self._before)
            self._before = (self._before + text)[-_CONTEXT_CHARS:]
        read = [start + text for start, text in zip(before, texts, strict=True)]
        found = await self._redactor.find_all(read, timeout_s=self._context.remaining_s())
        return [list(_behind(len(start), findings)) for start, findings in zip(before, found, strict=True)]


class TwoFilters:
    """One answer filter after the other."""

    def __init__(self, first: AnswerFilter, second: AnswerFilter) -> None:
        self._first = first
        self._second = second
        self._between: list[JsonObject] = []

    async def feed(self, chunks: list[JsonObject]) -> AnswerOutcome:
        return await self._passed_on(await self._first.feed(chunks))

    async def finish(self) -> AnswerOutcome:
        outcome = await self._passed_on(await self._first.finish())
        if isinstance(outcome, Blocked):
            return outcome
        rest = await self._second.finish()
        return rest if isinstance(rest, Blocked) else outcome + rest

    def held(self) -> list[JsonObject]:
        return self._second.held() + self._first.held()

    async def _passed_on(self, outcome: AnswerOutcome) -> AnswerOutcome:
        return outcome if isinstance(outcome, Blocked) else await self._second.feed(outcome)


class Sentences:
    """A ``TextRewriter`` that changes nothing, but gives a text out in whole sentences."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = ""

    @property
    def holds(self) -> bool:
        return bool(self._held)

    def feed(self, piece: str) -> str:
        text = self._held + piece
        cut = 0
        for end in _SENTENCE_END.finditer(text, max(0, len(self._held) - 8)):
            cut = end.end()
        if cut == 0 and len(text) > _SENTENCE_CHARS:
            for gap in _GAP.finditer(text):
                cut = gap.end()
            cut = cut or (len(text) if len(text) > _LONGEST_CHARS else 0)
        self._held = text[cut:]
        return text[:cut]

    def finish(self) -> str:
        rest, self._held = self._held, ""
        return rest

    def held(self) -> str:
        return self._held


def _rewrite_deltas(chunks: list[JsonObject], rewrite: Callable[[str], str]) -> list[JsonObject]:
    """``chunks`` with every text of their deltas rewritten, in their order."""
    return [
        {
            **chunk,
            "choices": [{**choice, "delta": rewrite_leaves(choice.get("delta") or {}, rewrite)} for choice in choices],
        }
        if (choices := chunk.get("choices"))
        else chunk
        for chunk in chunks
    ]


def _behind(start: int, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Findings in a text without its first ``start`` characters."""
    for finding in findings:
        if finding.end > start:
            first = max(finding.start, start)
            text = finding.text[first - finding.start :]
            yield Finding(finding.entity, first - start, finding.end - start, finding.score, text)
