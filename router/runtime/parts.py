"""What a runtime is given, and what its parts share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from router.access.control import AccessControl
from router.config import Config
from router.memories.base import MemoryStore
from router.pricing import PriceTable
from router.state.kept import KeptStores
from router.telemetry.metrics import Metrics
from router.triton.client import TritonClient
from router.triton.directed import DirectedClient, Directions
from router.upstream.http import HttpClient

if TYPE_CHECKING:
    from router.runtime.services import Elsewhere  # loads gRPC


@dataclass(slots=True)
class Parts:
    """What the parts of a runtime share."""

    config: Config
    client: HttpClient
    triton: TritonClient
    metrics: Metrics
    prices: PriceTable
    access: AccessControl
    memories: MemoryStore | None = None
    elsewhere: Elsewhere | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a runtime finds itself: Triton's address, a folder for its state, and how many others serve beside it.

    ``state_dir`` belongs to the workers of one instance; each of them is a runtime of its own, with a ``number``.
    ``telemetry`` is the address of the process that is told what happened, ``None`` where there is none. ``stores``
    are those in this process's memory, which the next runtime finds again. ``directions`` are for asking Triton.
    """

    triton_url: str
    state_dir: Path
    workers: int = 1
    number: int = 0
    telemetry: str | None = None
    stores: KeptStores = field(default_factory=KeptStores)
    directions: Directions = field(default_factory=Directions)

    def triton(self) -> TritonClient:
        """A client for Triton; whoever gets it closes it."""
        if self.directions == Directions():
            return TritonClient(self.triton_url)
        return DirectedClient(self.triton_url, self.directions)
