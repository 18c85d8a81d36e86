"""What a version of a model has to pass before requests of users get to it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from router.config import Config, LoadedConfig
from router.config.listeners import DEFAULT_ORCHESTRATOR
from router.config.triton import Orchestrator
from router.context import RouteDescription, Turn
from router.errors import ModelUnavailable, OperatorError
from router.triton.client import TritonClient
from router.triton.metadata import ModelConfig, TensorMetadata
from router.triton.models import Classifier, Encoder, ScoringOrchestrator

GOLDEN_FILE = "golden.json"

# Of the golden decisions, how many have to come out the same.
GOLDEN_SHARE = 0.95

_WARM_UPS = 5
_ROUTES = (RouteDescription("weather", "Weather forecasts."), RouteDescription("flights", "Finds flights."))


class _GoldenCase(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    text: str | None = None
    turns: tuple[str, ...] = ()
    roster: str | None = None
    chosen: tuple[str, ...] | None = None
    refused: bool | None = None
    flagged: tuple[str, ...] | None = None


class Golden(BaseModel):
    """Decisions that a version has to make: of an orchestrator, ``chosen`` of a roster; of a classifier, ``refused``
    (everything but its first label) or ``flagged`` (labels)."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    rosters: dict[str, tuple[tuple[str, str], ...]] = {}
    cases: tuple[_GoldenCase, ...]


def read_golden(file: Path) -> Golden:
    """Read golden decisions. Raises ``OperatorError``."""
    try:
        return Golden.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as exc:
        raise OperatorError(f"The golden decisions in {file} cannot be read: {exc}") from exc


class VersionChecks:
    """Checks of the version that Triton serves as ``name``, against what it serves as ``model``."""

    def __init__(self, client: TritonClient, model: str, name: str, *, timeout_s: float) -> None:
        self._client = client
        self._model = model
        self._name = name
        self._timeout_s = timeout_s

    async def contract(self) -> Mapping[str, Any]:
        """Whether it takes and gives the same tensors, and says what they mean. Raises ``OperatorError``."""
        try:
            ours = await self._client.model_config(self._model, self._timeout_s)
            theirs = await self._client.model_config(self._name, self._timeout_s)
        except ModelUnavailable as exc:
            raise OperatorError(exc.message) from exc
        for kind, old, new in (("input", ours.inputs, theirs.inputs), ("output", ours.outputs, theirs.outputs)):
            missing = _signatures(old) - _signatures(new)
            if missing:
                wanted = ", ".join(f"{name} ({datatype})" for name, datatype in sorted(missing))
                raise OperatorError(f"The new version has no {kind} {wanted}, which the one that serves has.")
        more = _names(theirs.inputs) - _names(ours.inputs)
        if more:
            raise OperatorError(f"The new version wants {', '.join(sorted(more))}, which nobody gives it.")
        if bool(ours.max_batch_size) != bool(theirs.max_batch_size):
            raise OperatorError("One version takes batches, the other does not.")
        gone = [label for label in ours.labels if label not in theirs.labels]
        if gone:
            raise OperatorError(f"The new version does not know the labels {', '.join(gone)}.")
        return {"inputs": sorted(_names(theirs.inputs)), "outputs": sorted(_names(theirs.outputs))}

    async def warm_up(self) -> Mapping[str, Any] | None:
        """Ask it some things; ``None`` where nothing is known to ask. Raises ``OperatorError`` when it does not answer.

        Also where what it answers breaks its contract.
        """
        ask = await self._question()
        if ask is None:
            return None
        try:
            for _ in range(_WARM_UPS):
                await ask()
        except ModelUnavailable as exc:
            raise OperatorError(f"It did not stand the warm-up: {exc.message}") from exc
        return {"asked": _WARM_UPS}

    async def golden(self, golden: Golden) -> Mapping[str, Any]:
        """How many of the decisions come out as they should. Raises ``OperatorError`` when those are too few."""
        right = 0
        try:
            for case in golden.cases:
                right += await self._is_right(case, golden)
        except ModelUnavailable as exc:
            raise OperatorError(f"It did not answer a golden case: {exc.message}") from exc
        if right < GOLDEN_SHARE * len(golden.cases):
            raise OperatorError(f"It decides {right} of {len(golden.cases)} golden cases as it should.")
        return {"right": right, "cases": len(golden.cases)}

    async def _question(self) -> Any:
        config = await self._config()
        names = _names(config.inputs)
        if names == {"CONVERSATION", "ROUTES"}:
            orchestrator = ScoringOrchestrator(self._client, self._name)
            turns = [Turn("user", "What is the weather in Oslo?")]
            return lambda: orchestrator.score(turns, _ROUTES, timeout_s=self._timeout_s)
        if names == {"TEXT"} and "EMBEDDING" in _names(config.outputs):
            encoder = Encoder(self._client, self._name)
            return lambda: encoder.encode(["What is the weather in Oslo?"], timeout_s=self._timeout_s)
        if names == {"TEXT"} and config.labels and "SPANS" not in _names(config.outputs):
            classifier = Classifier(self._client, self._name)
            return lambda: classifier.classify(["What is the weather in Oslo?"], timeout_s=self._timeout_s)
        return None

    async def _is_right(self, case: _GoldenCase, golden: Golden) -> bool:
        if case.roster is not None:
            roster = [RouteDescription(name, text) for name, text in golden.rosters.get(case.roster, ())]
            orchestrator = ScoringOrchestrator(self._client, self._name)
            scored = await orchestrator.score(_conversation(case.turns), roster, timeout_s=self._timeout_s)
            chosen = {
                route.name for route, score in zip(roster, scored.scores, strict=True) if score >= scored.threshold
            }
            return chosen == set(case.chosen or ())
        classifier = Classifier(self._client, self._name)
        (scores,) = await classifier.classify([case.text or ""], timeout_s=self._timeout_s)
        if case.refused is not None:
            benign = next(iter(scores))
            threshold = await classifier.threshold(timeout_s=self._timeout_s)
            return (1 - scores[benign] >= threshold) == case.refused
        thresholds = await classifier.thresholds(timeout_s=self._timeout_s)
        return {label for label, score in scores.items() if score >= thresholds[label]} == set(case.flagged or ())

    async def _config(self) -> ModelConfig:
        try:
            return await self._client.model_config(self._name, self._timeout_s)
        except ModelUnavailable as exc:
            raise OperatorError(exc.message) from exc


def with_orchestrator(loaded: LoadedConfig, model: str, name: str) -> Config:
    """The configuration, with ``name`` on Triton in the place of the orchestrator ``model``.

    Raises ``OperatorError`` when no orchestrator is that model: routing tests say nothing about it.
    """
    config = loaded.config
    entries = [
        entry.model_copy(update={"model": name}) if entry.model == model else entry for entry in config.orchestrators
    ]
    default = Orchestrator(name=DEFAULT_ORCHESTRATOR)
    if default.model == model and not any(entry.name == default.name for entry in entries):
        entries.append(default.model_copy(update={"model": name}))
    if tuple(entries) == config.orchestrators:
        raise OperatorError(f"{model} decides on no routes, so that --eval says nothing about it.", fix="Leave it out.")
    return config.model_copy(update={"orchestrators": tuple(entries)})


def _conversation(turns: Sequence[str]) -> list[Turn]:
    roles = [("user", "assistant")[(len(turns) - 1 - place) % 2] for place in range(len(turns))]
    return [Turn("user" if role == "user" else "assistant", text) for role, text in zip(roles, turns, strict=True)]


def _signatures(tensors: Sequence[TensorMetadata]) -> set[tuple[str, str]]:
    return {(tensor.name, tensor.datatype) for tensor in tensors}


def _names(tensors: Sequence[TensorMetadata]) -> set[str]:
    return {tensor.name for tensor in tensors}
