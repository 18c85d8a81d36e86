from __future__ import annotations

import time
from collections.abc import Sequence

import orjson
import pytest

from router.access.keys import Grant, KeyRing
from router.config.access import ApiKey
from router.context import Identity, RequestContext
from router.handlers.meta import ListedModel, MetaHandler

MODELS = [
    ListedModel("openai/gpt-4o", ("openai/gpt-4o",), True),
    ListedModel("anthropic/claude", ("anthropic/claude",), False),
    ListedModel("smart", ("anthropic/claude", "openai/gpt-4o"), True),
]


async def _nothing_missing() -> Sequence[str]:
    return ()


async def _listed(identity: Identity | None, *keys: ApiKey) -> dict[str, bool]:
    handler = MetaHandler(MODELS, _nothing_missing, KeyRing(Grant.of(key) for key in keys))
    context = RequestContext("req-1", "front", "/v1/models", {}, time.monotonic() + 5, identity=identity)
    reply = await handler.models(context, b"")
    assert isinstance(reply.body, bytes)
    return {model["id"]: model["available"] for model in orjson.loads(reply.body)["data"]}


@pytest.mark.parametrize(
    ("models", "seen"),
    [
        ((), ["openai/gpt-4o", "anthropic/claude", "smart"]),
        (("openai/*",), ["openai/gpt-4o", "smart"]),
        (("claude",), ["anthropic/claude", "smart"]),
        (("groq/*",), []),
    ],
)
async def test_a_key_is_shown_the_models_that_it_is_for(models: tuple[str, ...], seen: list[str]) -> None:
    key = ApiKey(name="team", key="tr-0123456789012345678901234567890123456789", models=models)
    assert list(await _listed(Identity("team"), key)) == seen


async def test_without_keys_all_models_are_shown_with_whether_they_can_be_asked() -> None:
    assert await _listed(None) == {"openai/gpt-4o": True, "anthropic/claude": False, "smart": True}
