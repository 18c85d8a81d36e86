"""From the configuration to a ``memory`` filter."""

from __future__ import annotations

from router.config.filters import Filter as FilterConfig
from router.filters.memory import NEVER_KEPT, MemoryFilter, key_source
from router.memories.base import MemoryBounds, MemoryStore
from router.memories.memories import Memories, MemorySettings
from router.pii.redactor import DetectionPolicy, Redactor
from router.telemetry.metrics import Metrics
from router.triton.client import TritonClient
from router.triton.models import Encoder


def memory_filter(config: FilterConfig, triton: TritonClient, store: MemoryStore, metrics: Metrics) -> MemoryFilter:
    """The filter of ``config``; its memories are in ``store``, under its own name."""
    wanted = config.memory
    settings = MemorySettings(
        max_recalled=wanted.max_recalled,
        min_similarity=wanted.min_similarity,
        same_similarity=wanted.same_similarity,
        ttl_s=wanted.ttl,
        bounds=MemoryBounds(wanted.max_facts, wanted.max_keys),
    )
    return MemoryFilter(
        config.id,
        Memories(store, Encoder(triton, wanted.model), settings),
        key_source(wanted.key, wanted.header),
        Redactor(DetectionPolicy(entities=NEVER_KEPT)),
        metrics,
        max_fact_chars=wanted.max_fact_chars,
        timeout_s=config.timeout,
    )
