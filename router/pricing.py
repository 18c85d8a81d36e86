"""What models cost and how much they can read: the configuration's word first, then catalogues, then the bundled table.

Prices are in US dollars per million tokens, as providers publish them. The bundled table (``data/prices.json``) is
written by hand from the providers' price pages, and says for each of them as of when; what the configuration or a
catalogue says wins over it. A model that nobody knows has no price: ``None``, never zero.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import orjson

from router.dialects.canonical import Usage

# How much more input than output a request is taken to have where models are compared without knowing the request.
INPUT_SHARE = 0.75

_MILLION = 1_000_000
_MAX_REMEMBERED = 4096

# A dated or otherwise numbered edition costs what its model does.
_EDITION = re.compile(r"(?:-latest|[-@]20\d{6}|-20\d\d-\d\d-\d\d|-v\d+(?::\d+)?(?::\d+k)?)$")
_BEDROCK_REGION = re.compile(r"^(?:us|eu|apac|jp|au|ca|sa|us-gov|global)\.")

# Providers that sell the models of others at their price, under `provider/model` of their own.
_RESELLERS = frozenset({"openrouter", "vercel"})
_SAME_PRICES = {"azure_openai": "openai", "google": "gemini", "x-ai": "xai", "mistralai": "mistral"}


@dataclass(frozen=True, slots=True)
class Rates:
    """USD per million tokens. Input read from or written to the provider's cache costs ``input`` where not said."""

    input: float
    output: float
    cached_input: float | None = None
    cache_write: float | None = None


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """What a model costs; ``long_context`` instead, for all tokens, where the input is longer than ``long_above``."""

    rates: Rates
    long_context: Rates | None = None
    long_above: int = 0

    def rates_for(self, input_tokens: int) -> Rates:
        """The rates of a request of this size."""
        return self.long_context if self.long_context is not None and input_tokens > self.long_above else self.rates

    def cost_usd(self, usage: Usage) -> float:
        """What one answer cost."""
        rates = self.rates_for(usage.input)
        cached_rate = rates.input if rates.cached_input is None else rates.cached_input
        write_rate = rates.input if rates.cache_write is None else rates.cache_write
        plain = max(0, usage.input - usage.cached - usage.cache_write)
        cost = plain * rates.input + usage.cached * cached_rate + usage.cache_write * write_rate
        return (cost + usage.output * rates.output) / _MILLION


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of a model; ``context_window`` in tokens."""

    price: ModelPrice | None = None
    context_window: int | None = None


class PriceTable:
    """Looks models up by ``provider/model``.

    ``configured`` may have ``provider/*`` for all models of a provider. Catalogues are replaced as they are fetched;
    of several that know a model, the one that was added first wins.
    """

    def __init__(self, configured: Mapping[str, ModelFacts], bundled: Mapping[str, ModelFacts] | None = None) -> None:
        self._configured = dict(configured)
        self._catalogues: dict[str, Mapping[str, ModelFacts]] = {}
        self._bundled = bundled_facts() if bundled is None else bundled
        self._remembered: dict[str, ModelFacts] = {}

    def replace_catalogue(self, source: str, facts: Mapping[str, ModelFacts]) -> None:
        """Take ``facts`` for all that ``source`` knows."""
        self._catalogues[source] = facts
        self._remembered.clear()

    def price(self, model: str) -> ModelPrice | None:
        """What ``model`` costs; ``None`` when nobody knows."""
        return self._facts(model).price

    def context_window(self, model: str) -> int | None:
        """How many tokens ``model`` can read; ``None`` when nobody knows."""
        return self._facts(model).context_window

    def cost_usd(self, model: str, usage: Usage) -> float | None:
        """What an answer of ``model`` cost; ``None`` when its price is not known."""
        price = self.price(model)
        return None if price is None else price.cost_usd(usage)

    def blended_usd(self, model: str) -> float | None:
        """One number to compare models by: USD per million tokens, three of them input for each that is output."""
        price = self.price(model)
        if price is None:
            return None
        return INPUT_SHARE * price.rates.input + (1 - INPUT_SHARE) * price.rates.output

    def _facts(self, model: str) -> ModelFacts:
        known = self._remembered.get(model)
        if known is None:
            if len(self._remembered) >= _MAX_REMEMBERED:  # names below a wildcard are the clients' to invent
                self._remembered.clear()
            known = self._remembered[model] = self._look_up(model)
        return known

    def _look_up(self, model: str) -> ModelFacts:
        price: ModelPrice | None = None
        window: int | None = None
        for facts in self._opinions(model):
            price = price or facts.price
            window = window or facts.context_window
        return ModelFacts(price, window)

    def _opinions(self, model: str) -> Iterator[ModelFacts]:
        wildcard = f"{model.partition('/')[0]}/*"
        names = tuple(_spellings(model))
        tables: list[tuple[Mapping[str, ModelFacts], tuple[str, ...]]] = [(self._configured, (model, wildcard))]
        tables += [(catalogue, names) for catalogue in self._catalogues.values()]
        tables.append((self._bundled, names))
        for table, keys in tables:
            yield from (table[key] for key in keys if key in table)


def bundled_facts() -> dict[str, ModelFacts]:
    """The table that comes with the gateway."""
    text = resources.files("router").joinpath("data/prices.json").read_bytes()
    providers: dict[str, Any] = orjson.loads(text)["providers"]
    return {
        f"{provider}/{model}": _bundled(entry)
        for provider, section in providers.items()
        for model, entry in section["models"].items()
    }


def _bundled(entry: Mapping[str, Any]) -> ModelFacts:
    long_context = entry.get("long_context")
    price = ModelPrice(
        _rates(entry),
        _rates(long_context) if long_context else None,
        long_context["above"] if long_context else 0,
    )
    return ModelFacts(price, entry.get("context_window"))


def _rates(entry: Mapping[str, Any]) -> Rates:
    return Rates(entry["input"], entry["output"], entry.get("cached_input"), entry.get("cache_write"))


def _spellings(name: str) -> Iterator[str]:
    """``name`` and the other names under which the same model may be listed, the most exact one first."""
    yield name
    provider, _, model = name.partition("/")
    if provider in _RESELLERS and "/" in model:
        provider, _, model = model.partition("/")
        model = model.partition(":")[0]
    provider = _SAME_PRICES.get(provider, provider)
    if provider == "amazon_bedrock":
        model = _BEDROCK_REGION.sub("", model)
    plain = model
    while (shorter := _EDITION.sub("", plain)) != plain:
        plain = shorter
    for spelling in dict.fromkeys((model, plain)):
        yield f"{provider}/{spelling}"
        if provider == "amazon_bedrock" and spelling.startswith("anthropic."):
            yield f"anthropic/{spelling.removeprefix('anthropic.')}"
        if provider == "anthropic":  # some write the version with a point
            yield f"anthropic/{spelling.replace('.', '-')}"
