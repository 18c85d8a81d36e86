"""What sources of prices and latencies say (pure): documents of others in, bounded and checked facts out.

source         document
models.dev     https://models.dev/api.json: ``{provider: {"models": {id: {"cost": {"input", "output", "cache_read",
               "cache_write", "context_over_200k": {...}}, "limit": {"context"}}}}}``, USD per million tokens
digitalocean   https://api.digitalocean.com/v2/gen-ai/models/catalog: ``{"data": [{"model_id", "pricing":
               {"input_price_per_million", "output_price_per_million", "cache_read_input_price_per_million"}}]}``
prometheus     an instant query (https://prometheus.io/docs/prometheus/latest/querying/api/): a vector with the label
               ``model_name``, any unit, smaller is faster

What does not fit is left out; a document of another shape altogether raises ``UnreadableSource``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from router.pricing import ModelFacts, ModelPrice, Rates

MAX_MODELS = 20_000

_MAX_NAME_CHARS = 256
_MAX_USD = 100_000.0  # per million tokens
_MAX_WINDOW = 1_000_000_000
_LONG_CONTEXT = 200_000

# The catalogue of DigitalOcean names its fields "per million" and fills them with prices per token. Nothing costs less
# than a tenth of a cent per million tokens, and nothing 1,000 dollars: in between, the two can be told apart.
_PER_TOKEN_BELOW = 0.001
_MILLION = 1_000_000

# Providers that models.dev spells unlike this configuration.
_PROVIDER_NAMES = {
    "google": "gemini",
    "amazon-bedrock": "amazon_bedrock",
    "azure": "azure_openai",
    "togetherai": "together_ai",
    "zhipuai": "zhipu",
    "alibaba": "qwen",
}


class UnreadableSource(Exception):
    """A document that has not the shape of its source."""


def read_models_dev(document: bytes) -> dict[str, ModelFacts]:
    """Facts by ``provider/model``."""
    facts: dict[str, ModelFacts] = {}
    for provider, section in _mapping(_json(document)).items():
        models = section.get("models") if isinstance(section, dict) else None
        if not isinstance(models, dict):
            continue
        for model, entry in models.items():
            if len(facts) >= MAX_MODELS:
                return facts
            known = _models_dev_entry(entry)
            if known is not None and len(model) <= _MAX_NAME_CHARS:
                facts[f"{_PROVIDER_NAMES.get(provider, provider)}/{model}"] = known
    if not facts:
        raise UnreadableSource("no models with prices")
    return facts


def read_digitalocean(document: bytes) -> dict[str, ModelFacts]:
    """Facts by ``digitalocean/model``."""
    entries = _mapping(_json(document)).get("data")
    facts: dict[str, ModelFacts] = {}
    for entry in _objects(entries):
        name, pricing = entry.get("model_id"), entry.get("pricing")
        if not isinstance(pricing, dict) or not _is_name(name):
            continue
        rates = _rates(pricing, "input_price_per_million", "output_price_per_million", scaled=True)
        if rates is not None:
            cached = _usd(pricing.get("cache_read_input_price_per_million"), scaled=True)
            facts[f"digitalocean/{name}"] = ModelFacts(ModelPrice(Rates(rates.input, rates.output, cached)))
        if len(facts) >= MAX_MODELS:
            break
    if not facts:
        raise UnreadableSource("no models with prices")
    return facts


def read_prometheus(document: bytes) -> dict[str, float]:
    """Latencies by ``model_name``; of several series for one model, the fastest. Empty while nothing is measured."""
    answer = _mapping(_json(document))
    data = answer.get("data")
    if answer.get("status") != "success" or not isinstance(data, dict) or data.get("resultType") != "vector":
        raise UnreadableSource("not the answer to an instant query for a vector")
    latencies: dict[str, float] = {}
    for series in _objects(data.get("result")):
        labels, sample = series.get("metric"), series.get("value")
        name = labels.get("model_name") if isinstance(labels, dict) else None
        latency = _seconds(sample)
        if latency is not None and isinstance(name, str) and _is_name(name) and len(latencies) < MAX_MODELS:
            latencies[name] = min(latency, latencies.get(name, math.inf))
    return latencies


def with_aliases(facts: Mapping[str, ModelFacts], aliases: Mapping[str, str]) -> dict[str, ModelFacts]:
    """``facts``, under the names of the configuration too. ``aliases`` maps names of the catalogue, whole or without
    their provider, to models."""
    named = dict(facts)
    if aliases:
        bare = {name.partition("/")[2]: known for name, known in facts.items()}
        for name, model in aliases.items():
            known = facts.get(name) or bare.get(name)
            if known is not None:
                named[model] = known
    return named


def _models_dev_entry(entry: object) -> ModelFacts | None:
    if not isinstance(entry, dict):
        return None
    cost, limit = entry.get("cost"), entry.get("limit")
    rates = _models_dev_rates(cost)
    window = limit.get("context") if isinstance(limit, dict) else None
    if not (isinstance(window, int) and 0 < window <= _MAX_WINDOW) or isinstance(window, bool):
        window = None
    if rates is None:
        return ModelFacts(None, window) if window is not None else None
    long_context = _models_dev_rates(cost.get("context_over_200k")) if isinstance(cost, dict) else None
    return ModelFacts(ModelPrice(rates, long_context, _LONG_CONTEXT), window)


def _models_dev_rates(cost: object) -> Rates | None:
    if not isinstance(cost, dict):
        return None
    rates = _rates(cost, "input", "output")
    if rates is None:
        return None
    return Rates(rates.input, rates.output, _usd(cost.get("cache_read")), _usd(cost.get("cache_write")))


def _rates(prices: Mapping[str, Any], input_key: str, output_key: str, *, scaled: bool = False) -> Rates | None:
    input_, output = _usd(prices.get(input_key), scaled=scaled), _usd(prices.get(output_key), scaled=scaled)
    return None if input_ is None or output is None else Rates(input_, output)


def _usd(value: object, *, scaled: bool = False) -> float | None:
    """USD per million tokens; ``scaled`` values may be per token."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _MAX_USD:
        return None
    return float(value) * _MILLION if scaled and value < _PER_TOKEN_BELOW else float(value)


def _seconds(sample: object) -> float | None:
    # Prometheus writes the values of samples as strings, "NaN" and "+Inf" among them.
    if not isinstance(sample, list) or len(sample) != 2 or not isinstance(sample[1], str):
        return None
    try:
        value = float(sample[1])
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_NAME_CHARS


def _json(document: bytes) -> object:
    try:
        return orjson.loads(document)
    except orjson.JSONDecodeError as exc:
        raise UnreadableSource("not JSON") from exc


def _mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UnreadableSource("not a JSON object")
    return value


def _objects(value: object) -> Iterable[dict[str, Any]]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()
