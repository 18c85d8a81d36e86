"""What the configuration says about models: their names, their prices, and who can be asked."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

from router.config import Config, ModelProvider
from router.errors import OperatorError
from router.handlers.meta import ListedModel
from router.pricing import ModelFacts, ModelPrice, PriceTable, Rates
from router.routing.models import ModelRouter, ProviderModel
from router.upstream.chat import ChatUpstream
from router.upstream.http import HttpClient
from router.upstream.providers import ProviderService


def model_list(config: Config) -> list[ListedModel]:
    """The names that clients may ask for, aliases last, and whether each can be served."""
    router = build_model_router(config)
    names = [entry.model for entry in config.model_providers if not entry.is_wildcard]
    return [
        ListedModel(name, router.full_names(name), router.usable(name))
        for name in dict.fromkeys([*names, *config.model_aliases])
    ]


def metric_models(config: Config) -> frozenset[str]:
    """The names of models that may be labels of metrics: those of the configuration, bare and with their provider."""
    names = {entry.model for entry in config.model_providers if not entry.is_wildcard}
    names.update(alias.target for alias in config.model_aliases.values())
    names.update(model for preference in config.routing_preferences for model in preference.models)
    return frozenset({name for full in names for name in (full, full.partition("/")[2]) if name})


def build_model_router(config: Config) -> ModelRouter:
    """Who resolves the names of models."""
    entries = [
        ProviderModel(
            entry.name, entry.provider, entry.model_id, default=entry.default, unavailable=_unavailable(entry)
        )
        for entry in config.model_providers
    ]
    return ModelRouter(entries, {name: alias.target for name, alias in config.model_aliases.items()})


def build_client(config: Config) -> HttpClient:
    """Who asks agents, providers and filters. Raises ``OperatorError`` for certificates that cannot be read."""
    authorities = config.overrides.upstream_tls_ca_path
    try:
        tls = None if authorities is None else ssl.create_default_context(cafile=authorities)
    except (OSError, ssl.SSLError) as exc:
        raise OperatorError(
            f"The certificates in {authorities} cannot be used: {exc.strerror or exc}.",
            fix="Point overrides.upstream_tls_ca_path to a file with PEM certificates.",
        ) from exc
    timeout_s = config.overrides.upstream_connect_timeout or config.limits.connect_timeout
    return HttpClient(connect_timeout_s=timeout_s, tls=tls)


def build_services(config: Config) -> dict[str, ProviderService]:
    """The providers that can be asked, by name of entry. Raises ``OperatorError`` for a header that cannot be."""
    services = {}
    for entry in config.model_providers:
        if entry.available:
            try:
                services[entry.name] = ProviderService(entry)
            except ValueError as exc:
                raise OperatorError(
                    f"Provider '{entry.name}' cannot be called: its access_key or a header has characters that no "
                    "request can carry.",
                    fix="Look for line breaks and control characters in their values.",
                ) from exc
    return services


def build_chats(config: Config, services: Mapping[str, ProviderService], client: HttpClient) -> dict[str, ChatUpstream]:
    """Conversations with the providers of ``services``."""
    limit = config.limits.max_response_bytes
    return {name: ChatUpstream(service, client, max_response_bytes=limit) for name, service in services.items()}


def build_prices(config: Config) -> PriceTable:
    """What models cost: the file's own prices win over published ones."""
    return PriceTable(dict(_configured_facts(config)))


def _configured_facts(config: Config) -> Mapping[str, ModelFacts]:
    facts = {}
    for entry in config.model_providers:
        price = entry.price
        if price is not None or entry.context_window is not None:
            rates = None if price is None else Rates(price.input, price.output, price.cached_input, price.cache_write)
            facts[entry.model] = ModelFacts(None if rates is None else ModelPrice(rates), entry.context_window)
    return facts


def _unavailable(provider: ModelProvider) -> str | None:
    reason = provider.unavailable_reason
    return None if reason is None else f"'{provider.model}' cannot be used: {reason}."
