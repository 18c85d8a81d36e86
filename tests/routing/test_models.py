from __future__ import annotations

import pytest

from router.errors import ModelNotFound, ProviderUnavailable
from router.routing.models import ModelRouter, ProviderModel

ENTRIES = [
    ProviderModel("openai/gpt-4o", "openai", "gpt-4o", default=True),
    ProviderModel(
        "anthropic/claude", "anthropic", "claude", unavailable="'anthropic/claude' cannot be used: KEY is not set."
    ),
    ProviderModel("mirror/claude", "mirror", "claude"),
    ProviderModel("groq/*", "groq", "*"),
]
ROUTER = ModelRouter(ENTRIES, {"fast": "small", "small": "groq/llama", "smart": "gpt-4o"})


@pytest.mark.parametrize(
    ("requested", "entry", "model"),
    [
        (None, "openai/gpt-4o", "gpt-4o"),
        ("openai/gpt-4o", "openai/gpt-4o", "gpt-4o"),
        ("gpt-4o", "openai/gpt-4o", "gpt-4o"),
        ("smart", "openai/gpt-4o", "gpt-4o"),
        ("fast", "groq/*", "llama"),
        ("groq/a/b", "groq/*", "a/b"),
        ("claude", "mirror/claude", "claude"),
        ("llama-9", "groq/*", "llama-9"),
    ],
)
def test_a_name_finds_its_provider(requested: str | None, entry: str, model: str) -> None:
    choice = ROUTER.choose(requested)
    assert (choice.entry.id, choice.model) == (entry, model)


def test_an_unknown_model_is_told_what_is_known() -> None:
    with pytest.raises(ModelNotFound, match=r"Unknown model 'nope/x'.*fast.*openai/gpt-4o") as caught:
        ROUTER.choose("nope/x")
    assert caught.value.param == "model"


def test_a_bare_name_does_not_choose_between_wildcards() -> None:
    with pytest.raises(ModelNotFound):
        ModelRouter([*ENTRIES, ProviderModel("xai/*", "xai", "*")], {}).choose("llama-9")


def test_no_default_is_said() -> None:
    with pytest.raises(ModelNotFound, match="none is the default"):
        ModelRouter(ENTRIES[1:], {}).choose(None)


def test_a_provider_without_a_key_says_so() -> None:
    with pytest.raises(ProviderUnavailable, match="KEY is not set"):
        ROUTER.choose("anthropic/claude")
