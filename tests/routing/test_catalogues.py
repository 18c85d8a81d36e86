from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.pricing import ModelFacts, ModelPrice, Rates
from router.routing.catalogues import (
    MAX_MODELS,
    UnreadableSource,
    read_digitalocean,
    read_models_dev,
    read_prometheus,
    with_aliases,
)


def _prometheus(*series: dict[str, Any]) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": list(series)}}).encode()


def _latency(model: object, value: object) -> dict[str, Any]:
    return {"metric": {"model_name": model}, "value": [1764000000.0, value]}


def test_models_dev_is_read() -> None:
    document = {
        "google": {
            "id": "google",
            "models": {
                "gemini-2.5-pro": {
                    "cost": {
                        "input": 1.25,
                        "output": 10,
                        "cache_read": 0.125,
                        "context_over_200k": {"input": 2.5, "output": 15, "cache_read": 0.25},
                    },
                    "limit": {"context": 1048576, "output": 65536},
                }
            },
        },
        "anthropic": {
            "models": {"claude": {"cost": {"input": 3, "output": 15, "cache_read": 0.3, "cache_write": 3.75}}}
        },
        "groq": {"models": {"free": {"limit": {"context": 8192}}, "nothing": {"name": "x"}}},
        "broken": {"models": []},
        "odd": 3,
    }
    assert read_models_dev(json.dumps(document).encode()) == {
        "gemini/gemini-2.5-pro": ModelFacts(
            ModelPrice(Rates(1.25, 10, 0.125), Rates(2.5, 15, 0.25), 200_000), 1_048_576
        ),
        "anthropic/claude": ModelFacts(ModelPrice(Rates(3, 15, 0.3, 3.75), None, 200_000)),
        "groq/free": ModelFacts(None, 8192),
    }


@pytest.mark.parametrize(
    "cost", [{"input": -1, "output": 1}, {"input": True, "output": 1}, {"input": "1", "output": 1}, {"input": 1}, 7]
)
def test_prices_that_are_none_are_left_out(cost: object) -> None:
    document = {"p": {"models": {"bad": {"cost": cost}, "good": {"cost": {"input": 1, "output": 2}}}}}
    assert list(read_models_dev(json.dumps(document).encode())) == ["p/good"]


def test_the_catalogue_of_digitalocean_has_prices_per_token_under_the_name_of_prices_per_million() -> None:
    document = {
        "data": [
            {
                "model_id": "openai-gpt-4o",
                "pricing": {
                    "input_price_per_million": 0.0000025,
                    "output_price_per_million": 0.00001,
                    "cache_read_input_price_per_million": 0.00000125,
                },
            },
            {"model_id": "honest", "pricing": {"input_price_per_million": 0.5, "output_price_per_million": 2}},
            {"model_id": "unpriced", "pricing": {}},
            {"pricing": {"input_price_per_million": 1, "output_price_per_million": 2}},
        ]
    }
    facts = read_digitalocean(json.dumps(document).encode())
    assert list(facts) == ["digitalocean/openai-gpt-4o", "digitalocean/honest"]
    price = facts["digitalocean/openai-gpt-4o"].price
    assert price is not None
    assert (price.rates.input, price.rates.output, price.rates.cached_input) == pytest.approx((2.5, 10, 1.25))
    assert facts["digitalocean/honest"].price == ModelPrice(Rates(0.5, 2))


def test_prometheus_gives_the_fastest_series_of_each_model() -> None:
    document = _prometheus(
        _latency("openai/a", "0.5"),
        _latency("openai/a", "0.25"),
        _latency("b", "12"),
        _latency("nan", "NaN"),
        _latency("inf", "+Inf"),
        _latency("negative", "-1"),
        _latency("number", 1),
        _latency(None, "1"),
        {"metric": {}, "value": [1, "1"]},
        {"metric": {"model_name": "range"}, "values": [[1, "1"]]},
    )
    assert read_prometheus(document) == {"openai/a": 0.25, "b": 12}
    assert read_prometheus(_prometheus()) == {}


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"data": []}',
        b'{"status": "error", "error": "bad query"}',
        b'{"status": "success", "data": {"resultType": "matrix", "result": []}}',
    ],
)
@pytest.mark.parametrize("read", [read_models_dev, read_digitalocean, read_prometheus])
def test_another_document_altogether_is_refused(read: Callable[[bytes], object], document: bytes) -> None:
    with pytest.raises(UnreadableSource):
        read(document)


def test_a_catalogue_of_any_length_is_cut() -> None:
    entry = {"cost": {"input": 1, "output": 1}}
    models = {str(number): entry for number in range(MAX_MODELS + 5)}
    assert len(read_models_dev(json.dumps({"p": {"models": models}}).encode())) == MAX_MODELS


def test_aliases_name_models_of_the_catalogue_with_or_without_their_provider() -> None:
    facts = {"digitalocean/openai-gpt-4o": ModelFacts(None, 1), "openai/x": ModelFacts(None, 2)}
    aliases = {"openai-gpt-4o": "openai/gpt-4o", "openai/x": "mine/x", "unknown": "mine/y"}
    named = with_aliases(facts, aliases)
    assert named["openai/gpt-4o"].context_window == 1
    assert named["mine/x"].context_window == 2
    assert set(named) == {*facts, "openai/gpt-4o", "mine/x"}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "models",
                    "cost",
                    "input",
                    "output",
                    "limit",
                    "context",
                    "data",
                    "pricing",
                    "model_id",
                    "status",
                    "result",
                ]
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(_JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40))
@pytest.mark.parametrize("read", [read_models_dev, read_digitalocean])
def test_no_document_gives_a_price_that_is_none(
    read: Callable[[bytes], dict[str, ModelFacts]], document: bytes
) -> None:
    try:
        facts = read(document)
    except UnreadableSource:
        return
    for entry in facts.values():
        if entry.price is not None:
            assert math.isfinite(entry.price.rates.input)
            assert entry.price.rates.input >= 0


@given(st.lists(_JSON, max_size=4))
def test_no_series_of_prometheus_gives_a_latency_that_is_none(series: list[Any]) -> None:
    document = json.dumps({"status": "success", "data": {"resultType": "vector", "result": series}}).encode()
    try:
        latencies = read_prometheus(document)
    except UnreadableSource:  # NaN and Infinity, which JSON does not know
        return
    assert all(math.isfinite(value) and value >= 0 for value in latencies.values())
