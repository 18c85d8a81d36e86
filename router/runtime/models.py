"""What model listeners are made of: the providers, and which of them serves a model."""

from __future__ import annotations

from yarl import URL

from router.config import Config, ModelProvider
from router.errors import OperatorError
from router.routing.models import ModelRouter, ProviderModel
from router.upstream.chat import ChatUpstream
from router.upstream.http import Endpoint, HttpClient
from router.upstream.service import FixedService

_PROVIDER_TIMEOUT_S = 300.0  # to the first byte and between two bytes; a listener's timeout is usually shorter


def model_list(config: Config) -> list[tuple[str, bool]]:
    """The names that clients may ask for, aliases last, and whether each can be served."""
    models = [
        (entry.model, unavailable_reason(entry) is None) for entry in config.model_providers if not entry.is_wildcard
    ]
    return [*models, *((alias, True) for alias in config.model_aliases)]


def build_model_router(config: Config) -> ModelRouter:
    """Who resolves the names of models."""
    entries = [
        ProviderModel(
            entry.name, entry.provider, entry.model_id, default=entry.default, unavailable=_unavailable(entry)
        )
        for entry in config.model_providers
    ]
    return ModelRouter(entries, {name: alias.target for name, alias in config.model_aliases.items()})


def build_providers(config: Config, client: HttpClient) -> dict[str, ChatUpstream]:
    """The providers that can be asked, by the name of their entry."""
    limit = config.limits.max_response_bytes
    return {
        provider.name: ChatUpstream(FixedService(_provider_endpoint(provider)), client, max_response_bytes=limit)
        for provider in config.model_providers
        if unavailable_reason(provider) is None
    }


def unavailable_reason(provider: ModelProvider) -> str | None:
    """Why requests to a provider are refused; ``None`` when they are not."""
    if provider.unavailable_reason is None and provider.dialect != "openai_chat":
        return f"this version does not speak the {provider.dialect} dialect yet"
    return provider.unavailable_reason


def _unavailable(provider: ModelProvider) -> str | None:
    reason = unavailable_reason(provider)
    return None if reason is None else f"'{provider.model}' cannot be used: {reason}."


def _provider_endpoint(provider: ModelProvider) -> Endpoint:
    headers = dict(provider.headers)
    if provider.access_key is not None:
        # Keys that come out of files often end in a line break.
        headers["Authorization"] = f"Bearer {provider.access_key.get_secret_value().strip()}"
    if provider.http_host is not None:
        headers["Host"] = provider.http_host
    url = URL(f"{provider.base_url}/chat/completions")
    try:
        return Endpoint(provider.name, url, _PROVIDER_TIMEOUT_S, headers)
    except ValueError as exc:
        raise OperatorError(
            f"Provider '{provider.name}' cannot be called: its access_key or a header has characters that no request "
            "can carry.",
            fix="Look for line breaks and control characters in their values.",
        ) from exc
