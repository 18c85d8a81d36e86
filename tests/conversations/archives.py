"""Archives with a clock that tests move, and what goes into them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from router.conversations.archive import Archive, Bounds, Past
from router.conversations.conversations import Conversations
from router.conversations.ids import new_response_id
from router.conversations.references import References
from router.conversations.responses import Responses
from router.dialects.canonical import JsonObject
from router.state.base import Store
from router.state.memory import MemoryStore

TTL_S = 1000.0
BOUNDS = Bounds(TTL_S, max_response_bytes=20_000, max_items=50, max_bytes=100_000)
SCOPE = "a" * 32


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Kept:
    """Responses and conversations over one store."""

    def __init__(self, store: Store | None = None, bounds: Bounds = BOUNDS) -> None:
        self.clock = Clock()
        self.store = store or MemoryStore(clock=self.clock)
        archive = Archive(self.store, bounds, clock=self.clock)
        self.conversations = Conversations(archive)
        self.responses = Responses(archive, self.conversations)
        self.references = References(archive)

    async def turn(
        self, said: str, answer: str, *, after: str | None = None, conversation: str | None = None, stored: bool = True
    ) -> str:
        """Keep one exchange; the id of its response."""
        return await self.exchange([user(said)], [assistant(answer)], after, conversation, stored=stored)

    async def exchange(
        self,
        items: Sequence[JsonObject],
        output: Sequence[JsonObject],
        after: str | None = None,
        conversation: str | None = None,
        *,
        stored: bool = True,
    ) -> str:
        past = Past()
        if after is not None:
            past = await self.responses.past(SCOPE, after)
        elif conversation is not None:
            past = await self.conversations.past(SCOPE, conversation, param="conversation")
        answered = response(output)
        await self.responses.keep(SCOPE, answered, items, past, stored=stored)
        return str(answered["id"])

    async def said(self, response_id: str) -> list[str]:
        """Everything up to a response, as texts."""
        return [text(item) for item in (await self.responses.past(SCOPE, response_id)).items]


def user(said: str) -> JsonObject:
    return {"role": "user", "content": said}


def assistant(said: str, id_: str | None = None) -> JsonObject:
    part = {"type": "output_text", "text": said, "annotations": []}
    item: JsonObject = {"type": "message", "role": "assistant", "status": "completed", "content": [part]}
    return item if id_ is None else {**item, "id": id_}


def response(output: Sequence[JsonObject]) -> JsonObject:
    return {"id": new_response_id(), "object": "response", "status": "completed", "output": list(output)}


def text(item: Any) -> str:
    content = item["content"]
    return str(content if isinstance(content, str) else content[0]["text"])
