from __future__ import annotations

import datetime
from importlib import resources

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dialects.canonical import Usage
from router.pricing import ModelFacts, ModelPrice, PriceTable, Rates, bundled_facts


def _facts(input_: float, output: float, window: int | None = None) -> ModelFacts:
    return ModelFacts(ModelPrice(Rates(input_, output)), window)


def _table(**bundled: ModelFacts) -> PriceTable:
    return PriceTable({}, {name.replace("__", "/"): facts for name, facts in bundled.items()})


def test_every_kind_of_token_has_its_price() -> None:
    price = ModelPrice(Rates(input=2, output=8, cached_input=0.5, cache_write=2.5))
    usage = Usage(input=1_000_000, output=500_000, cached=600_000, cache_write=100_000, reasoning=400_000)
    assert price.cost_usd(usage) == pytest.approx(0.3 * 2 + 0.6 * 0.5 + 0.1 * 2.5 + 0.5 * 8)


def test_the_cache_costs_what_input_costs_where_nothing_else_is_said() -> None:
    usage = Usage(input=1_000_000, output=0, cached=600_000, cache_write=100_000)
    assert ModelPrice(Rates(2, 8)).cost_usd(usage) == pytest.approx(2)


def test_a_free_cache_is_free() -> None:
    assert ModelPrice(Rates(2, 8, cached_input=0)).cost_usd(Usage(input=1_000_000, output=0, cached=1_000_000)) == 0


def test_a_long_input_has_its_own_price_for_everything() -> None:
    price = ModelPrice(Rates(1, 10), Rates(2, 15), long_above=200_000)
    assert price.cost_usd(Usage(200_000, 100_000)) == pytest.approx(0.2 + 1)
    assert price.cost_usd(Usage(200_001, 100_000)) == pytest.approx(0.400002 + 1.5)


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9), st.floats(0, 1000))
def test_no_answer_costs_less_than_nothing(input_: int, output: int, cached: int, written: int, rate: float) -> None:
    assert ModelPrice(Rates(rate, rate)).cost_usd(Usage(input_, output, cached, written)) >= 0


def test_an_unknown_model_has_no_price() -> None:
    table = PriceTable({})
    assert table.price("nope/x") is None
    assert table.cost_usd("nope/x", Usage(1, 1)) is None
    assert table.blended_usd("nope/x") is None
    assert table.context_window("nope/x") is None


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("openai/gpt-4o-2024-08-06", "openai/gpt-4o"),
        ("azure_openai/gpt-4o", "openai/gpt-4o"),
        ("openrouter/openai/gpt-4o", "openai/gpt-4o"),
        ("openrouter/openai/gpt-4o:free", "openai/gpt-4o"),
        ("vercel/google/gemini-2.5-pro", "gemini/gemini-2.5-pro"),
        ("anthropic/claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5"),
        ("anthropic/claude-3-5-haiku-latest", "anthropic/claude-3-5-haiku"),
        ("openrouter/anthropic/claude-sonnet-4.5", "anthropic/claude-sonnet-4-5"),
        ("amazon_bedrock/us.anthropic.claude-sonnet-4-20250514-v1:0", "anthropic/claude-sonnet-4"),
        ("amazon_bedrock/eu.amazon.nova-pro-v1:0", "amazon_bedrock/amazon.nova-pro"),
        ("amazon_bedrock/amazon.nova-lite-v1:0:300k", "amazon_bedrock/amazon.nova-lite"),
        ("groq/openai/gpt-oss-120b", "groq/openai/gpt-oss-120b"),
    ],
)
def test_editions_and_resellers_cost_what_the_model_does(name: str, listed: str) -> None:
    table = PriceTable({})
    assert table.price(name) == bundled_facts()[listed].price is not None


def test_one_model_is_not_taken_for_another() -> None:
    table = PriceTable({})
    assert table.price("openai/gpt-4o") != table.price("openai/gpt-4o-mini")
    assert table.price("vllm/gpt-4o") is None
    assert table.price("openai/gpt-4o-audio-preview") is None


def test_the_configuration_wins_over_catalogues_and_they_over_the_bundled_table() -> None:
    table = PriceTable({"openai/mine": _facts(1, 1)}, {name: _facts(9, 9, 900) for name in ("openai/mine", "openai/b")})
    assert table.blended_usd("openai/b") == 9
    table.replace_catalogue("one", {"openai/mine": _facts(5, 5), "openai/b": _facts(5, 5)})
    table.replace_catalogue("two", {"openai/b": _facts(7, 7), "openai/c": _facts(7, 7)})
    assert [table.blended_usd(f"openai/{name}") for name in ("mine", "b", "c")] == [1, 5, 7]
    assert table.context_window("openai/mine") == 900


def test_a_catalogue_that_is_replaced_is_gone() -> None:
    table = _table(openai__a=_facts(9, 9))
    table.replace_catalogue("one", {"openai/a": _facts(5, 5)})
    assert table.blended_usd("openai/a") == 5
    table.replace_catalogue("one", {})
    assert table.blended_usd("openai/a") == 9


def test_a_wildcard_of_the_configuration_is_for_all_models_of_its_provider() -> None:
    table = PriceTable({"vllm/*": _facts(0, 0), "vllm/big": _facts(1, 1)}, {})
    assert [table.blended_usd(name) for name in ("vllm/any", "vllm/big", "openai/any")] == [0, 1, None]


def test_models_are_compared_by_input_more_than_by_output() -> None:
    assert _table(x__a=_facts(1, 5)).blended_usd("x/a") == pytest.approx(2)


def test_names_that_clients_invent_do_not_pile_up() -> None:
    table = PriceTable({"vllm/*": _facts(1, 1)}, {})
    assert all(table.blended_usd(f"vllm/{number}") == 1 for number in range(20_000))
    assert len(table._remembered) < 5_000


def test_the_bundled_table_is_sane() -> None:
    facts = bundled_facts()
    assert len(facts) > 80
    for name, entry in facts.items():
        assert entry.price is not None, name
        for rates in filter(None, (entry.price.rates, entry.price.long_context)):
            assert 0 < rates.input <= rates.output <= 100, name
            assert rates.cached_input is None or 0 < rates.cached_input < rates.input, name
            assert rates.cache_write is None or rates.input < rates.cache_write <= 1.3 * rates.input, name
        if entry.price.long_context is not None:
            assert entry.price.rates.input < entry.price.long_context.input, name
            assert 0 < entry.price.long_above < (entry.context_window or 10**9), name
        assert entry.context_window is None or 4_000 < entry.context_window <= 2_000_000, name


def test_the_bundled_table_says_where_from_and_as_of_when() -> None:
    sections = orjson.loads(resources.files("router").joinpath("data/prices.json").read_bytes())["providers"]
    for section in sections.values():
        assert section["source"].startswith("https://")
        assert datetime.date.fromisoformat(section["as_of"])
