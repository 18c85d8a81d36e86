"""State of responses and conversations, as one configuration says, around the handlers of listeners."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from router.config import Config
from router.config.state import StateStorage
from router.conversations.archive import Archive, Bounds
from router.conversations.conversations import Conversations
from router.conversations.responses import Responses
from router.dialects import openai_responses
from router.handlers.conversation_objects import ConversationObjects
from router.handlers.conversations import StatefulResponses, StatePolicy
from router.listeners.middleware import Resource
from router.state.base import Store
from router.state.kept import KeptStores
from router.state.opening import open_conversation_store
from router.telemetry.metrics import Metrics

_DECIDING = f"/routing{openai_responses.PATH}"
_DEFAULT = StateStorage(type="sqlite")


class ConversationState:
    """`open` it before listeners are made, and ``close`` it after them."""

    def __init__(self, config: Config, store: Store | None, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self._settings = settings = config.state_storage or _DEFAULT
        self._policy = StatePolicy(settings.store_responses == "by_default", config.routing.session_cache.tenant_header)
        self._bounds = Bounds(
            settings.ttl,
            settings.max_response_bytes,
            settings.max_conversation_items,
            settings.max_conversation_bytes,
        )

    @classmethod
    async def open(
        cls, config: Config, *, state_dir: Path, workers: int, metrics: Metrics, stores: KeptStores | None = None
    ) -> ConversationState:
        """Open the store, unless nothing is to be kept. Raises ``OperatorError`` when it cannot be used.

        ``stores`` are those in memory that a reload keeps.
        """
        settings = config.state_storage or _DEFAULT
        store = None
        if settings.store_responses != "never":
            memory = (stores or KeptStores()).named("conversations")
            store = await open_conversation_store(settings, directory=state_dir, workers=workers, memory=memory)
        return cls(config, store, metrics)

    async def close(self) -> None:
        """Let go of the store."""
        if self._store is not None:
            await self._store.close()

    def around(self, paths: Mapping[str, Resource]) -> dict[str, Resource]:
        """What a listener offers, with state where it serves responses; paths may be templates."""
        create = paths.get(openai_responses.PATH)
        if self._store is None or create is None:
            return dict(paths)
        archive = Archive(self._store, self._bounds)
        conversations = Conversations(archive)
        responses = Responses(archive, conversations)
        degraded = partial(self._metrics.degraded, "state")
        stateful = StatefulResponses(
            create.methods["POST"], archive, responses, conversations, self._policy, count_degraded=degraded
        )
        objects = ConversationObjects(responses, conversations, tenant_header=self._policy.tenant_header)
        offered = {path: Resource(methods, openai_responses.NAME) for path, methods in objects.paths().items()}
        offered[openai_responses.PATH] = create._replace(methods={"POST": stateful.create})
        if (decide := paths.get(_DECIDING)) is not None:
            deciding = StatefulResponses(
                decide.methods["POST"], archive, responses, conversations, self._policy, count_degraded=degraded
            )
            offered[_DECIDING] = decide._replace(methods={"POST": deciding.decide})
        return {**paths, **offered}
