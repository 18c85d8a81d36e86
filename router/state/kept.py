"""Stores in this process's memory that outlive the configuration which opened them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from router.state.memory import MemoryStore


class KeptStore(MemoryStore):
    """A store that stays when who uses it closes it, for whoever uses it next."""

    async def close(self) -> None:
        """Nothing is let go of."""


class KeptStores:
    """Gives the same store again to whoever asks for one by the same name, as long as its bounds stay the same."""

    def __init__(self) -> None:
        self._stores: dict[str, tuple[dict[str, Any], KeptStore]] = {}

    def named(self, name: str) -> Callable[..., MemoryStore]:
        """What makes the store called ``name``, to be called with the bounds of ``MemoryStore``."""

        def make(**bounds: Any) -> MemoryStore:
            known = self._stores.get(name)
            if known is None or known[0] != bounds:
                known = self._stores[name] = bounds, KeptStore(**bounds)
            return known[1]

        return make
