from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import ModelNotFound, ProviderUnavailable
from router.routing.models import HINT_HEADER, ModelRouter, ProviderModel

NO_KEY = "'anthropic/claude' cannot be used: KEY is not set."
ENTRIES = [
    ProviderModel("openai/gpt-4o", "openai", "gpt-4o", default=True),
    ProviderModel("anthropic/claude", "anthropic", "claude", unavailable=NO_KEY),
    ProviderModel("mirror/claude", "mirror", "claude"),
    ProviderModel("east", "azure_openai", "gpt-4o"),
    ProviderModel("west", "azure_openai", "gpt-4o"),
    ProviderModel("together_ai/meta/llama", "together_ai", "meta/llama"),
    ProviderModel("groq/*", "groq", "*"),
]
ROUTER = ModelRouter(ENTRIES, {"fast": "small", "small": "groq/llama", "smart": "gpt-4o", "east-alias": "east"})


def _choices(requested: str | None, hint: str | None = None, router: ModelRouter = ROUTER) -> list[tuple[str, ...]]:
    """Each choice as the model to ask for and the ids of the entries that serve it."""
    choices = router.choices(requested, hint)
    return [(choice.model, *(entry.id for entry in choice.entries)) for choice in choices]


@pytest.mark.parametrize(
    ("requested", "expected"),
    [
        (None, [("gpt-4o", "openai/gpt-4o"), ("gpt-4o", "east", "west")]),
        ("openai/gpt-4o", [("gpt-4o", "openai/gpt-4o"), ("gpt-4o", "east", "west")]),
        ("azure_openai/gpt-4o", [("gpt-4o", "east", "west"), ("gpt-4o", "openai/gpt-4o")]),
        ("gpt-4o", [("gpt-4o", "openai/gpt-4o", "east", "west")]),
        ("smart", [("gpt-4o", "openai/gpt-4o", "east", "west")]),
        ("west", [("gpt-4o", "west"), ("gpt-4o", "east"), ("gpt-4o", "openai/gpt-4o")]),
        ("east-alias", [("gpt-4o", "east"), ("gpt-4o", "west"), ("gpt-4o", "openai/gpt-4o")]),
        ("fast", [("llama", "groq/*")]),
        ("groq/a/b", [("a/b", "groq/*")]),
        ("meta/llama", [("meta/llama", "together_ai/meta/llama")]),
        ("groq/meta/llama", [("meta/llama", "groq/*"), ("meta/llama", "together_ai/meta/llama")]),
        ("claude", [("claude", "mirror/claude")]),
        ("anthropic/claude", [("claude", "mirror/claude")]),
        ("llama-9", [("llama-9", "groq/*")]),
    ],
)
def test_a_name_leads_to_what_serves_it_and_then_to_other_providers(
    requested: str | None, expected: list[tuple[str, ...]]
) -> None:
    assert _choices(requested) == expected
    first = ROUTER.choose(requested)
    assert (first.model, first.entry.id) == expected[0][:2]


def test_the_hint_wins_over_the_model_of_the_body() -> None:
    assert _choices("gpt-4o", "west")[0] == ("gpt-4o", "west")
    assert _choices(None, "fast") == [("llama", "groq/*")]
    with pytest.raises(ModelNotFound) as caught:
        ROUTER.choices("gpt-4o", "nope/x")
    assert caught.value.param == HINT_HEADER


def test_an_exact_entry_goes_before_the_wildcard_of_its_provider() -> None:
    entries = [ProviderModel("all", "openai", "*"), ProviderModel("one", "openai", "gpt-4o", unavailable="no key")]
    assert _choices("openai/gpt-4o", router=ModelRouter(entries, {})) == [("gpt-4o", "all")]
    usable = [entries[0], ProviderModel("one", "openai", "gpt-4o")]
    assert _choices("openai/gpt-4o", router=ModelRouter(usable, {})) == [("gpt-4o", "one"), ("gpt-4o", "all")]


def test_two_wildcards_of_one_provider_are_one_cluster() -> None:
    router = ModelRouter([ProviderModel("a", "vllm", "*"), ProviderModel("b", "vllm", "*")], {})
    assert _choices("vllm/x", router=router) == _choices("x", router=router) == [("x", "a", "b")]


def test_of_an_unknown_model_only_the_list_says_what_is_known() -> None:
    with pytest.raises(ModelNotFound, match=r"Unknown model 'nope/x'.*/v1/models") as caught:
        ROUTER.choose("nope/x")
    assert caught.value.param == "model"
    assert "gpt-4o" not in caught.value.message


@pytest.mark.parametrize("name", ["groq/", "groq/*", "/llama", "nope/*"])
def test_half_a_name_is_no_name(name: str) -> None:
    with pytest.raises(ModelNotFound):
        ROUTER.choose(name)


def test_a_bare_name_does_not_choose_between_wildcards() -> None:
    with pytest.raises(ModelNotFound):
        ModelRouter([*ENTRIES, ProviderModel("xai/*", "xai", "*")], {}).choose("llama-9")


def test_no_default_is_said() -> None:
    with pytest.raises(ModelNotFound, match="none is the default"):
        ModelRouter(ENTRIES[1:], {}).choose(None)


@pytest.mark.parametrize("name", ["anthropic/claude", "claude", "alias"])
def test_a_model_that_nobody_can_be_asked_for_says_why(name: str) -> None:
    with pytest.raises(ProviderUnavailable, match="KEY is not set"):
        ModelRouter(ENTRIES[:2], {"alias": "claude"}).choose(name)


def test_names_are_known_whether_available_or_not() -> None:
    router = ModelRouter(ENTRIES, {"fast": "groq/llama"})
    assert all(router.knows(name) for name in ("fast", "anthropic/claude", "claude", "west", "groq/x", "x"))
    assert not router.knows("nope/x")
    assert [router.usable(name) for name in ("fast", "claude", "west", "nope/x")] == [True, True, True, False]
    assert not ModelRouter(ENTRIES[:2], {}).usable("claude")


def test_prices_and_latencies_are_looked_up_under_the_full_name() -> None:
    assert ROUTER.full_name("fast") == "groq/llama"
    assert ROUTER.full_name("claude") == "mirror/claude"
    assert ROUTER.full_name("nope/x") == "nope/x"


@given(st.text(max_size=300))
def test_a_choice_is_found_again_by_its_name(name: str) -> None:
    if ROUTER.knows(name):
        choices = ROUTER.choices(name)
        assert [ROUTER.choices(choice.name)[0].model for choice in choices] == [choice.model for choice in choices]


def test_an_endless_name_is_not_repeated_at_length() -> None:
    with pytest.raises(ModelNotFound) as caught:
        ROUTER.choices("x/" * 100_000)
    assert len(caught.value.message) < 500


def test_a_name_below_a_wildcard_has_a_bound() -> None:
    assert ROUTER.knows("groq/" + "x" * 500)
    assert not ROUTER.knows("groq/" + "x" * 510)
    assert not ROUTER.knows("x" * 100_000)


def test_every_model_behind_a_name_can_be_told() -> None:
    assert ROUTER.full_names("smart") == ("openai/gpt-4o", "azure_openai/gpt-4o")
    assert ROUTER.full_names("nobody/nothing") == ()
