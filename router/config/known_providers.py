"""What is known about well-known providers: where they are, and which APIs they speak."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal
from urllib.parse import urlsplit

ProviderDialect = Literal["openai_chat", "openai_responses", "anthropic_messages", "bedrock_converse"]

ProviderInterface = Literal[
    "openai",
    "openai_responses",
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

AZURE = "azure_openai"
BEDROCK = "amazon_bedrock"


@dataclass(frozen=True, slots=True)
class KnownProvider:
    """What needs no configuration: the dialect, and the base URL unless every customer has another one.

    ``{region}`` in a base URL is that of the entry.
    """

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
        AZURE: KnownProvider(),
        BEDROCK: KnownProvider("bedrock_converse", "https://bedrock-runtime.{region}.amazonaws.com"),
        "ollama": KnownProvider(),
        "qwen": KnownProvider(),
        "vllm": KnownProvider(),
        "plano": KnownProvider(),
        "arch": KnownProvider(),
    }
)

# Interfaces that are spelled unlike the provider whose dialect they speak.
_INTERFACE_NAMES = {"claude": "anthropic", "chatgpt": "openai"}

_OPENAI_HOST = re.compile(r"(?:[a-z0-9-]+\.)?api\.openai\.com")
_BEDROCK_HOST = re.compile(r"bedrock-runtime(?:-fips)?\.([a-z0-9-]+)\..+")


def interface_of(provider: str, interface: str | None = None) -> str:
    """The name of the API that a provider offers; ``interface`` (``provider_interface``) wins over its own name."""
    name = interface or provider
    return _INTERFACE_NAMES.get(name, name)


def dialect_of(provider: str, interface: str | None = None) -> ProviderDialect:
    """The dialect of a provider name; ``interface`` (``provider_interface``) wins over it."""
    name = interface_of(provider, interface)
    if name == "openai_responses":
        return "openai_responses"
    known = KNOWN_PROVIDERS.get(name)
    return known.dialect if known is not None else "openai_chat"


def dialects_of(provider: str, interface: str | None, base_url: str | None) -> tuple[ProviderDialect, ...]:
    """What a provider speaks, best first: OpenAI's own addresses, and Azure's of the same kind, have two APIs."""
    name = interface_of(provider, interface)
    host = urlsplit(base_url or "").hostname or ""
    if (name == "openai" and _OPENAI_HOST.fullmatch(host)) or (name == AZURE and is_azure_v1(base_url)):
        return ("openai_chat", "openai_responses")
    return (dialect_of(provider, interface),)


def base_url_of(provider: str, interface: str | None, given: str | None, region: str | None) -> str | None:
    """What a dialect's path is put behind: the URL of the file, or the known one; ``None`` where there is neither.

    A URL without a path gets ``/v1``, below which every API of OpenAI's and Anthropic's kind stands.
    """
    name = interface_of(provider, interface)
    known = KNOWN_PROVIDERS.get(BEDROCK if name == BEDROCK else provider)
    url = given or (known.base_url if known is not None else None)
    if url is None or (given is None and name == BEDROCK and region is None):
        return None
    if name in (AZURE, BEDROCK):
        return url.replace("{region}", region or "")
    return url if urlsplit(url).path else f"{url}/v1"


def is_azure_v1(base_url: str | None) -> bool:
    """Whether an Azure URL is that of the API without versions and deployments in its paths."""
    return urlsplit(base_url or "").path.endswith("/openai/v1")


def region_of(base_url: str | None) -> str | None:
    """The AWS region that the host of a Bedrock URL names."""
    match = _BEDROCK_HOST.fullmatch(urlsplit(base_url or "").hostname or "")
    return match[1] if match else None
