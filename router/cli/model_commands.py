"""What the supervisor of an instance does for ``trident models``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from router.cli.control import Handler, Say
from router.cli.holdings import Holdings, UpOptions
from router.cli.pool import WorkerPool
from router.cli.promotion import Promotion, PromotionOptions, Stage
from router.cli.reloading import Reloader
from router.cli.triton import model_store
from router.dialects.canonical import JsonObject
from router.errors import OperatorError
from router.runtime import models_in_use
from router.triton.repository import embedded_repositories
from router.triton.server import EmbeddedTriton
from router.triton.store import check_model, version_of


class Promote(BaseModel):
    """The fields of the command ``promote``; see ``PromotionOptions``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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


class ModelCommands:
    """The handlers of ``load``, ``unload``, ``promote`` and ``rollback``."""

    def __init__(self, holdings: Holdings, reloader: Reloader, pool: WorkerPool, options: UpOptions) -> None:
        self._holdings = holdings
        self._reloader = reloader
        self._pool = pool
        self._options = options

    @property
    def handlers(self) -> dict[str, Handler]:
        """By name of command."""
        return {"load": self._load, "unload": self._unload, "promote": self._promote, "rollback": self._roll_back}

    async def _load(self, fields: Mapping[str, Any], say: Say) -> JsonObject:
        model = check_model(str(fields.get("model")))
        async with self._reloader.changing(""):
            triton = self._triton
            await triton.load(model, needed=model in triton.models)
        return {}

    async def _unload(self, fields: Mapping[str, Any], say: Say) -> JsonObject:
        model = check_model(str(fields.get("model")))
        if model in models_in_use(self._reloader.loaded.config) and not fields.get("force"):
            raise OperatorError(f"The configuration needs {model}.", fix="Change it first, or use --force.")
        async with self._reloader.changing(""):
            await self._triton.unload(model)
        return {}

    async def _promote(self, fields: Mapping[str, Any], say: Say) -> JsonObject:
        try:
            asked = Promote.model_validate({key: value for key, value in fields.items() if key != "command"})
        except ValidationError as exc:
            raise OperatorError(f"This cannot be promoted so: {exc.error_count()} wrong fields.") from exc
        options = PromotionOptions(**dict(asked))
        async with self._reloader.changing(f"{options.model} is being promoted."):
            await Promotion(self._stage(), options, say).promote()
        return {}

    async def _roll_back(self, fields: Mapping[str, Any], say: Say) -> JsonObject:
        model = check_model(str(fields.get("model")))
        async with self._reloader.changing(f"{model} is being rolled back."):
            stage = self._stage()
            folder = stage.store.previous(model)
            if folder is None:
                raise OperatorError(f"There is nothing that {model} could be rolled back to.")
            version = version_of(folder)
            await Promotion(stage, PromotionOptions(model, version), say).roll_back(folder)
        return {"version": version}

    @property
    def _triton(self) -> EmbeddedTriton:
        running = self._holdings.triton
        if running is None or running.server is None:
            raise OperatorError(
                "The Triton of this instance is not one that it has started.",
                fix="Change models there by the means of whoever runs it; `trident models load` makes it read them.",
            )
        return running.server

    def _stage(self) -> Stage:
        loaded = self._reloader.loaded
        return Stage(
            loaded=loaded,
            triton=self._triton,
            store=model_store(self._holdings.folder),
            sources=embedded_repositories(loaded.config.triton.model_repository),
            pool=self._pool,
            folder=self._holdings.folder,
            state_dir=self._options.state_dir,
        )
