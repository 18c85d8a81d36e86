"""Typed calls of the token classifier contract: texts in, their labelled parts out.

An answer that breaks its contract is worth no more than none: ``ModelUnavailable`` too, with the details as cause.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from router.errors import ModelUnavailable
from router.triton.client import TritonClient
from router.triton.metadata import ModelConfig
from router.triton.tensors import ContractViolation, InferResult, Tensor

# Requests of one ``find`` call that are under way at the same time.
_PARALLEL_BATCHES = 8

# A model can be swapped under the same version number for one with other labels.
_CONFIG_LIFETIME_S = 60.0

# A softmax in single precision may end a hair above 1.
_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Entity:
    """``text[start:end]``, in characters, carries ``label`` with ``score``, a probability."""

    label: str
    start: int
    end: int
    score: float


class EntityRecogniser:
    """A token classifier. Its labels, and the score from which one counts, are parameters of its configuration.

    They are read again when they are a minute old, and when an answer disagrees with them.
    """

    def __init__(self, client: TritonClient, model: str = "pii_entities") -> None:
        self.model = model
        self._client = client
        self._config: ModelConfig | None = None
        self._read_at = float("-inf")

    async def find(self, texts: Sequence[str], *, timeout_s: float) -> list[list[Entity]]:
        """For each text its entities in the order of the text, without overlaps; all or nothing within ``timeout_s``.

        Raises ``ModelUnavailable``, for a text that is too long for the model, too.
        """
        if not texts:
            return []
        deadline = time.monotonic() + timeout_s
        size = (await self._configuration(deadline)).max_batch_size
        slots = asyncio.Semaphore(_PARALLEL_BATCHES)

        async def batch(part: Sequence[str]) -> list[list[Entity]]:
            async with slots:
                return await self._find_in_batch(part, deadline)

        if len(texts) <= size:
            return await self._find_in_batch(texts, deadline)
        parts = [texts[start : start + size] for start in range(0, len(texts), size)]
        # Each call ends by the deadline, so waiting for all of them, failed or not, leaves none behind.
        answers = await asyncio.gather(*map(batch, parts), return_exceptions=True)
        found: list[list[Entity]] = []
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
            found.extend(answer)
        return found

    async def _find_in_batch(self, texts: Sequence[str], deadline: float) -> list[list[Entity]]:
        # A lone surrogate becomes one question mark: offsets stay.
        text = Tensor.from_bytes("TEXT", [value.encode("utf-8", "replace") for value in texts], (len(texts), 1))
        result = await self._client.infer(
            self.model, [text], ["SPANS", "SCORES"], timeout_s=deadline - time.monotonic()
        )
        config = await self._configuration(deadline)
        try:
            try:
                return _entities(result, texts, config)
            except ContractViolation:
                self._config = None
                return _entities(result, texts, await self._configuration(deadline))
        except ContractViolation as exc:
            raise ModelUnavailable(f"The model {self.model!r} gave an answer that breaks its contract.") from exc

    async def _configuration(self, deadline: float) -> ModelConfig:
        if self._config is None or time.monotonic() - self._read_at > _CONFIG_LIFETIME_S:
            config = await self._client.model_config(self.model, deadline - time.monotonic())
            if not config.labels:
                raise ModelUnavailable(f"The model {self.model!r} cannot find entities: it names no labels.")
            if config.max_batch_size < 1:
                raise ModelUnavailable(f"The model {self.model!r} cannot find entities: it takes no batches.")
            self._config, self._read_at = config, time.monotonic()
        return self._config


def _entities(result: InferResult, texts: Sequence[str], config: ModelConfig) -> list[list[Entity]]:
    """The entities of each text that reach the threshold. Raises ``ContractViolation``."""
    spans, scores = result.tensor("SPANS"), result.tensor("SCORES")
    if len(scores.shape) != 2 or scores.shape[0] != len(texts) or spans.shape != (*scores.shape, 3):
        raise ContractViolation(f"SPANS {spans.shape} and SCORES {scores.shape} for {len(texts)} texts")
    numbers, values, rows = spans.ints(), scores.floats(), scores.shape[1]
    found = []
    for place, text in enumerate(texts):
        entities: list[Entity] = []
        free = 0
        for row in range(place * rows, (place + 1) * rows):
            start, end, label = numbers[3 * row : 3 * row + 3]
            if label == -1:
                continue
            score = values[row]
            if not (free <= start < end <= len(text) and 0 <= label < len(config.labels)):
                raise ContractViolation(f"SPANS: ({start}, {end}, {label}) after {free} of {len(text)} characters")
            # The comparison is false for NaN, too.
            if not -_TOLERANCE <= score <= 1 + _TOLERANCE:
                raise ContractViolation("SCORES: values outside 0..1")
            free = end
            if score >= config.threshold:
                entities.append(Entity(config.labels[label], start, end, min(1.0, max(0.0, score))))
        found.append(entities)
    return found
