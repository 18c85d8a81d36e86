"""Puts another version of a model into service while requests go on, step by step; what fails goes back by itself.

step       what happens                                                       requests are answered by
copy       the version is brought in whole                                    the old version
load       Triton loads it beside the old one, under a name of its own        the old version
contract   its tensors and labels are compared                                the old version
warm_up    it is asked some things                                            the old version
golden     it is asked what has a known answer                                the old version
eval       the user's routing tests are run against it                        the old version
shadow     it is asked what users ask, too, and answers are compared          the old version
canary     a share of the requests is answered with it                        both
switch     every request is answered with it; the old one finishes its own    the new version
replace    Triton loads it under the model's own name                         the new version
"""

from __future__ import annotations

import asyncio
import datetime
import json
import logging
import os
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from router.cli.control import Say
from router.cli.eval import run as run_routing_tests
from router.cli.pool import Trial, WorkerPool
from router.cli.promotion_checks import GOLDEN_FILE, VersionChecks, read_golden, with_orchestrator
from router.config import LoadedConfig
from router.config.routing_tests import load_routing_tests
from router.errors import OperatorError
from router.runtime import Assignment
from router.triton.client import TritonClient
from router.triton.directed import Directions
from router.triton.server import EmbeddedTriton
from router.triton.store import ModelStore, trial_name, version_of

logger = logging.getLogger(__name__)

AUDIT_FILE = "models.audit.jsonl"

# A version may be that much slower than the one before it, of 95 in 100 answers; below the floor nobody minds.
SLOWER_BY = 2.0
SLOW_FLOOR_S = 0.05

_REPORT_EVERY_S = 0.5

# A version that hangs while it loads cannot be unloaded either; it is gone when Triton is.
_UNLOAD_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class PromotionOptions:
    """What is to be promoted, and how carefully; times in seconds, shares from 0 to 1.

    Without ``source`` the version is one that is known. ``agreement`` is how often it has to decide as the old one
    does. A step that takes no time, or has no file, is left out.
    """

    model: str
    version: str
    source: Path | None = None
    routing_tests: Path | None = None
    golden: Path | None = None
    shadow_s: float = 60.0
    canary: float = 0.1
    canary_s: float = 60.0
    agreement: float = 0.9
    timeout_s: float = 120.0
    answer_within_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Stage:
    """What a promotion works with."""

    loaded: LoadedConfig
    triton: EmbeddedTriton
    store: ModelStore
    sources: Sequence[Path]
    pool: WorkerPool
    folder: Path
    state_dir: Path


class Promotion:
    """One promotion, or one rollback. `promote` or `roll_back`, once."""

    def __init__(self, stage: Stage, options: PromotionOptions, say: Say) -> None:
        self._stage = stage
        self._options = options
        self._say = say
        self._id = uuid.uuid4().hex[:12]
        self._name = trial_name(options.model, options.version)
        self._base = Assignment(stage.loaded, stage.triton.grpc_address)

    async def promote(self) -> None:
        """Put the version into service. Raises ``OperatorError`` when it is not; then all is as it was."""
        served = self._stage.store.served(self._options.model)
        if version_of(served) == self._options.version:
            raise OperatorError(f"Version {self._options.version} of {self._options.model} is what is served.")
        folder = await self._step("copy", self._copy)
        await self._in_service(Path(folder["folder"]), self._prove, served)

    async def roll_back(self, folder: Path) -> None:
        """Put what was served before, in ``folder``, into service again, at once. Raises ``OperatorError``."""
        await self._in_service(folder, self._look_over, self._stage.store.served(self._options.model))

    async def _in_service(self, folder: Path, prove: Callable[[Path], Awaitable[None]], served: Path) -> None:
        options, stage = self._options, self._stage
        before = served, stage.store.previous(options.model)
        try:
            await self._step("load", lambda: self._load(folder))
            await prove(folder)
            await self._step("switch", self._switch)
            await self._step("replace", lambda: self._replace(folder))
        except BaseException as exc:
            await asyncio.shield(self._go_back(*before, exc))
            raise
        finally:
            with suppress(OperatorError):
                await stage.triton.unload(self._name, timeout_s=_UNLOAD_WITHIN_S)
            stage.store.end_trial(options.model, options.version)
        self._note("done", "ok", {"served": str(folder)})

    async def _prove(self, folder: Path) -> None:
        await self._look_over(folder)
        golden = self._options.golden or next(
            (
                each / GOLDEN_FILE
                for each in (folder, self._stage.store.served(self._options.model))
                if (each / GOLDEN_FILE).is_file()
            ),
            None,
        )
        await self._optional("golden", golden, lambda file: self._checked(lambda c: c.golden(read_golden(file))))
        await self._optional("eval", self._options.routing_tests, self._evaluate)
        await self._optional("shadow", self._options.shadow_s or None, self._shadow)
        shared = self._options.canary and self._options.canary_s
        await self._optional("canary", shared or None, lambda _: self._canary())

    async def _look_over(self, folder: Path) -> None:
        await self._step("contract", lambda: self._checked(lambda checks: checks.contract()))
        await self._step("warm_up", lambda: self._checked(lambda checks: checks.warm_up()))

    async def _copy(self) -> Mapping[str, Any]:
        options, store = self._options, self._stage.store
        source = options.source or store.find(options.model, options.version, self._stage.sources)
        if options.source is None and store.is_here(source):
            return {"folder": str(source)}
        folder = await asyncio.to_thread(store.bring_in, options.model, options.version, source)
        return {"folder": str(folder), "from": str(source)}

    async def _load(self, folder: Path) -> Mapping[str, Any]:
        options, stage = self._options, self._stage
        name = stage.store.begin_trial(options.model, options.version, folder)
        await stage.triton.load(name, needed=False, timeout_s=options.timeout_s)
        return {"name": name}

    async def _checked(self, check: Callable[[VersionChecks], Awaitable[Mapping[str, Any] | None]]) -> Any:
        client = TritonClient(self._stage.triton.grpc_address)
        try:
            timeout_s = self._options.answer_within_s
            return await check(VersionChecks(client, self._options.model, self._name, timeout_s=timeout_s))
        finally:
            await client.close()

    async def _evaluate(self, file: Path) -> Mapping[str, Any]:
        stage = self._stage
        tests = await asyncio.to_thread(load_routing_tests, file)
        tried = replace(stage.loaded, config=with_orchestrator(stage.loaded, self._options.model, self._name))
        quiet = Console(file=None, quiet=True)
        report = await run_routing_tests(tried, tests, stage.triton.grpc_address, stage.state_dir, quiet)
        found = {"accuracy": report.accuracy, "minimum": tests.minimum, "cases": len(report.outcomes)}
        if report.accuracy < tests.minimum:
            raise OperatorError(f"{report.accuracy:.1%} of the routing tests are right, not {tests.minimum:.1%}.")
        return found

    async def _shadow(self, seconds: float) -> Mapping[str, Any]:
        model = self._options.model
        await self._stage.pool.replace(replace(self._base, directions=Directions(beside={model: self._name})))
        found = await self._watch(seconds, "serving", model)
        if found["compared"] and found["agreed"] < self._options.agreement * found["compared"]:
            raise OperatorError(
                f"It decides {found['agreed']} of {found['compared']} requests as the old version does, "
                f"fewer than {self._options.agreement:.0%}."
            )
        return found

    async def _canary(self) -> Mapping[str, Any]:
        pool, model = self._stage.pool, self._options.model
        await pool.replace(replace(self._base, directions=Directions(targets={model: model})))
        await pool.try_out(Trial(self._target, self._options.canary))
        found = await self._watch(self._options.canary_s, "candidate", model)
        await pool.give_back()
        return found

    async def _switch(self) -> None:
        pool = self._stage.pool
        await pool.replace(self._target)
        await pool.settle()

    async def _replace(self, folder: Path) -> None:
        options, stage = self._options, self._stage
        stage.store.serve(options.model, folder)
        await stage.triton.load(options.model, needed=options.model in stage.triton.models, timeout_s=options.timeout_s)
        await stage.pool.replace(self._base)
        await stage.pool.settle()

    @property
    def _target(self) -> Assignment:
        return replace(self._base, directions=Directions(targets={self._options.model: self._name}))

    async def _go_back(self, served: Path, previous: Path | None, cause: BaseException) -> None:
        """Have everything answered by what is served, as before."""
        options, stage = self._options, self._stage
        said = cause.message if isinstance(cause, OperatorError) else type(cause).__name__
        try:
            if stage.store.served(options.model) != served:
                # The new version answers everything under its other name meanwhile.
                stage.store.restore(options.model, served, previous)
                await stage.triton.load(options.model, needed=options.model in stage.triton.models)
            with suppress(OperatorError):
                await stage.pool.give_back()
            await stage.pool.replace(self._base)
            await stage.pool.settle()
            self._note("go_back", "ok", {"cause": said, "served": str(served)})
        except OperatorError as exc:
            logger.exception("promotion did not go back")
            self._note("go_back", "failed", {"cause": said, "reason": exc.message})

    async def _watch(self, seconds: float, whose: str, model: str) -> dict[str, Any]:
        """Look on for a while; how the version has done. Raises ``OperatorError`` as soon as it fails requests."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while True:
            left = until - loop.time()
            await asyncio.sleep(max(0.0, min(_REPORT_EVERY_S, left)))
            reports = await self._stage.pool.report()
            new, old = _summed(reports, whose, self._name), _summed(reports, "serving", model)
            if new["failed"]:
                raise OperatorError(f"It failed {new['failed']} of {new['asked']} requests.")
            if left <= 0:
                break
        slow_s, limit_s = _p95(new["times_s"]), max(SLOW_FLOOR_S, SLOWER_BY * _p95(old["times_s"]))
        if old["times_s"] and slow_s > limit_s:
            raise OperatorError(
                f"It is too slow: 95 of 100 answers take {slow_s * 1000:.0f} ms, not {limit_s * 1000:.0f}."
            )
        return {
            "asked": new["asked"],
            "compared": new["compared"],
            "agreed": new["agreed"],
            "p95_ms": round(slow_s * 1000, 1),
            "old_p95_ms": round(_p95(old["times_s"]) * 1000, 1),
        }

    async def _optional(self, step: str, wanted: Any, work: Callable[[Any], Awaitable[Any]]) -> None:
        if wanted is None:
            self._note(step, "skipped", {})
        else:
            await self._step(step, lambda: work(wanted))

    async def _step(self, step: str, work: Callable[[], Awaitable[Mapping[str, Any] | None]]) -> Mapping[str, Any]:
        began = asyncio.get_running_loop().time()
        try:
            found = await work()
        except BaseException as exc:
            said = exc.message if isinstance(exc, OperatorError) else type(exc).__name__
            self._note(step, "failed", {"reason": said})
            raise
        took_s = round(asyncio.get_running_loop().time() - began, 3)
        self._note(step, "ok", {**(found or {}), "took_s": took_s})
        return found or {}

    def _note(self, step: str, outcome: str, details: Mapping[str, Any]) -> None:
        """A line of the audit log, on the disk before anything else happens; and for whoever waits."""
        line = {
            "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds"),
            "change": self._id,
            "model": self._options.model,
            "version": self._options.version,
            "step": step,
            "outcome": outcome,
            **details,
        }
        descriptor = os.open(self._stage.folder / AUDIT_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._say(line)


def _summed(reports: Sequence[Mapping[str, Any]], whose: str, name: str) -> dict[str, Any]:
    """The tallies of all workers together."""
    tallies = [report[whose][name] for report in reports if name in report[whose]]
    counts = {key: sum(tally[key] for tally in tallies) for key in ("asked", "failed", "compared", "agreed")}
    return {**counts, "times_s": [time_s for tally in tallies for time_s in tally["times_s"]]}


def _p95(times_s: Sequence[float]) -> float:
    return sorted(times_s)[int(0.95 * len(times_s))] if times_s else 0.0
