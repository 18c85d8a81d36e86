"""Who may ask for how much, as one configuration says: keys, limits, and the store of their counters."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path

from router.access.budgets import PriceTable
from router.access.control import AccessControl
from router.access.counters import Counters
from router.access.key_file import KeyFileWatch
from router.access.keys import Grant, KeyRing
from router.access.rate_limits import RateLimits
from router.config import Config, Listener
from router.dialects.canonical import Usage
from router.listeners.auth import Authenticate, KeyAuthentication
from router.state.base import Store
from router.state.kept import KeptStores
from router.state.memory import MemoryStore
from router.state.opening import open_store
from router.telemetry.metrics import Metrics

_SOME_TOKENS = Usage(1_000_000, 1_000_000)


class Access:
    """``control`` for the handlers, `authentication` for the listeners. `open` it, and ``close`` it after them."""

    def __init__(self, config: Config, ring: KeyRing, control: AccessControl, metrics: Metrics) -> None:
        self.control = control
        self._auth = config.auth
        self._ring = ring
        self._metrics = metrics
        self._closing = AsyncExitStack()

    @classmethod
    async def open(
        cls,
        config: Config,
        *,
        state_dir: Path,
        workers: int,
        prices: PriceTable,
        metrics: Metrics,
        stores: KeptStores | None = None,
    ) -> Access:
        """Read the keys and open the store. Raises ``OperatorError`` when one of them cannot be used.

        ``state_dir`` is where the workers of this instance, ``workers`` in number, share a file when they have to;
        ``stores`` are those in memory that a reload keeps.
        """
        names = _names(config)
        ring = KeyRing(Grant.of(key, names) for key in config.auth.keys) if config.auth is not None else KeyRing()
        async with AsyncExitStack() as opened:
            watch = _watch(config, ring)
            if watch is not None:
                watch.load()
                watch.start()
                opened.push_async_callback(watch.close)
            store = await _store(config, ring, state_dir, workers, stores or KeptStores())
            opened.push_async_callback(store.close)
            rate_limits = RateLimits.of(config.ratelimits, names)
            counters = Counters(store, workers=workers)
            has_free_models = any(_may_be_free(entry.model, prices) for entry in config.model_providers)
            control = AccessControl(ring, rate_limits, counters, prices, metrics, has_free_models=has_free_models)
            control.start()
            opened.push_async_callback(control.close)
            access = cls(config, ring, control, metrics)
            access._closing = opened.pop_all()
        return access

    async def close(self) -> None:
        """Settle the counters, then let go of the store and the key file."""
        await self._closing.aclose()

    def authentication(self, listener: Listener) -> Authenticate | None:
        """How ``listener`` finds out whose a request is; ``None`` where it serves everybody."""
        if self._auth is None or listener.unauthenticated:
            return None
        return KeyAuthentication(self._ring, self._metrics, header=self._auth.header)


def _may_be_free(model: str, prices: PriceTable) -> bool:
    """Whether ``provider/model``, or one below it where that is a wildcard, may cost nothing."""
    return model.endswith("/*") or prices.cost_usd(model, _SOME_TOKENS) == 0


def _watch(config: Config, ring: KeyRing) -> KeyFileWatch | None:
    if config.auth is None or config.auth.file is None:
        return None
    listeners = [listener.name for listener in config.listeners]
    return KeyFileWatch(ring, config.auth.file, config.auth.keys, listeners, names=_names(config))


async def _store(config: Config, ring: KeyRing, state_dir: Path, workers: int, stores: KeptStores) -> Store:
    from_file = config.auth is not None and config.auth.file is not None  # whose keys may come to have limits
    quotas = [quota for grant in ring.grants for quota in grant.quotas]
    if not (config.ratelimits or quotas or from_file):
        return MemoryStore()
    durable = from_file or any(quota.kind == "budget" for quota in quotas)
    memory = stores.named("counters")
    return await open_store(config.state_storage, directory=state_dir, workers=workers, durable=durable, memory=memory)


def _names(config: Config) -> dict[str, str]:
    """What names that may stand for models lead to: aliases to their targets, providers to their models."""
    providers: Iterable[tuple[str, str]] = ((entry.name, entry.model) for entry in config.model_providers)
    names = {name: model for name, model in providers if name != model}
    names.update((alias, entry.target) for alias, entry in config.model_aliases.items())
    return names
