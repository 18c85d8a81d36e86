"""A client that asks another version of some models than is named, or asks it beside, and keeps count."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from router.errors import ModelUnavailable
from router.triton.client import MAX_STREAM_BYTES, TritonClient
from router.triton.comparing import Judge, agree
from router.triton.metadata import ModelConfig, ModelMetadata
from router.triton.tensors import ContractViolation, InferResult, Tensor

logger = logging.getLogger(__name__)

# Requests to versions beside that are under way at once; others are not made, so that what serves keeps its share.
MAX_BESIDE = 4
_BESIDE_TIMEOUT_S = 30.0
_KEPT_TIMES = 500


@dataclass(frozen=True, slots=True)
class Directions:
    """``targets``: the name on Triton of what is asked in the place of a model. ``beside``: of what is asked, too.

    What is asked beside has no influence on answers, and nobody waits for it.
    """

    targets: Mapping[str, str] = field(default_factory=dict)
    beside: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Tally:
    """How one version has done: ``times_s`` are the latest ones, of answers that came."""

    asked: int = 0
    failed: int = 0
    compared: int = 0
    agreed: int = 0
    times_s: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT_TIMES))

    def fields(self) -> dict[str, Any]:
        """As JSON has room for."""
        return {
            "asked": self.asked,
            "failed": self.failed,
            "compared": self.compared,
            "agreed": self.agreed,
            "times_s": list(self.times_s),
        }


class DirectedClient(TritonClient):
    """See ``Directions``. Counts by the name on Triton what is asked of the models in them."""

    def __init__(self, url: str, directions: Directions) -> None:
        super().__init__(url)
        self.tallies: dict[str, Tally] = {}
        self._directions = directions
        self._judges: dict[str, Judge] = {}
        self._beside: set[asyncio.Task[None]] = set()
        for name in (*directions.targets.values(), *directions.beside, *directions.beside.values()):
            self.tallies[name] = Tally()

    async def infer(
        self, model: str, inputs: Sequence[Tensor], outputs: Sequence[str], *, timeout_s: float, version: str = ""
    ) -> InferResult:
        target = self._target(model)
        result = await self._counted(target, inputs, outputs, timeout_s, version)
        beside = self._directions.beside.get(model)
        if beside is not None and len(self._beside) < MAX_BESIDE:
            task = asyncio.create_task(self._ask_beside(target, beside, inputs, outputs, result))
            self._beside.add(task)
            task.add_done_callback(self._beside.discard)
        return result if target == model else replace(result, model=model)

    async def stream_infer(
        self,
        model: str,
        inputs: Sequence[Tensor],
        outputs: Sequence[str],
        *,
        timeout_s: float,
        version: str = "",
        max_bytes: int = MAX_STREAM_BYTES,
    ) -> AsyncGenerator[InferResult, None]:
        target = self._target(model)
        tally = self.tallies.get(target, Tally())
        tally.asked += 1
        began = time.perf_counter()
        try:
            async with aclosing(
                super().stream_infer(target, inputs, outputs, timeout_s=timeout_s, version=version, max_bytes=max_bytes)
            ) as results:
                async for result in results:
                    yield result
        except ModelUnavailable:
            tally.failed += 1
            raise
        tally.times_s.append(time.perf_counter() - began)

    async def model_ready(self, model: str, timeout_s: float, *, version: str = "") -> bool:
        return await super().model_ready(self._target(model), timeout_s, version=version)

    async def model_metadata(self, model: str, timeout_s: float, *, version: str = "") -> ModelMetadata:
        return await super().model_metadata(self._target(model), timeout_s, version=version)

    async def model_config(self, model: str, timeout_s: float, *, version: str = "") -> ModelConfig:
        return await super().model_config(self._target(model), timeout_s, version=version)

    async def close(self, grace_s: float | None = None) -> None:
        for task in self._beside:
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)
        await super().close(grace_s)

    def _target(self, model: str) -> str:
        return self._directions.targets.get(model, model)

    async def _counted(
        self, target: str, inputs: Sequence[Tensor], outputs: Sequence[str], timeout_s: float, version: str
    ) -> InferResult:
        tally = self.tallies.get(target)
        if tally is None:
            return await super().infer(target, inputs, outputs, timeout_s=timeout_s, version=version)
        tally.asked += 1
        began = time.perf_counter()
        try:
            result = await super().infer(target, inputs, outputs, timeout_s=timeout_s, version=version)
        except ModelUnavailable:
            tally.failed += 1
            raise
        tally.times_s.append(time.perf_counter() - began)
        return result

    async def _ask_beside(
        self, target: str, beside: str, inputs: Sequence[Tensor], outputs: Sequence[str], ours: InferResult
    ) -> None:
        tally = self.tallies[beside]
        try:
            theirs = await self._counted(beside, inputs, outputs, _BESIDE_TIMEOUT_S, "")
            same = agree(await self._judge(target), ours, await self._judge(beside), theirs)
        except ModelUnavailable:
            return  # counted
        except ContractViolation as exc:
            logger.warning("a model on trial breaks its contract", extra={"model": beside, "cause": str(exc)})
            tally.failed += 1
            return
        if same is not None:
            tally.compared += 1
            tally.agreed += same

    async def _judge(self, name: str) -> Judge:
        judge = self._judges.get(name)
        if judge is None:
            judge = self._judges[name] = Judge.of(await super().model_config(name, _BESIDE_TIMEOUT_S))
        return judge
