"""``model_providers`` and ``model_aliases``."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SecretStr,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from router.config.environment import MissingVariable
from router.config.fields import VALUE, Duration, Headers, Kind, Name, Section, Text, Url, Whole, refuse
from router.config.known_providers import KNOWN_PROVIDERS as KNOWN_PROVIDERS
from router.config.known_providers import KnownProvider as KnownProvider
from router.config.known_providers import (
    ProviderDialect,
    ProviderInterface,
    base_url_of,
    dialects_of,
    interface_of,
    region_of,
)
from router.config.prices import TokenPrice

# The newest of the dated versions, which the v1 API has followed; those before it know fewer fields. Reference:
# https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle
_AZURE_API_VERSION = "2025-04-01-preview"


def _check_model(value: str) -> str:
    provider, separator, model_id = value.partition("/")
    if not separator or not provider.strip() or not model_id.strip():
        refuse(f"{VALUE} does not name its provider.", "Write `provider/model`, as in `openai/gpt-4o`, or `openai/*`.")
    if "*" in provider or ("*" in model_id and model_id != "*"):
        refuse(f"{VALUE} has a wildcard in the middle.", "Write `provider/*` for all models of a provider.")
    return value


def _check_region(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9-]+", value):
        refuse(f"{VALUE} is not the name of an AWS region.", "Write it as in `us-east-1`.")
    return value


def _check_api_version(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.-]{1,40}", value):
        refuse(f"{VALUE} is not an API version.", f"Write it as in `{_AZURE_API_VERSION}`.")
    return value


ModelName = Annotated[Name, AfterValidator(_check_model), Kind("provider/model")]
# Both end up in URLs.
Region = Annotated[str, StringConstraints(min_length=1, max_length=40), AfterValidator(_check_region), Kind("region")]
ApiVersion = Annotated[str, AfterValidator(_check_api_version), Kind("version")]
KeyHeader = Literal["authorization", "api-key", "x-api-key"]


def _default_dialects(known: dict[str, Any]) -> tuple[ProviderDialect, ...]:
    provider = str(known.get("model", "")).partition("/")[0]
    return dialects_of(provider, known.get("provider_interface"), known.get("base_url"))


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
    region: Region | None = Field(
        default=None, description="AWS region of Bedrock. Default: that of `base_url`, or `AWS_REGION`."
    )
    base_url: Url | None = Field(
        default=None,
        validate_default=True,
        description="Where the provider's API is; its path is kept (without a path, `/v1` is used). Known providers "
        "need none.",
    )
    dialects: tuple[ProviderDialect, ...] = Field(
        default_factory=_default_dialects,
        min_length=1,
        description="The APIs below `base_url`, best first. A client that speaks one of them is answered in it; all "
        "others are translated to the first. Default: what the provider or its `provider_interface` is known for.",
    )
    key_header: KeyHeader | None = Field(
        default=None,
        description="Header for the key, where a proxy or a token of Entra ID wants another one than the API itself; "
        "in `authorization` it stands behind `Bearer`.",
    )
    passthrough_auth: bool = Field(
        default=False,
        description="Whether the client's own key is forwarded instead of `access_key`: its `Authorization` or "
        "`x-api-key`, or `x-provider-authorization` where those have a key of the gateway.",
    )
    api_version: ApiVersion = Field(
        default=_AZURE_API_VERSION, description="`api-version` of an Azure URL that does not end in `/openai/v1`."
    )
    aws_access_key_id: Text | None = Field(
        default=None,
        repr=False,
        description="Signs requests to Bedrock where there is no `access_key` (a Bedrock API key). Default: "
        "`AWS_ACCESS_KEY_ID`, with the two that belong to it.",
    )
    aws_secret_access_key: SecretStr | None = Field(default=None, description="The secret of `aws_access_key_id`.")
    aws_session_token: SecretStr | None = Field(default=None, description="Its token, where it is a temporary one.")
    timeout: Duration = Field(
        default=300.0, description="Longest wait for the first byte of an answer, and again between two bytes."
    )
    weight: Whole = Field(
        default=1, ge=1, le=1000, description="Share of the requests among the entries for the same model."
    )
    price: TokenPrice | None = Field(default=None, description="What tokens cost. Default: the published price.")
    context_window: Whole | None = Field(
        default=None, ge=1, description="Tokens that a request and its answer may have together."
    )
    http_host: Text | None = Field(default=None, description="`Host` header to send. Default: that of `base_url`.")
    headers: Headers = Field(default_factory=dict, repr=False, description="Headers to send along.")
    _missing_variable: str | None = PrivateAttr(default=None)

    @field_validator("base_url")
    @classmethod
    def _resolve_base_url(cls, value: str | None, info: ValidationInfo) -> str | None:
        provider = str(info.data.get("model", "")).partition("/")[0]
        return base_url_of(provider, info.data.get("provider_interface"), value, info.data.get("region"))

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
    def interface(self) -> str:
        """The name of the API's maker: what decides about paths and headers beside the dialect."""
        return interface_of(self.provider, self.provider_interface)

    @property
    def dialect(self) -> ProviderDialect:
        """The API that is used for clients of any other."""
        return self.dialects[0]

    @property
    def aws_region(self) -> str | None:
        """The region that requests are signed for."""
        return self.region or region_of(self.base_url)

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
