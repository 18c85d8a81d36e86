from __future__ import annotations

import pytest

from router.access.control import AccessControl
from router.access.counters import Counters
from router.access.keys import Grant, KeyRing
from router.access.rate_limits import RateLimits
from router.config.access import ApiKey
from router.context import Identity
from router.errors import PermissionDenied
from router.handlers.serving import ModelServing
from router.routing.models import ModelRouter, ProviderModel
from router.state.memory import MemoryStore
from router.upstream.fallback import Fallback, FallbackPolicy
from tests.fakes.counters import RecordedMetrics
from tests.fakes.prices import FakePrices

ROUTER = ModelRouter(
    [
        ProviderModel("openai/gpt-4o", "openai", "gpt-4o"),
        ProviderModel("azure/gpt-4o", "azure", "gpt-4o"),
        ProviderModel("openrouter/*", "openrouter", "*"),
    ],
    {},
)
TEAM = Identity("team")


def _permitted(requested: str, *models: str) -> list[str]:
    """Which entries may be asked for ``requested`` with a key for ``models``."""
    metrics = RecordedMetrics().metrics
    key = ApiKey(name="team", key="tr-0123456789012345678901234567890123456789", models=models)
    counters = Counters(MemoryStore())
    access = AccessControl(KeyRing([Grant.of(key)]), RateLimits.of((), {}), counters, FakePrices({}), metrics)
    serving = ModelServing({}, Fallback(FallbackPolicy(), metrics), access, max_retries=None)
    return [entry.id for choice in serving.permitted(ROUTER.choices(requested), TEAM) for entry in choice.entries]


@pytest.mark.parametrize("requested", ["gpt-4o", "openai/gpt-4o", "azure/gpt-4o"])
def test_of_several_providers_of_a_model_only_those_of_the_key_are_asked(requested: str) -> None:
    assert _permitted(requested, "azure/gpt-4o") == ["azure/gpt-4o"]
    assert _permitted(requested, "openai/*") == ["openai/gpt-4o"]
    assert sorted(_permitted(requested, "gpt-4o")) == ["azure/gpt-4o", "openai/gpt-4o"]


def test_a_name_that_hides_another_one_is_no_way_around_the_models_of_a_key() -> None:
    with pytest.raises(PermissionDenied):
        _permitted("openrouter/anything/gpt-4o", "gpt-4o")
