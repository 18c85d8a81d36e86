"""``model_providers`` and ``model_aliases``, and what is known about well-known providers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from router.config.environment import MissingVariable
from router.config.fields import VALUE, Headers, Kind, Name, Section, Text, Url, refuse

ProviderDialect = Literal["openai_chat", "anthropic_messages", "azure_openai", "bedrock_converse"]

ProviderInterface = Literal[
    "openai",
    "anthropic",
    "claude",
    "amazon_bedrock",
    "azure_openai",
    "chatgpt",
    "deepseek",
    "digitalocean",
    "edenai",
    "gemini",
    "groq",
    "mistral",
    "moonshotai",
    "ollama",
    "openrouter",
    "plano",
    "arch",
    "qwen",
    "together_ai",
    "vercel",
    "vllm",
    "xai",
    "xiaomi",
    "zhipu",
]


@dataclass(frozen=True, slots=True)
class KnownProvider:
    """What needs no configuration: the dialect, and the base URL unless every customer has another one."""

    dialect: ProviderDialect = "openai_chat"
    base_url: str | None = None


# Base URLs include everything before the dialect's own path (`/chat/completions`, `/messages`). Taken from the API
# references of the providers.
KNOWN_PROVIDERS: Mapping[str, KnownProvider] = MappingProxyType(
    {
        "openai": KnownProvider(base_url="https://api.openai.com/v1"),
        "anthropic": KnownProvider("anthropic_messages", "https://api.anthropic.com/v1"),
        "deepseek": KnownProvider(base_url="https://api.deepseek.com/v1"),
        "groq": KnownProvider(base_url="https://api.groq.com/openai/v1"),
        "mistral": KnownProvider(base_url="https://api.mistral.ai/v1"),
        "gemini": KnownProvider(base_url="https://generativelanguage.googleapis.com/v1beta/openai"),
        "xai": KnownProvider(base_url="https://api.x.ai/v1"),
        "together_ai": KnownProvider(base_url="https://api.together.xyz/v1"),
        "moonshotai": KnownProvider(base_url="https://api.moonshot.ai/v1"),
        "zhipu": KnownProvider(base_url="https://open.bigmodel.cn/api/paas/v4"),
        "openrouter": KnownProvider(base_url="https://openrouter.ai/api/v1"),
        "vercel": KnownProvider(base_url="https://ai-gateway.vercel.sh/v1"),
        "digitalocean": KnownProvider(base_url="https://inference.do-ai.run/v1"),
        "xiaomi": KnownProvider(base_url="https://api.xiaomimimo.com/v1"),
        "edenai": KnownProvider(base_url="https://api.edenai.run/v3"),
        "azure_openai": KnownProvider("azure_openai"),
        "amazon_bedrock": KnownProvider("bedrock_converse"),
        "ollama": KnownProvider(),
        "qwen": KnownProvider(),
        "vllm": KnownProvider(),
        "plano": KnownProvider(),
        "arch": KnownProvider(),
    }
)

# Interfaces that are spelled unlike the provider whose dialect they speak.
_INTERFACE_NAMES = {"claude": "anthropic", "chatgpt": "openai"}


# Dialects whose paths stand below `/v1` everywhere, so that a base URL may leave it out.
_VERSIONED_DIALECTS = ("openai_chat", "anthropic_messages")


def dialect_of(provider: str, interface: str | None = None) -> ProviderDialect:
    """The dialect of a provider name; ``interface`` (``provider_interface``) wins over it."""
    name = interface or provider
    known = KNOWN_PROVIDERS.get(_INTERFACE_NAMES.get(name, name))
    return known.dialect if known is not None else "openai_chat"


def _check_model(value: str) -> str:
    provider, separator, model_id = value.partition("/")
    if not separator or not provider.strip() or not model_id.strip():
        refuse(f"{VALUE} does not name its provider.", "Write `provider/model`, as in `openai/gpt-4o`, or `openai/*`.")
    if "*" in provider or ("*" in model_id and model_id != "*"):
        refuse(f"{VALUE} has a wildcard in the middle.", "Write `provider/*` for all models of a provider.")
    return value


ModelName = Annotated[Name, AfterValidator(_check_model), Kind("provider/model")]


class InlinePreference(Section):
    """The older spelling of a routing preference, below the model that it prefers."""

    name: Name = Field(description="Name of the preference.")
    description: Text = Field(description="Which requests it is for, in plain language.")


class ModelProvider(Section):
    """One model (or, with a wildcard, all models) of one provider, and how to reach it.

    After loading, ``base_url`` is what the dialect's path is appended to, known providers' filled in.
    """

    model: ModelName = Field(description="`provider/model`, or `provider/*` for whatever model a request names.")
    name: Name = Field(
        default_factory=lambda known: str(known.get("model", "")),
        description="Name in logs, metrics and hints. Default: the `model`.",
    )
    access_key: SecretStr | None = Field(
        default=None,
        description="The provider's API key, as `$VAR`. While the variable is not set, the provider is unavailable.",
    )
    default: bool = Field(default=False, description="Whether requests that name no model are served by this one.")
    provider_interface: ProviderInterface | None = Field(
        default=None, description="The API that a provider of any other name speaks."
    )
    base_url: Url | None = Field(
        default=None,
        validate_default=True,
        description="Where the provider's API is; its path is kept (without a path, `/v1` is used). Known providers "
        "need none.",
    )
    passthrough_auth: bool = Field(
        default=False, description="Whether the client's `Authorization` header is forwarded instead of `access_key`."
    )
    http_host: Text | None = Field(default=None, description="`Host` header to send. Default: that of `base_url`.")
    headers: Headers = Field(default_factory=dict, repr=False, description="Headers to send along.")
    _missing_variable: str | None = PrivateAttr(default=None)

    @field_validator("base_url")
    @classmethod
    def _resolve_base_url(cls, value: str | None, info: ValidationInfo) -> str | None:
        provider = str(info.data.get("model", "")).partition("/")[0]
        known = KNOWN_PROVIDERS.get(provider)
        url = value or (known.base_url if known is not None else None)
        completed = dialect_of(provider, info.data.get("provider_interface")) in _VERSIONED_DIALECTS
        return f"{url}/v1" if url and completed and not urlsplit(url).path else url

    @model_validator(mode="wrap")
    @classmethod
    def _note_missing_key(cls, data: Any, handler: ModelWrapValidatorHandler[ModelProvider]) -> ModelProvider:
        key = data.get("access_key") if isinstance(data, dict) else None
        if not isinstance(key, MissingVariable):
            return handler(data)
        provider = handler({name: value for name, value in data.items() if name != "access_key"})
        provider._missing_variable = key.name
        return provider

    @property
    def provider(self) -> str:
        """The provider's part of ``model``."""
        return self.model.partition("/")[0]

    @property
    def model_id(self) -> str:
        """The model's name at the provider; ``*`` for a wildcard."""
        return self.model.partition("/")[2]

    @property
    def is_wildcard(self) -> bool:
        """Whether this entry stands for all models of its provider."""
        return self.model_id == "*"

    @property
    def dialect(self) -> ProviderDialect:
        """The API that the provider speaks."""
        return dialect_of(self.provider, self.provider_interface)

    @property
    def available(self) -> bool:
        """Whether requests can be sent: false while the variable of its key is not set."""
        return self._missing_variable is None or self.passthrough_auth

    @property
    def unavailable_reason(self) -> str | None:
        """Why the provider is unavailable, naming the variable; ``None`` when it is available."""
        return None if self.available else f"the environment variable {self._missing_variable} is not set"


class ModelAlias(Section):
    """Another name for a model."""

    target: Name = Field(description="A model (`provider/model`, or the model's name alone) or another alias.")
