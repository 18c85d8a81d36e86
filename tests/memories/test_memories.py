"""Recall and remember, by a store and an encoder that do as they are told."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from router.errors import ModelUnavailable
from router.memories.base import MemoryBounds, MemoryKey
from router.memories.memories import Memories, MemorySettings
from router.memories.sqlite import SqliteMemories
from router.triton.models import Embedding
from router.triton.tensors import Tensor

ADA = MemoryKey("users", "", "ada")
# Directions in a plane, in degrees: what is 20 degrees apart has a similarity of 0.94.
ANGLES = {"peanuts": 0, "nuts": 20, "dog": 90, "moss": 115, "boat": 180}


class Angles:
    """An encoder; ``version`` is its own, ``calls`` what it was asked."""

    def __init__(self) -> None:
        self.version = 1
        self.calls: list[list[str]] = []
        self.gone = False

    async def encode(self, texts: Sequence[str], *, timeout_s: float) -> list[Embedding]:
        if self.gone:
            raise ModelUnavailable("gone")
        self.calls.append(list(texts))
        angles = [math.radians(ANGLES[text]) for text in texts]
        return [
            Embedding(Tensor.from_floats("E", [math.cos(a), math.sin(a)], (1, 2)).raw, f"encoder/{self.version}")
            for a in angles
        ]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteMemories]:
    store = await SqliteMemories.open(tmp_path / "memories.sqlite3")
    yield store
    await store.close()


@pytest.fixture
def encoder() -> Angles:
    return Angles()


@pytest.fixture
def memories(store: SqliteMemories, encoder: Angles) -> Memories:
    return Memories(store, encoder, MemorySettings(max_recalled=2, min_similarity=0.3, bounds=MemoryBounds(facts=4)))


async def recall(memories: Memories, text: str, key: MemoryKey = ADA) -> list[str]:
    return [fact.text for fact in await memories.recall(key, text, timeout_s=5.0)]


async def test_the_nearest_facts_are_recalled_oldest_first(memories: Memories) -> None:
    for text in ("moss", "peanuts", "dog", "boat"):
        await memories.remember(ADA, [text], timeout_s=5.0)
    assert await recall(memories, "dog") == ["moss", "dog"]
    assert await recall(memories, "nuts") == ["peanuts", "dog"]


async def test_what_is_not_near_enough_is_not_recalled(memories: Memories) -> None:
    await memories.remember(ADA, ["boat"], timeout_s=5.0)
    assert await recall(memories, "peanuts") == []


async def test_nobody_is_asked_where_nothing_is_remembered(memories: Memories, encoder: Angles) -> None:
    encoder.gone = True
    assert await recall(memories, "peanuts") == []
    await memories.remember(ADA, [], timeout_s=5.0)


async def test_what_says_the_same_takes_the_place_of_the_older(memories: Memories, store: SqliteMemories) -> None:
    await memories.remember(ADA, ["peanuts", "dog"], timeout_s=5.0)
    await memories.remember(ADA, ["nuts"], timeout_s=5.0)
    assert [fact.text for fact in await store.facts(ADA)] == ["dog", "nuts"]


async def test_of_one_message_the_later_of_two_equals_is_kept(memories: Memories, store: SqliteMemories) -> None:
    await memories.remember(ADA, ["peanuts", "dog", "nuts"], timeout_s=5.0)
    assert [fact.text for fact in await store.facts(ADA)] == ["dog", "nuts"]


async def test_keys_are_apart(memories: Memories) -> None:
    await memories.remember(ADA, ["dog"], timeout_s=5.0)
    await memories.remember(MemoryKey("users", "", "bob"), ["moss"], timeout_s=5.0)
    assert await recall(memories, "dog") == ["dog"]
    assert await recall(memories, "dog", MemoryKey("users", "shop", "ada")) == []


async def test_vectors_of_another_encoder_are_made_anew_once(
    memories: Memories, encoder: Angles, store: SqliteMemories
) -> None:
    await memories.remember(ADA, ["peanuts", "dog"], timeout_s=5.0)
    encoder.version = 2
    encoder.calls.clear()
    assert await recall(memories, "dog") == ["dog"]
    assert encoder.calls == [["dog"], ["peanuts", "dog"]]
    assert {fact.embedding.encoder for fact in await store.facts(ADA)} == {"encoder/2"}
    assert await recall(memories, "dog") == ["dog"]
    assert encoder.calls[2:] == [["dog"]]


async def test_an_encoder_that_is_gone_is_a_failure(memories: Memories, encoder: Angles) -> None:
    await memories.remember(ADA, ["dog"], timeout_s=5.0)
    encoder.gone = True
    with pytest.raises(ModelUnavailable):
        await recall(memories, "dog")
    with pytest.raises(ModelUnavailable):
        await memories.remember(ADA, ["moss"], timeout_s=5.0)


async def test_a_fact_is_kept_for_its_time_from_when_it_was_said_last(store: SqliteMemories, encoder: Angles) -> None:
    now = [100.0]
    memories = Memories(store, encoder, MemorySettings(ttl_s=50.0), clock=lambda: now[0])
    await memories.remember(ADA, ["dog"], timeout_s=5.0)
    now[0] = 140.0
    await memories.remember(ADA, ["dog"], timeout_s=5.0)
    assert await store.facts(ADA) == []  # by the store's own clock, all of that is long over
    assert await store.prune() == 1
