"""Answers as streams of canonical chunks, and what comes out of guards on them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from router.context import RequestContext
from router.dialects.canonical import CompletionAssembler, JsonObject, chunk, chunk_base
from router.guardrails import OutputGuards
from tests.guardrails.guarding import context, request, user

BASE = chunk_base("m", id_="a", created=1)
END = chunk({}, base=BASE, finish_reason="stop")


def text(piece: str, name: str = "content") -> JsonObject:
    return chunk({name: piece}, base=BASE)


def arguments(piece: str, index: int = 0, name: str | None = None) -> JsonObject:
    function = {"arguments": piece} if name is None else {"name": name, "arguments": piece}
    return chunk({"tool_calls": [{"index": index, "function": function}]}, base=BASE)


def pieces(words: str, size: int) -> list[str]:
    return [words[start : start + size] for start in range(0, len(words), size)]


async def stream(chunks: Iterable[JsonObject]) -> AsyncGenerator[list[JsonObject], None]:
    """An answer that takes its time: whoever listens has done all that it can before the next chunk comes."""
    for each in chunks:
        yield [each]
        for _ in range(50):
            await asyncio.sleep(0)


@dataclass
class Heard:
    """What went out: ``batches``, their text, how it ended, and the error that broke it off."""

    batches: list[list[JsonObject]] = field(default_factory=list)
    error: Exception | None = None

    @property
    def chunks(self) -> list[JsonObject]:
        return [each for batch in self.batches for each in batch]

    @property
    def message(self) -> JsonObject:
        assembler = CompletionAssembler()
        for each in self.chunks:
            assembler.add(each)
        message: JsonObject = assembler.completion()["choices"][0]["message"]
        return message

    @property
    def text(self) -> str:
        return self.message["content"] or ""

    @property
    def ends(self) -> list[str]:
        choices = [choice for each in self.chunks for choice in each.get("choices") or ()]
        return [choice["finish_reason"] for choice in choices if choice.get("finish_reason")]


async def hear(
    guards: OutputGuards,
    answer: Sequence[JsonObject] | AsyncGenerator[list[JsonObject], None],
    about: RequestContext | None = None,
    *,
    streamed: bool = True,
) -> Heard:
    """All of an answer as ``guards`` let it through."""
    transform = guards.transform(request(user("hello"), stream=streamed), about or context())
    assert transform is not None
    heard = Heard()
    source = answer if isinstance(answer, AsyncGenerator) else stream(answer)
    try:
        async with aclosing(transform(source)) as batches:
            async for batch in batches:
                heard.batches.append(batch)
    except Exception as exc:
        heard.error = exc
    return heard
