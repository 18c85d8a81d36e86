"""Typed calls of the models' tensor contracts (ARCHITECTURE.md, "Contracts with Triton").

An answer that breaks its contract is worth no more than none: ``ModelUnavailable`` too, with the details as cause.
"""

from __future__ import annotations

import asyncio
import math
import operator
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import orjson

from router.context import RouteDescription, Turn
from router.errors import ModelUnavailable
from router.triton.client import TritonClient
from router.triton.metadata import ModelConfig, ModelMetadata, TensorMetadata
from router.triton.tensors import ContractViolation, InferResult, Tensor

OrchestratorContract = Literal["scoring", "generation"]

_SCORING_INPUTS = {"CONVERSATION": "BYTES", "ROUTES": "BYTES"}
_SCORING_OUTPUTS = {"SCORES": "FP32", "ORDER": "INT32"}

# A softmax in single precision may end a hair above 1.
_TOLERANCE = 1e-4

# How far the length of a unit vector may be from 1: models round.
_LENGTH_TOLERANCE = 1e-2

# Requests of one ``classify`` call that are under way at the same time.
_PARALLEL_BATCHES = 8

# A model can be swapped under the same version number for one with other labels or another threshold.
_CONFIG_LIFETIME_S = 60.0


def orchestrator_contract(metadata: ModelMetadata) -> OrchestratorContract:
    """Which contract a loaded model speaks, from its signature; ``ModelUnavailable`` when it speaks neither."""
    if _declares(metadata.inputs, _SCORING_INPUTS) and _declares(metadata.outputs, _SCORING_OUTPUTS):
        return "scoring"
    if _declares(metadata.inputs, {"text_input": "BYTES"}) and _declares(metadata.outputs, {"text_output": "BYTES"}):
        return "generation"
    raise ModelUnavailable(
        f"The model {metadata.name!r} cannot orchestrate: it takes neither CONVERSATION and ROUTES nor text_input."
    )


def _declares(tensors: Sequence[TensorMetadata], wanted: Mapping[str, str]) -> bool:
    declared = {tensor.name: tensor.datatype for tensor in tensors}
    return all(declared.get(name) == datatype for name, datatype in wanted.items())


@dataclass(frozen=True, slots=True)
class RouteScores:
    """What the orchestrator says about the routes, in the order in which they were given.

    ``scores`` are probabilities; ``order`` is the position in which a route should run among the needed ones, and equal
    positions do not depend on each other. ``threshold`` is the score from which the model's makers take a route to be
    needed.
    """

    scores: tuple[float, ...]
    order: tuple[int, ...]
    model: str
    version: str
    threshold: float


class _Configuration:
    """The configuration of one model, read again when it is a minute old: a model can be swapped while it is in use."""

    def __init__(self, client: TritonClient, model: str) -> None:
        self._client = client
        self._model = model
        self._known: ModelConfig | None = None
        self._read_at = float("-inf")

    async def get(self, deadline: float) -> ModelConfig:
        """The configuration of the newest version. Raises ``ModelUnavailable``."""
        if self._known is None or time.monotonic() - self._read_at > _CONFIG_LIFETIME_S:
            self._known = await self._client.model_config(self._model, deadline - time.monotonic())
            self._read_at = time.monotonic()
        return self._known


class ScoringOrchestrator:
    """An orchestrator of the scoring contract: conversation and routes in, a probability and a position per route."""

    def __init__(self, client: TritonClient, model: str = "orchestrator") -> None:
        self.model = model
        self._client = client
        self._configuration = _Configuration(client, model)

    async def score(
        self, conversation: Sequence[Turn], routes: Sequence[RouteDescription], *, timeout_s: float
    ) -> RouteScores:
        """Score ``routes`` (at least one) for the newest turn of ``conversation`` (newest last, already trimmed)."""
        if not routes:
            raise ValueError("no routes to score")
        turns = [{"role": turn.role, "content": turn.content} for turn in conversation]
        choices = [{"name": route.name, "description": route.description} for route in routes]
        inputs = (
            Tensor.from_bytes("CONVERSATION", [_json(turns)], (1, 1)),
            Tensor.from_bytes("ROUTES", [_json(choices)], (1, 1)),
        )
        deadline = time.monotonic() + timeout_s
        config = await self._configuration.get(deadline)
        result = await self._client.infer(
            self.model, inputs, tuple(_SCORING_OUTPUTS), timeout_s=deadline - time.monotonic()
        )
        try:
            return _route_scores(result, len(routes), config.threshold)
        except ContractViolation as exc:
            raise ModelUnavailable(_broken_contract(self.model)) from exc


class Classifier:
    """A classifier of the guardrail contract: texts in, a probability per label out.

    The labels and the thresholds are the model's own (parameters of its configuration). They are read once per version,
    and again when an answer disagrees with them or when they are a minute old.
    """

    def __init__(self, client: TritonClient, model: str) -> None:
        self.model = model
        self._client = client
        self._max_batch_size = 0
        self._threshold = 0.0
        self._thresholds: Mapping[str, float] = {}
        self._labels: dict[str, tuple[str, ...]] = {}
        self._read_at = float("-inf")

    async def classify(self, texts: Sequence[str], *, timeout_s: float) -> list[Mapping[str, float]]:
        """The scores of each text by label, in the order of ``texts``; all or nothing within ``timeout_s``.

        One request where the texts fit into the model's batch, else several at the same time.
        """
        if not texts:
            return []
        deadline = time.monotonic() + timeout_s
        await self._refresh(deadline)
        size = self._max_batch_size
        slots = asyncio.Semaphore(_PARALLEL_BATCHES)

        async def batch(part: Sequence[str]) -> list[Mapping[str, float]]:
            async with slots:
                return await self._classify_batch(part, deadline)

        if len(texts) <= size:
            return await self._classify_batch(texts, deadline)
        parts = [texts[start : start + size] for start in range(0, len(texts), size)]
        # Each call ends by the deadline, so waiting for all of them, failed or not, leaves none behind.
        answers = await asyncio.gather(*map(batch, parts), return_exceptions=True)
        scores: list[Mapping[str, float]] = []
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
            scores.extend(answer)
        return scores

    async def threshold(self, *, timeout_s: float) -> float:
        """The score from which the model's makers take a text to be what it looks for."""
        await self._refresh(time.monotonic() + timeout_s)
        return self._threshold

    async def thresholds(self, *, timeout_s: float) -> Mapping[str, float]:
        """For each label, the score from which the model's makers take a text to carry it."""
        await self._refresh(time.monotonic() + timeout_s)
        return self._thresholds

    async def labels(self, *, timeout_s: float) -> tuple[str, ...]:
        """The labels of the newest version, read now."""
        return await self._read_config("", time.monotonic() + timeout_s)

    async def _classify_batch(self, texts: Sequence[str], deadline: float) -> list[Mapping[str, float]]:
        text = Tensor.from_bytes("TEXT", [value.encode("utf-8", "replace") for value in texts], (len(texts), 1))
        result = await self._client.infer(self.model, [text], ["SCORES"], timeout_s=deadline - time.monotonic())
        try:
            tensor = result.tensor("SCORES")
            scores = _probabilities(tensor)
            labels = self._labels.get(result.version) or await self._read_config(result.version, deadline)
            if tensor.shape != (len(texts), len(labels)):
                labels = await self._read_config(result.version, deadline)
            if tensor.shape != (len(texts), len(labels)):
                raise ContractViolation(f"SCORES: shape {tensor.shape} for {len(texts)} texts, labels {labels}")
        except ContractViolation as exc:
            raise ModelUnavailable(_broken_contract(self.model)) from exc
        width = len(labels)
        return [dict(zip(labels, scores[i * width : (i + 1) * width], strict=True)) for i in range(len(texts))]

    async def _refresh(self, deadline: float) -> None:
        if time.monotonic() - self._read_at > _CONFIG_LIFETIME_S:
            self._labels.clear()
            await self._read_config("", deadline)

    async def _read_config(self, version: str, deadline: float) -> tuple[str, ...]:
        config = await self._client.model_config(self.model, deadline - time.monotonic(), version=version)
        if not config.labels:
            raise ModelUnavailable(f"The model {self.model!r} cannot classify: its configuration names no labels.")
        if config.max_batch_size < 1:
            raise ModelUnavailable(f"The model {self.model!r} cannot classify: it takes no batches.")
        self._max_batch_size = config.max_batch_size
        self._threshold = config.threshold
        self._thresholds = config.thresholds
        self._read_at = time.monotonic()
        if version:
            self._labels[version] = config.labels
        return config.labels


@dataclass(frozen=True, slots=True)
class Embedding:
    """What a text means, as a vector of unit length: little-endian FP32 in ``raw``.

    ``encoder`` is the model and its version: only what the same one has said can be compared.
    """

    raw: bytes = field(repr=False)
    encoder: str

    @property
    def vector(self) -> tuple[float, ...]:
        """The numbers."""
        return struct.unpack(f"<{len(self.raw) // 4}f", self.raw)

    def similarity(self, other: Embedding) -> float:
        """The cosine, from -1 to 1. Raises ``ValueError`` for vectors of two encoders."""
        if self.encoder != other.encoder:
            raise ValueError(f"a vector of {self.encoder} beside one of {other.encoder}")
        return math.fsum(map(operator.mul, self.vector, other.vector))


class Encoder:
    """A sentence encoder: texts in, vectors of unit length out; similar vectors mean similar things."""

    def __init__(self, client: TritonClient, model: str = "encoder") -> None:
        self.model = model
        self._client = client
        self._configuration = _Configuration(client, model)

    async def encode(self, texts: Sequence[str], *, timeout_s: float) -> list[Embedding]:
        """The vector of each text, in the order of ``texts``; all or nothing within ``timeout_s``.

        A text that is too long is judged by its beginning; how much of it is the model's own affair.
        """
        if not texts:
            return []
        deadline = time.monotonic() + timeout_s
        size = max(1, (await self._configuration.get(deadline)).max_batch_size)
        vectors: list[Embedding] = []
        for start in range(0, len(texts), size):
            vectors += await self._encode_batch(texts[start : start + size], deadline)
        return vectors

    async def _encode_batch(self, texts: Sequence[str], deadline: float) -> list[Embedding]:
        text = Tensor.from_bytes("TEXT", [value.encode("utf-8", "replace") for value in texts], (len(texts), 1))
        result = await self._client.infer(self.model, [text], ["EMBEDDING"], timeout_s=deadline - time.monotonic())
        try:
            tensor = result.tensor("EMBEDDING")
            if len(tensor.shape) != 2 or tensor.shape[0] != len(texts) or tensor.shape[1] < 1:
                raise ContractViolation(f"EMBEDDING: shape {tensor.shape} for {len(texts)} texts")
            values, width = tensor.floats(), tensor.shape[1]
            for start in range(0, len(values), width):
                length = math.hypot(*values[start : start + width])
                if not abs(length - 1) <= _LENGTH_TOLERANCE:  # false for NaN, too
                    raise ContractViolation(f"EMBEDDING: a vector of length {length}")
        except ContractViolation as exc:
            raise ModelUnavailable(_broken_contract(self.model)) from exc
        encoder = f"{self.model}/{result.version}"
        return [Embedding(tensor.raw[4 * width * row : 4 * width * (row + 1)], encoder) for row in range(len(texts))]


def _route_scores(result: InferResult, routes: int, threshold: float) -> RouteScores:
    scores, order = result.tensor("SCORES"), result.tensor("ORDER")
    for tensor in (scores, order):
        if tensor.shape != (1, routes):
            raise ContractViolation(f"{tensor.name}: shape {tensor.shape} for {routes} routes")
    positions = order.ints()
    if not all(0 <= position < routes for position in positions):
        raise ContractViolation(f"ORDER: {positions} are not positions among {routes} routes")
    return RouteScores(_probabilities(scores), positions, result.model, result.version, threshold)


def _probabilities(tensor: Tensor) -> tuple[float, ...]:
    values = tensor.floats()
    # The comparison is false for NaN, too.
    if not all(-_TOLERANCE <= value <= 1 + _TOLERANCE for value in values):
        raise ContractViolation(f"{tensor.name}: values outside 0..1")
    return tuple(min(1.0, max(0.0, value)) for value in values)


def _json(value: Sequence[Mapping[str, str]]) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:
        # Lone surrogates have no UTF-8 form; the text still has to be judged.
        return orjson.dumps([{k: v.encode("utf-8", "replace").decode() for k, v in item.items()} for item in value])


def _broken_contract(model: str) -> str:
    return f"The model {model!r} gave an answer that breaks its contract."
